"""The circuit breaker: a state machine on a clock that the caller reads.

A breaker stands before something that may be sick, such as a domain. It counts how calls end,
refuses calls when too many fail, and lets a few through later on, to see.

Opening
    A breaker guards against a domain that is *down*: to refuse calls to one that is flaky, and
    still answers, gains nothing. So a closed breaker opens after a run of failures that is
    implausible for the usual share of failures (:mod:`.usual_share`), the run included, and of
    ``failure_threshold`` at least; one that has never seen a success opens after just that.
    Optionally it also opens when at least ``min_calls`` calls of the window are known and the
    share of failures, or of slow calls, reaches a rate. It looks at that when a call has
    failed or was slow: a fast success opens nothing.

How long
    Trials come early, because most outages are short and a trial costs one call:
    ``first_trial`` · 1.5ⁿ, give or take the jitter, at most ``recovery_timeout``; *n* counts
    the reopenings in a row. With ``first_trial=0`` as classical breakers do it:
    ``recovery_timeout`` · 2ⁿ, at most ``max_recovery_timeout``.

Eras
    A permit names the era in which it was given, and each transition begins a new one. An
    outcome of an earlier era is dropped: a call that was admitted before the breaker opened
    can neither decide a trial nor prolong the open time, nor change the usual share. The
    permit of a trial is unique, and ends with its outcome, so it can't be given back twice.

Time
    There is no timer. Open turns half-open when somebody asks, which is also when a late
    trial is noticed. A clock that goes back never makes a wait longer than it was.

States and transitions are those of :mod:`.breaker_transitions`, trials those of
:mod:`.halfopen`. Listeners are called when a transition is complete, so they may use the
breaker.
"""

from __future__ import annotations

from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.core.breaker_transitions import TRANSITIONS, Event, Outcome, State
from scrapy_resilience.core.halfopen import Round
from scrapy_resilience.core.usual_share import UsualShare
from scrapy_resilience.core.window import Counts, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrapy_resilience.core.breakerconfig import BreakerConfig

__all__ = ["TRANSITIONS", "Breaker", "Event", "Outcome", "State"]


_TEXT_MAX: Final = 200

# An enum's member costs several times as much to look up as a global.
_CLOSED: Final = State.CLOSED
_DISABLED: Final = State.DISABLED
_SUCCESS: Final = Outcome.SUCCESS
_FAILURE: Final = Outcome.FAILURE


