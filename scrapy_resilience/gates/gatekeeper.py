"""The gates of a crawl: glue between requests, domains and the pure gates.

Whether a domain may be asked is decided by :mod:`scrapy_resilience.core.gates`. Here the
frontier asks for its lanes and the middlewares tell what became of their requests, and here
what the gates say wakes lanes, is logged, counted and stored.
"""

from __future__ import annotations

import random
from contextvars import ContextVar
from math import inf
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakSet

from scrapy.exceptions import IgnoreRequest

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import take_back, wake
from scrapy_resilience._scrapy.of_crawlers import WeakOfCrawlers
from scrapy_resilience.core.breaker import Event, Outcome, State
from scrapy_resilience.core.gates import GateConfig, Gates
from scrapy_resilience.gates.announcing import announce, tell
from scrapy_resilience.gates.domains import Domains
from scrapy_resilience.gates.lane_names import RETRIES, LaneNames, is_of_retries
from scrapy_resilience.gates.outcomes import Outcomes, is_overloaded, known_page
from scrapy_resilience.gates.probes import Probes
from scrapy_resilience.gates.proxies import has_own_proxy
from scrapy_resilience.gates.saved_gates import SavedGates
from scrapy_resilience.gates.trials import Trials
from scrapy_resilience.gates.waits_in_process import WaitsInProcess
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from scrapy_resilience.checkpoint.commit import Committer
    from scrapy_resilience.core.failures import Verdict
    from scrapy_resilience.core.gate import Gate, Ticket
    from scrapy_resilience.core.ratelimit import Rate
    from scrapy_resilience.gates.asking import Asking, BudgetGate, Places

__all__ = ["Gatekeeper", "HeldBack", "OnSettled", "gatekeeper_of", "latency_of"]

logger = get_logger(__name__)

_LATENCY: Final = "download_latency"
"""Scrapy's meta key: the downloader sets it when an answer comes."""
_PROXY: Final = "proxy"
"""Scrapy's meta key."""
_SAYS_NOTHING: Final = frozenset({Outcome.IGNORED, Outcome.CANCELLED})
_HALF_OPEN: Final = State.HALF_OPEN  # a member costs more to look up


class HeldBack(IgnoreRequest):
    """A request was taken out of the downloader, where it waited for its turn."""


class OnSettled(Protocol):
    """Hears what became of each request."""

    def __call__(
        self, request: Request, result: Response | Exception, verdict: Verdict, domain: str, /
    ) -> None:
        """Called when the gates have heard of it."""


