"""The trials of one half-open state."""

from __future__ import annotations

from math import inf

import pytest

from scrapy_resilience.core.breaker import Event, Outcome
from scrapy_resilience.core.breakerconfig import BreakerConfig
from scrapy_resilience.core.halfopen import Round


def trials(**config):
    """Return a round with one trial under way, permit 1, since second 10."""
    found = Round(BreakerConfig(**config))
    found.admit(1, 10.0)
    return found


@pytest.mark.parametrize(
    ("outcome", "slow", "event"),
    [
        (Outcome.SUCCESS, False, Event.TRIALS_PASSED),
        (Outcome.SUCCESS, True, Event.TRIAL_FAILED),
        (Outcome.FAILURE, False, Event.TRIAL_FAILED),
        (Outcome.THROTTLED, True, Event.TRIAL_THROTTLED),
        (Outcome.IGNORED, True, None),
        (Outcome.CANCELLED, False, None),
    ],
)
def test_what_a_trial_leads_to(outcome, slow, event):
    """A success closes, a slow one and a failure open; being throttled is of its own."""
    assert trials().end(1, outcome, slow=slow) is event


def test_a_trial_that_says_nothing_gives_its_place_back():
    """Others may try as often as before."""
    found = trials(half_open_max=1)
    assert not found.has_room()
    found.end(1, Outcome.CANCELLED, slow=False)
    assert found.has_room()


def test_enough_successes():
    """Only the last one that is needed closes."""
    found = trials(success_threshold=2, half_open_max=2)
    assert found.end(1, Outcome.SUCCESS, slow=False) is None
    found.admit(3, 11.0)
    assert found.end(3, Outcome.SUCCESS, slow=False) is Event.TRIALS_PASSED


def test_when_a_trial_is_late():
    """After trial_timeout, counted anew from where a clock has gone back to."""
    found = trials(trial_timeout=5.0)
    assert found.ends_at() == 15.0
    assert not found.is_late(14.0)
    assert not found.is_late(2.0)
    assert found.is_late(7.0)


def test_without_a_trial_nothing_is_late():
    """A round that nobody tries has no end."""
    found = Round(BreakerConfig())
    assert found.ends_at() == inf
    assert not found.is_late(1e9)
