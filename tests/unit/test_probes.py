"""How long the first request of a domain may take."""

from __future__ import annotations

import pytest

from scrapy_resilience.core.breaker import Outcome
from scrapy_resilience.core.gate import Gate, Ticket
from scrapy_resilience.core.probes import ProbeTimes


@pytest.fixture
def times():
    """Probes of a crawl whose slow start has 4 seconds."""
    return ProbeTimes(4.0)


@pytest.fixture
def gate():
    """A domain that was never asked."""
    return Gate("a.test", lambda *_: None, 0.0)


def end(times, gate, outcome, *, took, probe=0.0, cut_short=False):
    """End a first request; returns what it has shown."""
    ticket = Ticket(gate, 0, 100.0, probation=False, is_retry=False)
    ticket.probe = probe
    return times.ended(ticket, outcome, 100.0 + took, cut_short=cut_short)


def test_at_first_it_has_a_whole_slow_start(times, gate):
    """Nobody was silent yet."""
    assert times.seconds(gate) == 4.0


@pytest.mark.parametrize(("silent", "seconds"), [(1, 4.0), (2, 1.0), (7, 1.0), (8, 0.2)])
def test_the_more_are_silent_the_less_time_it_has(times, gate, silent, seconds):
    """A quarter after two in a row, a twentieth after eight."""
    for _ in range(silent):
        end(times, gate, Outcome.FAILURE, took=4.0)
    assert times.seconds(gate) == pytest.approx(seconds)


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.FAILURE, Outcome.THROTTLED])
def test_a_quick_answer_ends_the_row(times, gate, outcome):
    """Whatever it says: somebody is there."""
    for _ in range(2):
        end(times, gate, Outcome.FAILURE, took=4.0)
    end(times, gate, outcome, took=0.1)
    assert times.seconds(gate) == 4.0


def test_what_says_nothing_leaves_the_row_alone(times, gate):
    """A request that was given up on this side is neither."""
    for _ in range(2):
        end(times, gate, Outcome.FAILURE, took=4.0)
    end(times, gate, Outcome.CANCELLED, took=0.1)
    assert times.seconds(gate) == 1.0


def test_a_short_look_says_nothing_against_a_domain(times, gate):
    """It is no failure, and the next look is four times as long."""
    for _ in range(2):
        end(times, gate, Outcome.FAILURE, took=4.0)
    shown = end(times, gate, Outcome.FAILURE, took=1.0, probe=1.0, cut_short=True)
    assert shown is Outcome.CANCELLED
    assert gate.looks == 1
    assert times.seconds(gate) == 4.0


def test_a_look_of_full_length_is_a_failure(times, gate):
    """The domain had all the time that there is."""
    shown = end(times, gate, Outcome.FAILURE, took=4.0, probe=4.0, cut_short=True)
    assert shown is Outcome.FAILURE
    assert gate.looks == 0


def test_a_busy_machine_gives_more_time(times, gate):
    """Probes that took twice their time make the next ones longer."""
    for _ in range(2):
        end(times, gate, Outcome.FAILURE, took=4.0)
    end(times, gate, Outcome.FAILURE, took=2.0, probe=1.0)
    assert times.seconds(gate) == pytest.approx(1.2)
