"""The gates: which domain may be asked now, and why not."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scrapy_resilience.core.breaker import Outcome, State
from scrapy_resilience.core.breakerconfig import BreakerConfig
from scrapy_resilience.core.gate import Patience
from scrapy_resilience.core.gates import GateConfig, Gates
from scrapy_resilience.core.ratelimit import Rate

BREAKER = BreakerConfig(failure_threshold=3, first_trial=0.0, recovery_timeout=10.0, jitter=0.0)
EARLY = BreakerConfig(failure_threshold=3, jitter=0.0)
ENDLESS = Patience(inf, inf)
A = "a.test"


def make(breaker=BREAKER, limits=None, patience=ENDLESS, **config):
    """Gates that note what they call."""
    gates = Gates(
        GateConfig(**{"slow_start": 1.0, "probation_slots": 2, **config}),
        lambda: 0.5,
        breaker_of=lambda _: breaker,
        limit_of=(limits or {}).get,
        patience_of=lambda _: patience,
        on_change=lambda gate, _old, new, _event: gates.log.append((gate.domain, new)),
        on_free=lambda gate: gates.freed.append(gate.domain),
        on_give_up=lambda gate: gates.given_up.append(gate.domain),
    )
    gates.log, gates.freed, gates.given_up = [], [], []
    return gates


def ask(gates, domain, now, outcome, took=0.1, **kwargs):
    """One request, and what became of it."""
    ticket = gates.acquire(domain, now)
    gates.settle(ticket, outcome, now + took, **kwargs)


def fail(gates, domain=A, now=0.0, times=3):
    """Some requests, and each fails."""
    for _ in range(times):
        ask(gates, domain, now, Outcome.FAILURE)


def be_well(gates, domain=A, times=200):
    """So many answers that a few failures in a row are unusual."""
    for _ in range(times):
        ask(gates, domain, 0.0, Outcome.SUCCESS)


# --- slow start and probation ----------------------------------------------------


def test_a_domain_that_has_not_answered_gets_one_request():
    """Others follow when it has answered, or after a second without an answer."""
    gates = make()
    first = gates.acquire(A, 0.0)

    assert gates.ready_at(A, 0.5) == 1.0
    assert gates.ready_at(A, 1.0) <= 1.0
    gates.settle(first, Outcome.SUCCESS, 0.5)
    gates.acquire(A, 0.5)
    assert gates.ready_at(A, 0.5) == 0.0


def test_a_domain_that_has_only_failed_gets_one_at_a_time():
    """After a failure without a success the next request waits for the one under way."""
    gates = make()
    fail(gates, times=1)

    ticket = gates.acquire(A, 1.0)

    assert gates.ready_at(A, 100.0) == inf
    gates.settle(ticket, Outcome.SUCCESS, 100.0)
    assert gates.ready_at(A, 100.0) == 0.0


def test_a_known_domain_is_not_slowed_by_one_failure():
    """A domain that has answered well keeps all its requests after a failure."""
    gates = make()
    ask(gates, A, 0.0, Outcome.SUCCESS)
    fail(gates, times=1)

    gates.acquire(A, 1.0)

    assert gates.ready_at(A, 1.0) == 0.0


def test_slow_start_can_be_off():
    """With 0 seconds nothing is slowed and nobody is on probation."""
    gates = make(slow_start=0.0)
    for number in range(10):
        fail(gates, f"{number}.test", times=1)
        gates.acquire(f"{number}.test", 1.0)

    assert gates.ready_at("0.test", 1.0) == 0.0


def test_without_slow_start_there_are_no_probes():
    """All first requests have all their time."""
    gates = make(slow_start=0.0)

    assert not any(gates.acquire(f"{number}.test", 0.0).probe for number in range(10))


def test_domains_on_probation_share_few_places():
    """Sick domains leave room: the third waits until one of the first two has ended."""
    gates = make()
    for domain in ("x", "y", "z"):
        fail(gates, domain, times=1)
    first = gates.acquire("x", 1.0)
    gates.acquire("y", 1.0)

    assert gates.ready_at("z", 1.0) == inf
    assert gates.why("z", 1.0) == "too many domains on probation"
    assert gates.ready_at("healthy", 1.0) == 0.0
    gates.settle(first, Outcome.FAILURE, 3.0)
    assert gates.freed == ["z"]
    assert gates.ready_at("z", 3.0) == 0.0


def test_a_domain_without_an_answer_is_on_probation():
    """Its further requests take the places of doubtful domains, and leave others theirs."""
    gates = make()
    gates.acquire("x", 0.0)
    for _ in range(2):
        assert gates.ready_at("x", 1.0) <= 1.0
        gates.acquire("x", 1.0)

    assert gates.ready_at("x", 1.0) == inf
    assert gates.ready_at("y", 1.0) == 0.0


def test_one_that_waits_can_be_excused():
    """When nobody else has work, a domain on probation goes beyond the limit, once."""
    gates = make()
    for domain in ("x", "y", "z"):
        fail(gates, domain, times=1)
    gates.acquire("x", 1.0)
    gates.acquire("y", 1.0)
    gates.ready_at("z", 1.0)

    assert gates.excuse(1.0)
    assert gates.ready_at("z", 1.0) == 0.0
    gates.acquire("z", 1.0)
    assert not gates.excuse(1.0)


# --- by hand -----------------------------------------------------------------------


def test_a_domain_is_shut_by_hand():
    """It is not asked, in this run or the next, whatever the time."""
    gates = make()
    gates.force_open(A, 0.0)
    again = make()
    again.restore(gates.changed(0.0, 0.0), 1e6, 1e6)

    for one in (gates, again):
        assert one.ready_at(A, 1e7) == inf
        assert one.why(A, 1e7) == "circuit breaker is forced_open"


def test_a_reset_leaves_nothing():
    """Open, held, slowed down and given up: the domain is asked at once, and forgotten."""
    gates = make(patience=Patience(inf, inf, trips=0))
    ask(gates, A, 0.0, Outcome.THROTTLED)
    fail(gates)
    gates.hold(A, 60.0, "HTTP 429", 1.0)
    assert A in gates.changed(1.0, 0.0)
    gates.gate(A, 1.0).wait("lane")

    gates.reset(A, 1.0)

    assert gates.ready_at(A, 1.0) <= 1.0
    assert gates.freed[-1] == A
    assert not gates.gate(A, 1.0).given_up
    assert gates.changed(1.0, 0.0) == {A: None}


def test_nobody_is_excused_while_a_new_domain_starts():
    """A domain with more to do than its first request will need the room."""
    gates = make()
    for domain in ("x", "y", "z"):
        fail(gates, domain, times=1)
        gates.acquire(domain, 1.0)
    gates.ready_at("z", 1.0)
    fail(gates, "w", times=1)
    assert gates.ready_at("w", 1.0) == inf
    gates.acquire("new", 1.0)
    assert gates.ready_at("new", 1.1) == 2.0

    assert not gates.excuse(1.1)
    assert gates.excuse(2.0)


def test_a_new_domain_that_is_held_keeps_nobody_waiting():
    """Its hold is longer than its slow start: others are excused after the slow start."""
    gates = make()
    for domain in ("x", "y", "z"):
        fail(gates, domain, times=1)
    gates.acquire("x", 1.0)
    gates.acquire("y", 1.0)
    gates.ready_at("z", 1.0)
    gates.acquire("new", 1.0)
    gates.hold("new", 300.0, "Retry-After", 1.0)

    assert gates.ready_at("new", 1.1) == 301.0

    assert gates.excuse(2.0)


# --- breakers ----------------------------------------------------------------------


def test_an_open_breaker_says_when():
    """After failures in a row the domain is asked when the recovery time has passed."""
    gates = make()
    fail(gates)

    assert gates.ready_at(A, 5.0) == pytest.approx(10.1)
    assert gates.why(A, 5.0) == "circuit breaker is open"
    assert gates.ready_at(A, 5.0, heed_breaker=False) <= 5.0
    assert gates.log == [(A, State.OPEN)]


def test_what_waits_is_told_when_a_trial_ends():
    """A lane that waits for a trial asks again when it has ended."""
    gates = make()
    fail(gates)
    trial = gates.acquire(A, 11.0)
    gates.gate(A, 11.0).wait("lane")

    gates.settle(trial, Outcome.SUCCESS, 11.5)

    assert gates.freed[-1] == A
    assert gates.ready_at(A, 11.5) == 0.0


def test_half_open_waits_for_a_trial_that_hangs():
    """Until it ends, or is late: nobody need tell that it is."""
    gates = make()
    fail(gates)

    trial = gates.acquire(A, 11.0)

    assert gates.ready_at(A, 12.0) == 31.0
    assert gates.ready_at(A, 31.0) == pytest.approx(51.0)
    gates.settle(trial, Outcome.SUCCESS, 32.0)
    assert gates.ready_at(A, 32.0) == 0.0


def test_a_late_trial_leaves_its_place_on_probation():
    """Other sick domains need it; when it ends after all, no place is freed twice."""
    gates = make(probation_slots=1)
    fail(gates)
    fail(gates, "b.test", times=1)
    trial = gates.acquire(A, 11.0)
    assert gates.ready_at("b.test", 12.0) == inf

    gates.ready_at(A, 31.0)

    assert gates.freed == ["b.test"]
    assert gates.ready_at("b.test", 31.0) == 0.0
    gates.settle(trial, Outcome.FAILURE, 32.0)
    gates.acquire("b.test", 32.0)
    fail(gates, "c.test", now=32.0, times=1)
    assert gates.ready_at("c.test", 32.0) == inf


def test_what_hangs_since_before_keeps_no_trial_waiting():
    """The first request has no answer yet, the others have failed: the trial comes in time."""
    gates = make()
    gates.acquire(A, 0.0)
    for now in (1.0, 2.0, 3.0):
        ask(gates, A, now, Outcome.FAILURE)

    assert gates.ready_at(A, 3.5) == pytest.approx(13.1)
    assert gates.ready_at(A, 13.1) <= 13.1


# --- giving up ---------------------------------------------------------------------


def trials(gates, now, end, outcome=Outcome.FAILURE):
    """Make each trial in time, and return when they came."""
    times = []
    while now < end and A not in gates.given_up:
        now = max(gates.ready_at(A, now), now)
        if gates.ready_at(A, now) <= now:
            times.append(round(now, 2))
            ask(gates, A, now, outcome, took=0.0)
    return times


def test_a_domain_that_never_answered_is_given_up_after_a_minute():
    """Its trials get rarer, and a last one comes at the limit, not later."""
    gates = make(breaker=EARLY, patience=Patience())
    fail(gates)

    times = trials(gates, 1.0, 1000.0)

    assert times[0] == pytest.approx(1.1)
    assert times[-1] == pytest.approx(60.0)
    assert gates.known(A).given_up


def test_a_domain_that_has_answered_is_given_up_after_an_hour():
    """It counts from the first of its failures in a row, and trials are five minutes apart."""
    gates = make(breaker=EARLY, patience=Patience())
    be_well(gates)
    fail(gates, now=1000.0, times=10)

    times = trials(gates, 1001.0, 10_000.0)

    assert times[-1] == pytest.approx(1000.1 + 3600)
    assert len(times) < 30


def test_a_success_ends_the_patience_anew():
    """What is given up is asked again when it has answered."""
    gates = make(breaker=EARLY, patience=Patience(60.0, 100.0))
    fail(gates)
    trials(gates, 1.0, 1000.0)
    assert gates.known(A).given_up

    ask(gates, A, gates.ready_at(A, 60.0), Outcome.SUCCESS)

    assert not gates.known(A).given_up
    assert gates.gate(A, 500.0).failing_for(500.0) == 0.0


def test_patience_begins_after_a_hold():
    """A domain that was told to be left alone has not failed meanwhile."""
    gates = make(breaker=EARLY, patience=Patience())
    ask(gates, A, 0.0, Outcome.THROTTLED)
    gates.hold(A, 300.0, "Retry-After", 0.0)

    fail(gates, now=300.0)

    assert gates.given_up == []
    assert trials(gates, 301.0, 1000.0)[-1] == pytest.approx(360.0)


def test_a_throttled_trial_costs_no_patience():
    """A domain that says when to come is there: it is asked then, and not before."""
    gates = make(breaker=EARLY, patience=Patience())
    fail(gates, now=0.0)
    now = gates.ready_at(A, 1.0)

    ask(gates, A, now, Outcome.THROTTLED, took=0.0, retry_after=120.0)

    assert gates.given_up == []
    assert gates.ready_at(A, now) == pytest.approx(now + 120.0)


def test_a_reset_brings_new_patience():
    """A replay gives its domains as much time as they had at first."""
    gates = make(breaker=EARLY, patience=Patience())
    be_well(gates)
    fail(gates, now=1.0, times=10)
    gates.reset(A, 500.0)

    fail(gates, now=500.0)

    assert gates.given_up == []
    assert trials(gates, 501.0, 1000.0)[-1] == pytest.approx(560.0)


def test_reopening_gives_a_domain_up():
    """trips=1: the first reopening; what comes later is given up until a success."""
    gates = make(patience=Patience(inf, inf, trips=1))
    fail(gates)
    assert gates.given_up == []

    ask(gates, A, 11.0, Outcome.FAILURE)

    assert gates.given_up == [A]
    assert gates.gate(A, 12.0).given_up
    ask(gates, A, 40.0, Outcome.SUCCESS)
    assert not gates.gate(A, 42.0).given_up


@pytest.mark.parametrize(("trips", "openings"), [(0, 1), (-1, None)])
def test_trips(trips, openings):
    """0 gives up at the first opening, -1 never."""
    gates = make(patience=Patience(inf, inf, trips))
    fail(gates)
    for now in (20.0, 50.0, 200.0):
        ask(gates, A, now, Outcome.FAILURE)

    assert bool(gates.given_up) == (openings is not None)


# --- retries -----------------------------------------------------------------------


def test_a_failure_costs_a_try_when_others_are_answered():
    """What fails while nobody is answered is the domain's failure, not the page's."""
    gates = make()
    assert not gates.known(A).costs_a_try(None)
    fail(gates, times=1)
    assert not gates.known(A).costs_a_try(None)
    before = gates.known(A).answers
    assert not gates.known(A).costs_a_try(before)

    ask(gates, A, 1.0, Outcome.SUCCESS)

    assert gates.known(A).costs_a_try(None)
    assert gates.known(A).costs_a_try(before)
    assert not gates.known(A).costs_a_try(gates.known(A).answers)


def test_an_earlier_run_says_nothing_of_tries():
    """A page that failed in it costs none before the domain has answered in this one."""
    gates = make()
    fail(gates, times=1)
    assert not gates.known(A).costs_a_try(37)

    ask(gates, A, 1.0, Outcome.SUCCESS)

    assert gates.known(A).costs_a_try(37)


def test_tries_follow_what_retries_bring():
    """Retries that fail lower them, first tries say nothing, and each domain has its own."""
    gates = make()
    at_first = gates.known(A).tries
    ask(gates, A, 0.0, Outcome.SUCCESS)
    for now in range(50):
        ask(gates, A, float(now), Outcome.FAILURE)
        ask(gates, A, float(now), Outcome.SUCCESS)
    assert gates.known(A).tries == at_first

    for now in range(50):
        gates.settle(gates.acquire(A, float(now), is_retry=True), Outcome.SUCCESS, float(now))

    assert gates.known(A).tries < at_first
    assert gates.known("b.test").tries == at_first


def test_an_outage_says_nothing_of_retries():
    """Trials are retries of a domain that is down: its pages are worth as many tries after."""
    gates = make()
    be_well(gates)
    fail(gates, times=10)
    before = gates.known(A).tries
    for now in (100.0, 200.0, 400.0, 800.0):
        gates.settle(gates.acquire(A, now, is_retry=True), Outcome.FAILURE, now)

    assert gates.known(A).tries == before


def test_a_domain_answers_lately():
    """For 30 s after an answer; one that is new is taken to be up as long."""
    gates = make()
    assert gates.known(A).answers_lately(1e6)
    fail(gates, now=100.0, times=1)
    assert gates.known(A).answers_lately(129.0)
    assert not gates.known(A).answers_lately(130.1)

    ask(gates, A, 200.0, Outcome.SUCCESS, took=0.0)

    assert gates.known(A).answers_lately(229.0)
    assert not gates.known(A).answers_lately(230.0)


def retries(gates, count, now=1.0):
    """Let retries of domains go that are well, as many as may, and return their tickets."""
    for number in range(count):
        ask(gates, f"{number}.test", 0.0, Outcome.SUCCESS)
    return [
        gates.acquire(f"{number}.test", now, is_retry=True)
        for number in range(count)
        if gates.ready_at(f"{number}.test", now, is_retry=True) <= now
    ]


def test_few_retries_are_under_way():
    """Beyond the places for retries they wait, and others don't; one that ends frees one."""
    gates = make(retry_slots=2)
    under_way = retries(gates, 4)
    assert len(under_way) == 2
    assert gates.ready_at("2.test", 1.0, is_retry=True) == inf
    assert gates.ready_at("2.test", 1.0) == 0.0

    gates.settle(under_way[0], Outcome.FAILURE, 2.0)

    assert gates.freed == ["2.test"]
    assert gates.ready_at("2.test", 2.0, is_retry=True) == 0.0


