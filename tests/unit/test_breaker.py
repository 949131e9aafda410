"""The circuit breaker's decisions."""

from __future__ import annotations

import random
import sys
from itertools import product
from math import inf, nan

import pytest
from breaker_samples import FAILED, PASSED, call, half_open, make, opened
from hypothesis import given
from hypothesis import strategies as st
from report import report

from scrapy_resilience.core.breaker import (
    TRANSITIONS,
    Breaker,
    Event,
    Outcome,
    State,
)
from scrapy_resilience.core.breakerconfig import BreakerConfig
from scrapy_resilience.exceptions import ConfigurationError

SLOW = {"failure_threshold": 0, "slow_call_duration": 2, "min_calls": 4}


# --- opening ------------------------------------------------------------------------


def test_opens_after_failures_in_a_row():
    """The threshold opens one that never answered, and one failure less does not."""
    breaker = make()

    call(breaker, FAILED, 0.0)
    call(breaker, FAILED, 100.0)
    assert breaker.state is State.CLOSED

    call(breaker, FAILED, 200.0)
    assert breaker.state is State.OPEN
    assert breaker.acquire(200.0) is None
    assert breaker.ready_at(200.0) == breaker.opened_until == 210.0


def test_a_success_ends_the_row():
    """Failures on both sides of a success are not in a row."""
    breaker = make()

    for outcome in [FAILED, FAILED, PASSED, FAILED, FAILED]:
        call(breaker, outcome, 0.0)

    assert breaker.state is State.CLOSED


def test_opens_at_the_failure_rate():
    """The rate is reached, not only exceeded, and counts from the minimum of calls on."""
    breaker = make(failure_threshold=0, failure_rate=0.3, min_calls=10)

    for outcome in [FAILED, FAILED, *[PASSED] * 7]:
        call(breaker, outcome, 0.0)
    assert breaker.state is State.CLOSED

    call(breaker, FAILED, 0.0)
    assert breaker.state is State.OPEN


def test_too_few_calls_have_no_rate():
    """Below the minimum of calls nothing opens, at the minimum it does."""
    breaker = make(failure_threshold=0, failure_rate=0.5, min_calls=4)

    for _ in range(3):
        call(breaker, FAILED, 0.0)
    assert breaker.state is State.CLOSED

    call(breaker, FAILED, 0.0)
    assert breaker.state is State.OPEN


def test_old_calls_have_no_rate():
    """Calls that the window has passed count no more."""
    breaker = make(failure_threshold=0, failure_rate=0.5, min_calls=4, window=60)

    for now in (0.0, 0.0, 0.0, 61.0):
        call(breaker, FAILED, now)

    assert breaker.state is State.CLOSED
    assert breaker.counts(61.0) == (1, 1, 0)


def test_opens_at_the_slow_call_rate():
    """Slow successes open it when their share is reached."""
    breaker = make(**SLOW, slow_call_rate=0.5)

    for duration in (0.1, 0.1, 2.0):
        call(breaker, PASSED, 0.0, duration)
    assert breaker.state is State.CLOSED

    call(breaker, PASSED, 0.0, 5.0)
    assert breaker.state is State.OPEN


def test_slow_calls_are_off_by_default():
    """Without a duration no call is slow."""
    breaker = make()

    for _ in range(50):
        call(breaker, PASSED, 0.0, 1e6)

    assert breaker.state is State.CLOSED
    assert breaker.counts(0.0) == (50, 0, 0)


@pytest.mark.parametrize("outcome", [Outcome.THROTTLED, Outcome.IGNORED, Outcome.CANCELLED])
def test_neither_success_nor_failure(outcome):
    """Other outcomes of a closed breaker count for nothing and end no row."""
    breaker = make()

    for each in [FAILED, FAILED, *[outcome] * 20]:
        call(breaker, each, 0.0)
    assert breaker.state is State.CLOSED
    assert breaker.counts(0.0) == (2, 2, 0)

    call(breaker, FAILED, 0.0)
    assert breaker.state is State.OPEN


# --- flaky is not down --------------------------------------------------------------


def flaky(failures, calls=200, **settings):
    """Return a breaker that has seen many calls, of which each n-th has failed."""
    breaker = make(failure_threshold=5, **settings)
    for number in range(calls):
        failed = number * failures // calls < (number + 1) * failures // calls
        call(breaker, FAILED if failed else PASSED, 0.0)
    assert breaker.state is State.CLOSED
    return breaker


