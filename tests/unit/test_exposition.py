"""The metrics of a view as text: every parser takes it, whatever is in it."""

from __future__ import annotations

import subprocess
from collections import Counter
from types import SimpleNamespace

import msgspec
import pytest
from exposed import STATS, samples, value, view_of
from prometheus_client import CollectorRegistry, Gauge, Histogram, Info, Summary
from prometheus_client import Counter as UserCounter
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from report import report
from views import large_view

from scrapy_resilience.observe.metrics.domain_labels import DomainLabels
from scrapy_resilience.observe.metrics.exposition import Exposition, exposition
from scrapy_resilience.observe.metrics.metric_names import defined
from scrapy_resilience.observe.metrics.text_format import content_type, wants_openmetrics
from scrapy_resilience.observe.view import DomainView, Progress, Traffic, View


@pytest.fixture(scope="module")
def large():
    """A view of 1,000 domains with hostile texts."""
    view = large_view(history=False)
    view.stats = {**view.stats, **STATS}
    return view


# --- the text -----------------------------------------------------------------------


def test_both_formats_say_the_same(large):
    """What OpenMetrics' parser finds is what Prometheus' finds."""
    text, openmetrics = exposition(large), exposition(large, openmetrics=True)

    assert openmetrics.endswith(b"# EOF\n")
    found = samples(openmetrics, parse_openmetrics)
    assert found == samples(text)
    assert len(found) > 400


def test_every_metric_is_there(large):
    """A large view has at least one series of each metric that is defined."""
    registry = CollectorRegistry()
    there = {name for name, _ in samples(exposition(large, registry))}

    report(
        metric.name
        for metric in defined()
        if metric.name + ("_bucket" if metric.kind == "histogram" else "") not in there
    )


def test_names_follow_the_rules():
    """Counters end with _total, nothing else does, and each name is used once."""
    report(
        metric.name
        for metric in defined()
        if (metric.kind == "counter") != metric.name.endswith("_total")
        or (metric.kind == "info") != metric.name.endswith("_info")
    )
    twice = Counter(metric.name for metric in defined())
    assert set(twice.values()) == {1}


def test_a_later_text_is_like_the_first(large):
    """What is kept from one scrape to the next changes nothing."""
    writer = Exposition()
    first = writer.write(large)
    writer.write(large, openmetrics=True)

    assert writer.write(large) == first == Exposition().write(large)


def test_a_run_counts_from_its_start(large):
    """What earlier runs of the job have counted is in the gauges of the job only."""
    writer = Exposition()
    writer.begin(large)
    text = writer.write(large)

    assert value(text, "scrapy_resilience_pages_total") == 0
    assert value(text, "scrapy_resilience_job_pages") == large.progress.pages
    assert value(text, "scrapy_resilience_failures_total", **{"class": "throttled"}) == 0
    assert value(text, "scrapy_resilience_confidence_count") == 0
    assert value(text, "scrapy_resilience_confidence_bucket", le="+Inf") == 0
    assert value(text, "scrapy_resilience_latency_seconds_count") > 0


def test_what_is_not_known_has_no_sample():
    """With another scheduler nobody knows what is pending: zero would be a lie."""
    text = exposition(View(progress=Progress(pending=None)))

    assert value(text, "scrapy_resilience_requests_pending", spider="") is None
    assert value(text, "scrapy_resilience_requests_in_progress", spider="") == 0


def test_an_empty_view():
    """A crawl that has not begun has metrics."""
    text = exposition(View())

    assert value(text, "scrapy_resilience_requests_total", spider="") == 0
    assert samples(text) == samples(exposition(View(), openmetrics=True), parse_openmetrics)


def test_promtool_takes_it(large, promtool):
    """Prometheus' own tool finds nothing to say about names, units and kinds of ours."""
    view = msgspec.structs.replace(large, stats={})
    command = [promtool, "check", "metrics"]
    run = subprocess.run(command, input=exposition(view), capture_output=True, check=False)

    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")


def test_size(large):
    """A thousand domains, each with series of its own, make less than a megabyte."""
    text = Exposition(domains=DomainLabels(2_000)).write(large)

    assert text.count(b"domain_requests_total{") > 1_000
    assert len(text) < 2**20


def test_hostile_texts_are_bounded(large):
    """No line is long, and nothing in it moves a terminal's cursor."""
    for line in exposition(large).decode().splitlines():
        assert line.isprintable()
        assert len(line) < 1_000


