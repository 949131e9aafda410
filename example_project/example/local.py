"""A spider that brings the server along that it crawls."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

from scrapy import Request, Spider, signals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scrapy.crawler import Crawler
    from typing_extensions import Self


class LocalSpider(Spider):
    """Keeps ``server()`` running for as long as the spider is open.

    The requests of a stopped crawl wait on disk with the server's port in their URLs.
    Give the server a fixed port, or they lead nowhere when the crawl is resumed.
    """

    running: ExitStack

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        spider = super().from_crawler(crawler, *args, **kwargs)
        spider.running = ExitStack()
        crawler.signals.connect(spider.running.close, signals.spider_closed)
        # Before the crawl begins: a server that can't run is exit code 1, and no job is begun.
        try:
            spider.running.enter_context(spider.server())
        except RuntimeError as error:
            sys.exit(f"There is nothing to crawl: {error} (-a port=NUMBER)")
        return spider

    def server(self) -> AbstractContextManager[object]:
        return nullcontext()

    async def start(self) -> AsyncIterator[Any]:
        # Unlike the default, filtered: no page is crawled twice, nor again on resume.
        for url in self.start_urls:
            yield Request(url)