def test_a_retry_that_finds_room_leaves_the_queue():
    """Its domain is not told again, in the place of one that waits."""
    gates = make(retry_slots=2)
    first, second = retries(gates, 4)
    gates.settle(first, Outcome.SUCCESS, 2.0)
    gates.acquire("3.test", 2.0, is_retry=True)  # before 2.test, which was told
    gates.ready_at("2.test", 2.0, is_retry=True)

    gates.settle(second, Outcome.SUCCESS, 3.0)

    assert gates.freed == ["2.test", "2.test"]


def test_nobody_waits_for_room_that_is_there():
    """Who is told may not come: when no retry is under way, all that wait are told."""
    gates = make(retry_slots=1)
    (only,) = retries(gates, 4)
    gates.settle(only, Outcome.SUCCESS, 2.0)

    assert gates.freed == ["1.test", "2.test", "3.test"]


# --- probes ------------------------------------------------------------------------


def test_the_first_request_of_one_more_new_domain_is_a_probe():
    """Where as many wait for their first answer as there are places on probation."""
    gates = make(probation_slots=2)
    first = [gates.acquire(f"{number}.test", 0.0) for number in range(4)]
    assert [ticket.probe for ticket in first] == [0, 0, 1, 1]

    for ticket in first[:3]:
        gates.settle(ticket, Outcome.FAILURE, 1.0)

    assert not gates.acquire("4.test", 1.0).probe


