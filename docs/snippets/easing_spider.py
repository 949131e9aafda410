"""A spider that tells what can be freed when memory is short."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import scrapy

from scrapy_resilience.watchdog import register_cache, register_freeable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from typing_extensions import Self


@lru_cache(100_000)
def category(name: str) -> str:
    """Which category a name belongs to."""
    return name.rpartition("/")[0]


class Shop(scrapy.Spider):
    """Remembers pages, and has a model that is large."""

    name = "shop"
    custom_settings = {
        "RESILIENCE_MEMORY_CACHES": [f"{__name__}.category"],
    }

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        spider = super().from_crawler(crawler, *args, **kwargs)
        spider.pages, spider.model = {}, None
        register_cache(crawler, "pages", spider.pages.clear)
        register_freeable(crawler, "the model", spider.unload)
        return spider

    async def unload(self) -> None:
        """Only called while the crawl is paused: the next page loads it again."""
        self.model = None

    def parse(self, response: Response, **_: Any) -> Iterator[dict[str, str]]:
        self.pages[response.url] = response
        yield {"url": response.url, "category": category(response.url)}
