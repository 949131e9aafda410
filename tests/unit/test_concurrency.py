"""How many requests may be under way, where several ask for fewer."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from engines import Slot, engine_of
from scrapy import Spider
from scrapy.signals import engine_started
from scrapy.utils.test import get_crawler

from scrapy_resilience.guard.concurrency import concurrency_limit_of


@pytest.fixture
def engine():
    """Whose settings allow sixteen."""
    return engine_of({"CONCURRENT_REQUESTS": 16})


def test_smallest_cap_holds(engine):
    """The smallest of all caps is the engine's limit; without any, that of the settings."""
    limit = concurrency_limit_of(engine.crawler)
    seen = []
    for act in (
        lambda: limit.cap("memory", 8),
        lambda: limit.cap("cpu", 4),
        lambda: limit.uncap("memory"),
        lambda: limit.cap("cpu", 32),
        lambda: limit.uncap("cpu"),
        lambda: limit.uncap("cpu"),
    ):
        act()
        seen.append((limit.now, engine.downloader.total_concurrency))

    assert seen == [(8, 8), (4, 4), (4, 4), (16, 16), (16, 16), (16, 16)]


def test_one_at_least(engine):
    """No cap stops the crawl: that is what pauses are for."""
    limit = concurrency_limit_of(engine.crawler)
    limit.cap("memory", 0)

    assert engine.downloader.total_concurrency == 1


def test_no_limit():
    """Where Scrapy has no limit (0), a cap is one, and its end gives that back."""
    engine = engine_of({"CONCURRENT_REQUESTS": 0})
    limit = concurrency_limit_of(engine.crawler)
    limit.cap("memory", 8)
    capped = engine.downloader.total_concurrency
    limit.uncap("memory")

    assert (capped, engine.downloader.total_concurrency, limit.now) == (8, 0, 0)


def test_before_the_engine_exists():
    """A cap that is older than the engine holds once that starts."""
    crawler = get_crawler(Spider)
    limit = concurrency_limit_of(crawler)
    limit.cap("memory", 3)
    crawler.spider = crawler._create_spider("shop")
    crawler._engine = crawler._create_engine()
    crawler._engine._slot = Slot()
    crawler.signals.send_catch_log(engine_started)

    assert crawler.engine.downloader.total_concurrency == 3


def test_a_downloader_without_limit(engine):
    """A downloader of the user's own that has no such attribute gets none."""
    engine.downloader = SimpleNamespace()
    limit = concurrency_limit_of(engine.crawler)
    limit.cap("memory", 3)

    assert vars(engine.downloader) == {}


def test_the_end_of_a_cap_wakes_the_engine(engine):
    """What waited for the limit is asked for at once."""
    calls = []
    engine._slot.nextcall = SimpleNamespace(schedule=lambda: calls.append("woken"))
    limit = concurrency_limit_of(engine.crawler)
    limit.cap("memory", 3)
    limit.uncap("memory")

    assert calls == ["woken"]
