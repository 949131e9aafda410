"""Commits: everything that changed, sealed in one step and written by one thread."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.frontier.store import Changes
from scrapy_resilience.names import STAT_SEAL_MAX, STAT_WRITE_ERRORS, STAT_WRITE_MAX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scrapy_resilience.frontier.lanes import Frontier
    from scrapy_resilience.frontier.store import Store

__all__ = ["Committer"]

logger = logging.getLogger(__name__)

_RETRY_DELAYS: Final = (0.1, 0.5, 2.0, 5.0)


class Committer:
    """Seals what changed and writes it to the store, one commit at a time.

    *contributors* are called in the event loop with each commit's changes, to add to
    their ``outputs`` and ``state``. One that may fail goes first: nothing is sealed then.
    """

    def __init__(self, store: Store, frontier: Frontier, stats: Any) -> None:
        self.lock = asyncio.Lock()
        """Held from before :meth:`begin` until what it gave was awaited."""
        self.contributors: list[Callable[[Changes], None]] = []
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
        self._broken = False

    async def _write(self, changes: Changes) -> None:
        """Return once *changes* are durable; on an error try again until they are."""
        attempt = 0
        while True:
            started = time.perf_counter()
            try:
                loop = asyncio.get_running_loop()
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
