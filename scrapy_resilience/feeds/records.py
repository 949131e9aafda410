"""What a resume must know of the feeds of the last run."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from scrapy_resilience._log import get_logger
from scrapy_resilience.checkpoint.state import OWN, StateRegistry, checked
from scrapy_resilience.core.masking import mask_uri

__all__ = ["STATE", "FeedRecord", "records", "warn_of_missing"]

logger = get_logger(__name__)

STATE: Final = OWN + "feed/"
"""What the names of the records begin with."""


@dataclass
class FeedRecord:
    """What a resume must know of one file.

    *offset* is the committed length; None until a commit has seen the file. *base* is the
    length that the file had before us, *existed* whether it was there at all; *ending* is
    what :func:`ending_of` gave at the offset. The path of a *spooled* feed is that of its
    spool, within the JOBDIR; *target_base* is then the length of the local file that the
    feed will be appended to, and *produced* whether that was begun. *format* is that of lines
    that are in the file, None where an earlier version did not write it down; *linked* whether
    the path is that of a link; *folders* how many were made for it; *keeps_old* whether a file
    that it replaces is the feed of the job as it had finished, and is put aside.
    """

    template: str
    uri: str
    path: str
    base: int
    existed: bool
    overwrite: bool
    batch_id: int
    offset: int | None = None
    ending: bytes | None = None
    items: int = 0
    fields: list[str] | None = None
    spooled: bool = False
    target_base: int = 0
    produced: bool = False
    format: str | None = None
    linked: bool = False
    folders: int = 0
    keeps_old: bool = False

    @property
    def name(self) -> str:
        return STATE + sha256(self.path.encode(errors="surrogatepass")).hexdigest()[:16]


def records(state: StateRegistry) -> list[FeedRecord]:
    """The feeds of the last run. Raises :exc:`DamagedError`."""
    return checked(state.values_of(STATE), list[FeedRecord], "feeds")


def warn_of_missing(record: FeedRecord) -> None:
    """A feed of the last run is none of this one."""
    logger.warning(
        "The feed %s of the last run is not in FEEDS any more: it stays as it is",
        mask_uri(record.uri),
    )
