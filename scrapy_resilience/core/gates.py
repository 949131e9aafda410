"""Which domain may be asked now: every reason not to is "not before t".

A :class:`.Gate` is what is known of one domain; here is what they have in common.

A domain is *on probation* after a failure without a success, when its first request has no
answer and it gets another one, and while its breaker is not closed. Domains on probation have
:attr:`GateConfig.probation_slots` requests under way together, so that a hundred dead hosts
leave room for a healthy one; who finds no room waits in a queue. When nobody else has work,
:meth:`Gates.excuse` lets the next one through. Where that many domains wait for their first
answer, the first request of another one is a *probe* (:mod:`.probes`).

Nothing here knows Scrapy or a clock: *now* is an argument, in seconds of a clock that never
goes back, *wall* the time of day.
"""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from typing import TYPE_CHECKING, Final

import msgspec

from scrapy_resilience.core.backoff import RetryChances
from scrapy_resilience.core.breaker import Breaker, Event, Outcome, State
from scrapy_resilience.core.breakerconfig import BreakerConfig
from scrapy_resilience.core.gate import REFUSING, Gate, Patience, SavedGate, Ticket
from scrapy_resilience.core.notable import Notable
from scrapy_resilience.core.pace import Pace
from scrapy_resilience.core.probes import ANSWERS, ProbeTimes
from scrapy_resilience.core.ratelimit import Rate, TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["GateConfig", "Gates"]

_HALF_OPEN: Final = State.HALF_OPEN
_SUCCESS: Final = Outcome.SUCCESS  # a member costs several times as much to look up
_LOOKED_AT: Final = 16
"""Gates that one eviction looks at."""
_BUSY: Final = 3.0
"""Seconds for which an answer says that there is work for the places of a crawl."""


class GateConfig(msgspec.Struct, frozen=True):
    """What the gates of a crawl have in common."""

    slow_start: float = 1.0
    """Seconds; 0 turns slow start and probation off."""
    probation_slots: int = 4
    retry_slots: int = 5
    """Retries under way at a time."""
    adaptive: bool = True
    """Whether throttling slows a domain down."""
    max_gates: int = 100_000
    """Domains to keep when they are healthy and idle."""


