"""Requests of which no byte comes long after their time-out: cancelled, to be tried again.

Scrapy's own download handlers end a request at its ``download_timeout``, but a handler of
somebody else may never return. Who waits for the answer is let go when *timeout* seconds beyond
the ``download_timeout`` have passed without a byte, and the handler is cancelled. One that is
not Scrapy's may not heed that: it runs in a task of its own, and what it still does is its own
affair.

Whether bytes come is only known of handlers that send Scrapy's signals. They are listened to
while there is a request that is past its time-out.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from math import inf
from typing import TYPE_CHECKING, Any

from scrapy import signals
from scrapy.utils.httpobj import urlparse_cached

from scrapy_resilience import names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.download_handlers import heeds_cancelling
from scrapy_resilience._scrapy.timeouts import StuckDownload
from scrapy_resilience.core.masking import counted, shown
from scrapy_resilience.signals import crawl_event
from scrapy_resilience.waits import forget

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from scrapy import Request
    from scrapy.crawler import Crawler

    from scrapy_resilience.guard.stuck.sweep import Sweep

__all__ = ["StuckDownloads"]

logger = get_logger(__name__)


class _Download:
    """What a handler does for one request."""

    __slots__ = ("allowed", "late", "over", "request", "stuck", "task")

    def __init__(self, request: Request, since: float, allowed: float) -> None:
        self.request = request
        self.allowed = allowed
        """Seconds: its ``download_timeout``."""
        self.late = since + allowed
        """From when on it is past its time-out, or when its last byte came after that."""
        self.stuck = False
        self.task: asyncio.Task[Any] | None = None
        """In which the handler runs that ends when it is cancelled."""
        self.over: asyncio.Future[None] | None = None
        """What is waited for with any other."""

    def give_up(self) -> None:
        """Let go who waits for it."""
        if self.stuck:
            return
        self.stuck = True
        if self.task is not None:
            self.task.cancel()
        self.end()

    def end(self, task: object = None) -> None:
        """The handler has ended, or nobody waits for it any more."""
        if self.over is not None and not self.over.done():
            self.over.set_result(None)


class StuckDownloads:
    """Of one crawl; *timeout* in seconds, 0 for none."""

    def __init__(self, crawler: Crawler, sweep: Sweep, timeout: float) -> None:
        self._crawler = crawler
        self._sweep = sweep
        self._timeout = timeout
        self._usual = crawler.settings.getfloat("DOWNLOAD_TIMEOUT")
        self._under_way: set[_Download] = set()
        self._listens = False
        if timeout:
            sweep.looks.append(self._look)

    async def handling(self, work: Coroutine[Any, Any, Any], request: Request) -> Any:
        """Run the *work* of a handler; raises a time-out where it is given up."""
        found = _Download(request, self._sweep.now, self._allowed(request))
        self._under_way.add(found)
        try:
            if not self._timeout or heeds_cancelling(self._crawler.engine, request):
                return await self._directly(found, work)
            return await self._in_task(found, work)
        finally:
            self._under_way.discard(found)

    async def _directly(self, found: _Download, work: Coroutine[Any, Any, Any]) -> Any:
        """A task would cost as much as all else here ten times."""
        found.task = task = asyncio.current_task()
        try:
            return await work
        except asyncio.CancelledError:
            if not found.stuck:
                raise
            if task is not None and hasattr(task, "uncancel"):
                task.uncancel()
            raise self._error(found) from None

    async def _in_task(self, found: _Download, work: Coroutine[Any, Any, Any]) -> Any:
        """Wait for the handler no longer than until it is stuck, whatever it does then."""
        loop = asyncio.get_running_loop()
        found.over = loop.create_future()
        task = loop.create_task(work)
        task.add_done_callback(found.end)
        task.add_done_callback(forget)  # it may fail in the turn in which this is cut off
        try:
            await found.over
            if task.done():
                return task.result()
            raise self._error(found)
        finally:
            task.cancel()

    def _error(self, found: _Download) -> Exception:
        return StuckDownload(
            f"no byte came for {self._timeout:g} s after its time-out of {found.allowed:g} s, "
            "and its download handler has not ended"
        )

    def _allowed(self, request: Request) -> float:
        found = request.meta.get("download_timeout") or self._usual
        return float(found) if isinstance(found, (int, float)) and 0 < found < inf else inf

    def overdue(self, now: float, grace: float) -> tuple[int, int]:
        """How many have been under way for *grace* seconds too long, and how many not."""
        late = sum(now - each.late >= grace for each in self._under_way)
        return late, len(self._under_way) - late

    # --- looks ---

    def _look(self, now: float) -> None:
        late = [each for each in self._under_way if now > each.late]
        self._listen(wanted=bool(late))
        # what began between two looks is up to an interval younger than it seems
        allowed = self._timeout + self._sweep.interval
        stuck = [each for each in late if now - each.late >= allowed and not each.stuck]
        if stuck:
            self._give_up(stuck)

    def _give_up(self, stuck: list[_Download]) -> None:
        domains: Counter[str] = Counter()
        for each in stuck:
            logger.warning("%s is stuck in its download handler: cancelled", each.request)
            domains[urlparse_cached(each.request).hostname or ""] += 1
            each.give_up()
        stats: Any = self._crawler.stats
        stats.inc_value(names.STAT_STUCK_REQUESTS, len(stuck))
        for domain, number in domains.items():
            text = (
                f"{counted(number, 'request')} of {shown(domain)} brought no byte for "
                f"{self._timeout:g} s after the time-out: cancelled"
            )
            self._crawler.signals.send_catch_log(
                crawl_event, kind="stuck", text=text, severity="warning", domain=domain
            )

    def _listen(self, *, wanted: bool) -> None:
        if wanted is self._listens:
            return
        self._listens = wanted
        connected = self._crawler.signals
        change = connected.connect if wanted else connected.disconnect
        for signal in (signals.headers_received, signals.bytes_received):
            change(self._bytes_came, signal)

    def _bytes_came(self, request: Request) -> None:
        for each in self._under_way:
            if each.request is request:
                each.late = max(each.late, self._sweep.now)

    def close(self) -> None:
        """Nobody looks any more."""
        self._listen(wanted=False)