class Breaker:
    """One circuit breaker; see the head of this module for the theory.

    Every method that depends on time takes *now*, in seconds of any clock. *rng* returns a
    random number from 0 to 1. *on_transition* is called with the old state, the new state and
    the :class:`Event` after each transition; its errors are swallowed, so log them there.
    Not thread-safe.
    """

    __slots__ = (
        "_era", "_failed", "_late", "_on_transition", "_open_time", "_out", "_rng", "_round",
        "_usual", "_well", "_window", "answered", "config", "failing_since", "last_failure",
        "opened_at", "opened_until", "state", "trips",
    )  # fmt: skip

    def __init__(
        self,
        config: BreakerConfig,
        rng: Callable[[], float],
        on_transition: Callable[[State, State, Event], object] | None = None,
    ) -> None:
        self.config = config
        self.state = _CLOSED
        self.trips = 0  # reopenings in a row
        self.opened_at = self.opened_until = 0.0
        self.last_failure = ""
        self.answered = False  # whether a call has ever succeeded
        self.failing_since = inf  # the first of the present failures in a row
        self._rng = rng
        self._on_transition = on_transition
        self._era = 0  # even; one more is the permit of the latest trial
        self._out = 0  # permits of this era without an outcome
        self._failed = 0  # failures in a row
        self._late = -1  # the permit of the latest trial that was late
        self._open_time = 0.0  # the length of the latest open state
        self._well = 0  # successes, counted until the first failure
        self._usual: UsualShare | None = None  # made by the first failure
        self._window: Window | None = None  # made by the first call that counts
        self._round: Round | None = None  # while half-open

    # --- calls ----------------------------------------------------------------------

    @property
    def is_closed(self) -> bool:
        """Whether it lets everything through as usual."""
        return self.state is _CLOSED

    def ready_at(self, now: float) -> float:
        """0.0 when a call may be admitted at *now*, else the time before which none will be.

        It is ``math.inf`` while a trial is under way, or when the breaker is forced open.
        """
        if self.state is _CLOSED:
            return 0.0
        self._refresh(now)
        if self._round is not None:
            return 0.0 if self._round.has_room() else inf
        return self.opened_until

    def acquire(self, now: float) -> int | None:
        """A permit for one call, to be given to :meth:`record`; None when it is refused."""
        if self.state is _CLOSED:
            self._out += 1
            return self._era
        if self.ready_at(now):
            return None
        if self._round is None:
            self._out += 1
            return self._era
        self._era += 2
        permit = self._era + 1
        self._round.admit(permit, now)
        return permit

    def record(  # noqa: PLR0917 - one call for each response: keywords cost time
        self,
        permit: int,
        outcome: Outcome,
        now: float,
        duration: float = 0.0,
        retry_after: float = 0.0,
        failure: str = "",
    ) -> None:
        """Say how the call with *permit* ended; exactly once for each permit.

        :param duration: how many seconds the call took
        :param retry_after: how many seconds a throttled call was told to wait; 0: not told
        :param failure: what failed, in a few words, for :attr:`last_failure`
        """
        slow = 0.0 < self.config.slow_call_duration <= duration
        if permit != self._era or self._round is not None:
            self._refresh(now)
            if self._round is None or permit not in self._round.under_way:
                if permit == self._late and outcome is _SUCCESS and not slow:
                    self._fire(Event.LATE_TRIAL_PASSED, now)
                return  # of an era that is over
        failed = outcome is _FAILURE
        if failed:
            self.last_failure = failure[:_TEXT_MAX]
        if self._round is not None:
            event = self._round.end(permit, outcome, slow=slow)
            if event is not None:
                asked = min(retry_after, self.config.max_recovery_timeout)
                self._fire(event, now, asked if asked > 0 else self._open_time)
        else:
            if self._out:
                self._out -= 1
            if (failed or outcome is _SUCCESS) and self.state is not _DISABLED:
                self._count(now, failed=failed, slow=slow)

    def _count(self, now: float, *, failed: bool, slow: bool) -> None:
        if failed:
            self._failed += 1
            if self._failed == 1:
                self.failing_since = now
            if self._usual is None:
                self._usual = UsualShare.after(self._well)
        else:
            self._failed = 0
            self._well += 1
            self.answered = True
            self.failing_since = inf
        if self._usual is not None:
            self._usual.add(failed=failed)
        if self._window is None:
            self._window = Window(self.config.window, now)
        self._window.add(now, failed=failed, slow=slow)
        if failed or slow:
            event = self._reason_to_open(now)
            if event is not None:
                self._fire(event, now)

    def _reason_to_open(self, now: float) -> Event | None:
        config = self.config
        if 0 < config.failure_threshold <= self._failed and self._is_implausible():
            return Event.FAILURES_IN_A_ROW
        counts = self.counts(now)
        if counts.calls < config.min_calls:
            return None
        if 0 < config.failure_rate <= counts.failures / counts.calls:
            return Event.FAILURE_RATE
        if config.slow_call_duration and counts.slow / counts.calls >= config.slow_call_rate:
            return Event.SLOW_CALL_RATE
        return None

    def _is_implausible(self) -> bool:
        """Whether a run is too long for a domain that is as flaky as usual."""
        if not (self.answered and self._usual and self.config.usual_share):
            return True
        return self._failed >= self._usual.implausible_run

    # --- by hand --------------------------------------------------------------------

    def force_open(self) -> None:
        """Refuse every call until :meth:`reset`."""
        self._fire(Event.FORCE_OPEN, 0.0)

    def disable(self) -> None:
        """Admit every call and count nothing until :meth:`reset`."""
        self._fire(Event.DISABLE, 0.0)

    def metrics_only(self) -> None:
        """Admit every call and count it, but never open, until :meth:`reset`."""
        self._fire(Event.METRICS_ONLY, 0.0)

    def reset(self, now: float) -> None:
        """Close it and forget all that was counted."""
        self._fire(Event.RESET, now)

    # --- questions ------------------------------------------------------------------

    def retry_after(self, now: float) -> float | None:
        """The seconds that it stays open, None when it is not open."""
        self._refresh(now)
        return self.opened_until - now if self.state is State.OPEN else None

    def round_ends_at(self) -> float:
        """When the trial that is under way is late, ``math.inf`` when there is none."""
        return inf if self._round is None else self._round.ends_at()

    def counts(self, now: float) -> Counts:
        """The calls in the window, the failed and the slow ones among them."""
        return Counts(0, 0, 0) if self._window is None else self._window.read(now)

    def healthy_idle(self, now: float) -> bool:
        """Whether nothing is lost when it is replaced by a new one."""
        return (
            self.state is _CLOSED
            and not self._out
            and not self._failed
            and not self.counts(now).failures
        )

    # --- transitions ----------------------------------------------------------------

    def _refresh(self, now: float) -> None:
        """What time alone has changed."""
        if self.state is State.OPEN:
            self.opened_until = min(self.opened_until, now + self._open_time)
            if self.opened_until <= now:
                self._fire(Event.RECOVERY_DUE, now)
        elif self._round is not None and self._round.is_late(now):
            self._late = next(iter(self._round.under_way))
            self._fire(Event.TRIAL_LATE, now)

    def _fire(self, event: Event, now: float, open_time: float = 0.0) -> None:
        """Change the state; *open_time* is for how long a trial that is throttled opens it."""
        old = self.state
        new = TRANSITIONS.get((old, event))
        if new is None:
            return
        if new is State.OPEN:
            self._open(event, now, open_time)
        else:
            self.opened_until = inf if new is State.FORCED_OPEN else 0.0
        if new is _CLOSED:
            self._close(event)
        self._round = Round(self.config) if new is State.HALF_OPEN else None
        self._window = None
        self._out = self._failed = 0
        self._era += 2
        self.state = new
        if self._on_transition is not None:
            with suppress(Exception):
                self._on_transition(old, new, event)

    def _open(self, event: Event, now: float, open_time: float) -> None:
        if event is not Event.TRIAL_THROTTLED:
            self.trips = 0 if self.state is _CLOSED else self.trips + 1
            open_time = self.config.open_time(self.trips, self._rng())
        self.failing_since = min(self.failing_since, now)
        self._open_time = open_time
        self.opened_at = now
        self.opened_until = now + open_time

    def _close(self, event: Event) -> None:
        self.trips = 0
        self.last_failure = ""
        self.failing_since = inf
        self._late = -1
        if event is Event.RESET:
            self._usual, self._well = None, 0
        self.answered = event is not Event.RESET

    def wait_no_longer(self, until: float) -> None:
        """Let a trial come at *until*, when it is open for longer."""
        if self.state is State.OPEN:
            self.opened_until = min(self.opened_until, until)

    # --- storage --------------------------------------------------------------------

    def dump(self, now: float, wall: float) -> dict[str, Any] | None:
        """What :meth:`load` needs to go on, None when there is nothing to remember.

        *wall* is the time of day at *now*, in seconds since 1970: it goes on while no process
        runs. A breaker that is half-open goes on as one that is about to be.
        """
        state = State.OPEN if self.state is State.HALF_OPEN else self.state
        data: dict[str, Any] = {
            "trips": self.trips,
            "failures": self._failed if state is _CLOSED else 0,
        }
        if state is State.OPEN:
            left = min(max(self.opened_until - now, 0.0), self._open_time)
            data |= {"until": wall + left, "open_time": self._open_time}
        data = {name: value for name, value in data.items() if value}
        if state is _CLOSED and not data:
            return None
        if self._usual is not None and self.answered:
            data["usual"] = self._usual.dump()
        if self.last_failure:
            data["last_failure"] = self.last_failure
        return {"state": state.value, **data}

    @classmethod
    def load(
        cls,
        config: BreakerConfig,
        data: Mapping[str, Any],
        now: float,
        wall: float,
        rng: Callable[[], float],
        *,
        on_transition: Callable[[State, State, Event], object] | None = None,
    ) -> Breaker:
        """The breaker that :meth:`dump` has described, at *now* and *wall* of today's clocks.

        It stays open for what is left, and never longer than it was to be in all, whatever
        has happened to the clock. What can't be read is left out: the breaker will find out.
        """
        breaker = cls(config, rng, on_transition)
        with suppress(ValueError):
            breaker.state = State(data.get("state"))
        breaker.trips = int(_number(data, "trips", 2**31))
        if "usual" in data:
            breaker.answered = True
            breaker._usual = UsualShare.load(data["usual"])
        breaker.last_failure = str(data.get("last_failure", ""))[:_TEXT_MAX]
        if breaker.state is _CLOSED:
            breaker._failed = int(_number(data, "failures", 2**31))
            breaker.failing_since = now if breaker._failed else inf
        elif breaker.state is State.FORCED_OPEN:
            breaker.opened_until = inf
        elif breaker.state in {State.OPEN, State.HALF_OPEN}:
            breaker.state = State.OPEN
            breaker.failing_since = now  # a new run has a new patience
            breaker._open_time = _number(data, "open_time", config.max_recovery_timeout)
            left = _number(data, "until", inf) - wall
            breaker.opened_until = now + min(max(left, 0.0), breaker._open_time)
        return breaker


def _number(data: Mapping[str, Any], name: str, high: float) -> float:
    """A number of *data* from 0 to *high*; 0 in the place of anything else."""
    value = data.get(name, 0)
    if not isinstance(value, (int, float)) or not value > 0:
        return 0
    return min(value, high)
