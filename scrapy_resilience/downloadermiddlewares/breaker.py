"""Circuit breakers, rate limits and holds for each domain."""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from typing import TYPE_CHECKING, Any, Final, NoReturn
from weakref import WeakSet

from scrapy import signals
from scrapy.exceptions import IgnoreRequest
from scrapy.utils.httpobj import urlparse_cached

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import forget_failed_robots, is_closing
from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience._scrapy.refusals import Refusing
from scrapy_resilience._scrapy.running_command import owns_job
from scrapy_resilience.core.ratelimit import Rate
from scrapy_resilience.deadletters import letters_of
from scrapy_resilience.exceptions import CircuitOpenError
from scrapy_resilience.gates.gatekeeper import HeldBack, gatekeeper_of
from scrapy_resilience.scheduling.requests import is_robots

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from scrapy.robotstxt import RobotParser

    from scrapy_resilience.gates.gatekeeper import Gatekeeper

__all__ = ["CircuitBreakerMiddleware", "CircuitOpen"]

logger = get_logger(__name__)

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_TOLD_FROM: Final = 2.0
"""Seconds of a wait from which the log says why nothing happens."""
_TOLD_AGAIN: Final = 60.0
_MOST: Final = 10_000
"""Hosts whose robots.txt could not be asked for that are remembered."""
_LOOK: Final = 0.1
"""Seconds between two looks at a gate that opens with an answer, not at a time."""


class CircuitOpen(CircuitOpenError, IgnoreRequest):  # noqa: N818 - Scrapy's IgnoreRequest
    """What Scrapy's components see of :exc:`CircuitOpenError`."""


