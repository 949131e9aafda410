"""The Checkpoint extension: when commits are made, and what goes into them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from scrapy import signals
from scrapy.exceptions import NotConfigured
from scrapy.extensions.feedexport import FeedExporter
from scrapy.extensions.spiderstate import SpiderState

from scrapy_resilience import names
from scrapy_resilience._scrapy import is_idle
from scrapy_resilience.checkpoint.items import item_written
from scrapy_resilience.checkpoint.job import META, Job, job_of
from scrapy_resilience.checkpoint.state import OWN
from scrapy_resilience.core.totals import add_stats
from scrapy_resilience.extensions.feedexport import ResilientFeedExporter
from scrapy_resilience.frontier.store import Changes

if TYPE_CHECKING:
    from scrapy import Spider
    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience.scheduler import ResilientScheduler

__all__ = ["Checkpoint"]

logger = logging.getLogger(__name__)

_POLL: Final = 0.001
"""Seconds between two looks at whether the callbacks under way have ended."""
_MAX_SKIPS: Final = 16


class Checkpoint:
    """Commits the crawl's progress each ``RESILIENCE_CHECKPOINT_INTERVAL`` seconds.

    A commit is aligned when no callback or pipeline runs at its moment: new responses are
    held back until those under way have ended. When they don't end in time, the commit is
    made all the same and records what the unfinished ones have put out; after that, fewer
    commits try to align, because waiting costs throughput.
    """

    def __init__(self, crawler: Crawler, job: Job) -> None:
        self.crawler = crawler
        self.job = job
        self._stats: Any = crawler.stats
        self._due = asyncio.Event()
        self._stop = False
        self._task: asyncio.Task[None] | None = None
        self._skip = self._skips = 0
        self._before: dict[str, Any] = job.state.load(OWN + "totals") or {}
        job.on_open.append(self._scheduler_opened)
        crawler.signals.connect(self._engine_started, signals.engine_started)
        crawler.signals.connect(self._spider_closed, signals.spider_closed)
        crawler.signals.connect(self._engine_stopped, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        job = job_of(crawler)
        if job is None:
            raise NotConfigured
        return cls(crawler, job)

    # --- life ---

    def _scheduler_opened(self, scheduler: ResilientScheduler) -> None:
        """Before any feed is opened, and before ``spider_opened``."""
        assert scheduler.committer is not None
        self.scheduler, self._committer = scheduler, scheduler.committer
        self.job.meta["clean"] = False
        self._register_state()
        scheduler.contributors.append(self._contribute)
        scheduler.on_full = self._due.set
        self._committer.write_now(
            Changes(state={**self.job.stale, META: self.job.state.encode(self.job.meta)})
        )
        self._task = asyncio.ensure_future(self._run())

    def _register_state(self) -> None:
        spider = self.crawler.spider
        self._state: Any = self.job.state.load(OWN + "spider_state") or {}
        spider.state = self._state  # type: ignore[union-attr]
        self.job.state.register(OWN + "spider_state", lambda: spider.state)  # type: ignore[union-attr]
        self.job.state.register(OWN + "totals", self.totals)
        exporter = self.crawler.get_extension(FeedExporter)
        if isinstance(exporter, ResilientFeedExporter):
            exporter.attach(
                self.job.state, self.job.feeds, self._committer.write_now, item_written
            )
            self.scheduler.contributors.append(exporter.contribute)

    def _engine_started(self) -> None:
        if self.crawler.get_extension(SpiderState) is not None:
            self.crawler.spider.state = self._state  # type: ignore[union-attr]

    def _spider_closed(self, spider: Spider, reason: str) -> None:
        meta = self.job.meta
        meta["reason"] = reason
        meta["finished"] = reason == "finished" and self.scheduler.frontier.rows == 0
        if self.job.resumed:
            for key, value in self.totals().items():
                self._stats.set_value(names.STAT_TOTAL_PREFIX + key, value)

    async def _engine_stopped(self) -> None:
        """The last commit: it has the spider's final state and stats, and closed feeds."""
        if self._task is None:
            return
        self._stop = True
        self._due.set()
        await self._task
        self.job.meta["clean"] = True
        await self.scheduler.commit()
        self._committer.close()
        self.job.close()

    # --- commits ---

    async def _run(self) -> None:
        interval = self.job.config.checkpoint_interval
        while not self._stop:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._due.wait(), interval)
            self._due.clear()
            if not self._stop:
                try:
                    async with self.scheduler.commit_lock:
                        await self._commit()
                except Exception:
                    logger.exception("The checkpoint is broken: closing the spider")
                    closing = self.crawler.engine.close_spider_async(
                        reason=names.REASON_STORAGE
                    )
                    self._closing = asyncio.ensure_future(closing)  # it waits for this task
                    return

    async def _commit(self) -> None:
        aligned = await self._align()
        try:
            self._stats.inc_value(names.STAT_COMMITS)
            self._stats.inc_value(names.STAT_ALIGNED if aligned else names.STAT_UNALIGNED)
            commit = self.scheduler.begin_commit()
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
        started = time.monotonic()
        while not is_idle(engine):
            if time.monotonic() - started > self.job.config.checkpoint_align_timeout:
                self._skip = self._skips = min(2 * self._skips + 1, _MAX_SKIPS)
                return False
            await asyncio.sleep(_POLL)
        self._skips = 0
        self._stats.max_value(names.STAT_DRAIN_MAX, time.monotonic() - started)
        return True

    def _contribute(self, changes: Changes) -> None:
        totals, frontier = self.totals(), self.scheduler.frontier
        self.job.meta.update(
            items=totals.get("item_scraped_count", 0),
            done=totals.get(names.STAT_REQUESTS_DONE, 0),
            pending=frontier.rows,
            held=frontier.held,
            last_checkpoint=time.time(),
        )
        changes.state.update(self.job.state.changed())
        changes.state[META] = self.job.state.encode(self.job.meta)

    def totals(self) -> dict[str, Any]:
        """The stats of all runs of the job up to now."""
        now = self._stats.get_stats()
        prefix = names.STAT_TOTAL_PREFIX
        return add_stats(
            self._before,
            {key: value for key, value in now.items() if not key.startswith(prefix)},
        )