def row_that_opens(breaker):
    """Let calls fail until it opens, and return how many."""
    count = 0
    while breaker.state is State.CLOSED:
        call(breaker, FAILED, 0.0)
        count += 1
    return count


@pytest.mark.parametrize(
    ("failures", "row"), [(0, 5), (10, 5), (20, 7), (60, 12), (100, 20), (140, 32)]
)
def test_the_row_follows_the_usual_share(failures, row):
    """The more of 200 calls have failed, the longer the row that opens it."""
    assert row_that_opens(flaky(failures)) == row


def test_the_row_is_never_shorter_than_the_threshold():
    """A domain that never fails may be given a longer row, not a shorter one."""
    breaker = make(failure_threshold=20)
    for _ in range(1000):
        call(breaker, PASSED, 0.0)

    assert row_that_opens(breaker) == 20


def test_the_present_row_is_part_of_the_usual_share():
    """A domain that was asked little has time to prove itself: the row grows as it goes."""
    breaker = make(failure_threshold=5)
    call(breaker, PASSED, 0.0)

    assert 15 < row_that_opens(breaker) < 30


def test_a_domain_whose_pages_all_fail_once_is_up():
    """Eight pages at a time fail, then come: it opens once at most, at its very first calls."""
    opened_by = []
    breaker = make(lambda _old, _new, event: opened_by.append(event), failure_threshold=5)
    now = 0.0
    for _ in range(100):
        for outcome in [*[FAILED] * 8, *[PASSED] * 8]:
            now = max(now, breaker.ready_at(now)) + 0.03
            call(breaker, outcome, now)

    assert opened_by.count(Event.FAILURES_IN_A_ROW) <= 1


def test_what_comes_in_an_outage_is_not_usual():
    """Trials and late results of calls leave the usual share as it was when it opened."""
    breaker = flaky(10)
    late = [breaker.acquire(0.0) for _ in range(50)]
    row_that_opens(breaker)
    usual = breaker.dump(0.0, 0.0)["usual"]

    for permit in late:
        breaker.record(permit, FAILED, 1.0)
    fail_trials(breaker, 20, 1.0)

    assert breaker.dump(0.0, 0.0)["usual"] == usual


# --- half-open ----------------------------------------------------------------------


def test_successes_close_it():
    """As many successful trials as were asked for close it, and one less is not enough."""
    breaker = half_open(success_threshold=2)

    call(breaker, PASSED, 10.0)
    assert breaker.state is State.HALF_OPEN

    call(breaker, PASSED, 11.0)
    assert breaker.state is State.CLOSED
    assert breaker.ready_at(11.0) == 0.0


def test_a_failure_reopens_it():
    """A failed trial opens it again, for twice as long, and counts as a trip."""
    breaker = half_open(success_threshold=2)
    assert breaker.trips == 0

    call(breaker, PASSED, 10.0)
    call(breaker, FAILED, 11.0)

    assert breaker.state is State.OPEN
    assert breaker.opened_until == 31.0
    assert breaker.trips == 1


def test_a_slow_trial_reopens_it():
    """A trial that succeeds slowly has not shown that the other side is well."""
    breaker = half_open(slow_call_duration=2)

    call(breaker, PASSED, 10.0, 2.0)

    assert breaker.state is State.OPEN


@pytest.mark.parametrize(("concurrent", "admitted"), [(1, 1), (2, 2), (9, 3)])
def test_trials_are_capped(concurrent, admitted):
    """No more trials are under way than the two caps allow; then it waits for an outcome."""
    breaker = half_open(half_open_max=3, half_open_concurrent=concurrent)

    permits = [breaker.acquire(10.0) for _ in range(10)]

    assert len([each for each in permits if each is not None]) == admitted
    assert len(set(permits[:admitted])) == admitted
    assert breaker.ready_at(10.0) == inf
    assert breaker.round_ends_at() == 30.0


def test_a_throttled_trial_waits_as_told():
    """A 429 prolongs the open state by its Retry-After, without a trip."""
    breaker = half_open()

    call(breaker, Outcome.THROTTLED, 10.0, 0.0, 7.0)
    assert breaker.opened_until == 17.0
    assert breaker.trips == 0

    assert breaker.ready_at(17.0) == 0.0
    call(breaker, FAILED, 17.0)
    assert breaker.opened_until == 37.0


