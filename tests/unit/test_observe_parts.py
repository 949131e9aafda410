"""What a view is made of: rates, counts by domain, parts out of stats, the sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.observe.from_stats import (
    checkpoint_of,
    confidence_of,
    coverage_of,
    plain,
    traffic_of,
    unread_of,
)
from scrapy_resilience.observe.rates import Rates, Sample
from scrapy_resilience.observe.sentences import duration, sentence
from scrapy_resilience.observe.traffic import BOUNDS, DOMAINS, OTHER, TrafficCounts
from scrapy_resilience.observe.view import Checkpoint, DomainView, JobView, Progress, View


def rates(*samples):
    """Return rates with samples of (time, pages, items, pending)."""
    found = Rates()
    for sample in samples:
        found.add(Sample(*sample))
    return found


def test_rates_of_the_last_minute():
    """What is older than a minute does not count."""
    found = rates((0, 0, 0, 9), (40, 4000, 0, 9), (100, 4120, 60, 9))

    assert found.per_second() == (2.0, 1.0)


@pytest.mark.parametrize("samples", [[], [(5, 9, 9, 9)], [(5, 9, 9, 9)] * 2])
def test_rates_of_no_time(samples):
    """No time has passed: there is no rate, and no end."""
    assert rates(*samples).per_second() == (0.0, 0.0)
    assert rates(*samples).seconds_left() is None


def test_the_end_of_a_crawl():
    """At the rate at which what is left becomes less, the slower one of two."""
    assert rates((0, 0, 0, 100), (20, 20, 0, 80)).seconds_left() == 80
    assert rates((0, 0, 0, 500), (240, 0, 0, 140), (300, 0, 0, 130)).seconds_left() == 780


@pytest.mark.parametrize(
    "samples",
    [
        [(0, 0, 0, 100), (20, 20, 0, 100)],
        [(0, 0, 0, 100), (20, 20, 0, 130)],
        [(0, 0, 0, 300), (200, 0, 0, 100), (260, 0, 0, 120)],
        [(0, 0, 0, 100), (2, 20, 0, 10)],
    ],
)
def test_no_end_in_sight(samples):
    """Pages lead to new ones, lately at least, or too little is known."""
    assert rates(*samples).seconds_left() is None


@given(st.lists(st.tuples(st.floats(0, 5), *[st.integers(0, 10**6)] * 3), max_size=400))
def test_samples_are_bounded(steps):
    """No more than five minutes are kept, whatever comes."""
    found, now = Rates(), 0.0
    for step, *counts in steps:
        now += step
        found.add(Sample(now, *counts))

    assert all(now - each.time <= 300 for each in found._samples)
    left = found.seconds_left()
    assert left is None or left >= 0


def test_counts_of_a_domain():
    """An answer, a failure with a page, and a failure without one."""
    counts = TrafficCounts()
    counts.settled("a.test", failed=False, is_retry=False, size=10, latency=0.02)
    counts.settled("a.test", failed=True, is_retry=True, size=5, latency=0.3)
    counts.settled("a.test", failed=True, is_retry=True, size=None, latency=0.0)

    found = counts.domains["a.test"]
    assert (found.settled, found.answers, found.failures, found.retries) == (3, 1, 2, 2)
    assert (found.bytes, found.latency) == (15, 0.02)
    latency = counts.latency()
    assert sum(latency.counts) == 2
    assert latency.counts[BOUNDS.index(0.025)] == latency.counts[BOUNDS.index(0.5)] == 1
    assert latency.total == 0.32


def test_latencies_at_a_bound():
    """A bound is within its bucket, and what is longer than all has the last one."""
    counts = TrafficCounts()
    for seconds in (*BOUNDS, 61.0):
        counts.settled("a.test", failed=False, is_retry=False, size=1, latency=seconds)

    assert counts.latency().counts == [1] * (len(BOUNDS) + 1)


def test_domains_are_bounded():
    """After ten thousand the others share one count."""
    counts = TrafficCounts()
    for number in range(DOMAINS + 5):
        counts.settled(f"d{number}", failed=False, is_retry=False, size=0, latency=0)

    assert len(counts.domains) == DOMAINS + 1
    assert counts.domains[OTHER].settled == 5


STATS = {
    "downloader/request_count": 5,
    "downloader/response_bytes": 700,
    "downloader/response_status_count/200": 3,
    "downloader/response_status_count/503": 1,
    "downloader/exception_type_count/a.Timeout": 1,
    "resilience/failures/server_error": 1,
    "retry/count": 2,
    "retry/max_reached": 1,
    "resilience/checkpoint/commits": 4,
    "resilience/checkpoint/drain_seconds_max": 0.25,
    "resilience/coverage/dict/offers.price": 0.5,
    "resilience/confidence/mean": 0.9,
    "resilience/confidence/doubtful": 2,
    "resilience/normalize/unread/price": 3,
    "start_time": object(),
}


def test_parts_out_of_stats():
    """Each key has one place."""
    traffic = traffic_of(STATS)
    assert (traffic.requests, traffic.response_bytes, traffic.retries) == (5, 700, 2)
    assert traffic.statuses == {"200": 3, "503": 1}
    assert traffic.exceptions == {"a.Timeout": 1}
    assert traffic.failures == {"server_error": 1}
    assert traffic.given_up == 1
    assert (checkpoint_of(STATS).commits, checkpoint_of(STATS).drain_max) == (4, 0.25)
    [field] = coverage_of(STATS)
    assert (field.item, field.field, field.share) == ("dict", "offers.price", 0.5)
    assert (confidence_of(STATS).mean, confidence_of(STATS).doubtful) == (0.9, 2)
    assert unread_of(STATS) == {"price": 3}
    assert "start_time" not in plain(STATS)


def test_strange_stats():
    """A user's stats may be of any kind, and hold secrets or what a terminal obeys."""
    found = plain({"a": "\x1b[2J", "b": "http://u:pw@h/", "c" * 900: 1, "d": None, "e\n": 2})

    assert found["a"] == r"\x1b[2J"
    assert "pw" not in found["b"]
    assert max(map(len, found)) == 200
    assert "d" not in found
    assert r"e\n" in found
    assert traffic_of({"retry/count": "many"}).retries == 0


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "0.0 s"), (0.44, "0.4 s"), (12, "12 s"), (150, "2 min"), (19_200, "5 h 20 min"),
     (200_000, "2 d 7 h")],
)  # fmt: skip
def test_durations(seconds, shown):
    """Two units at most."""
    assert duration(seconds) == shown


