"""Stats of all runs of a job."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.totals import add_stats

counters = st.dictionaries(
    st.sampled_from(["item_scraped_count", "response_status_count/200", "resilience/x"]),
    st.integers(0, 100),
)


@pytest.mark.parametrize(
    ("key", "before", "now", "total"),
    [
        ("item_scraped_count", 3, 4, 7),
        ("downloader/response_bytes", 1.5, 2, 3.5),
        ("request_depth_max", 3, 2, 3),
        ("request_depth_max", 3, 9, 9),
        ("memusage/max", 5, 4, 5),
        ("resilience/checkpoint/drain_seconds_max", 0.5, 0.25, 0.5),
        ("max/depth", 1, 2, 2),
        ("latency_min", 3, 2, 2),
        ("latency/min", 3, 5, 3),
        ("maximum_count", 3, 4, 7),
        ("retry/max_reached", 3, 4, 7),
        ("items_per_minute", 30.0, 20.0, 20.0),
        ("resilience/confidence/mean", 0.5, 0.75, 0.75),
        ("minute_count", 3, 4, 7),
        ("climax", 3, 4, 7),
        ("finish_reason", "shutdown", "finished", "finished"),
        ("resilience/coverage/dict/price", 0.9, 0.8, 0.8),
        ("resilience/confidence/mean", 0.9, 0.8, 0.8),
        ("some_flag", False, True, True),
        ("some_flag", True, True, True),
        ("was_text", "x", 5, 5),
        ("was_number", 5, "x", "x"),
        ("was_none", None, 5, 5),
        ("list", [1], [2], [2]),
    ],
)
def test_one_stat_of_two_runs(key, before, now, total):
    """Counters add up, maxima and minima stay such, anything else is the latest value."""
    assert add_stats({key: before}, {key: now}) == {key: total}


def test_the_job_began_when_its_first_run_did():
    """start_time is that of the first run, finish_time that of the last."""
    first, second = (datetime(2024, 1, day, tzinfo=timezone.utc) for day in (1, 2))
    before = {"start_time": first, "finish_time": first}

    assert add_stats(before, {"start_time": second, "finish_time": second}) == {
        "start_time": first,
        "finish_time": second,
    }


def test_keys_of_either_run_are_there():
    """A stat that only one run has is in the total as it is."""
    assert add_stats({"a": 1}, {"b": "x"}) == {"a": 1, "b": "x"}


@given(counters, counters, counters)
def test_runs_may_be_added_in_any_grouping(one, two, three):
    """Counters of three runs add up to the same total however they are grouped."""
    assert add_stats(add_stats(one, two), three) == add_stats(one, add_stats(two, three))


@given(counters, counters)
def test_the_arguments_stay_as_they_are(before, now):
    """Adding changes neither run."""
    copies = dict(before), dict(now)
    add_stats(before, now)

    assert (before, now) == copies


@given(counters)
def test_a_first_run_is_its_own_total(now):
    """Without an earlier run the total is this run."""
    assert add_stats({}, now) == now