class Gatekeeper:
    """One for each crawler, from :func:`gatekeeper_of`."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.config = Config.from_settings(crawler.settings)
        self.domains = Domains(crawler.settings, self.config)
        self.domain = self.domains.of
        self.open_action = self.domains.open_action
        self.lane_names = LaneNames(crawler.settings, self.domains)
        self.lane = self.lane_names.of
        self._outcomes = Outcomes(crawler, self.config)
        self.handled = self._outcomes.handled
        self.judge = self._outcomes.judge
        self.is_answer = self._outcomes.is_answer
        self.is_about_the_page = self._outcomes.is_about_the_page
        self.probes = Probes()
        self.decided: Container[str | None] = ()
        """Failure classes about which somebody else may decide, who settles them then."""
        self.on_settled: OnSettled | None = None
        self.gates = self._make_gates()
        self._saved = SavedGates(self.gates)
        self.active = False
        """Whether a middleware says what becomes of each request."""
        self.scheduler: Asking | None = None
        self.places: Places | None = None  # where the crawl has a browser
        self.budgets: BudgetGate | None = None
        """There where a budget may have no room for a request."""
        self._trials: Trials | None = None
        self.given_up: dict[str, Gate] = {}
        """Names of lanes whose requests are to be given up, and the gates that say so."""
        self.waits = WaitsInProcess(crawler, self._committer)
        self._tickets: dict[Request, Ticket] = {}
        self.with_own_proxy: WeakSet[Request] = WeakSet()
        self._failed_by_proxy: WeakSet[Request] = WeakSet()
        self._stats: Any = crawler.stats

    def _make_gates(self) -> Gates:
        requests = self.crawler.settings.getint("CONCURRENT_REQUESTS")
        return Gates(
            GateConfig(
                slow_start=self.config.slow_start,
                probation_slots=max(requests // 4, 1),
                retry_slots=self.config.retry_concurrency,
                adaptive=self.config.adaptive_rate,
            ),
            random.random,
            breaker_of=self.domains.breaker,
            limit_of=self.domains.rate,
            patience_of=self.domains.patience,
            on_change=self._breaker_changed,
            on_free=self._free,
            on_give_up=self._give_up,
        )

    def _committer(self) -> Committer | None:
        return None if self.scheduler is None else self.scheduler.committer

    # --- the scheduler's side ---

    def attach(self, scheduler: Asking) -> None:
        """Our scheduler is open: it asks the gates, and its job keeps what they know."""
        self.scheduler = scheduler
        self._trials = Trials(self.crawler, scheduler.frontier, self)
        self._saved.attach(scheduler)

    def ready_at(self, lane: str, now: float) -> float:
        """When the next request of *lane* may go: see :meth:`.Gates.ready_at`."""
        if self.places is not None and (until := self.places.ready_at(lane, now)) > now:
            return until
        domain, action = self.lane_names.split(lane)
        is_retry = is_of_retries(lane)
        if self.budgets is not None and (until := self.budgets.ready_at(domain, now)) > now:
            self.gates.gate(domain, now).wait(lane)
            return until
        until = self.gates.ready_at(
            domain, now, heed_breaker=action == "hold", is_retry=is_retry
        )
        if until <= now and action == "hold":
            gate = self.gates.known(domain)
            if gate.breaker.state is _HALF_OPEN and self._trials is not None:
                until = until if self._trials.has_turn(lane, gate) else inf
        if until > now:
            gate = self.gates.gate(domain, now)
            gate.wait(lane)
            if gate.given_up:
                self.given_up[lane] = gate
        return until

    def why(self, lane: str, now: float) -> tuple[str, str]:
        """The domain of a lane that is held, and what it waits for, in words."""
        domain, _ = self.lane_names.split(lane)
        if self.budgets is not None and (reason := self.budgets.why(domain)):
            return domain, reason
        reason = self.gates.why(domain, now)
        if not reason:  # it waits for requests of others
            reason = "circuit breaker tries another request"
            if self.places is not None and self.places.ready_at(lane, now) > now:
                reason = "no page of the browser is free"
            return domain, "too many retries" if is_of_retries(lane) else reason
        if reason == "rate limit" and self.gates.known(domain).asked is not None:
            reason = "robots.txt"
        return domain, reason

    def is_given_up(self, lane: str) -> bool:
        """Whether requests of *lane* are given up when their turn comes."""
        return self.gates.known(self.lane_names.split(lane)[0]).given_up

    def handed_out(self, request: Request, lane: str, now: float) -> None:
        domain, _ = self.lane_names.split(lane)
        if self.budgets is not None:
            self.budgets.reserve(request, domain)
        if self.places is not None:
            self.places.handed_out(request, lane, now)
        ticket = self.gates.acquire(domain, now, is_retry=is_of_retries(lane))
        self._sent(request, ticket)

    def _sent(self, request: Request, ticket: Ticket) -> None:
        request.meta.pop(_LATENCY, None)  # of an earlier try
        if has_own_proxy(request):
            self.with_own_proxy.add(request)
        self._tickets[request] = ticket
        _current.set(ticket)  # the engine makes the request's task in this very context

    def rides_along(self, request: Request) -> bool:
        """Whether a request under way downloads *request* for itself: a token, a login.

        It has waited already, and what it waits for now must not wait for it.
        """
        ticket = _current.get()
        return (
            ticket is not None
            and ticket.open
            and ticket.gate.domain == self.domain(request)
            and self.gates.has(ticket.gate)
        )

    def sweep(self, busy: Container[Request]) -> bool:
        """Settle requests that ended on their way."""
        gone = [
            request
            for request in self._tickets
            if request not in busy and not self.is_for_nobody(request)
        ]
        for request in gone:
            self.replaced(request)
        return bool(gone)

    def replaced(self, request: Request) -> None:
        """A request has ended in another one; what was redirected has been answered."""
        ticket = self._end(request)
        if ticket is None:
            return
        outcome = Outcome.SUCCESS if _LATENCY in request.meta else Outcome.CANCELLED
        _forget_page(ticket.gate, request, outcome)
        self.gates.settle(ticket, outcome, _clock.monotonic())

    def _end(self, request: Request) -> Ticket | None:
        if self.budgets is not None:
            self.budgets.release(request)
        return self._tickets.pop(request, None)

    # --- the middlewares' side ---

    def known(self, request: Request) -> Gate:
        """What is known of the domain of *request*, to be read only."""
        return self.gates.known(self.domain(request))

    def ticket(self, request: Request) -> Ticket | None:
        return self._tickets.get(request)

    def acquire(self, request: Request, now: float) -> None:
        """A request that did not come from the scheduler goes now."""
        self._sent(request, self.gates.acquire(self.domain(request), now))

    def ask_if_alone(self, request: Request) -> None:
        """*request* has failed: find out about its domain where nobody else does."""
        if self._trials is not None:
            self._trials.check_if_alone(self.known(request), self.budgets)

    @property
    def is_checking(self) -> bool:
        """Whether a domain is being asked whether it answers."""
        return self._trials is not None and bool(self._trials.checks)

    def is_for_nobody(self, request: Request) -> bool:
        """Whether *request* is only to tell whether its domain answers."""
        return self._trials is not None and request in self._trials.checks

    def answered(self, request: Request, result: Response | Exception) -> None:
        """What came back for a request; the first word about it counts."""
        ticket = self._tickets.get(request)
        if ticket is None:
            return
        verdict = self.judge(request, result)
        self.probes.restore(request)
        if verdict.failure_class not in self.decided or self.is_for_nobody(request):
            self.settle(request, result, verdict)

    def settle(
        self,
        request: Request,
        result: Response | Exception,
        verdict: Verdict,
        *,
        decided: bool = False,
    ) -> None:
        """Tell the gates; a failure that a handler has *decided* about is not the domain's."""
        ticket = self._end(request)
        if ticket is None:
            return
        outcome = self._outcomes.of(request, result, verdict)
        if decided or self.is_failed_by_proxy(request):
            outcome = Outcome.IGNORED
        if outcome is Outcome.FAILURE:
            ticket.gate.failure_class = verdict.failure_class or ""
        elif outcome is Outcome.SUCCESS and request not in self.with_own_proxy:
            ticket.gate.known_page = known_page(request, result) or ticket.gate.known_page
        _forget_page(ticket.gate, request, outcome)
        self.gates.settle(
            ticket,
            outcome,
            _clock.monotonic(),
            latency_of(request.meta) or 0.0,
            verdict.retry_after or 0.0,
            verdict.reason,
            pushback=is_overloaded(result),
            cut_short=isinstance(result, Exception) and self.probes.was_cut_short(request),
        )
        if self.on_settled is not None:
            try:
                self.on_settled(request, result, verdict, ticket.gate.domain)
            except Exception:
                logger.exception("What became of %s can't be counted", request)

    # --- proxies ---

    def is_scheduled(self, request: Request) -> bool:
        """Whether *request* came from our frontier, and may go back there."""
        return self.scheduler is not None and self.scheduler.issued(request)

    def blame_proxy(self, request: Request) -> None:
        """A failure of *request* is its proxy's, not its domain's."""
        self._failed_by_proxy.add(request)

    def is_failed_by_proxy(self, request: Request) -> bool:
        """Whether a failure of *request* is its proxy's."""
        return request in self._failed_by_proxy

    def drop_chosen_proxy(self, request: Request, new: Request) -> bool:
        """Let another proxy be chosen for *new*, unless *request* came with its own."""
        if not self.is_scheduled(request) or request in self.with_own_proxy:
            return False
        new.meta.pop(_PROXY, None)
        return True

    # --- from a domain ---

    def hold(self, request: Request, seconds: float, reason: str) -> None:
        """Nobody asks the domain of *request* for *seconds*."""
        if self.gates.hold(self.domain(request), seconds, reason, _clock.monotonic()):
            self._stats.inc_value(names.STAT_HOLDS)
            self._saved.commit_soon()
            domain = self.domain(request)
            self._take_back(domain)
            text = f"{domain} is left alone for {seconds:.0f} s: {reason}"
            tell(self.crawler, "hold", text, domain)

    def _take_back(self, domain: str) -> None:
        """DOWNLOAD_DELAY keeps requests in the downloader that were let through before."""
        if self.active:
            take_back(self.crawler.engine, lambda each: self.domain(each) == domain, HeldBack)

    def limit(self, request: Request, rate: Rate) -> None:
        """The domain of *request* asks for a rate: it counts where the settings allow more."""
        domain = self.domain(request)
        given = self.domains.rate(domain)
        if given is None or given.per_second > rate.per_second:
            self.gates.limit(domain, rate, _clock.monotonic())

    # --- what the gates say ---

    def _breaker_changed(self, gate: Gate, old: State, new: State, event: Event) -> None:
        if new is State.OPEN:
            self._saved.commit_soon()
            self._take_back(gate.domain)
        announce(self.crawler, gate.domain, old, new, event)

    def _free(self, gate: Gate) -> None:
        lanes, gate.lanes = gate.lanes, None
        if self.scheduler is None or not lanes:
            return
        for lane in lanes:
            self.scheduler.frontier.release(lane)
        wake(self.crawler.engine)

    def _give_up(self, gate: Gate) -> None:
        why = f"{gate.domain} is given up: {gate.breaker.last_failure}"
        tell(self.crawler, "given_up", why, gate.domain, "error")
        lanes = gate.lanes or (gate.domain, gate.domain + RETRIES)
        self.given_up.update(dict.fromkeys(lanes, gate))

    def close(self) -> None:
        self._saved.close()
        self.scheduler = None


def latency_of(meta: Mapping[str, Any]) -> float | None:
    """Seconds to the answer of a request with *meta*; None where no downloader has said so."""
    seconds: Any = meta.get(_LATENCY)
    return seconds if isinstance(seconds, (float, int)) and 0 <= seconds < inf else None


def _forget_page(gate: Gate, request: Request, outcome: Outcome) -> None:
    """A page of which nothing is heard any more tells no trial whether its domain is up."""
    if outcome in _SAYS_NOTHING and gate.known_page and request.url == gate.known_page.url:
        gate.known_page = None


_current: ContextVar[Ticket | None] = ContextVar("scrapy_resilience_ticket", default=None)
"""Of the request whose middlewares and download run in this context."""

_gatekeepers: Final = WeakOfCrawlers(Gatekeeper)


def gatekeeper_of(crawler: Crawler) -> Gatekeeper:
    """The gatekeeper of a crawler, made by whoever asks first, and kept by those who ask."""
    return _gatekeepers.of(crawler)
