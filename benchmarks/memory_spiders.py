"""Spiders that need more memory than they may, for a time or for ever."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from scrapy import Request, Spider, signals

from benchmarks.spiders import local_url, resident_bytes
from scrapy_resilience.gates.crawl_pauses import pauses_of
from scrapy_resilience.watchdog import register_cache

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from typing_extensions import Self

_MB = 2**20
_LOOK = 0.02


class Greedy(Spider):
    """Asks for *count* pages; at each one it does what its *kind* says.

    ==========  ======================================================================
    plain       nothing
    spike       at a third of them, holds *mb* for *seconds*
    cache       keeps *mb* for each page where it can be cleared
    leak        keeps *mb* for each page
    ==========  ======================================================================
    """

    name = "greedy"

    def __init__(
        self, count: str, kind: str, mb: str = "5", seconds: str = "5", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.count, self.kind = int(count), kind
        self.size, self.seconds = int(float(mb) * _MB), float(seconds)
        self.kept: list[bytes] = []
        self.pages = 0
        self.released = self.paused = 0.0

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        self = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(self.begin, signals.engine_started)
        crawler.signals.connect(self.end, signals.engine_stopped)
        if self.kind == "cache":
            register_cache(crawler, "pages", self.kept.clear)
        return self

    async def start(self) -> AsyncIterator[Any]:
        for number in range(self.count):
            yield Request(local_url(number))

    def begin(self) -> None:
        self.pauses = pauses_of(self.crawler)
        self.watch = asyncio.ensure_future(self.look())

    def end(self) -> None:
        self.watch.cancel()

    async def look(self) -> None:
        """Note the memory fifty times a second, and how a pause goes."""
        stats: Any = self.crawler.stats
        while True:
            stats.max_value("bench/rss_mb", resident_bytes() / _MB)
            now = time.monotonic()
            if self.pauses.up and not self.paused:
                self.paused = now
            elif self.paused and self.released and not self.pauses.up:
                stats.set_value("bench/resumed_after", now - self.released)
                self.released = 0.0
            await asyncio.sleep(_LOOK)

    def parse(self, response: Response, **_: Any) -> Iterator[dict[str, str]]:
        self.pages += 1
        if self.kind in {"cache", "leak"}:
            self.kept.append(b"x" * self.size)
        elif self.kind == "spike" and self.pages == self.count // 3:
            self.hold()
        yield {"url": response.url}

    def hold(self) -> None:
        self.kept.append(b"x" * self.size)
        began = time.monotonic()
        asyncio.get_running_loop().call_later(self.seconds, self.release, began)

    def release(self, began: float) -> None:
        stats: Any = self.crawler.stats
        self.kept.clear()
        self.released = time.monotonic()
        if self.paused:
            stats.set_value("bench/paused_after", self.paused - began)


class Steady(Spider):
    """Asks for *count* pages of many hosts; each callback computes for *busy* seconds."""

    name = "steady"

    def __init__(self, count: str, busy: str = "0", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count, self.busy = int(count), float(busy)

    async def start(self) -> AsyncIterator[Any]:
        for number in range(self.count):
            yield Request(local_url(number))

    def parse(self, response: Response, **_: Any) -> Iterator[dict[str, str]]:
        stats: Any = self.crawler.stats
        stats.max_value("bench/most_at_once", len(self.crawler.engine.downloader.active))
        began = time.thread_time()
        while time.thread_time() - began < self.busy:
            pass
        yield {"url": response.url}
