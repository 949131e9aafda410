"""Stats of Scrapy and of others as metrics: valid names, each used once."""

from __future__ import annotations

import pytest
from exposed import STATS, samples, value, view_of
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience import names
from scrapy_resilience.observe.metrics.exposition import exposition
from scrapy_resilience.observe.metrics.stat_metrics import StatNames, stat_name


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