def test_further_requests_are_no_probes():
    """Only the first one of a domain is, and none of a domain that is known."""
    gates = make(probation_slots=1)
    ask(gates, A, 0.0, Outcome.SUCCESS)
    gates.acquire("b.test", 0.0)

    assert not gates.acquire(A, 0.0).probe
    assert not gates.acquire("b.test", 1.0).probe
    assert gates.acquire("c.test", 1.0).probe


def look(gates, domain, now):
    """A first request that is cut off after the time that it has; gives that time."""
    ticket = gates.acquire(domain, now)
    seconds = ticket.probe
    gates.settle(ticket, Outcome.FAILURE, now + (seconds or 5.0), cut_short=bool(seconds))
    return seconds


@pytest.fixture
def many():
    """Gates of a crawl that waits for the first answers of enough domains."""
    gates = make(probation_slots=2)
    for number in range(2):
        gates.acquire(f"{number}.first", 0.0)
    return gates


def test_hundreds_of_silent_domains_are_looked_at_shortly(many):
    """The more in a row have not answered, the less time the next one has."""
    times = [look(many, f"{number}.test", number) for number in range(10)]

    assert times == pytest.approx([1.0] * 2 + [0.25] * 6 + [0.05] * 2)


def test_an_answer_gives_the_next_ones_time(many):
    """Any answer shows that it is not our own network that is silent."""
    for number in range(10):
        look(many, f"{number}.test", number)
    ask(many, "well.test", 20.0, Outcome.SUCCESS)

    assert look(many, "next.test", 30.0) == 1.0


