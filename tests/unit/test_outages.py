"""Breakers that stay open for long."""

from __future__ import annotations

import pytest
from scrapy.utils.test import get_crawler

from scrapy_resilience import _clock, signals
from scrapy_resilience.guard.notify import outages as module
from scrapy_resilience.guard.notify.outages import Outages
from scrapy_resilience.testing import FakeClock


@pytest.fixture
def clock():
    """A clock that the test moves."""
    clock = FakeClock()
    with _clock.use(clock):
        yield clock


class Told:
    """Outages of a crawler, and what they tell."""

    def __init__(self, after=600.0):
        self.crawler = get_crawler()
        self.texts = []
        self.outages = Outages(self.crawler, after)
        self.crawler.signals.connect(self.hear, signals.crawl_event)

    def hear(self, kind, text, severity, domain):
        """Note it."""
        assert kind == "outage"
        assert domain in text
        self.texts.append((severity, text))

    def change(self, domain, new, reason="failure rate"):
        """The breaker of a domain has another state."""
        self.crawler.signals.send_catch_log(
            signals.breaker_changed, domain=domain, old="", new=new, reason=reason
        )


def test_one_that_stays_open(clock):
    """It is told once, whatever its trials come to, and that it is over."""
    told = Told()
    told.change("a.test", "open")
    for _ in range(10):
        clock.advance(100)
        told.change("a.test", "half_open")
        told.change("a.test", "open")
    told.change("a.test", "closed")

    assert told.texts == [
        (
            "warning",
            "a.test does not answer since 10 min: its circuit breaker is open (failure rate)",
        ),
        ("info", "a.test answers again, after 17 min"),
    ]


def test_one_that_recovers(clock):
    """Nothing is told of it."""
    told = Told()
    told.change("a.test", "open")
    clock.advance(599)
    told.change("a.test", "closed")
    clock.advance(10_000)
    assert told.texts == []


def test_each_has_its_own_time(clock):
    """The second is told when it has been open for as long."""
    told = Told()
    told.change("a.test", "open")
    clock.advance(300)
    told.change("b.test", "open")
    clock.advance(300)
    assert len(told.texts) == 1
    clock.advance(299)
    assert len(told.texts) == 1
    clock.advance(1)
    assert len(told.texts) == 2


def test_one_that_somebody_opens(clock):
    """Who leaves a domain alone knows it."""
    told = Told()
    told.change("a.test", "forced_open")
    clock.advance(10_000)
    told.change("b.test", "open")
    clock.advance(600)
    told.change("b.test", "forced_open")
    told.change("b.test", "closed")
    assert [severity for severity, _ in told.texts] == ["warning"]


def test_at_the_end(clock):
    """Nothing is told any more."""
    told = Told()
    told.change("a.test", "open")
    told.outages.stop()
    clock.advance(10_000)
    assert told.texts == []


def test_many_domains(clock, monkeypatch):
    """What is kept of them is bounded."""
    monkeypatch.setattr(module, "_MOST", 10)
    told = Told()
    for number in range(30):
        told.change(f"{number}.test", "open")
    assert len(told.outages._open) == 10
    clock.advance(600)
    for number in range(30, 60):
        told.change(f"{number}.test", "open")
    clock.advance(600)
    assert len(told.outages._told) <= 10
