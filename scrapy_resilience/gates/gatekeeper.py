"""The gates of a crawl: glue between requests, domains and the pure gates.

A lane of the frontier is the requests of one download slot *and* one domain: limits belong
to slots, gates to domains. Nearly always both are the host, and so is the lane's name.
"""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Any, Final
from weakref import ReferenceType, WeakKeyDictionary, ref

from scrapy.exceptions import IgnoreRequest

from scrapy_resilience import _clock, names, signals
from scrapy_resilience._scrapy import take_back, wake
from scrapy_resilience.checkpoint.layout import GATES
from scrapy_resilience.core.breaker import Event, Outcome, State
from scrapy_resilience.core.failures import THROTTLED
from scrapy_resilience.core.gates import Gate, GateConfig, Gates
from scrapy_resilience.gates.domains import ACTIONS, Domains
from scrapy_resilience.gates.judge import Judge
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from collections.abc import Container

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from scrapy_resilience.core.failures import Verdict
    from scrapy_resilience.core.gates import Ticket
    from scrapy_resilience.core.ratelimit import Rate
    from scrapy_resilience.scheduler import ResilientScheduler

__all__ = ["Gatekeeper", "HeldBack", "gatekeeper_of"]

logger = logging.getLogger(__name__)

_SEPARATOR: Final = "\t"
_LANE_KEYS: Final = frozenset({names.META_OPEN_ACTION, "download_slot"})
_LATENCY: Final = "download_latency"
"""Scrapy's meta key: the downloader sets it when an answer comes."""
_COMMIT_WITHIN: Final = 0.1
"""Seconds after which a hold is written down: it must survive a kill."""
_STATS: Final = {
    State.OPEN: names.STAT_BREAKER_OPENED,
    State.HALF_OPEN: names.STAT_BREAKER_HALF_OPEN,
    State.CLOSED: names.STAT_BREAKER_CLOSED,
}


class HeldBack(IgnoreRequest):
    """A request was taken out of the downloader, where it waited for its turn."""