@pytest.mark.parametrize(
    ("asked", "until"), [(0.0, 20.0), (-5.0, 20.0), (nan, 20.0), (1e300, 60.0), (inf, 60.0)]
)
def test_hostile_retry_after(asked, until):
    """Without a usable Retry-After the open time is the last one; none exceeds the cap."""
    breaker = half_open(max_recovery_timeout=50)

    call(breaker, Outcome.THROTTLED, 10.0, 0.0, asked)

    assert breaker.opened_until == until


def late_trial(**settings):
    """Return a breaker whose trial was late at 30 s, and the trial's permit."""
    breaker = half_open(10.0, **settings)
    permit = breaker.acquire(10.0)
    assert breaker.ready_at(30.0) == 50.0
    return breaker, permit


@pytest.mark.parametrize("now", [31.0, 60.0])
def test_a_late_trial_that_passes_closes_it(now):
    """The other side is slow, and up: whether it is open or half-open by then, it closes."""
    breaker, permit = late_trial()
    breaker.ready_at(now)

    breaker.record(permit, PASSED, now)

    assert breaker.state is State.CLOSED
    assert breaker.trips == 0


@pytest.mark.parametrize("outcome", [each for each in Outcome if each is not PASSED])
def test_a_late_trial_that_does_not_pass_changes_nothing(outcome):
    """That it was late has opened it already."""
    breaker, permit = late_trial()

    breaker.record(permit, outcome, 31.0)

    assert breaker.opened_until == 50.0
    assert breaker.trips == 1


def test_a_late_trial_that_is_slow_closes_nothing():
    """Where slow calls count, a trial that took longer than its time was one."""
    breaker, permit = late_trial(slow_call_duration=5)

    breaker.record(permit, PASSED, 31.0, 21.0)

    assert breaker.state is State.OPEN


def test_a_late_trial_of_an_earlier_outage_closes_nothing():
    """Its success is of a time before the last one."""
    breaker, permit = late_trial()
    call(breaker, PASSED, 50.0)
    for _ in range(60):
        call(breaker, FAILED, 50.0) if breaker.state is State.CLOSED else None
    assert breaker.state is State.OPEN

    breaker.record(permit, PASSED, 51.0)

    assert breaker.state is State.OPEN


def test_retry_after():
    """It is what remains, and None in any other state."""
    breaker = opened(0.0)

    assert breaker.retry_after(4.0) == 6.0
    assert breaker.retry_after(10.0) is None
    assert breaker.state is State.HALF_OPEN
    assert make().retry_after(0.0) is None


# --- how long -----------------------------------------------------------------------


def fail_trials(breaker, times, now):
    """Let trials fail, and return the open times in between."""
    waits = []
    for _ in range(times):
        now = breaker.ready_at(now) or now
        call(breaker, FAILED, now)
        waits.append(breaker.opened_until - now)
    return waits


def test_doubles_up_to_the_cap():
    """Without early trials each reopening doubles the open time, until the cap."""
    breaker = opened(0.0, max_recovery_timeout=100)

    assert fail_trials(breaker, 5, 0.0) == [20.0, 40.0, 80.0, 100.0, 100.0]
    assert breaker.trips == 5


def test_trials_come_early():
    """By default after 1 s, each reopening half as long again, up to the recovery time."""
    breaker = opened(0.0, first_trial=1, recovery_timeout=5)
    assert breaker.opened_until == 1.0

    assert fail_trials(breaker, 6, 0.0) == [1.5, 2.25, 3.375, 5.0, 5.0, 5.0]


def test_the_next_outage_begins_anew():
    """Once it has closed, it opens for as short a time as at first."""
    breaker = opened(0.0, first_trial=1, recovery_timeout=100)
    fail_trials(breaker, 5, 0.0)
    now = breaker.opened_until
    call(breaker, PASSED, now)

    row_that_opens(breaker)

    assert breaker.opened_until == 1.0


@given(st.integers(0, 10**9), st.floats(0, 1), st.floats(0.001, 1e3), st.floats(0.001, 1e6))
def test_early_open_times_are_bounded(trips, chance, first, most):
    """No number of reopenings and no jitter gets beyond the recovery time."""
    config = BreakerConfig(first_trial=first, recovery_timeout=most, max_recovery_timeout=3e7)

    assert min(0.9 * first, most) <= config.open_time(trips, chance) <= most


def test_a_trial_may_be_asked_for():
    """wait_no_longer() shortens the open time, and never prolongs it."""
    breaker = opened(0.0)

    breaker.wait_no_longer(12.0)
    assert breaker.opened_until == 10.0

    breaker.wait_no_longer(4.0)
    assert breaker.opened_until == 4.0
    assert breaker.ready_at(4.0) == 0.0


