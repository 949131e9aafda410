"""Which request is the next trial of a half-open breaker.

A page that has failed may be bad, and one that was never tried may be bad, too: neither tells
whether its domain is down. So a trial is a page that is *known* to work, the latest of the
domain's that was answered: when it is answered again, the breaker closes, and the failures of
other pages are their own. Should it have gone bad meanwhile, every other trial is whatever
comes next. While the domain has never answered, a page that has failed goes before an untried
one: where each page fails once, it gets through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from scrapy import Request
from scrapy.http.request import NO_CALLBACK
from scrapy.utils.defer import deferred_from_coro

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import under_way
from scrapy_resilience.gates.crawl_pauses import pauses_of
from scrapy_resilience.gates.lane_names import RETRIES, is_of_retries

if TYPE_CHECKING:
    from collections.abc import Container

    from scrapy.crawler import Crawler

    from scrapy_resilience.core.gate import Gate, KnownPage
    from scrapy_resilience.frontier.lanes import Frontier
    from scrapy_resilience.gates.asking import BudgetGate

__all__ = ["Trials"]

logger = get_logger(__name__)


class Keeping(Protocol):
    """What a trial tells the gatekeeper: that it goes, and that it has ended."""

    def acquire(self, request: Request, now: float) -> None: ...

    def sweep(self, busy: Container[Request]) -> bool: ...


class Trials:
    """Of one crawl. What it asks for itself, its *checks*, has an answer for nobody."""

    def __init__(self, crawler: Crawler, frontier: Frontier, keeper: Keeping) -> None:
        self._crawler = crawler
        self._frontier = frontier
        self._keeper = keeper
        self._pauses = pauses_of(crawler)
        self.checks: set[Request] = set()
        """Those under way."""

    def has_turn(self, lane: str, gate: Gate) -> bool:
        """Whether the trial is a request of *lane*."""
        if gate.breaker.trips % 2:
            return True
        if gate.known_page:
            self._check(gate.known_page)
            return False
        return is_of_retries(lane) or not self._frontier.waiting(lane + RETRIES)

    def check_if_alone(self, gate: Gate, budgets: BudgetGate | None) -> None:
        """The same where nobody else is under way, and nothing is asked of it too soon."""
        now = _clock.monotonic()
        if gate.known_page is None or not gate.lets_through or gate.under_way:
            return
        is_free = gate.ready_at(now, 0.0) <= now and not self._pauses.up
        if is_free and (budgets is None or budgets.ready_at(gate.domain, now) <= now):
            self._check(gate.known_page)

    def _check(self, page: KnownPage) -> None:
        """Ask for the known page to hear whether the domain answers; where to is no matter."""
        meta = {"dont_cache": True, "dont_redirect": True}
        if page.in_browser:
            meta["playwright"] = True
        request = Request(page.url, callback=NO_CALLBACK, meta=meta, dont_filter=True)
        self.checks.add(request)
        stats: Any = self._crawler.stats
        stats.inc_value(names.STAT_BREAKER_CHECKS)
        # not later: the next lane that asks must wait
        self._keeper.acquire(request, _clock.monotonic())
        deferred_from_coro(self._download(request))

    async def _download(self, request: Request) -> None:
        try:
            await self._crawler.engine.download_async(request)
        except Exception as error:  # noqa: BLE001 - the gates were told what became of it
            logger.debug("The trial %s has failed: %s", request, error)
        finally:
            self.checks.discard(request)
            self._keeper.sweep(under_way(self._crawler.engine))