class Gatekeeper:
    """One for each crawler, from :func:`gatekeeper_of`."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.config = config = Config.from_settings(crawler.settings)
        self.domains = Domains(crawler, config)
        self._judge = Judge(config)
        self._judged: tuple[Request, object, Verdict] | None = None
        self.gates = Gates(
            GateConfig(
                slow_start=config.slow_start,
                probation_slots=max(crawler.settings.getint("CONCURRENT_REQUESTS") // 4, 1),
                adaptive=config.adaptive_rate,
            ),
            random.random,
            breaker_of=self.domains.breaker,
            limit_of=self.domains.rate,
            max_trips_of=self.domains.max_trips,
            on_change=self._breaker_changed,
            on_free=self._free,
            on_give_up=self._give_up,
        )
        self.active = False
        """Whether a middleware says what becomes of each request."""
        self.scheduler: ResilientScheduler | None = None
        self.given_up: dict[str, Gate] = {}
        """Lanes whose requests are to be given up, and the gates that say so."""
        self._tickets: dict[Request, Ticket] = {}
        self._stats: Any = crawler.stats
        self._commit_timer: Any = None

    # --- the scheduler's side ---

    def attach(self, scheduler: ResilientScheduler) -> None:
        """Our scheduler is open: it asks the gates, and its job keeps what they know."""
        self.scheduler = scheduler
        if scheduler.job is not None:
            scheduler.job.state.register_map(GATES, self._changed, self._restore)

    def lane(self, slot: str, request: Request) -> str:
        """The lane of a request that goes through the download slot *slot*."""
        if self.domains.is_slot and request.meta.keys().isdisjoint(_LANE_KEYS):
            return slot
        domain, action = self.domain(request), self.open_action(request)
        wanted = request.meta.get(names.META_OPEN_ACTION)
        if wanted and wanted != action:
            logger.warning(
                "%s=%r of %s: use hold or fail", names.META_OPEN_ACTION, wanted, request
            )
        if domain == slot and action == self.domains.action(domain):
            return slot
        return _SEPARATOR.join((slot, domain, action))

    def _split(self, lane: str) -> tuple[str, str]:
        """The domain of a lane, and what becomes of its requests while the breaker is open."""
        if _SEPARATOR not in lane:
            return lane, self.domains.action(lane)
        _, domain, action = lane.rsplit(_SEPARATOR, 2)
        return domain, action

    def ready_at(self, lane: str, now: float) -> float:
        """When the next request of *lane* may go: see :meth:`.Gates.ready_at`."""
        domain, action = self._split(lane)
        until = self.gates.ready_at(domain, now, heed_breaker=action == "hold")
        if until > now:
            gate = self.gates.gate(domain, now)
            gate.wait(lane)
            if gate.given_up:
                self.given_up[lane] = gate
        return until

    def is_given_up(self, lane: str) -> bool:
        """Whether requests of *lane* are given up when their turn comes."""
        return self.gates.is_given_up(self._split(lane)[0])

    def handed_out(self, request: Request, lane: str, now: float) -> None:
        request.meta.pop(_LATENCY, None)  # of an earlier try
        self._tickets[request] = self.gates.acquire(self._split(lane)[0], now)

    def sweep(self, busy: Container[Request]) -> bool:
        """Settle requests that ended on their way: redirected ones were answered."""
        gone = [request for request in self._tickets if request not in busy]
        for request in gone:
            answered = _LATENCY in request.meta
            outcome = Outcome.SUCCESS if answered else Outcome.CANCELLED
            self._settle(self._tickets.pop(request), outcome)
        return bool(gone)

    # --- the middlewares' side ---

    def domain(self, request: Request) -> str:
        """As text that the store can hold, too."""
        return self.domains.of(request)

    def open_action(self, request: Request) -> str:
        """``"hold"`` or ``"fail"``: what becomes of a request while its breaker is open."""
        action: Any = request.meta.get(names.META_OPEN_ACTION)
        if action in ACTIONS:
            return str(action)
        return self.domains.action(self.domain(request))

    def ticket(self, request: Request) -> Ticket | None:
        return self._tickets.get(request)

    def acquire(self, request: Request, now: float) -> Ticket:
        """A request that did not come from the scheduler goes now."""
        request.meta.pop(_LATENCY, None)
        ticket = self._tickets[request] = self.gates.acquire(self.domain(request), now)
        return ticket

    def judge(self, request: Request, result: Response | Exception) -> Verdict:
        """One judgement for two middlewares that ask in turn."""
        last = self._judged
        if last is not None and last[0] is request and last[1] is result:
            self._judged = None  # a response is large
            return last[2]
        verdict = self._judge(result)
        self._judged = request, result, verdict
        return verdict

    def answered(self, request: Request, result: Response | Exception) -> None:
        """What came back for a request; the first word about it counts."""
        ticket = self._tickets.pop(request, None)
        if ticket is None:
            return
        verdict = self.judge(request, result)
        latency = request.meta.get(_LATENCY, 0.0)
        wait = verdict.retry_after or 0.0
        if verdict.counts_against_domain:
            ticket.gate.failure_class = verdict.failure_class or ""
        self._settle(ticket, _outcome(verdict, result), latency, wait, verdict.reason)

    def _settle(
        self,
        ticket: Ticket,
        outcome: Outcome,
        latency: float = 0.0,
        retry_after: float = 0.0,
        failure: str = "",
    ) -> None:
        now = _clock.monotonic()
        self.gates.settle(ticket, outcome, now, latency, retry_after, failure)

    def blameless(self, request: Request) -> bool:
        """Whether a failure is the domain's: its breaker is not closed."""
        return not self.gates.is_closed(self.domain(request))

    def hold(self, request: Request, seconds: float, reason: str) -> None:
        """Nobody asks the domain of *request* for *seconds*."""
        if self.gates.hold(self.domain(request), seconds, reason, _clock.monotonic()):
            self._stats.inc_value(names.STAT_HOLDS)
            self._commit_soon()
            self._take_back(self.domain(request))

    def _take_back(self, domain: str) -> None:
        """DOWNLOAD_DELAY keeps requests in the downloader that were let through before."""
        if self.active:
            is_its = lambda request: self.domain(request) == domain  # noqa: E731
            take_back(self.crawler.engine, is_its, HeldBack)

    def limit(self, request: Request, rate: Rate) -> None:
        """The domain of *request* asks for a rate: it counts where the settings allow more."""
        domain = self.domain(request)
        given = self.domains.rate(domain)
        if given is None or given.per_second > rate.per_second:
            self.gates.limit(domain, rate, _clock.monotonic())

    # --- what the gates say ---

    def _breaker_changed(self, gate: Gate, old: State, new: State, event: Event) -> None:
        if (stat := _STATS.get(new)) is not None:
            self._stats.inc_value(stat)
        if new is State.OPEN:
            self._commit_soon()
            self._take_back(gate.domain)
        level = logging.WARNING if old is State.CLOSED or new is State.CLOSED else logging.INFO
        logger.log(
            level, "The circuit breaker of %s is %s: %s", gate.domain, new.value, event.value
        )
        self.crawler.signals.send_catch_log(
            signals.breaker_changed,
            domain=gate.domain,
            old=old.value,
            new=new.value,
            reason=event.value,
        )

    def _free(self, gate: Gate) -> None:
        lanes, gate.lanes = gate.lanes, None
        if self.scheduler is None or not lanes:
            return
        for lane in lanes:
            self.scheduler.frontier.release(lane)
        wake(self.crawler.engine)

    def _give_up(self, gate: Gate) -> None:
        self.given_up.update(dict.fromkeys(gate.lanes or (gate.domain,), gate))

    # --- the checkpoint ---

    def _commit_soon(self) -> None:
        if self.scheduler is not None and self._commit_timer is None:
            self._commit_timer = _clock.call_later(_COMMIT_WITHIN, self._commit)

    def _commit(self) -> None:
        self._commit_timer = None
        if self.scheduler is not None:
            self.scheduler.on_full()

    def _changed(self) -> dict[str, Any]:
        return self.gates.changed(_clock.monotonic(), _clock.wall())

    def _restore(self, saved: dict[str, Any]) -> None:
        self.gates.restore(saved, _clock.monotonic(), _clock.wall())

    def close(self) -> None:
        if self._commit_timer is not None:
            self._commit_timer.cancel()
            self._commit_timer = None
        self.scheduler = None


def _outcome(verdict: Verdict, result: Response | Exception) -> Outcome:
    if verdict.ignored or isinstance(result, IgnoreRequest) or _is_cached(result):
        return Outcome.IGNORED
    if verdict.counts_against_domain:
        return Outcome.FAILURE
    if verdict.failure_class == THROTTLED:
        return Outcome.THROTTLED
    return Outcome.IGNORED if isinstance(result, Exception) else Outcome.SUCCESS


def _is_cached(result: Response | Exception) -> bool:
    return not isinstance(result, Exception) and "cached" in result.flags


_gatekeepers: WeakKeyDictionary[Crawler, ReferenceType[Gatekeeper]] = WeakKeyDictionary()
# weak both ways: a gatekeeper knows its crawler


def gatekeeper_of(crawler: Crawler) -> Gatekeeper:
    """The gatekeeper of a crawler, made by whoever asks first, and kept by those who ask."""
    known = _gatekeepers.get(crawler)
    keeper = known() if known is not None else None
    if keeper is None:
        keeper = Gatekeeper(crawler)
        _gatekeepers[crawler] = ref(keeper)
    return keeper
