"""Which feeds a job has begun, in a file beside the store, for a restore from a snapshot.

The store forgets a full batch when it lets it go, and a damaged store tells nothing at all.
But a job that goes back to a snapshot makes the batches that came after it again: their
files must not stay, and go on under the names that they had.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scrapy_resilience.feeds.cutting import is_intact
from scrapy_resilience.feeds.records import FeedRecord
from scrapy_resilience.files.layout import BATCHES
from scrapy_resilience.files.plainfile import open_plain, opener
from scrapy_resilience.files.whole_writes import write_all

if TYPE_CHECKING:
    from collections.abc import Iterator

_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)

_LONGEST: Final = 1 << 20
"""Characters of a line; one of a file with holes may have more of them than there is memory."""

__all__ = ["begun_after", "note", "was_let_go"]


def note(jobdir: Path, record: FeedRecord, commits: int, *, over: bool, sync: bool) -> None:
    """Write down that a feed is begun after so many commits, or that it is full and let go.

    Raises OSError.
    """
    told = {**asdict(record), "ending": record.ending.hex() if record.ending else None}
    line = json.dumps({"commits": commits, "over": over, "record": told})
    fd = open_plain(jobdir / BATCHES, _APPEND, 0o600)
    try:
        write_all(fd, f"\n{line}\n".encode())  # behind whatever a full disk has torn
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)


def begun_after(jobdir: Path, commits: int) -> list[FeedRecord]:
    """Feeds that were begun when the job had seen *commits* or more, as they were last.

    Not those that somebody else has changed since they were let go: they are not ours.
    """
    return [
        record
        for number, over, record in _read(jobdir).values()
        if number >= commits and (not over or _is_as_we_left_it(record, jobdir))
    ]


def was_let_go(jobdir: Path, record: FeedRecord) -> bool:
    """Whether somebody may have taken the feed away."""
    _, over, _ = _read(jobdir).get(record.name, (0, False, record))
    return over


def _is_as_we_left_it(record: FeedRecord, jobdir: Path) -> bool:
    path = Path(record.uri if record.spooled else record.path)
    return record.spooled or not path.exists() or is_intact(record, jobdir)


def _read(jobdir: Path) -> dict[str, tuple[int, bool, FeedRecord]]:
    """By the names of their records: when they were begun, whether they are over, and what."""
    found: dict[str, tuple[int, bool, FeedRecord]] = {}
    for line in _lines(jobdir):
        with suppress(ValueError, TypeError, KeyError):  # torn, or of another version
            told = json.loads(line)
            record = FeedRecord(**told["record"])
            record.ending = bytes.fromhex(told["record"]["ending"] or "") or None
            record.produced = told["over"] and record.spooled
            number = found[record.name][0] if told["over"] else told["commits"]
            found[record.name] = number, told["over"], record
    return found


def _lines(jobdir: Path) -> Iterator[str]:
    with (
        suppress(OSError),
        open(jobdir / BATCHES, encoding="ascii", errors="replace", opener=opener) as file,
    ):
        lines = iter(partial(file.readline, _LONGEST), "")
        yield from filter(str.strip, takewhile(_is_of_usual_length, lines))


def _is_of_usual_length(line: str) -> bool:
    return len(line) < _LONGEST