def test_a_busy_machine_looks_longer(many):
    """Where time-outs come late, answers do too."""
    for number in range(40):
        ticket = many.acquire(f"{number}.test", number)
        many.settle(ticket, Outcome.FAILURE, number + 4 * ticket.probe, cut_short=True)

    assert 0.15 < many.acquire("next.test", 50.0).probe <= 0.2 + 1e-9


def test_a_short_look_says_nothing(many):
    """It costs nothing, and the next one is four times as long, up to a slow start."""
    for number in range(10):
        look(many, f"{number}.test", number)
    gate = many.gate("9.test", 20.0)
    assert (gate.failed, gate.on_probation, gate.breaker.state) == (False, False, State.CLOSED)

    times = [look(many, "9.test", now) for now in (20.0, 30.0, 40.0)]

    assert times == pytest.approx([0.2, 0.8, 1.0])
    assert gate.failed


def test_refusals_are_answers_enough(many):
    """What fails at once is a failure, however little time it had."""
    for number in range(10):
        look(many, f"{number}.test", number)
    ticket = many.acquire("refused.test", 20.0)
    many.settle(ticket, Outcome.FAILURE, 20.001, cut_short=True)

    assert many.gate("refused.test", 21.0).failed


def test_while_others_answer_short_looks_are_on_probation(many):
    """They have the places of probation only, and wait for one."""
    for number in range(10):
        look(many, f"{number}.test", number)
    assert many.ready_at("9.test", 20.0) == 0.0
    ask(many, "well.test", 20.0, Outcome.SUCCESS)
    for number in (7, 8):
        assert many.acquire(f"{number}.test", 20.0).probation

    assert many.ready_at("9.test", 20.0) == inf
    assert many.ready_at("9.test", 30.0) == 0.0


