"""A circuit breaker for each proxy: a proxy that fails is not a site that fails."""

from __future__ import annotations

import random
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from scrapy.http import Response

from scrapy_resilience import _clock, names
from scrapy_resilience._scrapy.refusals import Refusing
from scrapy_resilience.core.breaker import Breaker, Outcome
from scrapy_resilience.core.failures import SUCCESS
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.gates.proxies import is_failure_of_proxy, mark_chosen, proxy_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy import Request
    from scrapy.crawler import Crawler

    from scrapy_resilience.gates.gatekeeper import Gatekeeper

__all__ = ["ProxyBreakerMiddleware"]

_MOST: Final = 10_000
"""Proxies whose breakers are kept."""
_LEAST_WAIT: Final = 0.05


class ProxyBreakerMiddleware(Refusing):
    """Sends a request whose proxy is down back, so that another one is chosen for it.

    It must come after whatever chooses proxies: the add-on gives it order 995. A proxy that
    the spider itself has set is kept: its requests wait for it.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._keeper: Gatekeeper = gatekeeper_of(crawler)
        self._config = self._keeper.domains.breaker("")
        self._breakers: OrderedDict[str, Breaker] = OrderedDict()
        # a download that is cancelled comes back nowhere
        self._under_way: WeakKeyDictionary[Request, tuple[Breaker, int | None]] = (
            WeakKeyDictionary()
        )
        """The breakers of their proxies, with a permit or without one."""
        self._stats: Any = crawler.stats

    def process_request(self, request: Request) -> Request | None:
        proxy = proxy_of(request)
        if proxy is None:
            return None
        if request not in self._keeper.with_own_proxy:
            mark_chosen(request)
        now = _clock.monotonic()
        breaker = self._breaker(proxy)
        permit = breaker.acquire(now)
        if permit is None and self._keeper.is_scheduled(request):
            return self._again(request, breaker, now)
        self._under_way[request] = breaker, permit
        return None

    def process_response(self, request: Request, response: Response) -> Response:
        self._ended(request, response)
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        self._ended(request, exception)

    def _ended(self, request: Request, result: Response | Exception) -> None:
        breaker, permit = self._under_way.pop(request, (None, None))
        if breaker is None:
            return
        is_answer = isinstance(result, Response)
        verdict = SUCCESS if is_answer else self._keeper.judge(request, result)
        works = breaker.answered and breaker.is_closed
        outcome = Outcome.SUCCESS if is_answer else Outcome.IGNORED
        if is_failure_of_proxy(result, verdict, proxy_works=works):
            outcome = Outcome.FAILURE
            self._keeper.blame_proxy(request)
            self._stats.inc_value(names.STAT_PROXY_FAILURES)
        if permit is not None:
            breaker.record(permit, outcome, _clock.monotonic(), failure=verdict.reason)

    def _again(self, request: Request, breaker: Breaker, now: float) -> Request:
        """To be given another proxy, or to wait for its own."""
        new = request.replace(dont_filter=True)
        wait = breaker.ready_at(now) - now
        if self._keeper.drop_chosen_proxy(request, new):
            wait = min((each.ready_at(now) - now for each in self._all_open(now)), default=0.0)
        if wait > 0:
            new.meta[names.META_DELAY] = max(min(wait, 1.0), _LEAST_WAIT)
        self._stats.inc_value(names.STAT_PROXY_SKIPPED)
        return new

    def _all_open(self, now: float) -> Iterable[Breaker]:
        """All breakers, where each of them is open."""
        known = self._breakers.values()
        return known if all(each.ready_at(now) > now for each in known) else ()

    def _breaker(self, proxy: str) -> Breaker:
        breaker = self._breakers.get(proxy)
        if breaker is None:
            breaker = self._breakers[proxy] = Breaker(self._config, random.random)
            if len(self._breakers) > _MOST:
                self._breakers.popitem(last=False)
        self._breakers.move_to_end(proxy)  # first is who was not used for the longest
        return breaker
