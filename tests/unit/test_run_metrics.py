"""How requests went since a moment of the spider's own."""

from __future__ import annotations

import pytest
from scrapy import Spider
from scrapy.utils.test import get_crawler

from scrapy_resilience.names import STAT_FALLBACKS
from scrapy_resilience.observe.observer import observer_of
from scrapy_resilience.run_metrics import reset_metrics, run_metrics


@pytest.fixture
def observer():
    """The observer of a crawler, which it keeps."""
    return observer_of(get_crawler(Spider))


def settle(observer, *, failed=0, good=0, latency=0.5):
    """Let so many tries come to their ends."""
    for number in range(failed + good):
        observer.counts.settled(
            "a.test", failed=number < failed, is_retry=False, size=10, latency=latency
        )


def test_nothing_yet(observer):
    """There is no rate and no mean of nothing."""
    metrics = run_metrics(observer.crawler)
    assert (metrics.total, metrics.successful, metrics.failed, metrics.fallbacks) == (0,) * 4
    assert metrics.success_rate is None
    assert metrics.mean_seconds is None
    assert metrics.total_seconds == 0


def test_a_batch(observer):
    """A request counts once, however often it was tried; times are those of all responses."""
    settle(observer, failed=3, good=4)
    observer.recorder.given_up = 1
    observer.crawler.stats.inc_value(STAT_FALLBACKS, 2)

    metrics = run_metrics(observer.crawler)

    assert (metrics.total, metrics.successful, metrics.failed, metrics.fallbacks) == (
        5,
        4,
        1,
        2,
    )
    assert metrics.success_rate == 0.8
    assert (metrics.total_seconds, metrics.mean_seconds) == (3.5, 0.5)


def test_a_reset(observer):
    """It returns what there was, and the next batch begins with nothing."""
    settle(observer, good=4)
    before = run_metrics(observer.crawler)

    assert reset_metrics(observer.crawler) == before
    assert run_metrics(observer.crawler).total == 0
    settle(observer, good=1, latency=2.0)
    assert run_metrics(observer.crawler).mean_seconds == 2.0
    assert observer.counts.domains["a.test"].answers == 5


def test_crawlers_are_apart(observer):
    """Two crawls of one process have each their own."""
    other = observer_of(get_crawler(Spider))
    settle(observer, good=4)
    reset_metrics(observer.crawler)
    settle(other, good=2)
    assert run_metrics(other.crawler).successful == 2
    assert run_metrics(observer.crawler).successful == 0
