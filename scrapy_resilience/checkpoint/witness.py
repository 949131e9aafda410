"""A number beside the store that tells when the store goes back behind our back.

The latest commits are in SQLite's write-ahead log only. When a killed job loses that file,
what is left is a sound store of an older moment, perhaps of the very first one, and the
job would write again what its feeds hold. So each commit is counted, in the store and,
when it is durable, in a file of its own: the store has at least as many. A kill between
the two leaves the file behind the store, which is fine.

A store that lacks commits *and* its log is damaged. One that lacks commits and has a log
was hit by a power loss: that is SQLite's matter.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from scrapy_resilience.checkpoint.layout import STORE, WITNESS
from scrapy_resilience.ownership import open_own

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["forget", "has_log", "note", "witnessed"]


def note(jobdir: Path, commits: int) -> None:
    """A commit is durable. Not having noted it, on a full disk, does no harm.

    Written in one step over what is there: a kill leaves the number before or this one.
    """
    with suppress(OSError):
        fd = open_own(jobdir / WITNESS, os.O_WRONLY | os.O_CREAT)
        try:
            os.write(fd, b"%020d\n" % commits)
        finally:
            os.close(fd)


def witnessed(jobdir: Path) -> int:
    """How many commits the store has at the least; 0 when nobody knows."""
    try:
        return int((jobdir / WITNESS).read_text(encoding="ascii"))
    except (OSError, ValueError):  # not there, or a kill came while it was written
        return 0


def forget(jobdir: Path) -> None:
    """The store is about to be replaced by one of another moment."""
    (jobdir / WITNESS).unlink(missing_ok=True)


def has_log(jobdir: Path) -> bool:
    """To be asked before the store is opened, which makes an empty log."""
    log = jobdir / f"{STORE}-wal"
    return log.exists() and log.stat().st_size > 0
