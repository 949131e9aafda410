"""What a view is made of: rates, counts by domain, parts out of stats, the sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.observe.from_stats import (
    Grouped,
    checkpoint_of,
    confidence_of,
    plain,
)
from scrapy_resilience.observe.rates import Rates, Sample
from scrapy_resilience.observe.sentences import duration, sentence, until
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


def test_rates_after_a_stall():
    """The last minute begins with a sample that is as old, however much older it is."""
    assert rates((1, 10, 0, 9), (71, 710, 70, 9)).per_second() == (10.0, 1.0)
    assert rates((1, 10, 0, 9), (401, 410, 0, 9)).per_second() == (1.0, 0.0)


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
        [(0, 0, 0, 100), (20, 20, 0, None)],
        [(0, 0, 0, 0), (20, 20, 0, 0)],
        [(0, 0, 0, 50), (100, 0, 0, 100), (150, 0, 0, 300), (165, 0, 0, 250)],
    ],
)
def test_no_end_in_sight(samples):
    """Pages lead to new ones, lately at least, or too little is known."""
    assert rates(*samples).seconds_left() is None


def test_the_end_of_a_crawl_that_has_begun_with_nothing():
    """What was to do before ``start()`` says nothing of the end, nor does growth before."""
    assert rates((0, 0, 0, 0), (1, 0, 0, 100), (21, 0, 0, 80)).seconds_left() == 80
    assert (
        rates(
            (0, 0, 0, 100), (30, 0, 0, 400), (130, 0, 0, 300), (230, 0, 0, 200)
        ).seconds_left()
        == 200
    )
    assert rates((0, 0, 0, None), (1, 0, 0, 100), (21, 0, 0, 80)).seconds_left() == 80


@given(
    st.lists(
        st.tuples(
            st.floats(0, 90), *[st.integers(0, 10**6)] * 2, st.none() | st.integers(0, 10**6)
        ),
        max_size=400,
    )
)
def test_samples_are_bounded(steps):
    """No more than five minutes are kept, and the sample before them, whatever comes."""
    found, now = Rates(), 0.0
    for step, *counts in steps:
        now += step
        found.add(Sample(now, *counts))

    assert all(now - each.time < 300 for each in list(found._samples)[1:])
    left = found.seconds_left()
    fell = bool(steps) and any(
        each.pending is not None and steps[-1][3] is not None and each.pending > steps[-1][3]
        for each in found._samples
    )
    assert left is None or fell


def test_counts_of_a_domain():
    """An answer, a failure with a page, and a failure without one."""
    counts = TrafficCounts()
    for _ in range(4):
        counts.sent("a.test")
    counts.settled("a.test", failed=False, is_retry=False, size=10, latency=0.02)
    counts.settled("a.test", failed=True, is_retry=True, size=5, latency=0.3)
    counts.settled("a.test", failed=True, is_retry=True, size=None, latency=None)

    found = counts.domains["a.test"]
    assert (found.requests, found.answers, found.failures, found.retries) == (4, 1, 2, 2)
    assert (found.bytes, found.latency) == (15, 0.02)
    latency = counts.latency()
    assert sum(latency.counts) == 2
    assert latency.counts[BOUNDS.index(0.025)] == latency.counts[BOUNDS.index(0.5)] == 1
    assert latency.total == 0.32


def test_an_answer_that_took_no_time():
    """One from a cache is an answer, and no time of the domain's."""
    counts = TrafficCounts()
    counts.settled("a.test", failed=False, is_retry=False, size=10, latency=None)
    counts.settled("a.test", failed=False, is_retry=False, size=10, latency=3.0)

    found = counts.domains["a.test"]
    assert (found.answers, found.bytes, found.latency) == (2, 20, 3.0)
    assert sum(counts.latency().counts) == 1


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
        counts.sent(f"d{number}")

    assert len(counts.domains) == DOMAINS + 1
    assert counts.domains[OTHER].requests == 5


@pytest.mark.parametrize(
    ("domain", "shown"),
    [
        ("a-b_c.test", "a-b_c.test"),
        ("x" * 100_000, "x" * 253),
        ("a\u202e\x1b2jb.test", r"a\u202e\x1b2jb.test"),
        ("https://user:secret@a.test", "https://***@a.test"),
        ("bücher.test", "bücher.test"),
        ("", ""),
    ],
)
def test_names_of_domains(domain, shown):
    """A domain function may give anything: it is masked, bounded and printable."""
    counts = TrafficCounts()
    counts.sent(domain)
    counts.sent(domain)

    assert [(name, each.name, each.requests) for name, each in counts.domains.items()] == [
        (shown, shown, 2)
    ]