# --- what counts -------------------------------------------------------------------


def test_the_first_word_counts():
    """A request that is settled twice counts once."""
    gates = make()
    ticket = gates.acquire(A, 0.0)
    gates.settle(ticket, Outcome.SUCCESS, 0.1)
    gates.settle(ticket, Outcome.FAILURE, 0.2)

    assert gates.gate(A, 1.0).under_way == 0
    assert not gates.gate(A, 1.0).failed


# --- holds, limits, throttling -------------------------------------------------------


def test_a_hold():
    """Nobody asks before its end; a shorter one changes nothing, a longer one does."""
    gates = make()

    assert gates.hold(A, 7.0, "Retry-After", 0.0)
    assert not gates.hold(A, 5.0, "Retry-After", 1.0)
    assert gates.ready_at(A, 1.0) == 7.0
    assert gates.why(A, 1.0) == "Retry-After"
    assert gates.hold(A, 9.0, "Retry-After", 1.0)
    assert gates.ready_at(A, 9.9) == 10.0
    assert gates.ready_at(A, 10.0) <= 10.0


def test_a_rate_limit():
    """The domain of the settings keeps its rate, others don't."""
    gates = make(limits={A: Rate(0.5)})
    ask(gates, A, 0.0, Outcome.SUCCESS)

    assert gates.ready_at(A, 1.0) == 2.0
    assert gates.why(A, 1.0) == "rate limit"
    assert gates.ready_at("b.test", 1.0) == 0.0


