"""Entries on their way to a store: written behind the crawl, in batches, and read meanwhile."""

from __future__ import annotations

from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy_resilience.httpcache.entries import Entry

__all__ = ["WriteBehind"]

_MOST: Final = 64_000_000
"""Bytes that may wait: a store that is slower than the crawl must not fill the memory."""


class WriteBehind:
    """A thread that calls *write*, which raises nothing, with what came since the last time.

    The thread does not keep the process: :meth:`close` waits for it.
    """

    def __init__(self, write: Callable[[list[Entry]], None], most: int = _MOST) -> None:
        self._write = write
        self._most = most
        self._lock = Lock()
        self._waiting: dict[bytes, Entry] = {}
        self._writing: dict[bytes, Entry] = {}
        self._bytes = 0
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="resilience-httpcache", daemon=True)
        self._thread.start()

    def do(self, function: Callable[[], None]) -> None:
        """Call something else in the thread, which raises nothing either."""
        self._work.put(function)

    def put(self, entry: Entry) -> bool:
        """Have an entry written soon; False when too much waits already."""
        with self._lock:
            if self._bytes and self._bytes + len(entry.data) > self._most:
                return False
            if not self._waiting:
                self._work.put(self._flush)
            if (old := self._waiting.get(entry.key)) is not None:
                self._bytes -= len(old.data)
            self._waiting[entry.key] = entry
            self._bytes += len(entry.data)
        return True

    def get(self, key: bytes) -> bytes | None:
        """The data of an entry that is on its way."""
        if not self._bytes:
            return None
        with self._lock:
            found = self._waiting.get(key) or self._writing.get(key)
        return found.data if found else None

    def close(self, last: Callable[[], None], seconds: float) -> bool:
        """Write what waits, then call *last*; False when that takes longer than *seconds*."""
        self._work.put(last)
        self._work.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def _flush(self) -> None:
        with self._lock:
            self._writing, self._waiting = self._waiting, {}
        self._write([*self._writing.values()])
        with self._lock:
            self._bytes -= sum(len(entry.data) for entry in self._writing.values())
            self._writing = {}