def test_how_long_it_fails():
    """From the first failure of the row on, through all reopenings, until a success."""
    breaker = make()
    for now in (1.0, 2.0, 3.0):
        call(breaker, FAILED, now)
    assert breaker.failing_since == 1.0
    assert not breaker.answered

    fail_trials(breaker, 3, 3.0)
    assert breaker.failing_since == 1.0

    call(breaker, PASSED, breaker.opened_until)
    assert breaker.failing_since == inf
    assert breaker.answered


@given(
    st.integers(0, 10**9),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0.001, 1e6),
    st.floats(1, 1e3),
)
def test_classical_open_times_are_bounded(trips, chance, jitter, base, factor):
    """Without early trials it is within the jitter of base · 2ⁿ and never above the cap."""
    cap = min(base * factor, 3e7)
    config = BreakerConfig(
        first_trial=0, recovery_timeout=base, max_recovery_timeout=cap, jitter=jitter
    )

    seconds = config.open_time(trips, chance)

    ideal = base * 2.0 ** min(trips, 64)
    assert 0 <= seconds <= cap
    assert seconds >= min(ideal * (1 - jitter) * 0.999, cap)
    assert seconds <= ideal * (1 + jitter) * 1.001


def test_jitter_spreads():
    """Breakers that open together do not come back together."""
    config = BreakerConfig(first_trial=0, recovery_timeout=100, jitter=0.1)
    rng = random.Random(7)

    times = [config.open_time(0, rng.random()) for _ in range(1000)]

    assert 90 <= min(times) < 91
    assert 109 < max(times) <= 110


# --- by hand ------------------------------------------------------------------------


def test_forced_open():
    """It refuses, and says that it can't tell until when."""
    breaker = make()
    breaker.force_open()

    assert breaker.acquire(0.0) is None
    assert breaker.ready_at(1e12) == breaker.opened_until == inf
    assert breaker.retry_after(0.0) is None


def test_disabled():
    """It admits and does not count."""
    breaker = opened()
    breaker.disable()

    for _ in range(20):
        call(breaker, FAILED, 0.0)

    assert breaker.state is State.DISABLED
    assert breaker.counts(0.0) == (0, 0, 0)


def test_metrics_only():
    """It admits and counts, and does not open."""
    breaker = opened()
    breaker.metrics_only()

    for _ in range(20):
        call(breaker, FAILED, 0.0)

    assert breaker.state is State.METRICS_ONLY
    assert breaker.counts(0.0) == (20, 20, 0)


@pytest.mark.parametrize("state", list(State))
def test_reset(state):
    """A reset closes it from any state and forgets what it has seen."""
    breaker = in_state(state)
    breaker.answered = True
    breaker.reset(50.0)

    assert breaker.state is State.CLOSED
    assert not breaker.answered
    assert breaker.healthy_idle(50.0)
    assert breaker.dump(50.0, 0.0) is None


def in_state(state):
    """Return a breaker in that state at 10 s."""
    if state is State.CLOSED:
        breaker = make()
        call(breaker, FAILED, 10.0)
        return breaker
    if state in {State.OPEN, State.HALF_OPEN}:
        return opened(10.0) if state is State.OPEN else half_open(10.0)
    breaker = make()
    {
        State.FORCED_OPEN: breaker.force_open,
        State.DISABLED: breaker.disable,
        State.METRICS_ONLY: breaker.metrics_only,
    }[state]()
    return breaker


def test_the_table_is_all_there_is():
    """An event leads where the table says, and changes nothing when it has no entry."""
    wrong = []
    for state, event in product(State, Event):
        seen = []
        breaker = in_state(state)
        breaker._on_transition = lambda *change, seen=seen: seen.append(change)

        breaker._fire(event, 10.0)

        new = TRANSITIONS.get((state, event))
        told = [] if new is None else [(state, new, event)]
        if (breaker.state, seen) != (new or state, told):
            wrong.append(f"{event} in {state} led to {breaker.state}, and told {seen}")
    report(wrong)


def test_the_table():
    """By itself it goes round closed, open and half-open; only a hand does the rest."""
    by_hand = {Event.FORCE_OPEN, Event.DISABLE, Event.METRICS_ONLY, Event.RESET}
    automatic = {State.CLOSED, State.OPEN, State.HALF_OPEN}
    for (old, event), new in TRANSITIONS.items():
        assert event in by_hand or {old, new} <= automatic
    assert {
        (old, new) for (old, event), new in TRANSITIONS.items() if event not in by_hand
    } == {
        (State.CLOSED, State.OPEN),
        (State.OPEN, State.HALF_OPEN),
        (State.HALF_OPEN, State.OPEN),
        (State.HALF_OPEN, State.CLOSED),
        (State.OPEN, State.CLOSED),  # a late trial has passed
    }