def test_a_limit_that_comes_later():
    """A Crawl-delay counts from the request that brought it."""
    gates = make()
    gates.acquire(A, 0.0)
    gates.limit(A, Rate(1 / 5), 0.2)

    assert gates.ready_at(A, 1.5) == pytest.approx(5.2)


def test_throttling_slows_down():
    """A domain that answers 429 has a pace; it is gone when nothing is refused any more."""
    gates = make()
    ask(gates, A, 0.0, Outcome.SUCCESS)
    ask(gates, A, 0.1, Outcome.THROTTLED)

    assert gates.ready_at(A, 0.2) > 0.2
    for second in range(1, 200):
        ask(gates, A, float(second * 10), Outcome.SUCCESS)
    assert gates.gate(A, 2000.0).pace is None


def test_an_overloaded_domain_is_slowed_down_by_its_retries():
    """The first 503 of a page may be the page's; the second one begins a pace."""
    gates = make()
    ask(gates, A, 0.0, Outcome.SUCCESS)
    ask(gates, A, 0.0, Outcome.FAILURE, pushback=True)
    assert gates.gate(A, 1.0).pace is None

    retry = gates.acquire(A, 1.0, is_retry=True)
    gates.settle(retry, Outcome.FAILURE, 1.1, pushback=True)

    assert gates.gate(A, 2.0).pace is not None


def test_a_first_answer_is_no_rate():
    """A domain that throttles its very first request may be of either kind: no pace begins."""
    gates = make()
    ask(gates, A, 0.0, Outcome.THROTTLED)
    assert gates.gate(A, 0.5).pace is None

    ask(gates, A, 1.0, Outcome.SUCCESS)
    ask(gates, A, 1.1, Outcome.THROTTLED)

    assert gates.gate(A, 1.5).pace is not None


def test_throttling_need_not_slow_down():
    """adaptive=False leaves the rate alone."""
    gates = make(adaptive=False)
    ask(gates, A, 0.0, Outcome.SUCCESS)
    ask(gates, A, 0.5, Outcome.THROTTLED)

    assert gates.gate(A, 1.0).pace is None


# --- what a refused request takes ----------------------------------------------------


def test_what_will_be_refused_waits_for_nothing():
    """Where open means refused, nobody waits for a trial that hangs, or for room."""
    gates = make(probation_slots=1)
    fail(gates)
    gates.acquire(A, 11.0)  # a trial without an answer

    assert gates.ready_at(A, 12.0, heed_breaker=False) <= 12.0
    refused = [gates.acquire(A, 12.0) for _ in range(3)]
    assert [ticket.permit for ticket in refused] == [None] * 3
    assert gates.ready_at(A, 12.0, heed_breaker=False) <= 12.0


def test_what_is_refused_uses_nothing_up():
    """Refused requests are not sent: they take no token, and no room on probation."""
    gates = make(limits={A: Rate(1.0)}, probation_slots=1)
    fail(gates, now=100.0)
    for _ in range(500):
        gates.settle(gates.acquire(A, 105.0), Outcome.IGNORED, 105.0)

    assert gates.gate(A, 105.0).bucket.ready_at(105.0) == 0.0
    gates.acquire(A, 105.0)
    fail(gates, "b.test", now=105.0, times=1)
    assert gates.ready_at("b.test", 106.0) <= 106.0


