"""Whether a store is what was written, row by row."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.frontier.sqlite import SQLiteStore

if TYPE_CHECKING:
    from pathlib import Path
    from threading import Event

__all__ = ["is_small", "verify", "verify_beside"]

_SMALL: Final = 8_000_000
_REST: Final = 2
"""Seconds of rest for each of work."""


def is_small(path: Path) -> bool:
    """Whether a store is verified in some 100 ms."""
    return path.stat().st_size <= _SMALL


def verify(path: Path) -> None:
    """Read a store through a connection of its own. Raises :exc:`DamagedError`."""
    with closing(SQLiteStore(path, read_only=True)) as store:
        store.verify()


def verify_beside(path: Path, stop: Event) -> None:
    """The same in a thread beside a crawl: it takes thrice as long.

    Whenever the event loop lets go of Python's lock to read a row, this thread takes it.
    Raises :exc:`CheckpointError` when *stop* is set: the process waits for its threads.
    """
    with closing(SQLiteStore(path, read_only=True)) as store:
        store.verify(_Rest(stop))


class _Rest:
    """Sleeps for some of the time that this thread has worked since."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop
        self._since = time.thread_time()

    def __call__(self) -> None:
        if self._stop.wait(_REST * (time.thread_time() - self._since)):
            raise CheckpointError("the verification was stopped")
        self._since = time.thread_time()
