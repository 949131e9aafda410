"""Token buckets, and the pace that follows throttling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.ratelimit import Rate, TokenBucket, parse_rate
from scrapy_resilience.exceptions import ConfigurationError


def send(bucket, now, until):
    """The times at which an eager client sends."""
    times = []
    while now < until:
        due = bucket.ready_at(now)
        if due > now:
            now = due
            continue
        bucket.take(now)
        times.append(now)
    return times


@pytest.mark.parametrize(
    ("value", "per_second", "burst"),
    [
        ("60/m", 1.0, 1),
        ("60/minute", 1.0, 1),
        ("1/5s", 0.2, 1),
        ("7200/2hours", 1.0, 1),
        ("86400/day burst 3", 1.0, 3),
        (" 60 / M burst 10 ", 1.0, 10),
        ("0.5", 0.5, 1),
        (3, 3.0, 1),
        ({"requests": 60, "seconds": 60, "burst": 5}, 1.0, 5),
        ({"requests": 2}, 2.0, 1),
    ],
)
def test_rates(value, per_second, burst):
    """A rate has many forms."""
    assert parse_rate(value) == Rate(per_second, burst)


@pytest.mark.parametrize(
    "value",
    [
        "", "fast", "60/x", "0/m", "1/0s", "-1", 0, -1, True, None, [], float("nan"),
        float("inf"), {}, {"requests": 1, "per": 2}, {"requests": "x"}, "1/m burst 0",
        {"requests": 1, "seconds": 0}, {"requests": 1, "burst": 0}, "1000/month", "10/ms",
        "5/mo", "1/sx",
    ],
)  # fmt: skip
def test_what_is_no_rate(value):
    """Anything else is refused, and the message shows what was given."""
    with pytest.raises(ConfigurationError, match="rate"):
        parse_rate(value)


@pytest.mark.parametrize("value", [0, "0/m", -1, "5/s burst 0", {"requests": 1, "burst": 0}])
def test_a_rate_that_lets_nothing_through(value):
    """It is written well, so the error says what to raise."""
    with pytest.raises(
        ConfigurationError, match=": use a rate above 0 and a burst of at least"
    ):
        parse_rate(value)


def test_burst_and_refill():
    """A rested bucket lets its burst through at once, and then keeps its rate."""
    assert send(TokenBucket(Rate(2.0, 3), 0.0), 0.0, 2.1) == [0, 0, 0, 0.5, 1, 1.5, 2]


@given(
    rate=st.floats(0.1, 100),
    burst=st.integers(1, 20),
    waits=st.lists(st.floats(0, 5), max_size=30),
)
def test_never_above_the_rate(rate, burst, waits):
    """In no stretch of time go more than burst + rate x seconds."""
    bucket, now, times = TokenBucket(Rate(rate, burst), 0.0), 0.0, []
    for wait in waits:
        now = max(now + wait, bucket.ready_at(now + wait))
        bucket.take(now)
        times.append(now)
    for first in range(len(times)):
        for last in range(first, len(times)):
            sent, seconds = last - first + 1, times[last] - times[first]
            assert sent <= burst + rate * seconds + 1e-6


@given(back=st.floats(0, 1e9))
def test_a_clock_that_goes_back(back):
    """After a jump back no wait is longer than it was (botocore's bucket fell to -35,990)."""
    bucket = TokenBucket(Rate(1.0), 1e9)
    bucket.take(1e9)

    now = 1e9 - back

    assert bucket.ready_at(now) - now <= 1.0 + 1e-6
