"""The CrawlCache extension: functions that are cached know their crawl."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.signals import engine_stopped

from scrapy_resilience._scrapy.here import enter, leave
from scrapy_resilience._scrapy.refusals import Refusing
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

__all__ = ["CrawlCache"]


class CrawlCache(Refusing):
    """Has ``@cached`` use the cache of the crawl, which :func:`.cache_of` gives."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        enter(crawler)
        if Config.from_settings(crawler.settings).cache_url:
            from scrapy_resilience.cache.of_crawl import cache_of  # noqa: PLC0415 - others use none

            cache_of(crawler)
        crawler.signals.connect(self._stopped, engine_stopped)

    def _stopped(self) -> None:
        leave(self.crawler)
