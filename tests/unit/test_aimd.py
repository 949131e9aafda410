"""How many requests at a time: more while that helps, fewer under pressure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.aimd import Adaptive, Span

SPANS = st.builds(
    Span, st.floats(0, 1_000), st.floats(0, 200), st.one_of(st.just(0.0), st.floats(0, 5))
)


def drive(adaptive, rate, spans=100, late=None):
    """Spans of a crawl in which all are under way and ``rate(limit)`` pages come a second."""
    limits = []
    for _ in range(spans):
        limit = adaptive.limit
        lag = 0.0 if late is None else late(limit)
        limits.append(adaptive.look(Span(rate(limit), limit, lag)))
    return limits


def test_more_is_faster():
    """Where pages grow with requests, it comes to the most."""
    assert drive(Adaptive(1, 100, 16), lambda limit: 2 * limit)[-1] == 100


def test_servers_are_the_limit():
    """Where more requests bring no more pages, it stays near where it was."""
    limits = drive(Adaptive(1, 100, 16), lambda _: 30.0)

    assert max(limits) == 20
    assert limits.count(16) > 85


@pytest.mark.parametrize("knee", [24, 40, 80])
def test_it_stays_at_the_knee(knee):
    """Pages grow up to a number of requests: it comes to it, and hardly beyond."""
    limits = drive(Adaptive(1, 200, 16), lambda limit: min(limit, knee), 200)

    assert knee * 0.75 <= limits[-1] <= knee * 1.3


def test_pressure_lowers():
    """A loop that is late: down until it is not, and not at once up again."""
    late = lambda limit: 1.0 if limit > 8 else 0.0  # noqa: E731 - a function of the limit
    limits = drive(Adaptive(1, 100, 64), lambda limit: limit, 12, late)

    assert limits[-1] <= 10
    assert min(limits) >= 5


def test_a_limit_that_is_not_reached_says_nothing():
    """A crawl with little to ask for changes nothing."""
    adaptive = Adaptive(1, 100, 16)

    assert [adaptive.look(Span(5.0, 3.0, 0.0)) for _ in range(20)] == [16] * 20


@given(st.integers(1, 10), st.integers(1, 200), st.integers(0, 300), st.lists(SPANS))
def test_bounds(least, most, begin, spans):
    """Whatever is seen, it stays within its bounds."""
    adaptive = Adaptive(least, most, begin)
    for span in spans:
        assert least <= adaptive.look(span) <= max(least, most)


@given(st.lists(SPANS, max_size=50))
def test_lasting_pressure_comes_to_the_least(spans):
    """Whatever was before, pressure that lasts leads to one request at a time."""
    adaptive = Adaptive(1, 100, 16)
    for span in spans:
        adaptive.look(span)
    for _ in range(20):
        adaptive.look(Span(10.0, 10.0, 2.0))

    assert adaptive.limit == 1
