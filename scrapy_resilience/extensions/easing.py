"""The EaseOff extension: a crawl under pressure cleans up, slows down, pauses, and goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy import signals
from scrapy.exceptions import NotConfigured

from scrapy_resilience._scrapy.refusals import Refusing
from scrapy_resilience.guard.pressure import Easing
from scrapy_resilience.observe.observer import observer_of
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from typing_extensions import Self

__all__ = ["EaseOff"]


class EaseOff(Refusing):
    """Acts upon what the watchdog has read: :mod:`scrapy_resilience.guard.pressure`."""

    def __init__(self, crawler: Crawler) -> None:
        self.easing = Easing(crawler)
        config = Config.from_settings(crawler.settings)
        if config.observe_enabled:
            self._observer = observer_of(crawler)
            self._observer.fill.append(self.easing.fill)
        crawler.signals.connect(self._started, signals.engine_started)
        crawler.signals.connect(self._stopped, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        config = Config.from_settings(crawler.settings)
        if not (config.watchdog_enabled and config.watchdog_heals):
            raise NotConfigured
        return super().from_crawler(crawler)

    def _started(self) -> None:
        self.easing.start()

    def _stopped(self) -> None:
        self.easing.stop()