class CircuitBreakerMiddleware(Refusing):
    """Tells the gates what became of each request, and gates those that no scheduler gates.

    It must see responses after HttpCompressionMiddleware (590) and before the retry
    middleware (550): the add-on gives it order 585.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self._keeper: Gatekeeper = gatekeeper_of(crawler)
        self._keeper.active = True
        self._letters = letters_of(crawler)
        self._without_robots: OrderedDict[str, None] = OrderedDict()
        """Hosts and ports whose robots.txt was refused."""
        self._put_back: WeakSet[Request] = WeakSet()
        """What another scheduler was to keep for the next run."""
        self._told_at = -inf
        self._looks_only = not owns_job()
        crawler.signals.connect(self._robots_parsed, signals.robots_parsed)
        crawler.signals.connect(self._opened, signals.spider_opened)

    def _opened(self) -> None:
        hooks_of(self.crawler.engine).downloaded.append(self._downloaded)

    def process_request(self, request: Request) -> Awaitable[None] | None:
        ticket = self._keeper.ticket(request)
        if ticket is None:
            return self._admit(request)
        if ticket.permit is None and self._keeper.open_action(request) == "fail":
            self._refuse(request)
        if ticket.probe:
            self._keeper.probes.limit(request, ticket.probe)
        return None

    def _downloaded(self, request: Request, response: Response) -> None:
        """A redirect is an answer, and goes on before any middleware of this order sees it."""
        if response.status in _REDIRECTS:
            self._keeper.answered(request, response)

    def process_response(self, request: Request, response: Response) -> Response:
        self._keeper.answered(request, response)
        return response

    def process_exception(self, request: Request, exception: Exception) -> Request | None:
        self._keeper.answered(request, exception)
        if not isinstance(exception, HeldBack):
            return None
        new = request.replace(dont_filter=True)  # to be let through once more
        if is_closing(self.crawler.engine):
            self._put_back.add(new)
        return new

    def _robots_parsed(self, robotparser: RobotParser, request: Request) -> None:
        """``Crawl-delay`` is a rate limit."""
        settings = self.crawler.settings
        agent = settings["ROBOTSTXT_USER_AGENT"] or request.headers.get("User-Agent")
        delay = robotparser.crawl_delay(agent or settings["USER_AGENT"]) or 0.0
        if (wait := min(delay, self._keeper.config.crawl_delay_max)) > 0:
            self._keeper.limit(request, Rate(1 / wait))

    # --- requests that bypass our scheduler ---

    async def _admit(self, request: Request) -> None:
        """Wait for the domain, for a bounded time: a callback may be waiting, too."""
        url, obeys = urlparse_cached(request), not request.meta.get("dont_obey_robotstxt")
        if self._keeper.rides_along(request):
            return
        if is_robots(request):
            await self._admit_robots(request, url.netloc)
            return
        if obeys and url.netloc in self._without_robots:
            forget_failed_robots(self.crawler.engine, url.netloc)
            self._refuse(request)
        await self._wait(request)
        self._keeper.acquire(request, _clock.monotonic())

    async def _admit_robots(self, request: Request, netloc: str) -> None:
        """robots.txt rides along with a request that was let through, and waits for it.

        Its answer proves nothing then: it may say how fast the domain is to be asked. Where
        there is no such request, an image has asked for it, and it waits as that would; whoever
        waits for one that is refused is refused, too.
        """
        if not self._keeper.known(request).under_way:
            try:
                await self._wait(request)
            except CircuitOpen:
                self._without_robots[netloc] = None
                if (
                    len(self._without_robots) > _MOST
                ):  # one that is forgotten is asked for again
                    self._without_robots.popitem(last=False)
                raise
            self._keeper.acquire(request, _clock.monotonic())
        self._without_robots.pop(netloc, None)

    async def _wait(self, request: Request) -> None:
        keeper, domain, began = self._keeper, self._keeper.domain(request), _clock.monotonic()
        while (until := keeper.gates.ready_at(domain, now := _clock.monotonic())) > now:
            if keeper.waits.are_over or self._is_too_long(request, until, now, began):
                await keeper.waits.for_cut(request)
                self._refuse(request)
            is_late = now - began >= keeper.config.bypass_timeout
            if is_late and not keeper.gates.gate(domain, now).is_paced(now):
                return  # whoever it waits for may wait for this very request
            self._tell(request, domain, now, began)
            await keeper.waits.sleep(request, min(until - now, _LOOK))

    def _is_too_long(self, request: Request, until: float, now: float, began: float) -> bool:
        gate = self._keeper.gates.gate(self._keeper.domain(request), now)
        patience = self._patience_with_holds
        return (
            _is_beyond(gate.breaker.ready_at(now), now, began + self._patience(request))
            or _is_beyond(gate.held_until, now, began + patience)
            # its turn comes, and too late
            or (gate.is_paced(now) and _is_beyond(until, now, now + patience))
        )

    def _tell(self, request: Request, domain: str, now: float, began: float) -> None:
        if now - began >= _TOLD_FROM and now - self._told_at >= _TOLD_AGAIN:
            self._told_at = now
            logger.info(
                "%s bypasses the scheduler, and has waited %.0f s for %s: %s",
                request,
                now - began,
                domain,
                self._keeper.gates.why(domain, now),
            )

    def _patience(self, request: Request) -> float:
        """Seconds to wait for an open breaker."""
        if self._keeper.scheduler is None or self._keeper.open_action(request) == "fail":
            return 0.0
        return self._keeper.config.bypass_timeout

    @property
    def _patience_with_holds(self) -> float:
        """Another scheduler can't hold requests: here they wait as long as it takes."""
        return inf if self._keeper.scheduler is None else self._keeper.config.bypass_timeout

    def _refuse(self, request: Request) -> NoReturn:
        if self._can_be_kept(request):
            raise HeldBack
        stats: Any = self.crawler.stats
        stats.inc_value(names.STAT_BREAKER_REJECTED)
        domain, now = self._keeper.domain(request), _clock.monotonic()
        gate = self._keeper.gates.gate(domain, now)
        error = CircuitOpen(domain, gate.breaker.retry_after(now))
        if self._looks_only:  # scrapy shell, for example, would show None
            logger.warning("%s is not asked for: %s", request, error)
        if request.errback is None:
            self._letters.add(  # who waits for an image may say nothing
                request,
                kind="ignored",
                failure_class="ignored",
                reason=str(error),
                attempts=request.meta.get(names.SCRAPY_RETRY_TIMES, 0),
                exception=error,
            )
        raise error

    def _can_be_kept(self, request: Request) -> bool:
        """Whether a stop hands *request* back to another scheduler, whose queue may be kept.

        A request that bypasses the scheduler comes here once more instead.
        """
        is_ours = self._keeper.scheduler is not None
        return not is_ours and is_closing(self.crawler.engine) and request not in self._put_back


def _is_beyond(until: float, now: float, limit: float) -> bool:
    """Whether a wait has been too long, or is known to become so."""
    return until > now and (now >= limit or limit < until < inf)
