"""Levels that neither a spike nor noise moves."""

from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.health import Levels
from scrapy_resilience.core.measures import DEFAULT, MEASURES, find, finding, threshold_sets
from scrapy_resilience.core.readings import Disk, Reading
from scrapy_resilience.core.thresholds import Threshold, Trend
from scrapy_resilience.exceptions import ConfigurationError

PATIENCE = 30.0
MEMORY = Threshold(Levels(0.85, 0.95), at_once=1.0)
CPU = Threshold(Levels(0.80, 0.95), margin=0.1)
WORSE = ["healthy", "degraded", "unhealthy"]


def run(threshold, samples, trend=None, step=PATIENCE, start=0.0):
    """The statuses after each sample, one a *step*."""
    trend = trend or Trend(threshold, PATIENCE)
    return [trend.add(start + number * step, value) for number, value in enumerate(samples)]


def test_the_second_sample_in_a_row_counts():
    """One above a level is a spike, two are a trend."""
    assert run(CPU, [0.1, 0.9, 0.9]) == ["healthy", "healthy", "degraded"]
    assert run(CPU, [0.1, 0.99, 0.99]) == ["healthy", "healthy", "unhealthy"]
    assert run(CPU, [0.99, 0.99]) == ["healthy", "unhealthy"]


@given(st.lists(st.booleans(), max_size=200))
def test_spikes_are_no_trend(high):
    """However many there are, as long as no two follow each other."""
    samples = []
    for each in high:
        samples += [0.99, 0.1] if each else [0.1]
    assert set(run(CPU, samples)) <= {"healthy"}


@given(st.floats(0.0, 1e9), st.floats(0.0, 0.79))
def test_a_gap_is_no_trend(gap, low):
    """A machine that was suspended: one sample does not suffice, however long the gap."""
    trend = Trend(CPU, PATIENCE)
    trend.add(0.0, low)
    assert trend.add(gap, 0.99) == "healthy"


@given(st.lists(st.floats(0.721, 0.949), min_size=1, max_size=300), st.floats(0.01, 200.0))
def test_noise_around_a_level(samples, step):
    """It makes one change at most: what is above the margin does not fall."""
    found = run(CPU, samples, step=step)
    assert sorted(found, key=WORSE.index) == found


@given(
    st.lists(
        st.tuples(
            st.floats(-100.0, 500.0),
            st.one_of(st.none(), st.just(nan), st.just(inf), st.floats(-1.0, 2.0)),
        ),
        max_size=100,
    )
)
def test_whatever_comes(steps):
    """Any clock and any value: a status, worse only above its level, better only below it."""
    trend, now = Trend(MEMORY, PATIENCE), 0.0
    for passed, value in steps:
        now += passed
        before, after = trend.status, trend.add(now, value)
        assert after in {*WORSE, "unknown"}
        if {before, after} <= {*WORSE} and before != after:
            if WORSE.index(after) > WORSE.index(before):
                assert value >= (0.95 if after == "unhealthy" else 0.85)
            else:
                assert value < 0.95 * (0.95 if before == "unhealthy" else 0.85)
        if value is not None and 1.0 <= value < inf:
            assert after == "unhealthy"


def test_an_absolute_limit_counts_at_once():
    """Nobody waits for the second sample."""
    assert run(MEMORY, [0.3, 1.0]) == ["healthy", "unhealthy"]
    assert run(MEMORY, [1.2]) == ["unhealthy"]


def test_a_fast_leak_is_noticed_above_the_level():
    """What it grew by in the last patience leads to the limit: that is told at once."""
    trend = Trend(MEMORY, PATIENCE)
    leak = run(MEMORY, [0.20 + number * 0.02 for number in range(40)], trend, step=0.5)
    first = leak.index("degraded")
    assert 0.20 + first * 0.02 == pytest.approx(0.86, abs=0.015)
    assert 0.20 + leak.index("unhealthy") * 0.02 == pytest.approx(0.96, abs=0.015)


def test_a_slow_leak_waits_for_the_second_sample():
    """There is time for that."""
    found = run(MEMORY, [0.80, 0.83, 0.855, 0.86])
    assert found == ["healthy", "healthy", "healthy", "degraded"]


def test_it_falls_below_the_margin_at_once():
    """So that what was paused goes on; and has to rise anew."""
    trend = Trend(MEMORY, PATIENCE)
    assert run(MEMORY, [1.1, 0.92, 0.90, 0.82, 0.80], trend) == [
        "unhealthy", "unhealthy", "degraded", "degraded", "healthy",
    ]  # fmt: skip
    assert run(MEMORY, [0.86, 0.80, 0.86], trend, start=150.0) == ["healthy"] * 3


def test_what_was_before_a_fall_counts_no_more():
    """Of no level."""
    trend = Trend(CPU, PATIENCE)
    assert run(CPU, [0.94, 0.94, 0.96, 0.1], trend)[-1] == "healthy"
    assert run(CPU, [0.96], trend, start=120.0) == ["healthy"]


