"""How often the watchdog looks."""

from __future__ import annotations

import gc

import pytest
from scrapy.utils.test import get_crawler

from scrapy_resilience.core.readings import Reading
from scrapy_resilience.extensions.watchdog import Watchdog

MB = 1 << 20


@pytest.fixture
def watchdog(monkeypatch, fake_clock):
    """One whose process uses ``used`` MB, and whose crawl has got ``pages``."""
    crawler = get_crawler()
    crawler._apply_settings()
    found = Watchdog.from_crawler(crawler)
    found.used, found.looks, found.told = 100, [], []

    def resident():
        found.looks.append(fake_clock.now)
        return found.used * MB

    monkeypatch.setattr(found.meter, "resident", resident)
    found.watch.take(fake_clock.now, Reading(memory=100 * MB, memory_limit=1000 * MB))
    found._told = 100 * MB
    found.watch.on_reading.append(lambda _, reading: found.told.append(reading.memory))
    found.pages = lambda count: crawler.stats.set_value("response_received_count", count)
    found._look_at_memory()
    yield found
    found._stopped()


def test_a_crawl_at_rest(watchdog, fake_clock):
    """Twice a second, and nobody is told of nothing."""
    fake_clock.advance(10.0)
    assert 20 <= len(watchdog.looks) <= 22
    assert watchdog.told == []


def test_memory_that_moves(watchdog, fake_clock):
    """Up to twenty times a second, and each time is told; then it calms down again."""
    for _ in range(100):
        watchdog.used += 10
        fake_clock.advance(0.05)
    assert len(watchdog.told) > 80
    assert watchdog.told[-1] == pytest.approx(watchdog.used * MB, abs=10 * MB)
    watchdog.looks.clear()
    fake_clock.advance(10.0)
    assert len(watchdog.looks) < 26


def test_many_pages(watchdog, fake_clock):
    """A look each fifty of them."""
    for number in range(200):
        watchdog.pages(number * 60)
        fake_clock.advance(0.05)
    assert len(watchdog.looks) > 150
    assert watchdog.told == []


def test_memory_that_can_not_be_read(watchdog, fake_clock, monkeypatch):
    """Nothing is told of it."""
    monkeypatch.setattr(watchdog.meter, "resident", lambda: None)
    fake_clock.advance(5.0)
    assert watchdog.told == []


def test_a_crawl_without_a_reading(watchdog, fake_clock):
    """The first check has not come back: there is nothing to compare with."""
    watchdog.watch.reading = None
    fake_clock.advance(5.0)
    assert watchdog.told == []


def test_nothing_after_the_end(watchdog, fake_clock):
    """No timer stays, and nobody is held."""
    watchdog._stopped()
    watchdog.looks.clear()
    fake_clock.advance(100.0)
    gc.collect()
    assert watchdog.looks == []
    assert watchdog.watch.on_reading == []


def test_a_look_at_once(watchdog):
    """Who can't wait for the next one has the memory read, and all are told."""
    watchdog.used = 101
    watchdog.watch.look()
    assert watchdog.told == [101 * MB]
    watchdog.watch.reading = None
    watchdog.watch.look()
    assert len(watchdog.told) == 1
