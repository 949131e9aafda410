"""The trials of a circuit breaker that is half-open.

A trial that fails, or is slow, opens again. ``success_threshold`` successes close. A trial
that is throttled (429) proves neither: the breaker stays open for as long as the answer
asks, and that is not a reopening. A trial that is ignored or cancelled gives its place to
another one. One without an outcome after ``trial_timeout`` ends the round as a failure;
should it succeed later on, the other side is up: that closes, too, where slow calls do not
count.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from scrapy_resilience.core.breaker_transitions import Event, Outcome

if TYPE_CHECKING:
    from scrapy_resilience.core.breakerconfig import BreakerConfig

__all__ = ["Round"]


class Round:
    """The trials of one half-open state, by their permits."""

    __slots__ = ("_admitted", "_config", "_passed", "under_way")

    def __init__(self, config: BreakerConfig) -> None:
        self._config = config
        self._admitted = 0
        self._passed = 0
        self.under_way: dict[int, float] = {}
        """permit → when it was given."""

    def has_room(self) -> bool:
        """Whether another trial may go."""
        return (
            self._admitted < self._config.half_open_max
            and len(self.under_way) < self._config.half_open_concurrent
        )

    def admit(self, permit: int, now: float) -> None:
        """A trial goes."""
        self._admitted += 1
        self.under_way[permit] = now

    def end(self, permit: int, outcome: Outcome, *, slow: bool) -> Event | None:
        """How a trial ended, and what that leads to, if anything."""
        del self.under_way[permit]
        if outcome is Outcome.FAILURE or (slow and outcome is Outcome.SUCCESS):
            return Event.TRIAL_FAILED
        if outcome is Outcome.THROTTLED:
            return Event.TRIAL_THROTTLED
        if outcome is Outcome.SUCCESS:
            self._passed += 1
            enough = self._passed >= self._config.success_threshold
            return Event.TRIALS_PASSED if enough else None
        self._admitted -= 1
        return None

    def is_late(self, now: float) -> bool:
        """Whether a trial has had all its time. A clock that goes back is followed."""
        for permit, since in self.under_way.items():
            self.under_way[permit] = min(since, now)
        return self.ends_at() <= now

    def ends_at(self) -> float:
        """When the trial that is under way is late, ``math.inf`` when there is none."""
        return min(self.under_way.values(), default=inf) + self._config.trial_timeout
