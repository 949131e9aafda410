"""Bugs that others had, one test each; the numbers are those of our research."""

from __future__ import annotations

import random
import sys
from email.utils import formatdate

import pytest

from scrapy_resilience.core.backoff import POLICIES, RetryPolicy
from scrapy_resilience.core.retryafter import LONGEST, retry_after


@pytest.mark.parametrize("policy", [*POLICIES.values(), RetryPolicy(multiplier=1e9)])
def test_bug_13_backoff_does_not_overflow(policy):
    """No number of tries overflows the delay, and jitter does not go past the largest one."""
    for attempt in (1, 64, 1_024, 1_100, 10**6, sys.maxsize, 10**400):
        for chance in (0.0, 0.5, 1.0, random.random()):
            delay = policy.delay(attempt, lambda chance=chance: chance)
            assert 0 < delay <= policy.max_delay


@pytest.mark.parametrize(
    "value",
    [
        "9" * 5_000,  # OverflowError
        "99999999999",
        "-120",  # a negative wait
        formatdate(0, usegmt=True),  # a past date: a negative wait
        "Fri, 31 Dec 9999 23:59:59 -2359",  # OverflowError as UTC
        "Fri, 15 Jan 2027 08:00:00 +99999999",
        "soon",
    ],
)
def test_bug_14_retry_after_is_parsed_or_ignored(value):
    """Absurd, negative, past and malformed values neither raise nor make a wait."""
    assert retry_after({"Retry-After": value}, 1_800_000_000.0) is None


def test_bug_14_retry_after_knows_zones():
    """Dates of other zones and of none are moments, compared as such."""
    now = 1_800_000_000.0
    for date in (
        "15 Jan 2027 08:01:00 GMT",
        "15 Jan 2027 10:01:00 +0200",
        "15 Jan 2027 08:01:00",
    ):
        wait = retry_after({"Retry-After": f"Fri, {date}"}, now)
        assert wait == 60
        assert wait <= LONGEST
