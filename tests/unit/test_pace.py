"""The pace of a domain that pushes back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.pacing import KINDS, RULES, crawl
from scrapy_resilience.core.pace import FLOOR, Pace

ANSWERS = st.lists(
    st.tuples(st.floats(-5, 5), st.floats(0, 3), st.booleans()), min_size=1, max_size=120
)
"""Seconds since the last answer, back ones too, how long each took, and whether it refuses."""


def play(answers, now=1000.0):
    """A pace that got these answers, after each of them, with the time."""
    pace = Pace(now)
    for wait, took, pushback in answers:
        now += wait
        before = pace.rate
        changed = pace.answered(now - took, now, pushback=pushback)
        assert changed == (pace.rate != before)
        yield pace, now


@given(ANSWERS)
def test_never_below_the_floor(answers):
    """Whatever is answered, and however the clock jumps, the rate stays above the floor."""
    for pace, _ in play(answers):
        assert pace.rate is None or pace.rate >= FLOOR


@given(ANSWERS)
def test_never_further_than_an_interval(answers):
    """The next request is due within an interval of now, after a clock that went back too."""
    for pace, now in play(answers):
        pace.take(now)
        for later in (now, now - 500):
            assert pace.ready_at(later) <= later + 1 / (pace.rate or FLOOR) + 1e-6


@given(ANSWERS)
def test_recovers(answers):
    """When nothing is pushed back any more, the pace is gone in the end."""
    pace, now = list(play(answers))[-1]
    for _ in range(2000):
        now = max(now, pace.ready_at(now)) + 0.001
        pace.take(now)
        now += 0.001
        pace.answered(now - 0.001, now, pushback=False)
        if pace.idle(now):
            break
    assert pace.rate is None
    assert pace.idle(now)


def test_a_clock_that_goes_back_in_a_search():
    """What was counted before is not a reference then: there is nothing to compare with."""
    answers = [
        (1.0, 0.0, True), (-4.1, 1.8, False), (1.0, 1.35, False), (1.0, 0.0, True),
        (1.0, 0.0, True), (0.9, 0.3, False), (0.9, 2.2, True), (1.0, 0.0, True),
        (4.3, 0.0, True),
    ]  # fmt: skip

    pace, _ = list(play(answers))[-1]

    assert pace.rate is not None


def test_keeps_its_rate():
    """A request that went makes the next one wait for an interval."""
    pace = Pace.load({"rate": 4.0}, 10.0)
    pace.take(10.0)
    assert pace.ready_at(10.0) == pytest.approx(10.25)
    assert pace.ready_at(10.25) == 0.0


def test_without_pushback_there_is_no_pace():
    """A domain that never pushes back is never slowed down."""
    pace = Pace(0.0)
    for second in range(100):
        assert not pace.answered(second, second + 0.5, pushback=False)
    assert pace.rate is None


def test_in_flight():
    """Answers to what was sent before the rate changed do not change it again."""
    pace = Pace.load({"rate": 5.0}, 10.0)
    assert not pace.answered(9.9, 10.1, pushback=True)
    assert pace.answered(10.1, 10.2, pushback=True)
    assert pace.rate == pytest.approx(4.5)


def test_a_retry_after_of_the_domain():
    """Eight pushbacks in a row are the domain's; with a success among them, the page's."""
    pace = Pace(0.0)
    for number in range(8):
        assert not pace.mostly_pushback
        pace.answered(number, number + 0.1, pushback=True)
    assert pace.mostly_pushback
    pace.answered(9, 9.1, pushback=False)
    assert not pace.mostly_pushback


def test_forgotten():
    """A pace that nobody has used for ten minutes may be forgotten, a younger one not."""
    pace = Pace.load({"rate": 5.0}, 0.0)
    assert not pace.idle(600.0)
    assert pace.idle(601.0)


def test_survives_a_restart():
    """The rate goes through JSON to the next run."""
    pace = Pace(0.0)
    pace.answered(0.0, 0.1, pushback=True)
    saved = json.loads(json.dumps(pace.dump()))
    assert Pace.load(saved, 50.0).rate == pace.rate == pytest.approx(7.5)


@pytest.mark.parametrize("data", [{}, {"rate": None}, {"rate": "x"}, {"rate": -1.0},
                                  {"rate": float("nan")}, {"rate": float("inf")}])  # fmt: skip
def test_damaged_rates(data):
    """What is not a rate is none, and nothing is saved of it."""
    pace = Pace.load(data, 0.0)
    assert pace.rate is None
    assert pace.dump() == {}


LIMITS = {
    # at most so many times the ideal, and so large a share of pushbacks
    "allows 5/s, burst 10": (1.1, 0.1),
    "the same, Retry-After 1": (1.1, 0.1),
    "allows 1/s, no burst": (1.5, 0.3),
    "allows 20/s, burst 20": (1.2, 0.05),
    "allows 20/s, no burst": (1.3, 0.08),
    "overloads above 20/s: 503": (1.2, 0.1),
    "allows 5/s, then 20/s": (1.5, 0.12),
    "allows 20/s, then 5/s": (1.1, 0.15),
    "100 a minute": (1.4, 0.12),
    "100 a minute, tells when": (1.2, 0.1),
    "allows 2/s, latency 2 s": (1.2, 0.2),
    "allows 5/s, paused 10 to 40 s": (1.1, 0.15),
    "allows 5/s, clock goes back": (1.1, 0.1),
}


@pytest.mark.parametrize("name", LIMITS)
def test_capacity(name):
    """A host with a limit is asked at its limit, and seldom above."""
    kind = next(kind for kind in KINDS if kind.name == name)
    times, most = LIMITS[name]
    for seed in range(3):
        result = crawl(kind, RULES["pace"], seed)
        assert result.seconds <= times * kind.ideal
        assert result.share <= most
        assert not result.lost


CARELESS = [kind for kind in KINDS if kind.ideal is None]


@pytest.mark.parametrize("kind", CARELESS, ids=lambda kind: kind.name)
def test_careless(kind):
    """A host whose refusals do not depend on the pace is not starved: 1.5 x none + 3 s."""
    seeds = range(7)
    found = sorted(crawl(kind, RULES["pace"], seed).seconds for seed in seeds)
    none = sorted(crawl(kind, RULES["none"], seed).seconds for seed in seeds)
    assert found[3] <= 1.5 * none[3] + 3


@pytest.mark.parametrize("name", ["5 % whatever", "429 first, 10 %"])
def test_small_steps_down_have_an_end(name):
    """A host that refuses one in twenty whatever the pace is not slowed down step by step."""
    kind = next(kind for kind in KINDS if kind.name == name)
    none = crawl(kind, RULES["none"], 0).seconds
    assert max(crawl(kind, RULES["pace"], seed).seconds for seed in range(15)) < 4 * none


def test_a_search_goes_on_after_a_restart():
    """A rate that was only tried is not a rate that was found: it is doubled in a second."""
    pace, _ = list(play([(0.5, 0.1, True), (0.5, 0.1, True)]))[-1]
    resumed = Pace.load(json.loads(json.dumps(pace.dump())), 50.0)
    assert resumed.rate == pace.rate
    for number in range(1, 5):
        resumed.answered(50 + number, 50.1 + number, pushback=False)
    assert resumed.rate > 4 * pace.rate
    found = Pace.load({"rate": pace.rate}, 50.0)
    for number in range(1, 5):
        found.answered(50 + number, 50.1 + number, pushback=False)
    assert found.rate == pace.rate


def test_bad_luck():
    """A careless host whose first answers look like a limit is not starved: simulated time."""
    kind = next(kind for kind in KINDS if kind.name == "60 % whatever, Retry-After 1")
    assert max(crawl(kind, RULES["pace"], seed).seconds for seed in range(40)) < 60


def test_a_small_careless_host():
    """One that is crawled before much is known of it is not starved either."""
    kind = next(kind for kind in KINDS if kind.name == "fails at random, 70 %, 40 pages")
    found = sorted(crawl(kind, RULES["pace"], seed).seconds for seed in range(200))
    none = sorted(crawl(kind, RULES["none"], seed).seconds for seed in range(200))
    assert found[194] <= 1.5 * none[194] + 3
