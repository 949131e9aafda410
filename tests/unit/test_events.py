"""The event log: bounded, safe from floods, and kept over restarts."""

from __future__ import annotations

import pytest
from journals import JOB, Run

from scrapy_resilience import _clock
from scrapy_resilience.observe.record.events import EventLog
from scrapy_resilience.observe.record.journal import Journal, stored_journal
from scrapy_resilience.testing import FakeClock

START = 1_700_000_000.0


@pytest.fixture(autouse=True)
def clock():
    """A clock that the test moves."""
    clock = FakeClock(START)
    with _clock.use(clock):
        yield clock


@pytest.fixture
def log():
    """A log that is not kept."""
    return EventLog(Journal())


def texts(log):
    """What the view says, the newest first."""
    return [event.text for event in log.view()]


def stored(folder, commits=1000):
    """The log of a job, as a command sees it."""
    return EventLog(stored_journal(folder, JOB, commits))


def test_an_event(clock, log):
    """It has its time, kind, severity, domain and a number of its own."""
    log.event("breaker", "a.test is left alone", severity="warning", domain="a.test")
    clock.advance(5)
    log.event("run", "The end")

    newest, oldest = log.view()

    assert (oldest.time, oldest.kind, oldest.severity) == (START, "breaker", "warning")
    assert (oldest.domain, oldest.text) == ("a.test", "a.test is left alone")
    assert (newest.time, newest.severity, newest.domain) == (START + 5, "info", "")
    assert (oldest.number, newest.number) == (1, 2)


def test_who_listens_to_each(log):
    """They hear of every event alone, masked, also of those that are one entry."""
    heard = []
    log.each.append(heard.append)
    for number in range(3):
        log.event("breaker", f"{number} http://me:hunter2@a.test", severity="odd")

    assert [event.text for event in heard] == [f"{n} http://***@a.test" for n in range(3)]
    assert {event.severity for event in heard} == {"info"}
    assert len(log.view()) == 1


def test_a_hundred_breakers_in_a_second(clock, log):
    """They are one entry, that says how many there were."""
    for number in range(100):
        log.event("breaker", f"{number} is open", domain=f"h{number}.test")
        clock.advance(0.009)

    [event] = log.view()

    assert event.text == "0 is open; 1 is open; 2 is open; and 97 more"
    assert event.domain == ""


def test_events_of_one_domain_in_a_second(log):
    """Their entry keeps the domain."""
    log.event("breaker", "open", domain="a.test")
    log.event("breaker", "closed", domain="a.test")
    assert [event.domain for event in log.view()] == ["a.test"]


def test_kinds_and_severities_stay_apart(log):
    """Something grave is not hidden among others."""
    log.event("commit", "a")
    log.event("commit", "b", severity="error")
    log.event("hold", "c")
    assert texts(log) == ["c", "b", "a"]


def test_a_short_run(log):
    """Its begin and its end are two entries, however short it was."""
    log.event("run", "begin")
    log.event("run", "end")
    assert texts(log) == ["end", "begin"]


def test_after_a_second(clock, log):
    """The next one is an entry of its own."""
    log.event("hold", "a")
    clock.advance(1)
    log.event("hold", "b")
    assert texts(log) == ["b", "a"]


def test_the_log_is_bounded(clock, log):
    """The newest thousand are kept, and a hundred are shown."""
    for number in range(1500):
        log.event("hold", str(number))
        clock.advance(1)

    assert texts(log) == [str(number) for number in range(1499, 1399, -1)]
    assert [event.text for event in log.all()] == [str(number) for number in range(500, 1500)]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("http://u:hidden@a.test/?token=hidden", "http://***@a.test/?token=***"),
        ("\x1b[31mred\n", r"\x1b[31mred\n"),
        ("x" * 1_000_000, "x" * 300),
    ],
)
def test_texts_of_others(log, said, told):
    """They are masked, bounded and harmless to a terminal."""
    log.event(said, said, severity=said, domain=said)
    [event] = log.view()
    assert event.text == told
    assert "hidden" not in f"{event}"
    assert (len(event.kind), len(event.domain)) <= (100, 100)
    assert event.severity == "info"


def test_whoever_listens(clock, log):
    """Hears each entry, again when it has grown."""
    heard = []
    log.heard = lambda event: heard.append((event.number, event.text))
    log.event("hold", "a")
    log.event("hold", "b")
    clock.advance(2)
    log.event("hold", "c")
    assert heard == [(1, "a"), (1, "a; b"), (2, "c")]


def test_events_outlive_the_process(tmp_path, clock):
    """The next run goes on behind them, and an entry that has grown is there once."""
    run = Run(tmp_path)
    log = EventLog(run.journal)
    log.event("hold", "begin")
    run.commit()
    log.event("hold", "again")
    clock.advance(1)
    log.event("hold", "end")
    run.commit()
    run.kill()

    again = Run(tmp_path, run.commits)
    log = EventLog(again.journal)
    log.event("hold", "anew")
    again.commit()

    assert texts(log) == texts(stored(tmp_path)) == ["anew", "end", "begin; again"]
    assert [event.number for event in log.view()] == [3, 2, 1]


def test_a_flood_in_the_journal(tmp_path, clock):
    """It has the newest, in the end, in small pieces."""
    run = Run(tmp_path, limit=100_000)
    log = EventLog(run.journal)
    for number in range(3000):
        log.event("hold", f"{number} ü" + "é" * 300, domain="a.test")
        clock.advance(1)
        if number % 3 == 0:
            run.commit()
    for _ in range(600):
        run.commit()
    run.kill()

    found = [event.number for event in stored(tmp_path, 10_000).all()]
    assert found[-50:] == [*range(2951, 3001)]
    assert (tmp_path / "resilience.journal").stat().st_size <= 102_000


def test_any_entry_fits_into_a_commit(tmp_path):
    """However long its texts are, it is kept."""
    run = Run(tmp_path)
    log = EventLog(run.journal)
    for _ in range(5):
        log.event("\U0001f577" * 1000, "\U0001f577" * 1000, domain="\U0001f577" * 1000)
    run.commit()
    assert len(stored(tmp_path).all()) == 1
