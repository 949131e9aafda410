"""``start()`` on a resume: only what earlier runs have not done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

from scrapy_resilience._scrapy.canceller import ENDS, as_error, as_exception
from scrapy_resilience.jobs.crawl_job import JobComponent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scrapy.crawler import Crawler

    from scrapy_resilience.jobs.job import Job
    from scrapy_resilience.scheduler import ResilientScheduler
    from scrapy_resilience.scheduling.start_outputs import StartOutputFilter

__all__ = ["StartMiddleware"]

_BREATH: Final = 100
"""Outputs of ``start()`` between two turns of the loop: Scrapy takes none while it is busy."""


class StartMiddleware(JobComponent):
    """Must be the outermost spider middleware: the add-on gives it order 0."""

    def __init__(self, crawler: Crawler, job: Job) -> None:
        super().__init__(crawler, job)
        self._barrier = job.barrier

    async def process_start(self, start: AsyncIterator[Any]) -> AsyncIterator[Any]:
        if self.job.meta.start_done:
            return
        try:
            async for output in self._unclaimed(start):
                yield output
        except asyncio.CancelledError as cancelled:
            if not self.crawler.engine.running:
                raise
            raise as_error() from cancelled
        except (Exception, *ENDS):
            raise
        except BaseException as odd:
            raise as_exception(odd) from odd

    async def _unclaimed(self, start: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """What no earlier run has done."""
        count = 0
        starts: StartOutputFilter | None = None
        async for output in start:
            count += 1
            if count % _BREATH == 0:
                await asyncio.sleep(0)
            await self._barrier.wait()
            scheduler = cast("ResilientScheduler", self.crawler.engine.scheduler)
            if scheduler.committer is not None:
                await scheduler.committer.intake.wait()
            starts = scheduler.starts
            assert starts is not None
            starts.pending = True
            if not starts.claim(output):
                yield output
        if starts is not None:
            starts.pending = False
