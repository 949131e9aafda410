"""The usual share of failures, and the run that is implausible for it."""

from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.usual_share import UsualShare

OUTCOMES = st.lists(st.booleans(), max_size=300)


def after(*outcomes):
    """Return the share after these outcomes; True is a failure."""
    usual = UsualShare()
    for failed in outcomes:
        usual.add(failed=failed)
    return usual


def test_nothing_is_known():
    """A new domain is taken to fail once in twenty calls."""
    assert UsualShare().share == pytest.approx(0.05)


@pytest.mark.parametrize("each", [2, 3, 10])
def test_it_finds_the_share(each):
    """After many calls it is the share of those that failed, within what is not known."""
    usual = after(*(number % each == 0 for number in range(1000)))

    assert usual.share == pytest.approx(1 / each, abs=0.08)


def test_the_last_hundred_count():
    """What was long ago is forgotten."""
    well = after(*[True] * 1000, *[False] * 500)

    assert well.share < 0.02


def test_successes_alone_need_no_count_of_their_own():
    """after() is what so many successes, added one by one, come to."""
    counted, added = UsualShare.after(37), after(*[False] * 37)

    assert counted.dump() == added.dump()


@pytest.mark.parametrize(("each", "run"), [(20, 4.5), (3, 11.3), (2, 16.4)])
def test_a_run_that_is_one_in_a_million(each, run):
    """It is ln(1e6) / ln(0.98 / p), p being the share."""
    usual = after(*(number % each == 0 for number in range(1000)))

    assert usual.implausible_run == pytest.approx(run, abs=0.5)


def test_a_run_that_is_always_implausible():
    """A domain that nearly always fails is down after 52 failures in a row."""
    assert 51 < after(*[True] * 10_000).implausible_run < 52


@given(OUTCOMES)
def test_bounds(outcomes):
    """Whatever happens, the share is from 0 to 0.75 and the run has an end."""
    usual = after(*outcomes)

    assert 0 < usual.share <= 0.75
    assert 1 < usual.implausible_run < 52


@given(OUTCOMES)
def test_a_failure_raises_it(outcomes):
    """A failure never makes the run shorter, a success never longer."""
    run = after(*outcomes).implausible_run

    worse, better = after(*outcomes), after(*outcomes)
    worse.add(failed=True)
    better.add(failed=False)

    assert better.implausible_run <= run <= worse.implausible_run


@given(OUTCOMES)
def test_it_is_stored(outcomes):
    """What was dumped and loaded is the same, within what is rounded."""
    usual = after(*outcomes)

    assert UsualShare.load(usual.dump()).share == pytest.approx(usual.share, abs=0.001)


@pytest.mark.parametrize(
    "data", [None, 5, "ab", [], [1], [1, 2, 3], ["x", 1], [nan, 1], [1, nan], [10**400, 1], {}]
)
def test_stored_nonsense(data):
    """What can't be is as if nothing was known."""
    assert UsualShare.load(data).dump() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("data", "share"), [([inf, 0], 0.75), ([-5, -inf], 0.05), ([0, 1e300], 0.008)]
)
def test_stored_extremes(data, share):
    """Numbers beyond what can be are taken for the nearest that can."""
    assert UsualShare.load(data).share == pytest.approx(share, abs=0.001)
