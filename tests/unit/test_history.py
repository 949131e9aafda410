"""The history of a crawl: bounded time series in three resolutions."""

from __future__ import annotations

import gc
import tracemalloc
from itertools import chain

import pytest
from journals import JOB, Run

from scrapy_resilience import _clock
from scrapy_resilience.core.history import COLUMNS, TIERS, History, Sample, Tier
from scrapy_resilience.observe.record.errors import ErrorGroups
from scrapy_resilience.observe.record.events import EventLog
from scrapy_resilience.observe.record.history import CrawlHistory
from scrapy_resilience.observe.record.journal import Journal, stored_journal
from scrapy_resilience.observe.traffic import TrafficCounts
from scrapy_resilience.testing import FakeClock

START = 1_700_000_000.0
WEEK = 7 * 24 * 3600
PAGES, PENDING, MEMORY, LAG = (
    COLUMNS.index(name) for name in ("pages_per_second", "pending", "memory", "loop_lag")
)


def sample(pages=0, *, pending=0, memory=None, lag=None, **told):
    """A sample of which the rest is zero."""
    zeros = dict.fromkeys(Sample._fields, 0)
    return Sample(
        **{
            **zeros,
            "pages": pages,
            "pending": pending,
            "memory": memory,
            "loop_lag": lag,
            **told,
        }
    )


def test_rates_are_means_of_their_span():
    """Counters that only grow become rates, whatever the span is."""
    tier = Tier(15.0, 10)
    rows = [tier.add(START + second, sample(3 * second)) for second in range(46)]

    assert [row[PAGES] for row in rows if row] == [3.0] * 3
    assert [row[0] for row in tier.rows()] == [START + 15, START + 30, START + 45]


def test_levels_and_peaks():
    """Levels are those of the end of a span, peaks the largest in it."""
    tier = Tier(5.0, 10)
    for second in range(6):
        tier.add(START + second, sample(pending=second, memory=10 - second, lag=second % 3))

    [row] = tier.rows()

    assert (row[PENDING], row[MEMORY], row[LAG]) == (5, 9, 2)


def test_what_is_not_known():
    """It is None, and no zero."""
    tier = Tier(1.0, 10)
    for second in range(3):
        tier.add(START + second, sample())
    assert [(row[MEMORY], row[LAG]) for row in tier.rows()] == [(None, None)] * 2


def test_pending_is_not_known():
    """With another scheduler it is None in each row."""
    tier = Tier(1.0, 3)
    for second in range(2):
        tier.add(START + second, sample(pending=None))

    assert [row[PENDING] for row in tier.rows()] == [None]


def test_a_loop_that_was_blocked():
    """A row is as long as it took: the rate is right."""
    tier = Tier(1.0, 10)
    tier.add(START, sample(0))
    tier.add(START + 8, sample(16))
    assert [row[PAGES] for row in tier.rows()] == [2.0]


def test_a_timer_that_is_early():
    """A row is not left out for some milliseconds."""
    tier = Tier(1.0, 10)
    for second in range(4):
        tier.add(START + second * 0.999, sample(second))
    assert len(tier) == 3


def test_a_clock_that_is_put_back():
    """No row goes back, and none has a rate that was not."""
    tier = Tier(1.0, 10)
    for now in (0, 1, 2, -3600, -3599, -3598):
        tier.add(START + now, sample(10))
    assert [row[PAGES] for row in tier.rows()] == [0.0] * 4


def test_a_counter_that_begins_anew():
    """It is no negative rate."""
    tier = Tier(1.0, 10)
    tier.add(START, sample(100))
    tier.add(START + 1, sample(0))
    assert [row[PAGES] for row in tier.rows()] == [0.0]


def test_a_ring():
    """The oldest rows give way, and the order stays."""
    tier = Tier(1.0, 5)
    for second in range(14):
        tier.add(START + second, sample())
    assert [row[0] - START for row in tier.rows()] == [9, 10, 11, 12, 13]


def test_the_tiers():
    """Ten minutes each second, six hours each 15 seconds, and a week each five minutes."""
    assert [seconds * rows for seconds, rows in TIERS] == [600, 6 * 3600, WEEK]


@pytest.fixture
def clock():
    """A clock that the test moves."""
    clock = FakeClock(START)
    with _clock.use(clock):
        yield clock


def run_for(history, clock, seconds, step=1.0):
    """Tick, as the extension does."""
    for number in range(int(seconds / step)):
        history.tick(sample(2 * number, pending=number))
        clock.advance(step)


def test_how_late_the_loop_is(clock):
    """The lag is what a tick comes later than a second after the last one."""
    history = CrawlHistory(Journal())
    history.tick(sample())
    clock.advance(1.75)
    history.tick(sample())
    clock.advance(1)
    history.tick(sample())

    finest = history.view()[0]

    assert [row[finest.columns.index("loop_lag")] for row in finest.rows] == [0.75, 0.0]
    assert finest.seconds == 1.0


def test_the_coarsest_rows_outlive_the_process(tmp_path, clock):
    """A resume shows them before its own, and a command too."""
    run = Run(tmp_path)
    history = CrawlHistory(run.journal)
    run_for(history, clock, 1000)
    run.commit()
    run.kill()

    again = Run(tmp_path, run.commits)
    history = CrawlHistory(again.journal)
    kept = history.view()[-1].rows
    run_for(history, clock, 1000)
    again.commit()

    assert [row[0] - START for row in kept] == [300, 600, 900]
    rows = history.view()[-1].rows
    assert [row[0] - START for row in rows] == [300, 600, 900, 1300, 1600, 1900]
    assert CrawlHistory(stored_journal(tmp_path, JOB, 100)).view()[-1].rows == rows
    assert [len(series.rows) for series in history.view()] == [600, 66, 6]


def test_a_week_and_a_thousand_domains(clock):
    """With all groups of errors and events, they take less than 5 MB of memory."""
    gc.collect()
    tracemalloc.start()
    try:
        journal = Journal()
        history, counts = History(), TrafficCounts()
        events, errors = EventLog(journal), ErrorGroups(journal)
        seconds = chain(
            range(0, WEEK, 300),
            range(WEEK, WEEK + 22_000, 15),
            range(WEEK + 22_000, WEEK + 22_700),
        )
        for second in seconds:
            history.add(START + second, sample(second, pending=second, memory=1e9, lag=0.1))
        for number in range(1000):
            counts.settled(
                f"domain-{number}.example",
                failed=False,
                is_retry=False,
                size=10**5,
                latency=1.0,
            )
            events.event("hold", f"domain-{number}.example is left alone " + "x" * 100)
            clock.advance(1)
            words = "".join(chr(97 + int(digit)) for digit in f"{number:04d}")
            errors.note(f"error {words} " + "y" * 100)
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert [len(tier) for tier in history.tiers] == [600, 1440, 2016]
    assert len(counts.domains) == len(events.all()) == 1000
    assert used < 5e6