# --- eviction and memory ------------------------------------------------------------


def test_healthy_and_idle():
    """A closed breaker is idle without permits, a row, and failures in the window."""
    breaker = make()
    assert breaker.healthy_idle(0.0)

    permit = breaker.acquire(0.0)
    assert not breaker.healthy_idle(0.0)

    breaker.record(permit, FAILED, 0.0)
    assert not breaker.healthy_idle(1e9)

    call(breaker, PASSED, 1.0)
    assert not breaker.healthy_idle(59.0)
    assert breaker.healthy_idle(61.0)


def size(value, seen):
    """Return the bytes of an object and of what is reached from it, but for what is *seen*."""
    if id(value) in seen or isinstance(value, (type, State, BreakerConfig)) or callable(value):
        return 0
    seen.add(id(value))
    total = sys.getsizeof(value)
    if isinstance(value, dict):
        total += sum(size(each, seen) for pair in value.items() for each in pair)
    for name in getattr(type(value), "__slots__", ()):
        total += size(getattr(value, name), seen)
    return total


@pytest.fixture
def own_size():
    """Measure what a breaker does not share with another one."""
    other = make()
    call(other, PASSED, 0.0)
    shared = set()
    size(other._window._slow, shared)  # zeros and the like
    for name in Breaker.__slots__:
        if name != "_window":
            size(getattr(other, name), shared)
    yield lambda breaker: size(breaker, set(shared))
    assert other.state is State.CLOSED  # it has lived until here, and so have the ids


def test_memory_of_an_idle_breaker(own_size):
    """A breaker of a healthy domain takes less than 600 bytes, a new one less than 250."""
    breaker = make(failure_threshold=5)
    assert 100 < own_size(breaker) < 250

    for step in range(10_000):
        call(breaker, PASSED, 1e6 + step / 30, 0.123)

    assert breaker.counts(1e6 + 333).calls > 1600
    assert 300 < own_size(breaker) < 600


@pytest.mark.parametrize("state", list(State))
def test_memory_in_any_state(state, own_size):
    """No state takes more than 900 bytes."""
    breaker = in_state(state)
    for step in range(100):
        permit = breaker.acquire(10.0 + step)
        if permit is not None and state is not State.HALF_OPEN:
            breaker.record(permit, PASSED, 10.0 + step)

    assert 100 < own_size(breaker) < 900


# --- storage ------------------------------------------------------------------------


def test_nothing_to_remember():
    """A closed breaker without failures is not stored."""
    breaker = make()
    call(breaker, PASSED, 0.0)

    assert breaker.dump(0.0, 1e9) is None


def test_the_open_time_goes_on():
    """What was left of the open time is left on the next process' clock."""
    breaker = opened(100.0)
    data = breaker.dump(104.0, 1e9)

    again = Breaker.load(breaker.config, data, 5.0, 1e9 + 2, lambda: 0.5)

    assert again.state is State.OPEN
    assert again.retry_after(5.0) == 4.0


@pytest.mark.parametrize(
    ("wall", "left"), [(1e9 - 1e7, 10.0), (0.0, 10.0), (1e9 + 7, None), (1e12, None)]
)
def test_a_wall_clock_that_was_set(wall, left):
    """A clock that was set back does not prolong it, one that was set forward ends it."""
    breaker = opened(100.0)
    data = breaker.dump(104.0, 1e9)

    again = Breaker.load(breaker.config, data, 5.0, wall, lambda: 0.5)

    assert 5.0 <= again.opened_until <= 15.0
    assert again.retry_after(5.0) == left


def test_a_lower_cap_is_kept():
    """A cap that was lowered in between holds for the rest as well."""
    breaker = opened(0.0)
    data = breaker.dump(0.0, 1e9)
    config = BreakerConfig(first_trial=0, recovery_timeout=1, max_recovery_timeout=2)

    again = Breaker.load(config, data, 0.0, 1e9, lambda: 0.5)

    assert again.retry_after(0.0) == 2.0


