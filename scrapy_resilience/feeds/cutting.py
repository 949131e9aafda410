"""Feeds that a resumed job continues at the committed byte.

At each commit a feed's length is recorded with the requests that wrote it. At a resume
everything behind that length is cut (and kept in a side file), and the feed is opened to
append, whatever ``overwrite`` says. Local JSON Lines and CSV feeds are cut themselves; of
any other feed it is the spool from which it is produced.
"""

from __future__ import annotations

import shutil
from hashlib import sha256
from os import SEEK_END
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, TYPE_CHECKING, Final

from scrapy_resilience._log import get_logger
from scrapy_resilience.exceptions import CheckpointError, DamagedError, JobLockedError
from scrapy_resilience.failpoints import failpoint
from scrapy_resilience.feeds.records import records
from scrapy_resilience.feeds.spool import remove_strays, verify
from scrapy_resilience.files.lock import lock_fd
from scrapy_resilience.files.plainfile import opener

if TYPE_CHECKING:
    from scrapy_resilience.checkpoint.state import StateRegistry
    from scrapy_resilience.feeds.records import FeedRecord

__all__ = ["cut", "ending_of", "is_intact", "lock_feed", "recover", "trouble"]

logger = get_logger(__name__)

_ENDING: Final = 4096


def lock_feed(file: IO[bytes], path: Path | str) -> None:
    """Raises :exc:`JobLockedError` when another job writes to an open feed."""
    if not lock_fd(file.fileno()):
        raise JobLockedError(f"another job writes to {path}: give each job its own feed")


def is_intact(record: FeedRecord, folder: Path) -> bool:
    """Whether a feed is as the last run left it."""
    try:
        is_whole = trouble(record, folder, clean=True) is None
    except CheckpointError:
        return False
    return is_whole and (folder / record.path).exists()


def recover(state: StateRegistry, folder: Path, *, clean: bool) -> list[FeedRecord]:
    """Cut the feeds of the last run back to what was committed.

    All are checked before the first is cut. Raises :exc:`CheckpointError` for a file that
    is shorter than it was, is another one, or was changed since a clean end, and
    :exc:`DamagedError` for a spool.
    """
    found = records(state)
    for record in found:
        if (what := trouble(record, folder, clean=clean)) is not None:
            raise _refusal(record, what, folder)
    for record in found:
        _cut(record, folder)
    remove_strays(folder, {folder / record.path for record in found})
    return found


def ending_of(file: IO[bytes], offset: int) -> bytes:
    """A digest of the last bytes before *offset*: they tell a feed from any other file."""
    start = max(offset - _ENDING, 0)
    file.seek(start)
    return sha256(file.read(offset - start)).digest()[:8]


def trouble(record: FeedRecord, folder: Path, *, clean: bool) -> str | None:
    """How a feed is not what the last run left; None when it is.

    *clean*: the run closed in order, so that not even a longer file is its own. Raises
    :exc:`JobLockedError` for a file that another job writes, and :exc:`DamagedError` for a
    spool whose items are not as written.
    """
    keep = _keep(record)
    path = folder / record.path
    if path.is_symlink() and not record.linked:
        return "is a link now"
    try:
        with open(path, "rb", opener=opener) as file:
            lock_feed(file, record.path)
            size = file.seek(0, SEEK_END)
            same = record.ending in {None, ending_of(file, keep)}
    except FileNotFoundError:
        return "is gone" if keep else None
    except OSError as error:
        return f"can't be read ({error.strerror})"
    if size < keep:
        return f"is shorter ({size} bytes) than it was ({keep})"
    if size > keep and clean and record.offset is not None:
        return f"was {keep} bytes long when the job stopped, is {size}"
    if same and record.spooled:
        verify(path, keep)
    return None if same else "does not hold what the last run wrote"


def _refusal(record: FeedRecord, what: str, folder: Path) -> CheckpointError:
    if record.spooled:  # no file of the user's
        return DamagedError(f"{record.path} is damaged: it {what}")
    return CheckpointError(
        f"the feed {record.path} {what}: put it back as the last run left it, or see scrapy "
        f"resilience feeds {folder}, which can forget or relink it"
    )


def _keep(record: FeedRecord) -> int:
    """How many bytes of the file stay."""
    return record.base if record.offset is None else record.offset


def _cut(record: FeedRecord, folder: Path) -> None:
    if record.spooled and record.produced and record.offset is None:
        _take_back(Path(record.uri), record.target_base, folder)
    untouched = record.overwrite and record.offset is None and record.existed
    if not untouched:
        cut(folder / record.path, _keep(record), folder)


def _take_back(produced: Path, base: int, folder: Path) -> None:
    """What was made of a spool that no commit knows any more."""
    if produced.is_file():  # else it is remote, and comes again under the same name
        cut(produced, base, folder)
        if not base:
            produced.unlink()


def cut(path: Path, keep: int, folder: Path) -> None:
    """Cut a file to *keep* bytes; the rest goes to a side file below *folder*."""
    if not path.exists() or path.stat().st_size <= keep:
        return
    tails = folder / "cut"
    tails.mkdir(mode=0o700, exist_ok=True)
    with open(path, "r+b", opener=opener) as feed:
        feed.seek(keep)
        with NamedTemporaryFile(dir=tails, prefix=f"{path.name}.", delete=False) as tail:
            shutil.copyfileobj(feed, tail)
            size = tail.tell()
        failpoint("feed/tail-kept")
        feed.truncate(keep)
    failpoint("feed/cut")
    logger.info("Cut %d bytes of unfinished work off %s (kept in %s)", size, path, tail.name)