def test_who_gets_in_leaves_the_queue():
    """Room goes to who waits for it, not to a domain that found some before."""
    gates = make(probation_slots=1)
    for domain in ("a", "b", "c", "d"):
        fail(gates, domain, times=1)
    ticket = gates.acquire("a", 1.0)
    assert [gates.ready_at(domain, 1.0) for domain in ("b", "c", "d")] == [inf] * 3
    gates.settle(ticket, Outcome.SUCCESS, 1.5)
    ticket = gates.acquire("c", 1.5)  # before b, whose turn it is

    gates.settle(ticket, Outcome.SUCCESS, 2.0)

    assert gates.freed == ["b", "d"]


# --- bounds ---------------------------------------------------------------------------


def test_healthy_domains_are_forgotten():
    """The registry holds max_gates of them; sick ones stay (fedify kept all of them)."""
    gates = make(max_gates=50)
    fail(gates, "sick.test")
    for number in range(2000):
        ask(gates, f"{number}.test", 100.0 + number, Outcome.SUCCESS)

    assert len(gates) <= 51
    assert "sick.test" in gates


def test_nothing_is_forgotten_that_is_needed():
    """Domains that are held, limited, slowed down or under way stay."""
    gates = make(max_gates=1, limits={"limited": Rate(0.001)})
    gates.hold("held", 1e6, "Retry-After", 0.0)
    ask(gates, "limited", 0.0, Outcome.SUCCESS)
    ask(gates, "slow", 0.0, Outcome.SUCCESS)
    ask(gates, "slow", 0.0, Outcome.THROTTLED)
    gates.acquire("busy", 0.0)
    for number in range(200):
        ask(gates, f"{number}.test", 1.0, Outcome.SUCCESS)

    assert {name for name in ("held", "limited", "slow", "busy") if name in gates} == {
        "held", "limited", "slow", "busy",
    }  # fmt: skip


def test_a_crawl_delay_is_not_forgotten():
    """What robots.txt asks for stays: it is read once, and the settings don't have it."""
    gates = make(max_gates=1)
    ask(gates, A, 0.0, Outcome.SUCCESS)
    gates.limit(A, Rate(0.1), 0.2)
    for number in range(200):
        ask(gates, f"{number}.test", 100.0, Outcome.SUCCESS)

    gates.acquire(A, 200.0)

    assert gates.ready_at(A, 201.0) == pytest.approx(210.0)


def test_the_slowest_crawl_delay_of_a_domain():
    """Two hosts of one domain ask for different rates: the slower one holds for both."""
    gates = make(limits={A: Rate(10)})
    gates.limit(A, Rate(0.1), 0.0)
    gates.limit(A, Rate(1), 0.0)

    gates.acquire(A, 0.0)

    assert gates.ready_at(A, 1.0) == pytest.approx(10.0)


# --- across runs -----------------------------------------------------------------------


def test_what_a_checkpoint_holds():
    """Breakers, holds and paces go on in the next run; healthy domains take no room."""
    gates, saved = make(), {}
    fail(gates, "open")
    gates.hold("held", 100.0, "Retry-After", 0.0)
    ask(gates, "slow", 0.0, Outcome.SUCCESS)
    ask(gates, "slow", 0.0, Outcome.THROTTLED)
    ask(gates, "well", 0.0, Outcome.SUCCESS)
    saved.update(gates.changed(1.0, 1001.0))

    later = make()
    later.restore(saved, 50.0, 1004.0)

    assert set(saved) == {"open", "held", "slow"}
    assert later.ready_at("open", 50.0) == pytest.approx(50.0 + 10.1 - 4.0)
    assert later.ready_at("held", 50.0) == pytest.approx(50.0 + 96.0)
    assert later.gate("slow", 50.0).pace.rate == gates.gate("slow", 1.0).pace.rate
    assert gates.changed(1.0, 1001.0) == {}


def test_a_domain_that_recovers_is_forgotten():
    """The next checkpoint takes it out again."""
    gates = make()
    fail(gates, times=1)
    assert gates.changed(1.0, 1001.0)[A] is not None

    ask(gates, A, 2.0, Outcome.SUCCESS)

    assert gates.changed(3.0, 1003.0) == {A: None}
    assert gates.changed(4.0, 1004.0) == {}


def test_what_there_is_to_tell():
    """Those that are not closed first, opened by hand, open, on trial; then those that fail."""
    gates = make()
    fail(gates, "failed.test", times=1)
    for domain in ("trial.test", "open.test"):
        fail(gates, domain)
    gates.force_open("forced.test", 1.0)
    gates.acquire("trial.test", 60.0)

    found = list(dict.fromkeys(gates.notable))

    assert found == ["forced.test", "open.test", "trial.test", "failed.test"]
    gates.reset("open.test", 60.0)
    assert [len(each) for each in gates.notable.not_closed.values()] == [1, 0, 1]


