"""The AdaptiveConcurrency extension: as many requests at a time as make the crawl faster."""

from __future__ import annotations

from statistics import fmean, median
from typing import TYPE_CHECKING, Any, Final

from scrapy import signals
from scrapy.exceptions import NotConfigured

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.refusals import Refusing
from scrapy_resilience.core.aimd import Adaptive, Span
from scrapy_resilience.gates.crawl_pauses import pauses_of
from scrapy_resilience.guard.concurrency import concurrency_limit_of
from scrapy_resilience.observe.accounting.loop_time import LoopMeter
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience._clock import Timer

__all__ = ["AdaptiveConcurrency"]

logger = get_logger(__name__)

_EACH: Final = 0.25
"""Seconds between two samples."""
_SAMPLES: Final = 20
"""Of a span: five seconds."""
_PAGES: Final = "response_received_count"
"""Scrapy's stat."""


class AdaptiveConcurrency(Refusing):
    """Follows :class:`scrapy_resilience.core.aimd.Adaptive`, a span of seconds at a time."""

    def __init__(self, crawler: Crawler) -> None:
        config = Config.from_settings(crawler.settings)
        self._crawler = crawler
        self._stats: Any = crawler.stats
        self._limit = concurrency_limit_of(crawler)
        self._pauses = pauses_of(crawler)
        self._adaptive = Adaptive(1, config.adaptive_concurrency_max, self._limit.most)
        self._timer: Timer | None = None
        crawler.signals.connect(self._started, signals.engine_started)
        crawler.signals.connect(self._stopped, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        config = Config.from_settings(crawler.settings)
        if not config.adaptive_concurrency or not crawler.settings.getint(
            "CONCURRENT_REQUESTS"
        ):
            raise NotConfigured  # without a limit there is nothing to find
        return super().from_crawler(crawler)

    def _started(self) -> None:
        self._meter = LoopMeter()
        self._limit.allow(self._adaptive.limit)
        self._begin_span()

    def _begin_span(self) -> None:
        self._began, self._pages = _clock.monotonic(), self._received()
        self._busy: list[int] = []
        self._late: list[float] = []
        self._wait()

    def _wait(self) -> None:
        self._due = _clock.monotonic() + _EACH
        self._timer = _clock.call_later(_EACH, self._sample)

    def _sample(self) -> None:
        self._late.append(max(_clock.monotonic() - self._due, 0.0))
        self._busy.append(len(self._crawler.engine.downloader.active))
        if len(self._busy) < _SAMPLES:
            self._wait()
            return
        self._end_span()
        self._begin_span()

    def _end_span(self) -> None:
        seconds = _clock.monotonic() - self._began
        use = self._meter.take(seconds)
        if seconds <= 0 or self._pauses.up or self._limit.now < self._limit.most:
            return  # somebody else says how many
        own = min(use.computing + use.blocked, 1.0)
        rate = (self._received() - self._pages) / seconds
        limit = self._adaptive.look(Span(rate, fmean(self._busy), median(self._late) * own))
        if limit != self._limit.most:
            logger.debug("%d requests at a time, at %.1f pages a second", limit, rate)
            self._limit.allow(limit)

    def _received(self) -> int:
        return int(self._stats.get_value(_PAGES, 0))

    def _stopped(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._meter.close()
