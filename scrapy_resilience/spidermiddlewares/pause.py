"""``start()`` waits while the crawl is paused: with a job or without, with any scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy_resilience.gates.crawl_pauses import pauses_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scrapy.crawler import Crawler
    from typing_extensions import Self

__all__ = ["PauseMiddleware"]


class PauseMiddleware:
    """Whatever ``start()`` puts out would be memory, or is not to be asked for now."""

    def __init__(self, crawler: Crawler) -> None:
        self._pauses = pauses_of(crawler)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    async def process_start(self, start: AsyncIterator[Any]) -> AsyncIterator[Any]:
        await self._pauses.barrier.wait()
        async for output in start:
            await self._pauses.barrier.wait()
            yield output
