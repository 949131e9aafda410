"""The metrics of a view as text: every parser takes it, whatever is in it."""

from __future__ import annotations

import subprocess
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge, Histogram, Info, Summary
from prometheus_client import Counter as UserCounter
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from report import report
from views import HOSTILE, large_view

from scrapy_resilience import names
from scrapy_resilience.observe.domain_labels import OTHER, DomainLabels
from scrapy_resilience.observe.exposition import Exposition, exposition
from scrapy_resilience.observe.metric_names import defined
from scrapy_resilience.observe.stat_metrics import StatNames, stat_name
from scrapy_resilience.observe.text_format import content_type, wants_openmetrics
from scrapy_resilience.observe.view import DomainView, JobView, Traffic, View

STATS = {
    "downloader/response_status_count/200": 5,
    "downloader/exception_type_count/twisted.internet.error.TimeoutError": 2,
    "log_count/INFO": 9,
    "retry/max_reached": 1,
    "memusage/max": 1.5e8,
    "elapsed_time_seconds": 2.5,
    "finish_reason": "finished",
    "resilience/checkpoint/commits": 7,
    "resilience/total/item_scraped_count": 3,
    "shop/out of stock": 4,
    "shop_out of_stock": 5,
    "商店": 6,
    "": 8,
    **{f"key {text}": 1 for text in HOSTILE},
    **{f"log_count/{text}": 1 for text in HOSTILE},
}


def samples(text, parse=parse_text):
    """Each series of a text, by its name and labels; fails for one that is there twice."""
    found = {}
    for family in parse(text.decode()):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, key
            found[key] = sample.value
    return found


def value(text, name, **labels):
    """The value of a series of the spider *shops*; None where there is none."""
    spider = labels.pop("spider", "shops")
    return samples(text).get((name, frozenset({"spider": spider, **labels}.items())))


def view_of(*domains, **stats):
    """A view of some domains."""
    return View(job=JobView(spider="shops"), domains=list(domains), stats=stats)


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
    assert len(text) < 1_000_000


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


# --- domains ------------------------------------------------------------------------

_counts = st.lists(st.integers(0, 30), min_size=6, max_size=6)


@given(st.lists(_counts, min_size=1, max_size=12), st.integers(0, 5))
def test_counters_of_domains_never_fall_and_add_up(steps, places):
    """Whichever get a place, and when: each counter grows, and the sum is the crawl's."""
    labels, totals, before = DomainLabels(places), [0] * 6, {}
    for step in steps:
        totals = [total + more for total, more in zip(totals, step, strict=True)]
        domains = [
            DomainView(name=f"d{at}", requests=total, critical=at == 5)
            for at, total in enumerate(totals)
            if total
        ]
        rows = {row.name: row.requests for row in labels.rows(domains)}
        assert all(rows.get(name, 0) >= count for name, count in before.items())
        assert sum(rows.values()) == sum(totals)
        before = rows
    assert len(before) <= places + 2


def test_the_busiest_get_the_places():
    """Of many domains at once, half of the places go to those with the most requests."""
    domains = [DomainView(name=f"d{at}", requests=at) for at in range(100)]

    rows = DomainLabels(10).rows(domains)

    assert [row.name for row in rows] == ["d99", "d98", "d97", "d96", "d95", OTHER]
    assert rows[-1].requests == sum(range(95))


def test_a_domain_that_grows_gets_a_place():
    """One that takes its share later gets a place of the second half."""
    labels = DomainLabels(4)
    labels.rows([DomainView(name=f"d{at}", requests=10) for at in range(9)])
    rows = labels.rows(
        [DomainView(name=f"d{at}", requests=10 + 900 * (at == 8)) for at in range(9)]
    )

    assert "d8" in {row.name for row in rows}


def test_a_domain_that_the_view_drops_keeps_its_series():
    """Its counts stay, and it is in no trouble."""
    labels = DomainLabels(4)
    labels.rows([DomainView(name="a", requests=5, pending=3, breaker="open")])

    row = labels.rows([])[0]

    assert (row.name, row.requests, row.pending, row.breaker) == ("a", 5, 0, "closed")


def test_the_next_run_keeps_the_domains():
    """Names of an earlier run have places before any other."""
    labels = DomainLabels(2, ["old"])

    rows = labels.rows([DomainView(name=f"d{at}", requests=9) for at in range(5)])

    assert rows[0].name == "old"
    assert len(rows) <= 3


def test_a_critical_domain_has_a_place():
    """It needs none of the free ones, and says whether its breaker is open."""
    text = Exposition(domains=DomainLabels(0)).write(
        view_of(DomainView(name="a"), DomainView(name="b", critical=True, breaker="open"))
    )

    assert value(text, "scrapy_resilience_domain_breaker_state", domain="b") == 2
    assert value(text, "scrapy_resilience_critical_breaker_open", domain="b") == 1
    assert value(text, "scrapy_resilience_domain_breaker_state", domain="a") is None


