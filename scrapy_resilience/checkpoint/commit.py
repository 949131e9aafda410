"""Commits: everything that changed, sealed in one step and written by one thread."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.names import STAT_WRITE_ERRORS, STAT_WRITE_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy_resilience.frontier.store import Changes, Store

__all__ = ["Committer"]

logger = logging.getLogger(__name__)

_RETRY_DELAYS: Final = (0.1, 0.5, 2.0, 5.0)


class Committer:
    """Writes changes to a store, in the order in which they were sealed."""

    def __init__(self, store: Store, stats: Any) -> None:
        self._store = store
        self._stats = stats
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="resilience-commit")

    async def write(self, changes: Changes) -> None:
        """Return once *changes* are durable; on an error try again until they are."""
        attempt = 0
        while True:
            started = time.perf_counter()
            try:
                await self._in_thread(self._store.commit, changes)
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

    async def _in_thread(self, function: Callable[..., Any], *args: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    def close(self) -> None:
        self._thread.shutdown()
