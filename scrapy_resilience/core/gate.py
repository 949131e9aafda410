"""A gate: what is known of one domain, and when it may be asked.

It combines

- its circuit breaker,
- a hold, which a ``Retry-After`` or a ban has set,
- a rate limit of the settings or of robots.txt, and a pace that follows what it throttles,
- a slow start: a domain that has not answered yet gets one request, and others only after
  some seconds without an answer (TCP's first time-out is the model, RFC 6298); one whose first
  answer was a failure gets one at a time until it succeeds.

It is *given up* when it has failed for too long (``give_up_after``, by whether it has ever
answered), or after too many reopenings in a row. A failure costs a page one of its tries only
when the domain has answered somebody since that page's last failure: an outage costs each page
one.

What domains have in common is in :mod:`.gates`.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypedDict, cast

from scrapy_resilience.core.backoff import RetryChances
from scrapy_resilience.core.breaker import Breaker, Event, State
from scrapy_resilience.core.pace import Pace
from scrapy_resilience.core.ratelimit import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy_resilience.core.ratelimit import Rate

    OnChange = Callable[["Gate", State, State, Event], None]

__all__ = ["ON_TRIAL", "REFUSING", "Gate", "KnownPage", "Patience", "SavedGate", "Ticket"]

ON_TRIAL: Final = frozenset({State.OPEN, State.HALF_OPEN})
REFUSING: Final = ON_TRIAL | {State.FORCED_OPEN}
_LATELY: Final = 30.0
"""Seconds for which a domain that has answered is taken to be up."""


class SavedGate(TypedDict, total=False):
    """What a checkpoint knows of a domain: of its breaker, its hold and its pace.

    *until* and *held_until* are seconds since 1970, *open_time* and *held_for* how long that
    was in all.
    """

    state: str
    trips: int
    failures: int
    until: float
    open_time: float
    usual: Any
    last_failure: str
    held_until: float
    held_for: float
    hold_reason: str
    pace: dict[str, Any]


class Patience(NamedTuple):
    """When a domain is given up."""

    never_answered: float = 60.0
    """Seconds since its first request."""
    answered: float = 3600.0
    """Seconds since the first of its failures in a row."""
    trips: int = -1
    """Reopenings in a row; -1 for any number."""


class Ticket:
    """One request that was let through, until its outcome is known."""

    __slots__ = (
        "gate", "is_retry", "open", "permit", "probation", "probe", "sent_at", "starts",
    )  # fmt: skip

    def __init__(
        self,
        gate: Gate,
        permit: int | None,
        sent_at: float,
        probation: bool,  # noqa: FBT001
        is_retry: bool,  # noqa: FBT001
    ) -> None:
        self.gate = gate
        self.permit = permit
        """None for a request that goes although the breaker refuses it."""
        self.sent_at = sent_at
        self.probation = probation
        self.starts = False
        """Whether it is the first one of its domain."""
        self.probe = 0.0
        """Seconds that it has where that is little, else 0: see the head of :mod:`.gates`."""
        self.is_retry = is_retry
        self.open = True


class KnownPage(NamedTuple):
    """A page that was answered: its URL, and whether in a browser."""

    url: str
    in_browser: bool = False


class Gate:
    """What is known of one domain."""

    __slots__ = (
        "_on_change", "answered_at", "answers", "asked", "breaker", "bucket", "chances",
        "domain", "excused", "failed", "failure_class", "first_at", "given_up", "held_for",
        "held_until", "hold_reason", "known_page", "known_since", "lanes", "looks", "pace",
        "proven", "trial", "under_way",
    )  # fmt: skip

    breaker: Breaker

    def __init__(self, domain: str, on_change: OnChange, now: float) -> None:
        self.domain = domain
        self._on_change = on_change
        self.known_since = now
        self.known_page: KnownPage | None = None
        """One that was answered; its user sets it."""
        self.answers = 0
        """How often it has answered in this run."""
        self.answered_at = -inf
        self.chances: RetryChances | None = None
        """Of its retries, when there were any."""
        self.trial: Ticket | None = None
        self.bucket: TokenBucket | None = None
        self.pace: Pace | None = None
        self.asked: Rate | None = None
        """The rate that the domain has asked for: no setting has it."""
        self.held_until = 0.0
        self.held_for = 0.0
        self.hold_reason = ""
        self.proven = False
        self.failed = False
        self.excused = False
        self.given_up = False
        """Whether what waits is not worth the wait: until its next success."""
        self.under_way = 0
        self.looks = 0
        """Probes that had less than a slow start, and no answer."""
        self.first_at = 0.0
        self.failure_class = ""
        """Of the last failure that counted; its user sets it."""
        self.lanes: set[str] | None = None
        """Whatever waits for this gate, by names that its user chooses."""

    def wait(self, lane: str) -> None:
        """*lane* asks again when it is told to, or when its time has come."""
        if self.lanes is None:
            self.lanes = set()
        self.lanes.add(lane)

    @property
    def on_probation(self) -> bool:
        doubtful = not self.proven and (self.failed or self.under_way > 0)
        return doubtful or self.breaker.state in ON_TRIAL

    def idle(self, now: float) -> bool:
        """Whether forgetting this gate changes nothing."""
        return (
            not (self.under_way or self.failed or self.pace or self.lanes or self.asked)
            and not self.looks
            and self.held_until <= now
            and (self.bucket is None or not self.bucket.ready_at(now))
            and self.breaker.healthy_idle(now)
        )

    def reasons(self, now: float, slow_start: float) -> list[tuple[float, str]]:
        """Each reason to wait, with the time before which it will not pass."""
        found = [
            (self.breaker.ready_at(now), f"circuit breaker is {self.breaker.state.value}"),
            (self.held_until, self.hold_reason),
            (self.bucket.ready_at(now) if self.bucket else 0.0, "rate limit"),
            (self.pace.ready_at(now) if self.pace else 0.0, "slowed down after throttling"),
            (self._starts_at(slow_start), "no answer yet"),
        ]
        return [(until, reason) for until, reason in found if until > now]

    def ready_at(self, now: float, slow_start: float, *, heed_breaker: bool = True) -> float:
        """Not after *now* when a request may go, else when to ask again; inf: when told."""
        until = self.breaker.ready_at(now)
        if until > now and not heed_breaker:
            return 0.0  # it goes no further than to its refusal
        if until == inf:
            until = self.breaker.round_ends_at()  # a trial that hangs has an end, too
        until = max(until, self.held_until)
        if self.bucket is not None:
            until = max(until, self.bucket.ready_at(now))
        if self.pace is not None:
            until = max(until, self.pace.ready_at(now))
        if self.under_way and not self.proven:
            until = max(until, self._starts_at(slow_start))
        return until

    @property
    def lets_through(self) -> bool:
        """Whether its breaker refuses nothing."""
        return self.breaker.state not in REFUSING

    @property
    def is_starting(self) -> bool:
        """Whether its first answer has not come yet."""
        return self.under_way > 0 and not (self.proven or self.failed)

    def _starts_at(self, slow_start: float) -> float:
        if self.proven or not self.under_way or not slow_start:
            return 0.0
        if self.breaker.state in ON_TRIAL:
            return 0.0  # the breaker lets one through, whatever hangs since before it opened
        return inf if self.failed else self.first_at + slow_start

    def took(self, now: float, *, sent: bool = True) -> None:
        """A request goes; one that is not *sent* goes to its refusal only."""
        if not self.under_way:
            self.first_at = now
        self.under_way += 1
        if not sent:
            return
        if self.bucket is not None:
            self.bucket.take(now)
        if self.pace is not None:
            self.pace.take(now)

    def hold(self, seconds: float, reason: str, now: float) -> bool:
        """Nobody asks it for *seconds*. False when it is held for longer already."""
        if now + seconds <= self.held_until:
            return False
        self.held_until, self.held_for, self.hold_reason = now + seconds, seconds, reason
        return True

    def limit(self, rate: Rate, now: float) -> None:
        """It asks for this rate: its slowest holds. A request under way counts."""
        if self.asked is not None and self.asked.per_second <= rate.per_second:
            return
        self.asked = rate
        self.bucket = TokenBucket(rate, now)
        if self.under_way:
            self.bucket.take(now)

    def reset(self, now: float) -> None:
        """Forget its failures, and what it has asked for."""
        self.held_until, self.pace = 0.0, None
        self.failed = self.given_up = False
        self.known_since, self.chances = now, None
        self.breaker.reset(now)

    def changed(self, old: State, new: State, event: Event) -> None:
        """The breaker has another state."""
        self._on_change(self, old, new, event)

    def is_paced(self, now: float) -> bool:
        """Whether it waits for its turn, which comes at a known time."""
        buckets = (self.bucket, self.pace)
        return any(each is not None and each.ready_at(now) > now for each in buckets)

    def lose_patience(self, patience: Patience) -> bool:
        """Whether it is given up as it opens; else a last trial comes before that."""
        breaker = self.breaker
        limit = patience.answered if breaker.answered else patience.never_answered
        failing = self.failing_for(breaker.opened_at)
        if failing >= limit or 0 <= patience.trips <= breaker.trips:
            self.given_up = True
            return True
        breaker.wait_no_longer(breaker.opened_at + limit - failing)
        return False

    def costs_a_try(self, answers: int | None) -> bool:
        """Whether a failure costs a page one of its tries.

        *answers* is what :attr:`answers` was when the page failed before, None for the first
        time.
        """
        return self.answers > 0 and self.answers != answers

    @property
    def tries(self) -> int:
        """How often a page is worth trying."""
        return (self.chances or RetryChances()).tries

    @property
    def mostly_throttles(self) -> bool:
        """Whether most of the latest answers were pushbacks."""
        return self.pace is not None and self.pace.mostly_pushback

    def answers_lately(self, now: float) -> bool:
        """Whether it is up, as far as is known: one that is new is taken to be."""
        return now - max(self.answered_at, self.known_since) < _LATELY

    def failing_for(self, now: float) -> float:
        """Seconds for which no request of it has succeeded, as far as it was asked."""
        since = self.breaker.failing_since if self.breaker.answered else self.known_since
        return max(now - max(since, self.held_until), 0.0)

    # --- across runs ---

    def dump(self, now: float, wall: float) -> SavedGate | None:
        """What :meth:`restore` needs beside the breaker, None when there is nothing to know."""
        data = cast("SavedGate", self.breaker.dump(now, wall) or {})
        if self.held_until > now:
            data["held_until"] = wall + self.held_until - now
            data["held_for"] = self.held_for
            data["hold_reason"] = self.hold_reason
        if self.pace is not None and self.pace.rate is not None:
            data["pace"] = self.pace.dump()
        return data or None

    def restore(self, data: SavedGate, now: float, wall: float) -> None:
        """Go on with what :meth:`dump` gave; the breaker has done so."""
        self.failed = self.breaker.state in ON_TRIAL
        if "held_until" in data:
            # a clock that was set back must not turn a minute into a year
            wait = min(data["held_until"] - wall, data["held_for"])
            self.held_until, self.held_for = now + max(wait, 0.0), data["held_for"]
            self.hold_reason = data["hold_reason"]
        if "pace" in data:
            self.pace = Pace.load(data["pace"], now)
