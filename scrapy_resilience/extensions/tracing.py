"""The Traces extension: tells OpenTelemetry what the crawl does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from scrapy import signals
from scrapy.exceptions import NotConfigured

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience._scrapy.refusals import Refusing
from scrapy_resilience.checkpoint.parts import Part
from scrapy_resilience.jobs.crawl_job import job_of
from scrapy_resilience.observe.observer import observer_of
from scrapy_resilience.observe.trace_ids import give_ids
from scrapy_resilience.observe.tracing.outside import traced
from scrapy_resilience.observe.tracing.span_export import make_exporter
from scrapy_resilience.observe.tracing.tracing import Tracing
from scrapy_resilience.settings import Config
from scrapy_resilience.signals import checkpoint_committed, checkpoint_prepare
from scrapy_resilience.waits import in_thread, let_go

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request
    from scrapy.crawler import Crawler
    from twisted.python.failure import Failure
    from typing_extensions import Self

    from scrapy_resilience.core.failures import Verdict

__all__ = ["Traces"]

logger = get_logger(__name__)

_PATIENCE: Final = 2.0
"""Seconds for which the end of a crawl waits for the receiver."""


class Traces(Refusing, Part):
    """One trace for each sampled request, and one for each commit."""

    tracing: Tracing | None = None
    """From when the spider is open."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self._config = Config.from_settings(crawler.settings)
        self._exporter = make_exporter(self._config, self._told)
        self._stats: Any = crawler.stats
        self._failed = False
        self._sent = 0
        self._commit: Any = None
        self._patience = _PATIENCE
        self._observer = observer_of(crawler)
        crawler.signals.connect(self._opened, signals.spider_opened)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        if Config.from_settings(crawler.settings).traces == "off":
            raise NotConfigured
        return super().from_crawler(crawler)

    def _opened(self) -> None:
        self.tracing = tracing = Tracing(
            self._exporter,
            sampled=self._config.traces_sampled,
            propagate=self._config.traces_propagate,
        )
        traced[self.crawler] = tracing
        self._job = job_of(self.crawler)
        if self._job is not None:
            self._job.parts.append(self)  # after all that have something to do at the end
        self._observer.on_failure.append(self._failed_try)
        hooks = hooks_of(self.crawler.engine)
        give_ids(hooks)
        hooks.surround(tracing.context)
        hooks.answered = tracing.answered
        hooks.bypassed = tracing.bypassed
        connect = self.crawler.signals.connect
        connect(self._raised, signals.spider_error)
        connect(self._raised, signals.item_error)
        connect(self._prepare, checkpoint_prepare)
        connect(self._committed, checkpoint_committed)
        connect(self._closed, signals.spider_closed)

    # --- while the crawl runs ---

    def _failed_try(self, request: Request, verdict: Verdict) -> None:
        assert self.tracing is not None
        self.tracing.failed(request, verdict.failure_class or "", verdict.reason)

    def _raised(self, failure: Failure) -> None:
        assert self.tracing is not None
        if failure.value is not None:
            self.tracing.raised(failure.value)

    def _prepare(self) -> None:
        assert self.tracing is not None
        self._give_up_commit()
        self._commit = self.tracing.begin("commit")

    def _committed(self) -> None:
        assert self.tracing is not None
        if self._commit is not None:
            self.tracing.finish(self._commit)
            self._commit = None

    def _give_up_commit(self) -> None:
        assert self.tracing is not None
        if self._commit is not None:
            self.tracing.fail(self._commit, "it was not written")
            self._commit = None

    def _told(self, spans: int, taken: bool) -> None:  # noqa: FBT001 - of a thread
        if taken:
            self._sent += spans
        elif not self._failed:
            self._failed = True
            logger.warning(
                "The receiver of RESILIENCE_TRACES_ENDPOINT does not take spans: they are lost "
                "while it does not, and the crawl goes on"
            )

    # --- the end ---

    async def _closed(self) -> None:
        """What a job still has to do comes after the stats are logged."""
        assert self.tracing is not None
        self.tracing.end_requests()
        ended = self.tracing.ended
        await self._in_time(self.tracing.flush if self._job is not None else self.tracing.close)
        self._count(ended)

    async def ended(self) -> None:
        """After the last commit, and the last snapshot."""
        assert self.tracing is not None
        self._give_up_commit()
        await self._in_time(self.tracing.close)
        lost = self._count(self.tracing.ended)
        logger.info("With the last commits, %d spans were sent and %d lost", self._sent, lost)

    async def _in_time(self, sends: Callable[[], None]) -> None:
        """Wait for *sends* as long as the end of the crawl may still be delayed."""
        started = _clock.stopwatch()
        done, thread = in_thread(sends, "resilience-traces")
        try:
            await asyncio.wait_for(asyncio.shield(done), self._patience)
        except (TimeoutError, asyncio.TimeoutError):
            let_go(thread)
        self._patience = max(0.0, self._patience - (_clock.stopwatch() - started))

    def _count(self, ended: int) -> int:
        """How many of *ended* spans are lost."""
        lost = max(0, ended - self._sent)
        self._stats.set_value(names.STAT_TRACES_SENT, self._sent)
        self._stats.set_value(names.STAT_TRACES_LOST, lost)
        return lost
