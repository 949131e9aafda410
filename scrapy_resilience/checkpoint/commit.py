"""Commits: everything that changed, sealed in one step and written by one thread."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar, Final

from scrapy_resilience.frontier.store import Changes
from scrapy_resilience.names import STAT_SEAL_MAX, STAT_WRITE_ERRORS, STAT_WRITE_MAX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from scrapy_resilience.frontier.lanes import Frontier
    from scrapy_resilience.frontier.store import Store

__all__ = ["Committer"]

logger = logging.getLogger(__name__)

_RETRY_DELAYS: Final = (0.1, 0.5, 2.0, 5.0)
_PROMPT: Final = 0.0005


class Committer:
    """Seals what changed and writes it to the store, one commit at a time.

    *contributors* are called in the event loop with each commit's changes, to add to
    their ``outputs`` and ``state``. One that may fail goes first: nothing is sealed then.
    """

    def __init__(self, store: Store, frontier: Frontier, stats: Any) -> None:
        self.lock = asyncio.Lock()
        """Held from before :meth:`begin` until what it gave was awaited."""
        self.contributors: list[Callable[[Changes], None]] = []
        self.on_written: list[Callable[[], None]] = []
        """Called in the event loop when a commit is durable."""
        self._store = store
        self._frontier = frontier
        self._stats = stats
        self._broken = False  # in a way that no second try mends: nothing more is written
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="resilience-commit")

    async def commit(self) -> None:
        """Write everything up to now."""
        async with self.lock:
            if not self._broken:
                await self.begin()

    def begin(self) -> Awaitable[None]:
        """Seal everything up to now; await what comes back until it is written."""
        started = time.perf_counter()
        named = Changes()
        for contribute in self.contributors:
            contribute(named)
        changes = self._frontier.seal()
        changes.outputs, changes.state = named.outputs, named.state
        self._stats.max_value(STAT_SEAL_MAX, time.perf_counter() - started)
        return self._finish(changes)

    async def _finish(self, changes: Changes) -> None:
        self._broken = True
        await self._write(changes)
        self._frontier.committed(changes)
        for written in self.on_written:
            written()
        self._broken = False

    async def _write(self, changes: Changes) -> None:
        """Return once *changes* are durable; on an error try again until they are."""
        attempt = 0
        while True:
            started = time.perf_counter()
            try:
                loop = asyncio.get_running_loop()
                with _PromptThreads():
                    await loop.run_in_executor(self._thread, self._store.commit, changes)
            except (sqlite3.Error, OSError) as error:
                self._stats.inc_value(STAT_WRITE_ERRORS)
                if attempt == 0:
                    logger.error(  # noqa: TRY400 - one line; the error says it all
                        "The checkpoint can't be written (%s): trying again", error
                    )
                await asyncio.sleep(_RETRY_DELAYS[min(attempt, len(_RETRY_DELAYS) - 1)])
                attempt += 1
            else:
                self._stats.max_value(STAT_WRITE_MAX, time.perf_counter() - started)
                return

    def write_now(self, changes: Changes) -> None:
        """Write a few rows before the next line runs, behind what is being written."""
        self._thread.submit(self._store.commit, changes).result()

    def close(self) -> None:
        self._thread.shutdown()


class _PromptThreads:
    """While a context lasts, a waiting thread gets Python's lock after 0.5 ms, not 5.

    A busy event loop lets go of the lock for a moment at each turn, and each time the wait
    of the writing thread starts over: a commit of 0.1 s took 3 s.
    """

    _open: ClassVar = 0
    _usual: ClassVar = 0.0

    def __enter__(self) -> None:
        cls = _PromptThreads
        if not cls._open:
            cls._usual = sys.getswitchinterval()
            sys.setswitchinterval(min(cls._usual, _PROMPT))
        cls._open += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        cls = _PromptThreads
        cls._open -= 1
        if not cls._open:
            sys.setswitchinterval(cls._usual)