STATUS = "downloader/response_status_count/"
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
    grouped = Grouped(STATS)
    traffic = grouped.traffic()
    assert (traffic.requests, traffic.response_bytes, traffic.retries) == (5, 700, 2)
    assert traffic.statuses == {"200": 3, "503": 1}
    assert traffic.exceptions == {"a.Timeout": 1}
    assert traffic.failures == {"server_error": 1}
    assert traffic.given_up == 1
    assert (checkpoint_of(STATS).commits, checkpoint_of(STATS).drain_max) == (4, 0.25)
    [field] = grouped.coverage()
    assert (field.item, field.field, field.share) == ("dict", "offers.price", 0.5)
    assert (confidence_of(STATS).mean, confidence_of(STATS).doubtful) == (0.9, 2)
    assert grouped.unread() == {"price": 3}
    assert "start_time" not in plain(STATS)


def test_strange_stats():
    """A user's stats may be of any kind, and hold secrets or what a terminal obeys."""
    found = plain({"a": "\x1b[2J", "b": "http://u:pw@h/", "c" * 900: 1, "d": None, "e\n": 2})

    assert found["a"] == r"\x1b[2J"
    assert "pw" not in found["b"]
    assert max(map(len, found)) == 200
    assert "d" not in found
    assert r"e\n" in found
    assert Grouped({"retry/count": "many"}).traffic().retries == 0
    assert Grouped({"retry/count": float("inf")}).traffic().retries == 0


def test_secrets_in_names_and_across_a_cut():
    """A name may hold a URL; a text is masked before it is cut."""
    key = "errors/https://u:sekret@h/?token=abc"
    text = "x" * 180 + " https://user:sekretpass@a.test/"
    found = plain({key: 1, "text": text, f"downloader/exception_type_count/{key}": 1})

    assert "errors/https://***@h/?token=***" in found
    assert "sekret" not in str(found)
    assert "sekret" not in str(Grouped({STATUS + key: 1}).traffic())
    assert len(found["text"]) == 200


@pytest.mark.parametrize("key", [None, 5, ("a", "b"), b"bytes"])
def test_a_stat_whose_name_is_no_text(key):
    """It is left out, and the others are there."""
    assert plain({key: 1, "a": 2}) == {"a": 2}
    assert Grouped({key: 1, STATUS + "200": 2}).traffic().statuses == {"200": 2}


def test_stats_are_bounded():
    """A hundred thousand of them don't make a view of that size."""
    stats = {f"{STATUS}{number}": 1 for number in range(100_000)}

    assert len(plain(stats)) == len(Grouped(stats).traffic().statuses) == 2_000


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "0.0 s"), (0.44, "0.4 s"), (12, "12 s"), (150, "3 min"), (19_200, "5 h 20 min"),
     (200_000, "2 d 7 h")],
)  # fmt: skip
def test_durations(seconds, shown):
    """Two units at most."""
    assert duration(seconds) == shown


def said(state="running", domains=(), checkpoint=None, **progress):
    """Return the sentence of a view."""
    path = progress.pop("path", "job")
    job = JobView(state=state, reason=progress.pop("reason", None), path=path)
    view = View(time=100.0, job=job, progress=Progress(**progress), domains=list(domains))
    view.checkpoint = checkpoint or Checkpoint()
    return sentence(view)


def test_a_crawl_that_runs():
    """Its rate, what is left, and when it ends, where that is known."""
    assert said(pages_per_second=3.25, pending=1) == "3.2 pages a second, 1 request to do."
    assert said(pending=90, seconds_left=30.0).endswith("90 requests to do, about 30 s.")


def test_a_crawl_with_another_scheduler():
    """What is pending is not known, and nothing is said of it."""
    found = said(pages_per_second=4.0, pending=None, held=0)

    assert found == "4.0 pages a second; how much is left is not known."
    assert said("stopped", pending=None) == "It was stopped: the same command goes on."


def test_what_no_run_goes_on_with():
    """Without a JOBDIR nothing is promised, and the reason is told."""
    found = said("stopped", pending=5, reason="closespider_itemcount", path=None)
    assert found.startswith(
        "It ended early (closespider_itemcount), 5 requests left: without a"
    )
    found = said("stopped", pending=5, reason="resilience_abort_mine")
    assert found.startswith("It was stopped (resilience_abort_mine), 5 requests left: the same")


def test_a_job_that_was_held_and_has_nothing_left():
    """The sentence is one all the same."""
    assert said("held", pending=0) == (
        "It ended because of domains that did not answer: the same command tries again."
    )


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


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "now"), (0.9, "now"), (2.5, "in 3 s"), (119.6, "in 120 s"), (150, "in 3 min"),
     (7199.9, "in 120 min"), (8000, "in 2 h 13 min"), (180_000, "in 2 d 2 h")],
)  # fmt: skip
def test_when_the_next_try_is(seconds, text):
    """Halves go up, as on the page."""
    assert until(1000.0 + seconds, 1000.0) == text


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