def test_a_domain_called_other():
    """A host of that name is among the others."""
    text = exposition(
        view_of(DomainView(name=OTHER, requests=2), DomainView(name="a", requests=1))
    )

    assert value(text, "scrapy_resilience_domain_requests_total", domain=OTHER) == 2


# --- stats --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "metric", "labels"),
    [
        ("item_scraped_count", "scrapy_item_scraped_count_total", {}),
        ("downloader/response_status_count/404",
         "scrapy_downloader_response_status_count_total", {"status": "404"}),
        ("httperror/response_ignored_status_count/404",
         "scrapy_httperror_response_ignored_status_count_total", {"status": "404"}),
        ("downloader/request_method_count/GET",
         "scrapy_downloader_request_method_count_total", {"method": "GET"}),
        ("downloader/exception_type_count/a.b.Error",
         "scrapy_downloader_exception_type_count_total", {"exception": "a.b.Error"}),
        ("retry/reason_count/503 Service Unavailable",
         "scrapy_retry_reason_count_total", {"reason": "503 Service Unavailable"}),
        ("spider_exceptions/ValueError", "scrapy_spider_exceptions_total",
         {"exception": "ValueError"}),
        ("spider_exceptions/count", "scrapy_spider_exceptions_count_total", {}),
        ("log_count/ERROR", "scrapy_log_count_total", {"level": "ERROR"}),
        ("file_status_count/uptodate", "scrapy_file_status_count_total",
         {"status": "uptodate"}),
        ("request_depth_max", "scrapy_request_depth_max", {}),
        ("retry/max_reached", "scrapy_retry_max_reached_total", {}),
        ("memusage/startup", "scrapy_memusage_startup", {}),
        ("elapsed_time_seconds", "scrapy_elapsed_time_seconds", {}),
        ("items_per_minute", "scrapy_items_per_minute", {}),
        (names.STAT_FAILURES_PREFIX + "throttled", "scrapy_resilience_failures_total",
         {"class": "throttled"}),
        (names.STAT_HELD, "scrapy_resilience_held", {}),
        ("shop/out-of stock", "scrapy_shop_out_of_stock_total", {}),
    ],
)  # fmt: skip
def test_the_rule_for_stats(key, metric, labels):
    """A stat's name is made of its key, and what follows a count is a label."""
    found = stat_name(key)

    assert (found.metric, {found.label: found.value} if found.label else {}) == (metric, labels)


def test_stats_of_the_crawl():
    """Numbers are exported, texts are not, and what is a metric of ours already is so once."""
    text = exposition(view_of(**STATS))

    assert value(text, "scrapy_log_count_total", level="INFO") == 9
    assert value(text, "scrapy_memusage_max") == 1.5e8
    assert b"finish_reason" not in text
    assert text.count(b"scrapy_resilience_checkpoint_commits_total{") == 1
    assert b"scrapy_resilience_total" not in text


def test_stats_with_one_name():
    """The first keeps it, and the other has a number of its own behind it."""
    text = exposition(view_of(**{"shop/a b": 1, "shop/a_b": 2, "x_count": 3, "x_count/y": 4}))

    found = {
        n: name for (name, _), n in samples(text).items() if name.startswith("scrapy_shop")
    }
    assert found[1] == "scrapy_shop_a_b_total"
    assert found[2].startswith("scrapy_shop_a_b_")
    assert found[2] != found[1]
    assert value(text, "scrapy_x_count_total") == 3


def test_there_is_an_end_of_stats():
    """Beyond a thousand, stats are left out, and that is said."""
    text = exposition(view_of(**{f"page{number}": 1 for number in range(1_500)}))

    assert text.count(b"\nscrapy_page") == 1_000
    assert value(text, "scrapy_resilience_metrics_left_out") == 500


@given(st.lists(st.text(max_size=30), unique=True))
def test_any_stat_has_a_valid_name_of_its_own(keys):
    """Whatever the keys are, the text can be parsed and no series is there twice."""
    text = exposition(view_of(**dict.fromkeys(keys, 1)))

    assert samples(text) == samples(exposition(view_of(**dict.fromkeys(keys, 1))))


def test_a_stat_keeps_its_name():
    """Names do not depend on what else is there later."""
    stats = StatNames(frozenset())
    first = stats.find("a b")
    stats.find("a/b")

    assert stats.find("a b") == first


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
    Gauge("scrapy_resilience_threads", "", registry=registry).set(99)
    Gauge("scrapy_memusage_max", "", registry=registry).set(99)
    Gauge("my-gauge", "", registry=registry).set(99)
    Gauge("mine", "", ["a-label"], registry=registry).labels("x").set(99)
    text = exposition(view_of(**STATS), registry)

    assert b" 99" not in text
    assert samples(text) == samples(
        exposition(view_of(**STATS), registry, openmetrics=True), parse_openmetrics
    )