def test_what_is_forgotten_is_not_told():
    """Without a checkpoint that asks for changes, no gate is kept beyond its end."""
    gates = make(max_gates=1)
    fail(gates, "a.test", times=1)
    ask(gates, "a.test", 0.0, Outcome.SUCCESS)
    assert list(gates.notable) == ["a.test"]

    ask(gates, "b.test", 1e6, Outcome.SUCCESS)

    assert "a.test" not in gates
    assert list(gates.notable) == []


@pytest.mark.parametrize("jump", [-1e9, 1e9])
def test_a_wall_clock_that_jumps(jump):
    """A restored hold is never longer than it was, and never negative."""
    gates = make()
    gates.hold(A, 60.0, "Retry-After", 0.0)
    saved = gates.changed(0.0, 1e9)

    later = make()
    later.restore(saved, 5.0, 1e9 + jump)

    assert 5.0 <= later.gate(A, 5.0).held_until <= 65.0


class GatesMachine(RuleBasedStateMachine):
    """Whatever happens, the counts balance and nobody gets more than is allowed."""

    domains = st.sampled_from(["a", "b", "c", "d"])

    def __init__(self):
        super().__init__()
        self.gates = make(retry_slots=2)
        self.now = 0.0
        self.tickets = []

    @rule(seconds=st.floats(0.01, 400))
    def wait(self, seconds):
        self.now += seconds

    @rule(domain=domains, is_retry=st.booleans())
    def ask(self, domain, is_retry):
        if self.gates.ready_at(domain, self.now, is_retry=is_retry) <= self.now:
            gate = self.gates.gate(domain, self.now)
            if gate.failed and not gate.proven and gate.breaker.state is State.CLOSED:
                assert gate.under_way == 0
            ticket = self.gates.acquire(domain, self.now, is_retry=is_retry)
            assert ticket.permit is not None
            self.tickets.append(ticket)

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), outcome=st.sampled_from(list(Outcome)))
    def answer(self, data, outcome):
        ticket = self.tickets.pop(data.draw(st.integers(0, len(self.tickets) - 1)))
        self.gates.settle(ticket, outcome, self.now)

    @rule(domain=domains, seconds=st.floats(0.1, 50))
    def hold(self, domain, seconds):
        self.gates.hold(domain, seconds, "held", self.now)
        assert self.gates.ready_at(domain, self.now) > self.now

    @rule(domain=domains)
    def force_open(self, domain):
        self.gates.force_open(domain, self.now)

    @rule(domain=domains)
    def reset(self, domain):
        self.gates.reset(domain, self.now)

    @rule()
    def excuse(self):
        self.gates.excuse(self.now)

    @rule()
    def restart(self):
        """A kill: what was under way is gone, the rest goes on."""
        saved = {}
        saved.update({k: v for k, v in self.gates.changed(self.now, self.now).items() if v})
        self.gates, self.tickets = make(retry_slots=2), []
        self.gates.restore(saved, self.now, self.now)

    @invariant()
    def balanced(self):
        under_way = sum(gate.under_way for gate in self.gates._gates.values())
        assert under_way == len(self.tickets)
        assert self.gates._on_probation == sum(t.probation for t in self.tickets)
        assert self.gates._starting == sum(t.starts for t in self.tickets)
        for state, gates in self.gates.notable.not_closed.items():
            known = self.gates._gates.values()
            assert list(gates) == [gate for gate in gates if gate.breaker.state is state]
            assert len(gates) == sum(gate.breaker.state is state for gate in known)
        retrying = sum(t.is_retry for t in self.tickets)
        assert self.gates._retrying == retrying <= 2
        assert retrying or not self.gates._retry_queue


GatesMachine.TestCase.settings = settings(stateful_step_count=40)
TestGates = GatesMachine.TestCase


def test_a_domain_that_nobody_has_asked():
    """To read what is known of it keeps nothing: it is taken to be well."""
    gates = make()
    gate = gates.known("new.test")

    assert (gate.answers, gate.given_up, gate.under_way) == (0, False, 0)
    assert not gate.mostly_throttles
    assert gate.lets_through
    assert gate.answers_lately(1e9)
    assert gates.why("new.test", 0.0) == ""
    assert "new.test" not in gates
    assert gates.known("new.test") is gate
    assert gates.gate("new.test", 0.0) is gates.known("new.test") is not gate