def test_secrets_are_masked():
    """A password in a name that becomes a label is not exported."""
    view = view_of(**{"log_count/http://me:hunter2@a.example/": 1})
    view.traffic = Traffic(exceptions={"http://me:hunter2@a.example": 1})

    assert b"hunter2" not in exposition(view)


def test_labels_that_were_cut_stay_apart():
    """Two texts that are alike up to their end are two series, and have their own numbers."""
    long = "x" * 5_000
    view = view_of(DomainView(name=long + "1"), DomainView(name=long + "2"))
    view.traffic = Traffic(exceptions={long + "a": 1, long + "b": 2})

    found = samples(exposition(view))
    counts = [
        n for (name, _), n in found.items() if name == "scrapy_resilience_exceptions_total"
    ]
    assert sorted(counts) == [1, 2]
    assert sum(name == "scrapy_resilience_domain_latency_seconds" for name, _ in found) == 0


def test_too_many_labels():
    """Beyond a hundred, counters are added up as other, and the sum stays right."""
    view = view_of()
    view.traffic = Traffic(exceptions={f"E{number}": 1 for number in range(5_000)})

    found = samples(exposition(view))
    counts = [
        n for (name, _), n in found.items() if name == "scrapy_resilience_exceptions_total"
    ]
    assert (len(counts), sum(counts)) == (101, 5_000)


def test_labels_of_the_user(large):
    """Labels of the settings are on each series."""
    text = Exposition({"shop": "de"}).write(large)

    assert all(("shop", "de") in labels for _, labels in samples(text))


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", False),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", True),
    ],
)
def test_negotiation(accept, openmetrics):
    """OpenMetrics is what a client gets that asks for it."""
    assert wants_openmetrics(accept) is openmetrics
    assert ("openmetrics" in content_type(openmetrics=openmetrics)) is openmetrics


# --- the user's ---------------------------------------------------------------------


def test_metrics_of_the_user():
    """All kinds of prometheus_client are exported, with the label of the spider."""
    registry = CollectorRegistry()
    UserCounter("shop_prices", "Prices.", ["currency"], registry=registry).labels("EUR").inc(3)
    Gauge("shop_stock", 'In "stock".', registry=registry).set(float("inf"))
    Histogram("shop_seconds", "", registry=registry, buckets=[1]).observe(0.5)
    Summary("shop_sizes", "", registry=registry).observe(2)
    Info("shop", "", registry=registry).info({"version": "1"})
    text = exposition(view_of(), registry)

    assert value(text, "shop_prices_total", currency="EUR") == 3
    assert value(text, "shop_stock") == float("inf")
    assert value(text, "shop_seconds_bucket", le="1.0") == 1
    assert value(text, "shop_sizes_sum") == 2
    assert value(text, "shop_info", version="1") == 1
    assert b"_created" not in text
    openmetrics = exposition(view_of(), registry, openmetrics=True)
    assert samples(openmetrics, parse_openmetrics) == samples(text)


def test_a_collector_that_fails():
    """Ours are exported all the same, and one metric says so."""

    class Failing:
        def collect(self):
            raise RuntimeError

    registry = CollectorRegistry()
    registry.register(Failing())
    text = exposition(view_of(), registry)

    assert value(text, "scrapy_resilience_user_metrics_failed") == 1
    assert value(text, "scrapy_resilience_requests_total") == 0


def test_names_that_are_taken_or_wrong():
    """A metric with a name of ours, or one that not all parsers take, is left out."""
    registry = CollectorRegistry()
    sample = SimpleNamespace(name="mine", labels={"a-label": "x"}, value=99)
    utf8 = [
        SimpleNamespace(name="my-gauge", type="gauge", documentation="", samples=[sample]),
        SimpleNamespace(name="mine", type="gauge", documentation="", samples=[sample]),
    ]
    Gauge("scrapy_resilience_threads", "", registry=registry).set(99)
    Gauge("scrapy_memusage_max", "", registry=registry).set(99)
    registry.register(type("Foreign", (), {"collect": lambda _: utf8})())
    text = exposition(view_of(**STATS), registry)

    assert b" 99" not in text
    assert samples(text) == samples(
        exposition(view_of(**STATS), registry, openmetrics=True), parse_openmetrics
    )
