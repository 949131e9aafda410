"""The states of a circuit breaker, and what leads from one to another.

*Closed* admits every call and counts. *Open* refuses until a time. *Half-open* admits a few
trials, one at a time by default, and waits for what they say. *Forced open*, *disabled* and
*metrics only* are set by hand; nothing but a hand ends them. Disabled admits and does not
count, metrics only admits and counts.

The table is all there is; a pair that it does not have changes nothing.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TRANSITIONS", "Event", "Outcome", "State"]


class State(Enum):
    """What a breaker does with calls."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"
    METRICS_ONLY = "metrics_only"


class Event(Enum):
    """Why a breaker changes its state."""

    FAILURES_IN_A_ROW = "failures in a row"
    FAILURE_RATE = "failure rate"
    SLOW_CALL_RATE = "slow call rate"
    RECOVERY_DUE = "recovery due"
    TRIALS_PASSED = "trials passed"
    TRIAL_FAILED = "trial failed"
    TRIAL_THROTTLED = "trial throttled"
    TRIAL_LATE = "trial late"
    LATE_TRIAL_PASSED = "late trial passed"
    FORCE_OPEN = "force open"
    DISABLE = "disable"
    METRICS_ONLY = "metrics only"
    RESET = "reset"


class Outcome(Enum):
    """How a call ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    THROTTLED = "throttled"
    """It was told to come later (429): the other side is well, and busy."""
    IGNORED = "ignored"
    """It says nothing about the other side."""
    CANCELLED = "cancelled"
    """It was given up on this side."""


_BY_HAND: Final = {
    Event.FORCE_OPEN: State.FORCED_OPEN,
    Event.DISABLE: State.DISABLED,
    Event.METRICS_ONLY: State.METRICS_ONLY,
}

TRANSITIONS: Final[Mapping[tuple[State, Event], State]] = {
    (State.CLOSED, Event.FAILURES_IN_A_ROW): State.OPEN,
    (State.CLOSED, Event.FAILURE_RATE): State.OPEN,
    (State.CLOSED, Event.SLOW_CALL_RATE): State.OPEN,
    (State.OPEN, Event.RECOVERY_DUE): State.HALF_OPEN,
    (State.HALF_OPEN, Event.TRIALS_PASSED): State.CLOSED,
    (State.HALF_OPEN, Event.TRIAL_FAILED): State.OPEN,
    (State.HALF_OPEN, Event.TRIAL_THROTTLED): State.OPEN,
    (State.HALF_OPEN, Event.TRIAL_LATE): State.OPEN,
    (State.OPEN, Event.LATE_TRIAL_PASSED): State.CLOSED,
    (State.HALF_OPEN, Event.LATE_TRIAL_PASSED): State.CLOSED,
    **{(old, event): new for event, new in _BY_HAND.items() for old in State if old != new},
    **{(old, Event.RESET): State.CLOSED for old in State},
}
"""(state, event) → the next state."""
