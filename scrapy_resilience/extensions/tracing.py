"""The Traces extension: tells OpenTelemetry what the crawl does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from scrapy import signals
from scrapy.exceptions import NotConfigured

from scrapy_resilience import names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience._scrapy.refusals import Refusing
from scrapy_resilience.observe.observer import observer_of
from scrapy_resilience.observe.tracing import Tracing, make_exporter
from scrapy_resilience.settings import Config
from scrapy_resilience.signals import checkpoint_committed, checkpoint_prepare
from scrapy_resilience.waits import in_thread, let_go

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.python.failure import Failure
    from typing_extensions import Self

    from scrapy_resilience.core.failures import Verdict

__all__ = ["Traces"]

logger = get_logger(__name__)

_PATIENCE: Final = 2.0
"""Seconds for which the end of a crawl waits for the receiver."""


class Traces(Refusing):
    """One trace for each sampled request, and one for each commit."""

    def __init__(self, crawler: Crawler) -> None:
        config = Config.from_settings(crawler.settings)
        self.crawler = crawler
        self._stats: Any = crawler.stats
        self._failed = False
        self._sent = self._lost = 0
        exporter = make_exporter(config, self._told)
        self.tracing = Tracing(
            exporter, sampled=config.traces_sampled, propagate=config.traces_propagate
        )
        self._commit: Any = None
        self._observer = observer_of(crawler)
        connect = crawler.signals.connect
        connect(self._opened, signals.spider_opened)
        connect(self._received, signals.response_received)
        connect(self._raised, signals.spider_error)
        connect(self._raised, signals.item_error)
        connect(self._prepare, checkpoint_prepare)
        connect(self._committed, checkpoint_committed)
        connect(self._closed, signals.spider_closed)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        if Config.from_settings(crawler.settings).traces == "off":
            raise NotConfigured
        return super().from_crawler(crawler)

    def _opened(self) -> None:
        self._observer.on_failure.append(self._failed_try)
        hooks_of(self.crawler.engine).surround(self.tracing.context)

    def _failed_try(self, request: Request, verdict: Verdict) -> None:
        self.tracing.failed(request, verdict.failure_class or "", verdict.reason)

    def _received(self, response: Response, request: Request) -> None:
        self.tracing.answered(request, response.status)

    def _raised(self, failure: Failure) -> None:
        if failure.value is not None:
            self.tracing.raised(failure.value)

    def _prepare(self) -> None:
        self._commit = self.tracing.begin("commit")

    def _committed(self) -> None:
        if self._commit is not None:
            self.tracing.finish(self._commit)
            self._commit = None

    def _told(self, spans: int, taken: bool) -> None:  # noqa: FBT001 - of a thread
        if taken:
            self._sent += spans
            return
        self._lost += spans
        if not self._failed:
            self._failed = True
            logger.warning(
                "The receiver of RESILIENCE_TRACES_ENDPOINT does not take spans: they are lost "
                "while it does not, and the crawl goes on"
            )

    async def _closed(self) -> None:
        done, thread = in_thread(self.tracing.close, "resilience-traces")
        try:
            await asyncio.wait_for(asyncio.shield(done), _PATIENCE)
        except (TimeoutError, asyncio.TimeoutError):
            let_go(thread)
        self._stats.set_value(names.STAT_TRACES_SENT, self._sent)
        self._stats.set_value(names.STAT_TRACES_LOST, self.tracing.ended - self._sent)