class Gates:
    """All gates of a crawl. They are made when they are needed, and idle ones are forgotten.

    *rng* gives a random number from 0 to 1, *breaker_of* a domain's configuration of its
    breaker, *limit_of* its rate limit, *patience_of* when it is given up. *on_change* is called
    with (gate, old, new, event) after a breaker has changed, *on_free* when what waits for a
    gate should ask again, *on_give_up* when one is given up.
    """

    def __init__(
        self,
        config: GateConfig,
        rng: Callable[[], float],
        *,
        breaker_of: Callable[[str], BreakerConfig] = lambda _: BreakerConfig(),
        limit_of: Callable[[str], Rate | None] = lambda _: None,
        patience_of: Callable[[str], Patience] = lambda _: Patience(),
        on_change: Callable[[Gate, State, State, Event], None] = lambda *_: None,
        on_free: Callable[[Gate], None] = lambda _: None,
        on_give_up: Callable[[Gate], None] = lambda _: None,
    ) -> None:
        self.config = config
        self._rng = rng
        self._breaker_of = breaker_of
        self._limit_of = limit_of
        self._patience_of = patience_of
        self._on_change = on_change
        self._on_free = on_free
        self._on_give_up = on_give_up
        self._gates: OrderedDict[str, Gate] = OrderedDict()
        self.notable = Notable()
        self._probes = ProbeTimes(config.slow_start)
        self._queue: OrderedDict[Gate, None] = OrderedDict()
        self._on_probation = 0
        self._starting = 0
        self._starting_until = 0.0
        self._answered_at = -inf
        self._retrying = 0
        self._retry_queue: OrderedDict[Gate, None] = OrderedDict()
        self._unknown = Gate("", self.breaker_changed, inf)
        self._unknown.breaker = Breaker(BreakerConfig(), rng)
        self.successes = 0

    def __len__(self) -> int:
        return len(self._gates)

    def __contains__(self, domain: str) -> bool:
        return domain in self._gates

    # --- before a request ---

    def ready_at(
        self, domain: str, now: float, *, heed_breaker: bool = True, is_retry: bool = False
    ) -> float:
        """Not after *now* when a request may go, else when to ask again; inf: when told."""
        config = self.config
        crowded = is_retry and self._retrying >= config.retry_slots
        gate = self._gates.get(domain)
        if gate is None:
            if not crowded:
                return 0.0
            gate = self.gate(domain, now)
        until = gate.ready_at(now, config.slow_start, heed_breaker=heed_breaker)
        if until > now:
            if gate.is_starting:
                answer_by = gate.first_at + config.slow_start  # a hold may last much longer
                self._starting_until = max(self._starting_until, answer_by)
            return until
        if self._on_probation >= config.probation_slots and config.slow_start:
            until = self._take_turn(gate, now)
        if crowded and until <= now:
            self._retry_queue[gate] = None
            return inf
        return until

    def _take_turn(self, gate: Gate, now: float) -> float:
        if gate.excused or not self._is_doubtful(gate, now) or gate.breaker.ready_at(now) > now:
            return 0.0
        self._queue[gate] = None
        return inf

    def _is_doubtful(self, gate: Gate, now: float) -> bool:
        """Whether it is on probation; a short look is enough while others answer."""
        others_answer = now - self._answered_at < _BUSY
        return gate.on_probation or (others_answer and gate.looks > 0 and not gate.proven)

    def excuse(self, now: float) -> bool:
        """Let one domain through that waits for room on probation: nobody else has work.

        Not while a new domain waits for its first answer: it will need the room.
        """
        if not self._queue or now < self._starting_until:
            return False
        gate, _ = self._queue.popitem(last=False)
        gate.excused = True
        self._on_free(gate)
        return True

    def pass_on(self) -> bool:
        """Wake the next one of a queue that has room: whoever was woken may not have gone."""
        for queue, room in (
            (self._retry_queue, self.config.retry_slots - self._retrying),
            (self._queue, self.config.probation_slots - self._on_probation),
        ):
            if queue and room > 0:
                gate, _ = queue.popitem(last=False)
                self._on_free(gate)
                return True
        return False

    def acquire(self, domain: str, now: float, *, is_retry: bool = False) -> Ticket:
        """A request goes now. Whoever asked :meth:`ready_at` before gets a permit."""
        gate = self.gate(domain, now)
        permit = gate.breaker.acquire(now)
        probation = self._is_doubtful(gate, now)
        starts = not (gate.under_way or gate.proven or gate.failed)
        gate.took(now, sent=permit is not None)
        if permit is None:
            return Ticket(gate, permit, now, False, False)  # noqa: FBT003 - see there
        gate.excused = False
        if self._queue:
            self._queue.pop(gate, None)
        if is_retry:
            self._retrying += 1
            self._retry_queue.pop(gate, None)
        self._on_probation += probation
        ticket = Ticket(gate, permit, now, probation, is_retry)
        if starts:
            if self._starting >= self.config.probation_slots:
                ticket.probe = self._probes.seconds(gate)
            self._starting += 1
            ticket.starts = True
        elif gate.breaker.state is _HALF_OPEN:
            gate.trial = ticket
        return ticket

    def has(self, gate: Gate) -> bool:
        """Whether *gate* is one of these."""
        return self._gates.get(gate.domain) is gate

    def why(self, domain: str, now: float) -> str:
        """The reason that lasts longest, in words; empty when there is none."""
        gate = self.known(domain)
        reasons = gate.reasons(now, self.config.slow_start)
        if gate in self._queue:
            reasons.append((inf, "too many domains on probation"))
        return max(reasons)[1] if reasons else ""

    def waiting(self) -> list[str]:
        """The domains for which something waits. Looks at all of them."""
        return [domain for domain, gate in self._gates.items() if gate.lanes]

    def known(self, domain: str) -> Gate:
        """What is known of *domain*, to be read only: where that is nothing, it is not kept."""
        return self._gates.get(domain, self._unknown)

    def gate(self, domain: str, now: float) -> Gate:
        """The gate of *domain*, which is made when there is none."""
        gate = self._gates.get(domain)
        if gate is None:
            if len(self._gates) >= self.config.max_gates:
                self._evict(now)
            gate = self._gates[domain] = Gate(domain, self.breaker_changed, now)
            gate.breaker = self._breaker(gate, {}, now, 0.0)
            rate = self._limit_of(domain)
            gate.bucket = TokenBucket(rate, now) if rate is not None else None
        return gate

    def _breaker(self, gate: Gate, data: SavedGate, now: float, wall: float) -> Breaker:
        config = self._breaker_of(gate.domain)
        if data:
            return Breaker.load(config, data, now, wall, self._rng, on_transition=gate.changed)
        return Breaker(config, self._rng, gate.changed)

    def give_back(self, now: float) -> None:
        """Forget all that are idle: memory is short."""
        self._evict(now, len(self._gates))

    def _evict(self, now: float, most: int = _LOOKED_AT) -> None:
        """Forget some that are idle. Looks at a few, so that no request pays for many."""
        for _ in range(min(most, len(self._gates))):
            domain, gate = self._gates.popitem(last=False)
            if not gate.idle(now):
                self._gates[domain] = gate
            else:
                self.notable.evicted(gate)

    # --- after a request ---

    def settle(  # noqa: PLR0917 - one call for each response: keywords cost time
        self,
        ticket: Ticket,
        outcome: Outcome,
        now: float,
        duration: float = 0.0,
        retry_after: float = 0.0,
        failure: str = "",
        *,
        pushback: bool = False,
        cut_short: bool = False,
    ) -> None:
        """What became of a request, as :meth:`.Breaker.record`; the first word counts.

        :param cut_short: whether it had no more time than a probe has
        :param pushback: whether a failure may have meant that the domain is asked too fast;
            throttling always does
        """
        if not ticket.open:
            return
        ticket.open = False
        gate = ticket.gate
        gate.under_way -= 1
        self._leave(ticket)
        if ticket.starts:
            outcome = self._probes.ended(ticket, outcome, now, cut_short=cut_short)
        on_trial = gate.breaker.state in REFUSING
        if ticket.permit is not None:
            gate.breaker.record(ticket.permit, outcome, now, duration, retry_after, failure)
        if outcome is _SUCCESS:
            self._succeeded(gate, now)
        elif outcome is Outcome.FAILURE:
            gate.failed = True
            self.notable.mark(gate)
        if outcome in ANSWERS:
            self._answered(ticket, outcome, now, pushback=pushback, on_trial=on_trial)
        if gate.lanes:
            self._on_free(gate)

    def _answered(
        self, ticket: Ticket, outcome: Outcome, now: float, *, pushback: bool, on_trial: bool
    ) -> None:
        gate, throttled = ticket.gate, outcome is Outcome.THROTTLED
        if ticket.is_retry and not on_trial:  # an outage says nothing of retries
            gate.chances = gate.chances or RetryChances()
            gate.chances.add(succeeded=outcome is _SUCCESS)
        if gate.pace is None:
            # The first 503 of a page begins none: more often it means anything else.
            begins = throttled or (pushback and ticket.is_retry)
            if not (begins and gate.answers and self.config.adaptive):
                return
            gate.pace = Pace(ticket.sent_at)  # not at a first answer: one has no rate
        pushback = pushback or throttled
        if gate.pace.answered(ticket.sent_at, now, pushback=pushback):
            self.notable.mark(gate)
        elif not pushback and gate.pace.idle(now):
            gate.pace = None

    def _leave(self, ticket: Ticket) -> None:
        if ticket.gate.trial is ticket:
            ticket.gate.trial = None
        self._starting -= ticket.starts
        if ticket.probation:
            self._make_room()
        if ticket.is_retry:
            self._retrying -= 1
            self._tell_retries()

    def _tell_retries(self) -> None:
        """Room for a retry goes to one that waits; all are told when nobody else will tell."""
        waiting = len(self._retry_queue)
        for _ in range(min(waiting, 1) if self._retrying else waiting):
            gate, _ = self._retry_queue.popitem(last=False)
            self._on_free(gate)

    def _make_room(self) -> None:
        self._on_probation -= 1
        if self._queue and self._on_probation < self.config.probation_slots:
            gate, _ = self._queue.popitem(last=False)
            self._on_free(gate)

    def _succeeded(self, gate: Gate, now: float) -> None:
        self.successes += 1
        self._answered_at = now
        gate.answers += 1
        gate.answered_at = now
        gate.looks = 0
        gate.proven, gate.failed, gate.given_up = True, False, False
        if self.notable.is_stored(gate.domain):
            self.notable.mark(gate)

    def breaker_changed(self, gate: Gate, old: State, new: State, event: Event) -> None:
        """Called by the gate."""
        self.notable.mark(gate)
        self.notable.sort(gate, old, new)
        if event is Event.TRIAL_LATE and gate.trial is not None:
            self._excuse_late(gate.trial)
        if new is State.OPEN:
            gate.proven = False
        self._on_change(gate, old, new, event)
        failed = new is State.OPEN and event is not Event.TRIAL_THROTTLED
        if failed and gate.lose_patience(self._patience_of(gate.domain)):
            self._on_give_up(gate)

    def _excuse_late(self, trial: Ticket) -> None:
        """Others need the place of a trial that hangs."""
        if trial.probation:
            trial.probation = False
            self._make_room()

    # --- from outside ---

    def hold(self, domain: str, seconds: float, reason: str, now: float) -> bool:
        """Nobody asks *domain* for *seconds*. False when it is held for longer already."""
        gate = self.gate(domain, now)
        if held := gate.hold(seconds, reason, now):
            self.notable.mark(gate)
        return held

    def force_open(self, domain: str, now: float) -> None:
        """Nobody asks *domain* until it is reset, in this run or a later one."""
        self.gate(domain, now).breaker.force_open()

    def reset(self, domain: str, now: float) -> None:
        """*domain* may be asked at once, and its failures are forgotten."""
        gate = self.gate(domain, now)
        gate.reset(now)
        if gate.lanes:
            self._on_free(gate)

    def limit(self, domain: str, rate: Rate, now: float) -> None:
        """The domain asks for this rate."""
        self.gate(domain, now).limit(rate, now)

    # --- across runs ---

    def changed(self, now: float, wall: float) -> dict[str, SavedGate | None]:
        """What the next checkpoint has to know: domain → plain values, None to forget it."""
        return self.notable.changes(now, wall)

    def restore(self, saved: Mapping[str, SavedGate], now: float, wall: float) -> None:
        """Go on with what :meth:`changed` gave in an earlier run."""
        for domain, data in saved.items():
            gate = self.gate(domain, now)
            old = gate.breaker.state
            gate.breaker = self._breaker(gate, data, now, wall)
            gate.restore(data, now, wall)
            self.notable.restored(gate, old)
