"""The clock of the glue, and the clocks for tests."""

from __future__ import annotations

import time

import pytest
import pytest_twisted
from scrapy.utils.defer import deferred_from_coro

from scrapy_resilience import _clock
from scrapy_resilience.testing import FakeClock, ScaledClock, use_clock


def test_the_clock_is_the_machines():
    """Without a test, glue reads the time as cheaply as it can be read."""
    assert (_clock.monotonic, _clock.wall) == (time.monotonic, time.time)
    assert _clock.stopwatch is time.perf_counter


def test_a_clock_is_used_until_its_context_ends():
    """The one before comes back, whichever that was."""
    outer, inner = FakeClock(1), FakeClock(2)
    with use_clock(outer):
        with use_clock(inner):
            assert (_clock.monotonic(), _clock.wall(), _clock.stopwatch()) == (2, 2, 2)
        assert _clock.monotonic() == 1

    assert _clock.monotonic is time.monotonic


def test_a_fake_clock_calls_what_is_due(fake_clock):
    """In the order of time, at its time, what calls call within the time included."""
    called = []

    def note(name):
        called.append((name, _clock.monotonic()))
        if name == "first":
            _clock.call_later(1, note, "of the first")

    _clock.call_later(3, note, "last")
    _clock.call_later(1, note, "first")
    _clock.call_later(4, note, "too late")
    _clock.call_later(2, note, "cancelled").cancel()
    fake_clock.advance(3)

    assert called == [("first", 1_001), ("of the first", 1_002), ("last", 1_003)]
    assert fake_clock.now == 1_003


def test_a_fake_clock_is_moved_by_sleep(fake_clock):
    """Who sleeps goes on at once, and the seconds are noted."""
    called = []
    _clock.call_later(5, called.append, "due")

    with pytest.raises(StopIteration):  # nothing in it waits
        _clock.sleep(7).send(None)

    assert (fake_clock.now, fake_clock.slept, called) == (1_007, [7], ["due"])


def test_a_scaled_clock_runs_fast(monkeypatch):
    """Both of its times do, and clocks of one beginning agree; a stopwatch is not scaled."""
    clocks = [ScaledClock(1000, since=500.0), ScaledClock(1000, since=500.0)]
    began = clocks[0].monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: clocks[0]._began + 0.3)
    monkeypatch.setattr(time, "time", lambda: 500.3)

    assert clocks[0].monotonic() >= began
    assert clocks[0].monotonic() - clocks[0]._began == pytest.approx(300)
    assert [clock.wall() for clock in clocks] == [pytest.approx(800)] * 2
    assert clocks[0].stopwatch() <= time.perf_counter()


@pytest_twisted.ensureDeferred
async def test_a_scaled_clock_waits_less():
    """An hour of sleep comes to its end, and what was due before it was called."""
    called = []

    async def steps():
        _clock.call_later(1_800, called.append, "due")
        _clock.call_later(1_800, called.append, "cancelled").cancel()
        await _clock.sleep(3_600)

    with use_clock(ScaledClock(1_000_000)):
        await deferred_from_coro(steps())

    assert called == ["due"]