def test_what_can_not_be_read():
    """It says nothing; after two patiences there is no status."""
    trend = Trend(CPU, PATIENCE)
    assert trend.status == "unknown"
    assert trend.add(0.0, None) == "unknown"
    assert run(CPU, [0.9, 0.9, None, nan], trend)[-1] == "degraded"
    assert trend.add(91.0, None) == "unknown"
    assert trend.add(100.0, 0.1) == "healthy"


def test_a_clock_that_is_set_back():
    """The time between two samples is lost, and no more."""
    trend = Trend(CPU, PATIENCE)
    run(CPU, [0.9, 0.9], trend, start=1e6)
    assert trend.add(5.0, 0.9) == "degraded"
    assert trend.add(35.0, None) == "degraded"
    assert trend.add(66.0, None) == "unknown"


# --- sets ---------------------------------------------------------------------------------


def test_the_default_set():
    """The levels of the ledger, and the limit of the processor."""
    default = threshold_sets({}, 0.75)[DEFAULT]
    assert default["cpu"].levels == Levels(0.75, 0.95)
    assert default["memory"] == Threshold(Levels(0.85, 0.95), 1.0)
    assert default["disk"].levels == Levels(0.90, 0.98)
    assert threshold_sets({}, 0.99)[DEFAULT]["cpu"].levels == Levels(0.99, 0.99)


def test_sets_of_a_setting():
    """One number is a limit, two are the levels; the default may be changed in parts."""
    sets = threshold_sets(
        {"strict": {"cpu": [0.7, 0.9], "memory_mb": 1024}, "default": {"disk": 0.5}}, 0.8
    )
    assert set(sets) == {"default", "strict"}
    assert set(sets["strict"]) == {"cpu", "memory_mb"}
    assert sets["strict"]["memory_mb"] == Threshold(Levels(1024.0, 1024.0), 1024.0)
    assert sets["default"]["disk"].levels == Levels(0.5, 0.5)
    assert sets["default"]["memory"].levels == Levels(0.85, 0.95)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": 5}, r"\['a'\]=5: use a dict of levels"),
        (
            {"a": {"memroy": 1}},
            r"\['a'\]\['memroy'\] measures nothing: did you mean 'memory'\?",
        ),
        ({"a": {"zzzzz": 1}}, r"measures nothing: use one of memory, memory_mb,"),
        ({"a": {"cpu": [0.9, 0.7]}}, "the second not below the first"),
        ({"a": {"cpu": -0.5}}, "use numbers above 0"),
        ({"a": {"cpu": 0}}, "use numbers above 0"),
        ({"a": {"cpu": 80}}, "use shares from 0 to 1"),
        ({"a": {"cpu": [0.1, 0.2, 0.3]}}, "use a number, or two"),
        ({"a": {"cpu": "high"}}, "use a number, or two"),
        ({"a": {"cpu": True}}, "use a number, or two"),
        ({"a": {"memory_mb": nan}}, "use a number, or two"),
        ({"a": {"memory_mb": None}}, "use a number, or two"),
    ],
)
def test_wrong_sets(given, message):
    """The error names the place and what to use."""
    with pytest.raises(ConfigurationError, match=message):
        threshold_sets(given, 0.8)


FULL = Disk("/b", 1 << 20, 100 << 20, stale=True)
READING = Reading(
    memory=900 << 20, browser_memory=100 << 20, memory_limit=1000 << 20, limited_by="container",
    cpu=0.5, usual_lag=2.0, open_files=5, open_files_limit=10, connections=7,
    disks={"job": Disk("/a", 60 << 20, 100 << 20), "temp": FULL},
    memory_pressure=0.2, cpu_pressure=nan,
)  # fmt: skip


def test_the_words_of_findings():
    """Each has its number, and by what it is limited."""
    texts = {name: finding(name, READING, "healthy").detail for name in MEASURES}
    assert texts == {
        "memory": "100% of the memory in use: 1000 of the 1000 MB that the container allows",
        "memory_mb": "1000 MB of memory in use",
        "browser_memory_mb": "100 MB of memory used by browsers",
        "disk": "99% of the disk of /b in use, 1 MB free, when it last answered",
        "cpu": "50% of the processors in use",
        "loop_lag": "the event loop was 2.00 s late in half of the last minute",
        "open_files": "50% of the 10 files open that it may open",
        "connections": "7 sockets open",
        "memory_pressure": "something waited for memory in 20% of the last minute",
        "cpu_pressure": "it can't be read",
    }


def test_a_set_judges_one_reading():
    """What was before does not count, and what is not known is unknown."""
    found = find(threshold_sets({"a": {"cpu_pressure": 0.5}}, 0.4)["a"], READING)
    assert found["cpu_pressure"].status == "unknown"
    found = find(threshold_sets({}, 0.4)[DEFAULT], READING)
    assert {name: each.status for name, each in found.items()} == {
        "memory": "unhealthy", "disk": "unhealthy", "cpu": "degraded", "loop_lag": "degraded",
        "open_files": "healthy",
    }  # fmt: skip
    found = find(threshold_sets({}, 0.4)[DEFAULT], Reading())
    assert {each.status for name, each in found.items() if name != "loop_lag"} == {"unknown"}
