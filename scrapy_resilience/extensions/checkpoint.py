"""The Checkpoint extension: what of a crawl goes into its commits, and when they begin."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import TYPE_CHECKING, Any, Final

from scrapy import signals
from scrapy.extensions.feedexport import FeedExporter
from scrapy.extensions.spiderstate import SpiderState

from scrapy_resilience import names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import close_spider
from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience.checkpoint.frozen import freeze, thaw
from scrapy_resilience.checkpoint.room import Room
from scrapy_resilience.checkpoint.sinks import Sinks
from scrapy_resilience.checkpoint.state import OWN
from scrapy_resilience.checkpoint.timer import CommitTimer
from scrapy_resilience.components import uncovered
from scrapy_resilience.exceptions import CheckpointError, DamagedError
from scrapy_resilience.feeds.records import warn_of_missing
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.jobs.crawl_job import JobComponent
from scrapy_resilience.jobs.quarantine import mark_damaged
from scrapy_resilience.scheduling.item_context import item_written
from scrapy_resilience.snapshots import verification

if TYPE_CHECKING:
    from pathlib import Path

    from scrapy.crawler import Crawler

    from scrapy_resilience.jobs.job import Job
    from scrapy_resilience.scheduler import ResilientScheduler

__all__ = ["Checkpoint"]

logger = get_logger(__name__)

_SPIDER_STATE: Final = OWN + "spider_state"


class Checkpoint(JobComponent):
    """Commits the crawl's progress each ``RESILIENCE_CHECKPOINT_INTERVAL`` seconds.

    Where it need not wait for long, that is when no callback and no pipeline runs.
    """

    def __init__(self, crawler: Crawler, job: Job) -> None:
        super().__init__(crawler, job)
        self._stats: Any = crawler.stats
        self._ended = threading.Event()
        self._state: Any = job.spider_state(_SPIDER_STATE) or {}
        crawler.signals.connect(self._engine_started, signals.engine_started)
        crawler.signals.connect(self._spider_closed, signals.spider_closed)
        crawler.signals.connect(self._engine_stopped, signals.engine_stopped)
        for line in uncovered(crawler.settings, crawler.spidercls, resumed=job.resumed):
            logger.warning("%s", line)

    # --- life ---

    def opened(self, scheduler: ResilientScheduler) -> None:
        """Follow what the spider puts out, and begin to commit."""
        assert scheduler.committer is not None
        self._committer = scheduler.committer
        self._timer = CommitTimer(
            self.crawler, self._committer, scheduler.frontier, self.job, self._give_up
        )
        scheduler.commit_soon = self._timer.commit_soon
        scheduler.on_damage = self._damaged
        hooks, waits = hooks_of(self.crawler.engine), gatekeeper_of(self.crawler).waits
        hooks.room = Room(self._committer, hooks.canceller, waits).wait
        self.job.parts.append(Sinks(self.crawler, self.job.config.prepare_timeout))
        spider: Any = self.crawler.spider
        spider.state = self._state
        self.job.state.register(_SPIDER_STATE, lambda: spider.state)
        exporter: Any = self.crawler.get_extension(FeedExporter)
        if getattr(exporter, "survives_kills", False):
            exporter.attach(self.job, self._committer.write_now, item_written)
            hooks.take = exporter.take
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
        self._timer.start()
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
            freeze(self)

    def _spider_closed(self) -> None:
        for key, value in self.job.totals(self._stats.get_stats()).items():
            self._stats.set_value(names.STAT_TOTAL_PREFIX + key, value)

    def _engine_stopped(self) -> None:
        if self.job.config.gc_freeze:
            thaw(self)

    async def closing(self) -> None:
        self._ended.set()
        await self._timer.end()

    def _give_up(self, message: str, *args: Any) -> None:
        self._committer.abandoned = True
        self._committer.intake.rise()
        logger.error(message, *args)
        close_spider(self.crawler, names.REASON_STORAGE)  # which waits for this task
