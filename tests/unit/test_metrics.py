"""Metrics of the user: where they count, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from contextvars import copy_context
from threading import Thread

import pytest
from report import report
from scrapy import Spider
from scrapy.utils.test import get_crawler

from scrapy_resilience import metrics as module
from scrapy_resilience._scrapy.here import Here
from scrapy_resilience.exceptions import ConfigurationError, MissingLibraryError
from scrapy_resilience.metrics import (
    Metrics,
    counter,
    enter,
    gauge,
    histogram,
    leave,
    metrics_of,
    timed,
)
from scrapy_resilience.testing import FakeClock, use_clock


@pytest.fixture(autouse=True)
def outside(monkeypatch):
    """New metrics of what runs outside of crawls."""
    made = Metrics()
    monkeypatch.setattr(module, "_outside", made)
    monkeypatch.setattr(module, "_here", Here("test"))
    return made


def value(metrics, name, **labels):
    """A sample of a registry."""
    return metrics.registry.get_sample_value(name, labels)


def in_crawl(crawler, function):
    """Call a function in a context of its own, as a crawl does."""

    def run():
        enter(crawler)
        return function()

    return copy_context().run(run)


# --- where they count ---------------------------------------------------------------


def test_kinds(outside):
    """A counter grows, a gauge goes up and down, a histogram counts between its bounds."""
    counter("shop_prices", labels=["currency"]).inc(2, currency="EUR")
    stock = gauge("shop_stock")
    stock.set(5)
    stock.inc()
    stock.dec(3)
    histogram("shop_size", buckets=[1, 10]).observe(4)

    assert value(outside, "shop_prices_total", currency="EUR") == 2
    assert value(outside, "shop_stock") == 3
    assert value(outside, "shop_size_bucket", le="1.0") == 0
    assert value(outside, "shop_size_bucket", le="10.0") == 1


def test_one_name_made_twice(outside):
    """A spider and a pipeline may both make it: they count together."""
    counter("shop_pages").inc()
    counter("shop_pages_total").inc()

    assert value(outside, "shop_pages_total") == 2


def test_two_crawls_do_not_mix(outside):
    """One metric of a module counts in the crawl whose code uses it."""
    pages = counter("shop_pages")
    first, second = get_crawler(Spider), get_crawler(Spider)
    in_crawl(first, pages.inc)
    in_crawl(second, lambda: pages.inc(5))

    assert value(metrics_of(first), "shop_pages_total") == 1
    assert value(metrics_of(second), "shop_pages_total") == 5
    assert not outside.used


def test_a_metric_of_one_crawl(outside):
    """What was made by metrics_of() counts there, whoever uses it."""
    crawler = get_crawler(Spider)
    pages = metrics_of(crawler).counter("shop_pages")
    metrics_of(crawler).gauge("shop_stock").set(2)
    metrics_of(crawler).histogram("shop_seconds").observe(2)
    in_crawl(get_crawler(Spider), pages.inc)
    pages.inc()

    assert value(metrics_of(crawler), "shop_pages_total") == 2
    assert not outside.used


def test_a_thread_of_the_only_crawl():
    """A thread has no context: what it counts is the crawl's, where there is one only."""
    crawler = get_crawler(Spider)
    pages = counter("shop_pages")

    def in_thread():
        thread = Thread(target=pages.inc)
        thread.start()
        thread.join()

    in_crawl(crawler, in_thread)

    assert value(metrics_of(crawler), "shop_pages_total") == 1
    leave(crawler)
    in_thread()
    assert value(metrics_of(None), "shop_pages_total") == 1


def test_too_many_values(outside, caplog):
    """The thousandth value of a label is the last: others are counted together."""
    pages = counter("shop_pages", labels=["url"])
    for number in range(1_200):
        pages.inc(url=number)
        pages.inc(url=1)

    assert value(outside, "shop_pages_total", url="1") == 1_201
    assert value(outside, "shop_pages_total", url="other") == 200
    assert len(next(iter(outside.registry.collect())).samples) <= 2 * 1_001
    assert caplog.text.count("1000 values") == 1


def test_a_long_value(outside):
    """What a label says is cut."""
    counter("shop_pages", labels=["title"]).inc(title="x" * 1_000_000)

    assert value(outside, "shop_pages_total", title="x" * 200) == 1


# --- timing ---------------------------------------------------------------------------


@pytest.fixture
def clock():
    """A clock that a test moves."""
    with use_clock(clock := FakeClock()):
        yield clock


