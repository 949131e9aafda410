"""What the loop's thread does with its time."""

from __future__ import annotations

import asyncio
import time

import pytest
import pytest_twisted
from scrapy.utils.defer import deferred_from_coro

from scrapy_resilience.observe.accounting import loop_time
from scrapy_resilience.observe.accounting.loop_time import LoopMeter


class Counters:
    """The figures that a meter reads: seconds passed, computed, queued and idle."""

    def __init__(self, monkeypatch, *, sees_idle=True, sees_queue=True):
        monkeypatch.setattr(loop_time, "open_schedstat", lambda: None)
        monkeypatch.setattr(loop_time, "_idle_of", lambda _: None)
        monkeypatch.setattr(LoopMeter, "_read", lambda _: self.now)
        self.now = (0.0, 0.0, 0.0, 0.0)
        self.meter = LoopMeter()
        self.meter._idle = object() if sees_idle else None
        self.meter._queues = -1 if sees_queue else None

    def use(self, *figures, expected=0.5):
        self.now = tuple(old + new for old, new in zip(self.now, figures, strict=True))
        return tuple(round(share, 3) for share in self.meter.take(expected))


@pytest.mark.parametrize(
    ("figures", "shares"),
    [
        ((1.0, 0.1, 0.0, 0.9), (0.1, 0.0, 0.0)),  # little to do
        ((1.0, 1.0, 0.0, 0.0), (1.0, 0.0, 0.0)),  # it computes
        ((1.0, 0.4, 0.6, 0.0), (0.4, 0.6, 0.0)),  # it would, but others do
        ((1.0, 0.1, 0.3, 0.9), (0.1, 0.0, 0.0)),  # it was woken late
        ((1.0, 0.1, 0.0, 0.4), (0.1, 0.0, 0.5)),  # a call blocks it
        ((1.0, 0.1, 0.2, 0.4), (0.1, 0.2, 0.3)),  # both
        ((1.0, 0.1, 0.0, 0.86), (0.1, 0.04, 0.0)),  # too little to be a call
        ((1.0, 1.1, 0.0, 0.3), (1.0, 0.0, 0.0)),  # clocks that differ
        ((0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    ],
)
def test_shares(monkeypatch, figures, shares):
    """What is not idle, computed or queued was blocked."""
    assert Counters(monkeypatch).use(*figures) == shares


def test_a_system_that_does_not_count_who_waits(monkeypatch):
    """A machine that is busy is never taken for a call that blocks."""
    counters = Counters(monkeypatch, sees_queue=False)
    assert counters.use(1.0, 0.1, 0.0, 0.4) == (0.1, 0.5, 0.0)


def test_a_loop_that_hides_its_selector(monkeypatch):
    """It was blocked where it has missed its time by far, else it had no processor."""
    counters = Counters(monkeypatch, sees_idle=False)
    assert counters.use(2.5, 0.25, 0.0, 0.0) == (0.1, 0.0, 0.7)
    assert counters.use(0.8, 0.32, 0.48, 0.0) == (0.4, 0.6, 0.0)
    assert counters.use(0.8, 0.04, 0.12, 0.0) == (0.05, 0.038, 0.0)  # woken late
    assert counters.use(1.5, 0.6, 0.9, 0.0) == (0.4, 0.6, 0.0)


@pytest_twisted.ensureDeferred
async def test_the_selector_of_a_loop():
    """Two meters of a loop share one watch, and the last one takes it away."""
    selector = asyncio.get_running_loop()._selector
    before = selector.select
    first, second = LoopMeter(), LoopMeter()
    watched = selector.select
    first.close()
    assert selector.select == watched != before

    time.sleep(0.02)  # noqa: ASYNC251 - it blocks
    await deferred_from_coro(asyncio.sleep(0.01))
    use = second.take(0.03)
    second.close()
    second.close()

    assert selector.select == before
    assert sum(use) <= 1 + 1e-6
    assert min(use) >= 0


def test_without_a_loop():
    """It measures what there is."""
    meter = LoopMeter()
    assert meter.take(0.5).computing >= 0
    meter.close()
