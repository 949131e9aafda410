"""Where a retry waits: in the frontier, or in this process where it must."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from scrapy_resilience import _clock
from scrapy_resilience.core.backoff import RetryPacer
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.names import META_DELAY, STAT_RETRY_PACED

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from scrapy import Request
    from scrapy.crawler import Crawler

__all__ = ["RetryThrottle"]

_LOOK: Final = 0.5


class RetryThrottle:
    """Delays retries, and lets at most *cap* of them be downloaded at once."""

    def __init__(self, crawler: Crawler, cap: int) -> None:
        self._crawler = crawler
        self._keeper = gatekeeper_of(crawler)
        self._pacer = RetryPacer(cap)
        # a redirected retry comes back nowhere: it must not hold its place for ever
        self._under_way: WeakKeyDictionary[Request, float] = WeakKeyDictionary()

    def enter(self, request: Request) -> Awaitable[Request | None] | None:
        """What ``process_request`` is to return for a retry."""
        now = _clock.monotonic()
        wait = self._pacer.wait(len(self._under_way), now)
        if wait:
            return self._come_again(request, wait)
        self._under_way[request] = now
        return None

    def leave(self, request: Request) -> None:
        """An answer or an error has come; a request that is not a retry may be told as well."""
        started = self._under_way.pop(request, None)
        if started is not None:
            self._pacer.took(_clock.monotonic() - started)

    async def delay(self, new: Request, seconds: float, old: Request) -> Request:
        """*new*, which replaces *old* and is to be sent in so many seconds.

        Only what came from our frontier goes back there. What bypasses the scheduler, as
        requests of media pipelines do, is sent again by whoever waits for it.
        """
        if self._is_scheduled(old):
            new.meta[META_DELAY] = seconds
        else:
            await self._sleep(old, seconds)
        return new

    def bypasses(self, request: Request) -> bool:
        """Whether *request* passed by our scheduler: something waits for it in the process."""
        scheduler: Any = self._crawler.engine.scheduler
        return bool(getattr(scheduler, "runs_jobs", False)) and not scheduler.issued(request)

    async def _come_again(self, request: Request, wait: float) -> Request | None:
        stats: Any = self._crawler.stats
        stats.inc_value(STAT_RETRY_PACED)
        if self._is_scheduled(request):
            return await self.delay(request.copy(), wait, request)
        while wait and not self._keeper.waits.are_over:
            await self._sleep(request, wait)
            wait = self._pacer.wait(len(self._under_way), _clock.monotonic())
        self._under_way[request] = _clock.monotonic()
        return None

    def waits_here(self, request: Request) -> bool:
        """Whether a retry of *request* waits in this process, not in our frontier."""
        return not self._is_scheduled(request)

    def _is_scheduled(self, request: Request) -> bool:
        scheduler: Any = self._crawler.engine.scheduler
        return getattr(scheduler, "runs_jobs", False) and bool(scheduler.issued(request))

    async def _sleep(self, request: Request, seconds: float) -> None:
        """Not longer than until the spider is being closed, where there is no job."""
        end = _clock.monotonic() + seconds
        while (left := end - _clock.monotonic()) > 0 and not self._keeper.waits.are_over:
            await self._keeper.waits.sleep(request, min(left, _LOOK))