def test_timing(outside, clock):
    """A block, a function, a coroutine function and an async block: each is counted once."""

    @timed("shop_seconds", site="a")
    def slow(seconds):
        """Slow."""
        clock.advance(seconds)
        return seconds

    @timed("shop_seconds", site="a")
    async def slow_async():
        clock.advance(3)

    async def both():
        await slow_async()
        async with timed("shop_seconds", site="a"):
            clock.advance(4)

    with timed("shop_seconds", site="a"):
        clock.advance(1)
    assert slow(2) == 2
    with pytest.raises(StopIteration):
        both().send(None)  # nothing in it waits

    assert value(outside, "shop_seconds_sum", site="a") == 10
    assert value(outside, "shop_seconds_count", site="a") == 4
    assert (slow.__name__, slow.__doc__) == ("slow", "Slow.")


def test_timing_of_what_raises(outside, clock):
    """It is counted, and the error comes through."""
    seconds = histogram("shop_seconds")

    @seconds.time()
    def fail():
        clock.advance(1)
        raise OSError("down")

    with pytest.raises(OSError, match="down"):
        fail()

    assert value(outside, "shop_seconds_sum") == 1


def test_timed_functions_nest(outside, clock):
    """A function that calls itself is timed as a whole, each time."""

    @timed("shop_seconds")
    def down(number):
        clock.advance(1)
        if number:
            down(number - 1)

    down(2)

    assert value(outside, "shop_seconds_sum") == 3 + 2 + 1


def test_generators_are_not_timed():
    """It has done nothing yet when it is returned."""
    with pytest.raises(TypeError, match="is a generator"):

        @timed("shop_seconds")
        def parse():
            yield


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["", "a b", "1a", "a-b", "é", "scrapy_pages", "a_bucket", "a_count", "a_sum", "a_created",
     "a_info", "a_total_total", "a\n", None, 5],
)  # fmt: skip
def test_a_wrong_name(name):
    """It is refused where it is made, and the error says it."""
    with pytest.raises(ConfigurationError, match="can't be made") as caught:
        counter(name)

    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("make", [gauge, histogram])
def test_only_counters_are_totals(make):
    """The ending is for counters."""
    with pytest.raises(ConfigurationError, match="the ending of a"):
        make("shop_total")


@pytest.mark.parametrize(
    "labels",
    [["a b"], ["1"], ["le"], ["quantile"], ["spider"], ["__a"], ["a", "a"], [None], "site"],
)
def test_a_wrong_label(labels):
    """It is refused where it is made."""
    with pytest.raises(ConfigurationError, match="shop_pages"):
        counter("shop_pages", labels=labels)


@pytest.mark.parametrize("given", [{}, {"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "c": 2}])
def test_labels_that_are_missing(given):
    """Each label is given, and no other."""
    with pytest.raises(ConfigurationError, match="has the labels"):
        counter("shop_pages", labels=["a", "b"]).inc(**given)
    with pytest.raises(ConfigurationError, match="has the labels"):
        counter("shop_items").inc(a=1)


def test_two_shapes_of_one_name():
    """A name is of one kind, with one set of labels."""
    counter("shop_pages").inc()
    others = [
        lambda: gauge("shop_pages").set(1),
        lambda: counter("shop_pages", labels=["a"]).inc(a=1),
        lambda: histogram("shop_pages").observe(1),
    ]
    for other in others:
        with pytest.raises(ConfigurationError, match="'shop_pages' is a counter already"):
            other()


def test_a_name_in_the_registry(outside):
    """A collector of the library's own kinds has the name already."""
    from prometheus_client import Gauge  # noqa: PLC0415 - only here

    Gauge("shop_pages", "", registry=outside.registry)
    with pytest.raises(ConfigurationError, match="can't be made"):
        gauge("shop_pages").set(1)


@pytest.mark.parametrize("buckets", [[], [2, 1], [1, 1]])
def test_wrong_buckets(buckets):
    """They grow."""
    with pytest.raises(ConfigurationError, match="numbers that grow"):
        histogram("shop_seconds", buckets=buckets)


def test_a_counter_does_not_fall():
    """A negative amount is an error."""
    with pytest.raises(ValueError, match="non-negative"):
        counter("shop_pages").inc(-1)


def test_without_the_library(monkeypatch):
    """The error names the extra that has it; making a metric needs nothing."""
    pages = counter("shop_pages")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    with pytest.raises(MissingLibraryError, match=r"scrapy-resilience\[metrics\]"):
        pages.inc()


def test_the_registry_is_safe_between_threads(outside):
    """Many threads that use a new metric at once make it once."""
    pages = counter("shop_pages", labels=["n"])

    def work():
        for number in range(200):
            pages.inc(n=number % 20)

    threads = [Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    report(
        number
        for number in range(20)
        if value(outside, "shop_pages_total", n=str(number)) != 8 * 10
    )


def test_the_library_is_loaded_late():
    """A crawl that counts nothing of its own does not load it."""
    code = "import sys, scrapy_resilience.addon; sys.exit('prometheus_client' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