def said(state="running", domains=(), checkpoint=None, **progress):
    """Return the sentence of a view."""
    job = JobView(state=state, reason=progress.pop("reason", None))
    view = View(time=100.0, job=job, progress=Progress(**progress), domains=list(domains))
    view.checkpoint = checkpoint or Checkpoint()
    return sentence(view)


def test_a_crawl_that_runs():
    """Its rate, what is left, and when it ends, where that is known."""
    assert said(pages_per_second=3.25, pending=1) == "3.2 pages a second, 1 request to do."
    assert said(pending=90, seconds_left=30.0).endswith("90 requests to do, about 30 s.")


def test_a_crawl_that_waits():
    """All that is left is held: for whom, why, and until when."""
    waits = [
        DomainView(name="a.test", pending=3, waits_for="rate limit", next_try=112.0),
        DomainView(name="b.test", pending=1, waits_for="no answer yet"),
        DomainView(name="c.test", pending=1, waits_for="no answer yet"),
        DomainView(name="idle.test", waits_for="rate limit"),
    ]

    assert said(domains=waits, pending=5, held=5) == (
        "All that is left waits for a.test (rate limit, next try in 12 s), b.test (no answer "
        "yet) and 1 more."
    )
    assert "All that" not in said(domains=waits, pending=9, held=5)


def test_a_disk_that_is_full():
    """It comes first: nothing goes on before it is mended."""
    found = said(checkpoint=Checkpoint(trouble="the checkpoint can't be written (full)"))

    assert found == "Nothing new is asked for: the checkpoint can't be written (full)."


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("created", "not been started"),
        ("killed", "killed, 5 requests left: the same command"),
        ("stopped", "stopped, 5 requests left"),
        ("held", "ended with 5 requests left of domains"),
        ("finished", "finished with 7 items, and 2 requests given up."),
        ("closing", "closing (shutdown)"),
    ],
)
def test_other_states(state, words):
    """Each state of a job has its sentence."""
    assert words in said(state, pending=5, items=7, dead_letters=2, reason="shutdown")
