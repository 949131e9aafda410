"""When commits are made while a crawl runs, and whether each one is aligned.

The first and the last two of a run are made by :mod:`.run`, one at a stop that cuts off by
:mod:`scrapy_resilience.extensions.shutdown`.

A commit is aligned when no callback or pipeline runs at its moment: new responses are held
back until those under way have ended. When they don't end in time, the commit is made all the
same and records what the unfinished ones have put out. Waiting in vain costs throughput, so
after that fewer commits try: one is left out, then three, seven and so on, until one succeeds.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import is_idle
from scrapy_resilience.checkpoint.commit import TROUBLES
from scrapy_resilience.exceptions import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.crawler import Crawler

    from scrapy_resilience.checkpoint.commit import Committer
    from scrapy_resilience.frontier.lanes import Frontier
    from scrapy_resilience.jobs.job import Job

__all__ = ["CommitTimer"]

logger = get_logger(__name__)

_POLL: Final = 0.001
"""Seconds between two looks at whether the callbacks under way have ended."""
_MANY_SKIPS: Final = 3
_MAX_SKIPS: Final = 16
_BEHIND: Final = 3
"""Full commits that may wait in memory while one is being written."""
_RETRY: Final = 0.5
"""Seconds between two tries to flush a feed."""


class CommitTimer:
    """Begins commits until its end. *give_up* is called with why, as one calls a logger."""

    def __init__(
        self,
        crawler: Crawler,
        committer: Committer,
        frontier: Frontier,
        job: Job,
        give_up: Callable[..., None],
    ) -> None:
        self._crawler = crawler
        self._committer = committer
        self._frontier = frontier
        self._barrier = job.barrier
        self._config = job.config
        self._give_up = give_up
        self._stats: Any = crawler.stats
        self._due = asyncio.Event()
        self._stop = False
        self._skip = self._skips = 0

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    async def end(self) -> None:
        """Begin no other commit, and wait for the one under way."""
        self._stop = True
        self._due.set()
        await self._task

    def commit_soon(self) -> None:
        """The next commit is due; while the last one is still being written, take no more."""
        self._due.set()
        limit = _BEHIND * self._config.checkpoint_max_changes
        if self._committer.lock.locked() and self._frontier.changed > limit:
            self._committer.intake.rise()

    async def _run(self) -> None:
        interval = self._config.checkpoint_interval
        wait = interval
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._due.wait(), wait)
            self._due.clear()
            if self._stop:
                return
            wait = interval
            try:
                async with self._committer.lock:
                    await self._try_commit()
            except TROUBLES:
                wait = min(interval, _RETRY)
            except StorageError as error:
                self._give_up("%s: closing the spider", error)
                return
            except Exception:
                logger.exception("The checkpoint is broken")
                self._give_up("The checkpoint is broken: closing the spider")
                return

    async def _try_commit(self) -> None:
        try:
            await self._commit()
        except TROUBLES as error:  # of a feed: nothing was sealed
            self._committer.note_trouble(error)
            raise

    async def _commit(self) -> None:
        aligned = await self._align()
        try:
            self._stats.inc_value(names.STAT_COMMITS)
            self._stats.inc_value(names.STAT_ALIGNED if aligned else names.STAT_UNALIGNED)
            commit = self._committer.seal()
        finally:
            self._barrier.lift()
        await commit

    async def _align(self) -> bool:
        """Wait until nothing runs between a response and its last item."""
        engine = self._crawler.engine
        if is_idle(engine):
            return True
        if self._skip:
            self._skip -= 1
            return False
        self._barrier.rise()
        started = _clock.stopwatch()
        patience = self._config.checkpoint_align_timeout
        if self._skips > _MANY_SKIPS:
            patience /= 4
        while not is_idle(engine):
            if self._committer.intake.up:  # callbacks wait for this commit
                return False
            if _clock.stopwatch() - started > patience:
                self._skip = self._skips = min(2 * self._skips + 1, _MAX_SKIPS)
                return False
            await asyncio.sleep(_POLL)
        self._skips = 0
        self._stats.max_value(names.STAT_DRAIN_MAX, _clock.stopwatch() - started)
        return True
