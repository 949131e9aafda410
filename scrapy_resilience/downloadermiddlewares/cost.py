"""What each request costs is claimed before it is sent; without room in a budget it waits."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final, NoReturn

from scrapy import signals
from scrapy.exceptions import IgnoreRequest, NotConfigured
from scrapy.utils.httpobj import urlparse_cached

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import is_closing
from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience._scrapy.refusals import Refusing
from scrapy_resilience.deadletters import letters_of
from scrapy_resilience.exceptions import BudgetExceededError
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.gates.proxies import proxy_of
from scrapy_resilience.guard.cost.crawl_costs import costs_of
from scrapy_resilience.guard.cost.tracker import OpenClaim

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from scrapy_resilience._scrapy.hooks import Hooks
    from scrapy_resilience.core.budget_claims import Refusal

__all__ = ["BudgetRefusal", "CostMiddleware"]

logger = get_logger(__name__)

_LOCAL: Final = frozenset({"data", "file"})
"""Schemes that ask no server."""
_LEAST: Final = 0.05
_TURNS: Final = 20
"""Proxies without room in a row, after which the wait for another one grows no more."""
_MOST: Final = 60.0
"""Seconds of a delay, which the next run would keep, whatever its budgets are."""
_LOOK: Final = 0.5
"""Seconds between two looks at whether there is room, or the spider is being closed."""
_TOLD_FROM: Final = 2.0
_TOLD_AGAIN: Final = 60.0
_TUNNEL: Final = "TunnelError"


class BudgetRefusal(BudgetExceededError, IgnoreRequest):  # noqa: N818 - Scrapy's IgnoreRequest
    """What Scrapy's components see of :exc:`BudgetExceededError`."""


class CostMiddleware(Refusing):
    """The last one before the network, at order 1100: what a cache answers costs nothing.

    A request of our scheduler that has no room goes back to the frontier. One that bypasses it
    (an image, robots.txt, a download of a callback) waits here, and so do all with another
    scheduler.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self._costs = costs = costs_of(crawler)
        self._counts = costs.what or costs.counts_bytes or costs.heeds
        """Whether each request matters, and not those through proxies only."""
        if not (self._counts or costs.asks_for_proxy):
            raise NotConfigured
        self._keeper = gatekeeper_of(crawler)
        self._open: dict[Request, OpenClaim] = {}
        self._hooks: Hooks | None = None
        self._told_at = -inf
        self._turned_away = 0
        self._stats: Any = crawler.stats
        crawler.signals.connect(self._opened, signals.spider_opened)
        crawler.signals.connect(self._stopped, signals.engine_stopped)

    def _opened(self) -> None:
        self._hooks = hooks_of(self.crawler.engine)
        self._hooks.sending = self._sending

    def _stopped(self) -> None:
        """A stop has cut off what was under way, and what waited in the downloader."""
        for request in [*self._open]:
            self._ended(request)

    # --- a request ---

    def process_request(self, request: Request) -> Request | Awaitable[Request | None] | None:
        if not self._counts and "proxy" not in request.meta:
            return None
        if urlparse_cached(request).scheme in _LOCAL:
            return None
        found = self._claim(request)
        if isinstance(found, OpenClaim):
            return None
        if self._keeper.is_scheduled(request):
            return self._again(request, found)
        return self._wait(request, found)

    def _claim(self, request: Request) -> OpenClaim | Refusal | None:
        self._ended(request)  # of a download that was cancelled
        proxy = (proxy_of(request) or "") if self._costs.asks_for_proxy else ""
        found = self._costs.claim(request, self._keeper.domain(request), proxy)
        if isinstance(found, OpenClaim):
            found.sent = self._hooks is None
            self._open[request] = found
            self._turned_away = 0
        return found

    def _sending(self, request: Request) -> None:
        claim = self._open.get(request)
        if claim is not None:
            claim.sent = True

    def process_response(self, request: Request, response: Response) -> Response:
        if self._open:
            self._ended(request, len(response.body))
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        claim = self._open.get(request)
        if claim is not None:
            claim.sent = claim.sent and not self._is_unsent(request, exception)
            self._ended(request)

    def _is_unsent(self, request: Request, exception: Exception) -> bool:
        """Whether no server has heard of it; a proxy has, where only its tunnel failed."""
        if type(exception).__name__ == _TUNNEL:
            return False
        return self._keeper.judge(request, exception).unsent

    def _ended(self, request: Request, size: int = 0) -> None:
        claim = self._open.pop(request, None)
        if claim is None:
            return
        if claim.sent:
            self._costs.end(claim, size)
        else:
            self._costs.void(claim)

    # --- without room ---

    def _again(self, request: Request, refusal: Refusal | None) -> Request:
        new = request.replace(dont_filter=True)
        wait = self._costs.wait(refusal)
        is_of_proxy = refusal is not None and refusal.budget.scope == "proxy"
        if is_of_proxy and self._keeper.drop_chosen_proxy(request, new):
            wait = min(wait, _LEAST * 1.5**self._turned_away)
            self._turned_away = min(self._turned_away + 1, _TURNS)
        if is_closing(self.crawler.engine) or (refusal and refusal.budget.action == "close"):
            wait = 0.0  # for the next run
        new.meta[names.META_DELAY] = min(max(wait, _LEAST), _MOST)
        self._stats.inc_value(names.STAT_BUDGET_DELAYED)
        return new

    async def _wait(self, request: Request, found: OpenClaim | Refusal | None) -> None:
        """Until there is room, or the spider is being closed."""
        began = _clock.monotonic()
        self._stats.inc_value(names.STAT_BUDGET_DELAYED)
        while not isinstance(found, OpenClaim):
            wait = self._costs.wait(found)
            if is_closing(self.crawler.engine):
                await self._leave(request)
                self._refuse(request, found)
            if wait == inf and found is not None and found.budget.action != "close":
                self._refuse(request, found)
            self._tell(request, found, began)
            await self._keeper.waits.sleep(request, min(max(wait, _LEAST), _LOOK))
            found = self._claim(request)

    async def _leave(self, request: Request) -> None:
        """Where there is a job, what waits is cut off now, and begun anew by the next run."""
        waits, hooks = self._keeper.waits, self._hooks
        if not waits.are_over and hooks is not None and hooks.shutting_down is not None:
            hooks.shutting_down()
            await waits.for_cut(request)

    def _refuse(self, request: Request, refusal: Refusal | None) -> NoReturn:
        self._stats.inc_value(names.STAT_BUDGET_REFUSED)
        if refusal is None:
            error = BudgetRefusal(self._costs.tracker.trouble, "")
        else:
            seconds = refusal.seconds(self._costs.tracker.now())
            error = BudgetRefusal(refusal.text, refusal.budget.resource, seconds)
        if request.errback is None:
            letters_of(self.crawler).add(  # who waits for an image may say nothing
                request,
                kind="ignored",
                failure_class="ignored",
                reason=str(error),
                attempts=request.meta.get(names.SCRAPY_RETRY_TIMES, 0),
                exception=error,
            )
        raise error

    def _tell(self, request: Request, refusal: Refusal | None, began: float) -> None:
        now = _clock.monotonic()
        if now - began >= _TOLD_FROM and now - self._told_at >= _TOLD_AGAIN:
            self._told_at = now
            why = self._costs.tracker.trouble if refusal is None else refusal.text
            logger.info("%s waits since %.0f s: %s", request, now - began, why)
