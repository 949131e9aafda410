"""Holds responses back from the spider while a commit aligns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from scrapy_resilience.jobs.crawl_job import JobComponent

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from scrapy_resilience.jobs.job import Job
    from scrapy_resilience.scheduler import ResilientScheduler

__all__ = ["BarrierMiddleware"]

_T = TypeVar("_T")


class BarrierMiddleware(JobComponent):
    """Must be the last on the way back to the engine: the add-on gives it order 1.

    Only requests that the scheduler handed out wait: a callback that awaits a download of
    its own would otherwise wait for the barrier, and the barrier for the callback.
    """

    def __init__(self, crawler: Crawler, job: Job) -> None:
        super().__init__(crawler, job)
        self._barrier = job.barrier

    def process_response(
        self, request: Request, response: Response
    ) -> Response | Awaitable[Response]:
        return self._hold(response) if self._waits(request) else response

    def process_exception(self, request: Request, exception: Exception) -> Any:
        return self._hold(None) if self._waits(request) else None

    def _waits(self, request: Request) -> bool:
        if not self._barrier.up:
            return False
        scheduler = cast("ResilientScheduler", self.crawler.engine.scheduler)
        if request not in scheduler.in_flight.under_way:
            return False
        scraping = self.crawler.engine.scraper.slot
        return scraping is None or request not in scraping.active

    async def _hold(self, result: _T) -> _T:
        await self._barrier.wait()
        return result