def test_half_open_is_stored_as_due():
    """Its trials are lost with the process, so that it opens a new round at once."""
    breaker = half_open(10.0)
    breaker.acquire(10.0)
    data = breaker.dump(11.0, 1e9)

    again = Breaker.load(breaker.config, data, 0.0, 1e9, lambda: 0.5)

    assert again.acquire(0.0) is not None
    assert again.state is State.HALF_OPEN


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"state": "ajar"},
        {"state": ["open"], "usual": "x", "trips": None, "failures": {}},
        {"state": "closed", "usual": [nan, -3], "trips": nan, "failures": -inf},
        {"state": "open", "until": nan, "open_time": inf},
        {"state": "open", "until": inf, "open_time": -1},
        {"state": "half_open", "until": "soon", "last_failure": 5},
        {"state": "closed", "usual": [1e400, 5], "failures": 10**400},
    ],
)
def test_stored_nonsense(data):
    """What can't be read is left out, and the breaker works."""
    breaker = Breaker.load(BreakerConfig(), data, 0.0, 1e9, lambda: 0.5)

    assert breaker.ready_at(0.0) == 0.0
    assert breaker.acquire(0.0) is not None
    assert breaker.trips == 0


STEPS = st.lists(st.tuples(st.sampled_from(Outcome), st.floats(0, 40)), max_size=40)
HANDS = st.sampled_from([None, "force_open", "disable", "metrics_only"])


@given(STEPS, HANDS, st.floats(0, 1e9))
def test_dump_and_load(steps, hand, later):
    """A loaded breaker is stored as the one that it was made from, at any time of the clock."""
    breaker = make(max_recovery_timeout=100)
    now, wall = 1000.0, 1.7e9
    for outcome, wait in steps:
        now += wait
        permit = breaker.acquire(now)
        if permit is not None:
            breaker.record(permit, outcome, now, 0.1, 3.0, "timeout")
    if hand:
        getattr(breaker, hand)()
    data = breaker.dump(now, wall)
    if data is None:
        assert breaker.state is State.CLOSED
        return

    again = Breaker.load(breaker.config, data, later, wall, lambda: 0.5)

    found = again.dump(later, wall)
    assert found.pop("usual", []) == data.pop("usual", [])
    assert found == pytest.approx(data, abs=1e-3)
    if breaker.state is not State.HALF_OPEN:
        assert again.state is breaker.state
    assert again.trips == breaker.trips
    assert again.last_failure == breaker.last_failure


def test_failures_in_a_row_are_stored():
    """A restart does not give a sick domain five more failures."""
    breaker = make()
    call(breaker, FAILED, 0.0, 0.0, 0.0, "timeout")
    call(breaker, FAILED, 0.0, 0.0, 0.0, "timeout")

    again = Breaker.load(breaker.config, breaker.dump(0.0, 1e9), 0.0, 1e9, lambda: 0.5)
    assert again.last_failure == "timeout"
    call(again, FAILED, 0.0)

    assert again.state is State.OPEN


def test_the_usual_share_is_stored():
    """A restart does not take a flaky domain for one that is down."""
    breaker = flaky(60)
    call(breaker, FAILED, 0.0)

    again = Breaker.load(breaker.config, breaker.dump(0.0, 1e9), 0.0, 1e9, lambda: 0.5)

    assert again.answered
    assert row_that_opens(again) == row_that_opens(breaker)


def test_a_long_failure_is_cut():
    """The text of a failure is not longer than 200 characters."""
    breaker = make()
    call(breaker, FAILED, 0.0, 0.0, 0.0, "x" * 10_000)

    assert len(breaker.last_failure) == 200


# --- configuration ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"failure_rate": 1.5}, "failure_rate=1.5: use a number from 0 to 1."),
        ({"failure_threshold": -1}, "failure_threshold=-1: use a whole number from 0 to"),
        ({"min_calls": 2.5}, "min_calls=2.5: use a whole number from 1 to"),
        ({"window": 0}, "window=0: use a number from 0.01 to"),
        ({"jitter": nan}, "jitter=nan: use a number from 0 to 1."),
        ({"recovery_timeout": inf}, "recovery_timeout=inf: use"),
        ({"recovery_timeout": True}, "recovery_timeout=True: use"),
        ({"half_open_max": "3"}, "half_open_max='3': use a whole number from 1 to"),
        ({"recovery_timeout": 7200}, "max_recovery_timeout=3600 is less than recovery_timeout"),
        ({"success_threshold": 4}, "half_open_max=3 is less than success_threshold=4"),
    ],
)
def test_bad_configuration(settings, message):
    """A value that makes no sense is refused, by name."""
    with pytest.raises(ConfigurationError, match=message):
        BreakerConfig(**settings)
