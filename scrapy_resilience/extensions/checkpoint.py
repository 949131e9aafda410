"""The Checkpoint extension: when commits are made, and what of the spider goes into them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sqlite3
import threading
from typing import TYPE_CHECKING, Any, Final

from scrapy import signals
from scrapy.extensions.feedexport import FeedExporter
from scrapy.extensions.spiderstate import SpiderState

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import is_idle
from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience.checkpoint.commit import TROUBLES
from scrapy_resilience.checkpoint.sinks import Sinks
from scrapy_resilience.checkpoint.state import OWN
from scrapy_resilience.components import uncovered
from scrapy_resilience.exceptions import CheckpointError, DamagedError, StorageError
from scrapy_resilience.extensions.feedexport import ResilientFeedExporter
from scrapy_resilience.feeds.slots import warn_of_missing
from scrapy_resilience.jobs.job import Job, JobComponent
from scrapy_resilience.jobs.quarantine import mark_damaged
from scrapy_resilience.scheduling.item_context import item_written
from scrapy_resilience.snapshots import verification

if TYPE_CHECKING:
    from pathlib import Path

    from scrapy.crawler import Crawler

    from scrapy_resilience.scheduler import ResilientScheduler

__all__ = ["Checkpoint"]

logger = get_logger(__name__)

_POLL: Final = 0.001
"""Seconds between two looks at whether the callbacks under way have ended."""
_MANY_SKIPS: Final = 3
_MAX_SKIPS: Final = 16
_BEHIND: Final = 3
"""Full commits that may wait in memory while one is being written."""
_RETRY: Final = 0.5
"""Seconds between two tries to flush a feed."""
_SPIDER_STATE: Final = OWN + "spider_state"


class Checkpoint(JobComponent):
    """Commits the crawl's progress each ``RESILIENCE_CHECKPOINT_INTERVAL`` seconds.

    A commit is aligned when no callback or pipeline runs at its moment: new responses are
    held back until those under way have ended. When they don't end in time, the commit is
    made all the same and records what the unfinished ones have put out; after that, fewer
    commits try to align, because waiting costs throughput.
    """

    def __init__(self, crawler: Crawler, job: Job) -> None:
        super().__init__(crawler, job)
        self._stats: Any = crawler.stats
        self._due = asyncio.Event()
        self._stop = False
        self._ended = threading.Event()
        self._skip = self._skips = 0
        self._state: Any = job.spider_state(_SPIDER_STATE) or {}
        crawler.signals.connect(self._engine_started, signals.engine_started)
        crawler.signals.connect(self._spider_closed, signals.spider_closed)
        for line in uncovered(crawler.settings, crawler.spidercls, resumed=job.resumed):
            logger.warning("%s", line)

    # --- life ---

    def opened(self, scheduler: ResilientScheduler) -> None:
        """Follow what the spider puts out, and begin to commit."""
        assert scheduler.committer is not None
        self._committer = scheduler.committer
        self._frontier = scheduler.frontier
        scheduler.on_full = self._full
        scheduler.on_damage = self._damaged
        self.job.parts.append(Sinks(self.crawler, self.job.config.prepare_timeout))
        spider: Any = self.crawler.spider
        spider.state = self._state
        self.job.state.register(_SPIDER_STATE, lambda: spider.state)
        exporter = self.crawler.get_extension(FeedExporter)
        if isinstance(exporter, ResilientFeedExporter):
            exporter.attach(self.job, self._committer.write_now, item_written)
            hooks_of(self.crawler.engine).take = exporter.take
            self.job.parts.insert(0, exporter)  # first: a feed that can't be flushed fails
        elif exporter is None:  # there is no feed at all
            for record in self.job.feeds:
                warn_of_missing(record)
        else:
            logger.warning(
                "The feeds of %s are not covered by the checkpoint: after a kill they may lack "
                "items or have some twice. Derive it from ResilientFeedExporter",
                type(exporter).__name__,
            )
        self._task = asyncio.ensure_future(self._run())
        self._verification = asyncio.ensure_future(self._verify(self.job.store.path))

    async def _verify(self, path: Path) -> None:
        """A store that was too large to be read before the crawl began."""
        if self.job.resumed and not verification.is_small(path):
            try:
                await asyncio.to_thread(verification.verify_beside, path, self._ended)
            except DamagedError as error:
                self._damaged(error)
            except CheckpointError:
                logger.debug("The crawl has ended before its store was verified", exc_info=True)

    def _damaged(self, error: Exception) -> None:
        """Stop as a kill would: what was sealed since is not worth more than what was read."""
        if not self._committer.abandoned:
            if not isinstance(error, sqlite3.OperationalError):  # that may pass
                mark_damaged(self.job.path, error)
            self._give_up("%s: closing the spider", error)

    def _engine_started(self) -> None:
        """Scrapy's own SpiderState, where nobody turned it off, has put another state there."""
        if self.crawler.get_extension(SpiderState) is not None:
            spider: Any = self.crawler.spider
            spider.state = self._state
        if self.job.config.gc_freeze:
            # Hundreds of thousands of objects of modules live as long as the process: each
            # full collection that walks over them stops the event loop for 50 ms and more.
            gc.collect()
            gc.freeze()

    def _spider_closed(self) -> None:
        for key, value in self.job.totals(self._stats.get_stats()).items():
            self._stats.set_value(names.STAT_TOTAL_PREFIX + key, value)

    async def closing(self) -> None:
        self._stop = True
        self._ended.set()
        self._due.set()
        await self._task

    # --- commits ---

    def _full(self) -> None:
        """The next commit is due; while the last one is still being written, take no more."""
        self._due.set()
        limit = _BEHIND * self.job.config.checkpoint_max_changes
        if self._committer.lock.locked() and self._frontier.changed > limit:
            self._committer.intake.rise()

    async def _run(self) -> None:
        interval = self.job.config.checkpoint_interval
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

    def _give_up(self, message: str, *args: Any) -> None:
        self._committer.abandoned = True
        self._committer.intake.rise()
        logger.error(message, *args)
        closing = self.crawler.engine.close_spider_async(reason=names.REASON_STORAGE)
        self._end = asyncio.ensure_future(closing)  # it waits for this task

    async def _commit(self) -> None:
        aligned = await self._align()
        try:
            self._stats.inc_value(names.STAT_COMMITS)
            self._stats.inc_value(names.STAT_ALIGNED if aligned else names.STAT_UNALIGNED)
            commit = self._committer.begin()
        finally:
            self.job.barrier.lift()
        await commit

    async def _align(self) -> bool:
        """Wait until nothing runs between a response and its last item."""
        engine = self.crawler.engine
        if is_idle(engine):
            return True
        if self._skip:
            self._skip -= 1
            return False
        self.job.barrier.rise()
        started = _clock.stopwatch()
        patience = self.job.config.checkpoint_align_timeout
        if self._skips > _MANY_SKIPS:
            patience /= 4
        while not is_idle(engine):
            if _clock.stopwatch() - started > patience:
                self._skip = self._skips = min(2 * self._skips + 1, _MAX_SKIPS)
                return False
            await asyncio.sleep(_POLL)
        self._skips = 0
        self._stats.max_value(names.STAT_DRAIN_MAX, _clock.stopwatch() - started)
        return True
