"""The Observe extension: keeps the observer of a crawl, and its clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrapy import signals
from scrapy.exceptions import NotConfigured

from scrapy_resilience import _clock
from scrapy_resilience.observe.crawl_health import CrawlHealth
from scrapy_resilience.observe.observer import observer_of
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience._clock import Timer

__all__ = ["Observe"]

_TICK: Final = 1.0
"""Seconds between two looks at the counts that rates are made of."""


class Observe:
    """What is seen of the crawl: :mod:`scrapy_resilience.observe`."""

    def __init__(self, crawler: Crawler) -> None:
        self.observer = observer_of(crawler)
        self._health = self.observer.health = CrawlHealth(crawler)
        self._timer: Timer | None = None
        crawler.signals.connect(self._started, signals.engine_started)
        crawler.signals.connect(self._tick, signals.engine_started)
        crawler.signals.connect(self._stopped, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        if not Config.from_settings(crawler.settings).observe_enabled:
            raise NotConfigured
        return cls(crawler)

    def _started(self) -> None:
        self._health.start()

    def _tick(self) -> None:
        self.observer.tick()
        self._timer = _clock.call_later(_TICK, self._tick)

    def _stopped(self) -> None:
        self._health.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
