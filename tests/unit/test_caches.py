"""What a crawl gives back when memory is short."""

from __future__ import annotations

import gc
from functools import lru_cache

import pytest
from scrapy import Spider
from scrapy.signals import engine_stopped
from scrapy.utils.test import get_crawler

from scrapy_resilience.core.breaker import Outcome
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.guard import caches
from scrapy_resilience.guard.caches import Caches, caches_of, register_cache
from scrapy_resilience.normalize import normalize_price
from scrapy_resilience.selectors.language import parse

TABLE = {"a": 1}
calls = []


@lru_cache(maxsize=16)
def remembered(number):
    """What a setting names."""
    return number


def clear_all():
    """What a setting names, too."""
    calls.append("all")


@pytest.fixture
def crawler():
    """One that has not begun."""
    return get_crawler(Spider)


def test_registered_caches(crawler):
    """A registered function is called; the last one of a name counts."""
    mine = {"a": 1}
    register_cache(crawler, "mine", lambda: calls.append("never"))
    register_cache(crawler, "mine", mine.clear)
    cleaned = caches_of(crawler).clean(crawler)

    assert mine == {}
    assert "never" not in calls
    assert cleaned.failed == []


def test_one_that_raises(crawler, caplog):
    """The others are cleared all the same, and it is logged once."""
    mine = {"a": 1}
    register_cache(crawler, "broken", lambda: 1 / 0)
    register_cache(crawler, "mine", mine.clear)
    cleaned = [caches_of(crawler).clean(crawler) for _ in range(3)]

    assert mine == {}
    assert [each.failed for each in cleaned] == [["broken"]] * 3
    assert caplog.text.count("The cache broken can't be cleared") == 1


def test_what_is_no_function(crawler):
    """It is refused where it is registered."""
    with pytest.raises(TypeError, match="give a function"):
        register_cache(crawler, "mine", {})


def test_ours_and_those_of_libraries(crawler):
    """Bounded caches of selectors, normalizers and parsel are empty after it."""
    from parsel.selector import Selector, _compile_xpath  # noqa: PLC0415 - its cache

    normalize_price("EUR 1.50")
    Selector("<a/>").xpath("//a")
    parse("a::text")
    full = [_compile_xpath.cache_info().currsize, parse.cache_info().currsize]
    cleaned = caches_of(crawler).clean(crawler)

    assert min(full) > 0
    assert _compile_xpath.cache_info().currsize == 0
    assert parse.cache_info().currsize == 0
    assert cleaned.caches > 10
    assert normalize_price("EUR 1.50")["amount"] is not None


def test_normalizers_can_be_cleared():
    """As a function with lru_cache can."""
    assert normalize_price.cache_parameters()["maxsize"] == 4096
    normalize_price.cache_clear()


def test_those_that_a_setting_names():
    """A function with lru_cache, a dict, and a function that clears."""
    TABLE["a"] = 1
    remembered(1)
    here = __name__
    found = Caches([f"{here}.remembered", f"{here}.TABLE", f"{here}.clear_all"])
    crawler = get_crawler(Spider)
    found.clean(crawler)

    assert remembered.cache_info().currsize == 0
    assert TABLE == {}
    assert calls[-1] == "all"


@pytest.mark.parametrize("name", ["no.such.module", "nothing", "scrapy.nothing", "math.pi"])
def test_a_name_that_is_none(name):
    """It is a clear error at the start."""
    with pytest.raises(ConfigurationError, match="RESILIENCE_MEMORY_CACHES"):
        Caches([name])


def test_garbage_is_collected(crawler):
    """Circles are collected, though the collector is off."""
    gc.disable()
    try:
        for _ in range(1_000):
            circle = []
            circle.append(circle)
        cleaned = caches_of(crawler).clean(crawler)
    finally:
        gc.enable()

    assert cleaned.garbage >= 999


def test_idle_domains_are_forgotten(crawler):
    """What is known of a domain that is well and idle can be had again: it is let go."""
    gates = gatekeeper_of(crawler).gates
    for number in range(10):
        gates.settle(gates.acquire(f"d{number}.test", 1.0), Outcome.SUCCESS, 1.0)
    busy = gates.acquire("busy.test", 1.0)
    caches_of(crawler).clean(crawler)

    assert [gate.domain for gate in gates._gates.values()] == ["busy.test"]
    assert busy.gate is gates.known("busy.test")


def test_without_glibc(crawler, monkeypatch):
    """Where nothing can be given back to the system, the rest is done."""
    monkeypatch.setattr(caches, "_malloc_trim", lambda: None)

    register_cache(crawler, "mine", (kept := {1: 2}).clear)
    cleaned = caches_of(crawler).clean(crawler)

    assert (kept, cleaned.failed) == ({}, [])


def test_the_end_of_a_crawl_forgets(crawler):
    """What was registered does not outlive the crawl."""
    register_cache(crawler, "mine", lambda: 1 / 0)
    crawler.signals.send_catch_log(engine_stopped)

    assert caches_of(crawler).clean(crawler).failed == []
