"""Bugs that other resilience libraries had, one test for each: we don't have them."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from math import inf

import pytest
from breaker_samples import FAILED, PASSED, Clock, call, half_open, make, opened, run

from scrapy_resilience.breaker import CircuitBreaker, EventKind
from scrapy_resilience.core.breaker import Outcome, State
from scrapy_resilience.core.gates import GateConfig, Gates
from scrapy_resilience.exceptions import CircuitOpenError


def failing(breaker, error=OSError):
    """Make a call that raises."""
    with pytest.raises(error), breaker:
        raise error


def tripped(clock, **settings):
    """Return a public breaker that is open, for 10 s."""
    own = {"failure_threshold": 1, "first_trial": 0, "recovery_timeout": 10, "jitter": 0}
    breaker = CircuitBreaker("bug", clock=clock, **{**own, **settings})
    failing(breaker)
    assert breaker.state is State.OPEN
    return breaker


def test_bug_01_half_open_stampede():
    """Of fifty threads that come when the open time is over, as many get in as may."""
    clock = Clock()
    breaker = tripped(clock, half_open_concurrent=2)
    clock.sleep(10)
    start, tried = threading.Barrier(50), threading.Barrier(50)

    def visit(_):
        start.wait(20)
        try:
            with breaker:
                tried.wait(20)
        except CircuitOpenError:
            tried.wait(20)
            return False
        return True

    with ThreadPoolExecutor(50) as pool:
        admitted = sum(pool.map(visit, range(50)))

    assert admitted == 2


def test_bug_02_the_call_that_ends_the_open_time_is_a_trial():
    """The call by which it turns half-open takes a trial's place, it is not let in beside."""
    breaker = opened(0.0)

    first = breaker.acquire(10.0)

    assert breaker.state is State.HALF_OPEN
    assert first is not None
    assert breaker.acquire(10.0) is None


def test_bug_03_a_late_result_of_the_closed_era_decides_nothing():
    """Calls that were admitted before it opened neither close nor reopen it afterwards."""
    breaker = make()
    late = [breaker.acquire(0.0) for _ in range(5)]
    for _ in range(3):
        call(breaker, FAILED, 0.0)
    assert breaker.ready_at(10.0) == 0.0

    for permit in late[:4]:
        breaker.record(permit, PASSED, 10.0)
    assert breaker.state is State.HALF_OPEN

    breaker.record(late[4], FAILED, 10.0)
    assert breaker.state is State.HALF_OPEN


def test_bug_04_a_stale_trial_of_an_earlier_round_is_dropped():
    """The trial of an earlier round neither counts in this one nor frees a place."""
    breaker = half_open(half_open_concurrent=2, success_threshold=2)
    stale = breaker.acquire(10.0)
    call(breaker, FAILED, 10.0)
    assert breaker.ready_at(30.0) == 0.0
    trials = [breaker.acquire(30.0), breaker.acquire(30.0)]

    breaker.record(stale, PASSED, 30.0)
    assert breaker.acquire(30.0) is None

    breaker.record(trials[0], PASSED, 30.0)
    assert breaker.state is State.HALF_OPEN


def test_bug_05_late_failures_do_not_prolong_the_open_time():
    """Failures of calls that were under way when it opened leave its open time as it is."""
    breaker = make()
    late = [breaker.acquire(0.0) for _ in range(10)]
    for permit in late[:3]:
        breaker.record(permit, FAILED, 0.0)

    for second, permit in enumerate(late[3:], 1):
        breaker.record(permit, FAILED, float(second))

    assert breaker.opened_until == 10.0
    assert breaker.trips == 0


@pytest.mark.parametrize("outcome", [Outcome.IGNORED, Outcome.CANCELLED])
def test_bug_06_an_ignored_trial_gives_its_place_back(outcome):
    """However many trials are ignored, there is room for the next, and none closes it."""
    breaker = half_open(success_threshold=2)

    for _ in range(20):
        call(breaker, outcome, 10.0)
    assert breaker.state is State.HALF_OPEN

    call(breaker, PASSED, 10.0)
    call(breaker, PASSED, 10.0)
    assert breaker.state is State.CLOSED


def test_bug_06_an_ignored_call_ends_no_row():
    """An error that is ignored does not reset the failures in a row."""
    breaker = make()

    for outcome in [FAILED, FAILED, Outcome.IGNORED, FAILED]:
        call(breaker, outcome, 0.0)

    assert breaker.state is State.OPEN


def test_bug_07_a_hung_trial_ends_the_round():
    """A trial that never ends opens it again, so that there is another round."""
    breaker = half_open(trial_timeout=100, success_threshold=2)
    hung = breaker.acquire(10.0)
    assert breaker.ready_at(109.0) == inf
    assert breaker.round_ends_at() == 110.0

    assert breaker.ready_at(110.0) == 130.0
    assert breaker.trips == 1

    assert breaker.ready_at(130.0) == 0.0
    breaker.record(hung, FAILED, 130.0)
    call(breaker, PASSED, 130.0)
    assert breaker.state is State.HALF_OPEN


def test_bug_07_a_trial_that_ends_too_late_has_failed_before():
    """It was a trip, even if nobody has noticed it before it fails, and it is not another."""
    breaker = half_open(trial_timeout=100)
    late = breaker.acquire(10.0)

    breaker.record(late, FAILED, 110.0)

    assert breaker.state is State.OPEN
    assert breaker.trips == 1


def test_bug_07_a_cancelled_trial_closes_nothing():
    """A task that is cancelled within a trial leaves it half-open, with room for another."""
    clock = Clock()
    breaker = tripped(clock, success_threshold=2)
    clock.sleep(10)

    async def cancel_a_trial():
        async def hang():
            async with breaker:
                await asyncio.Event().wait()

        task = asyncio.create_task(hang())
        await asyncio.sleep(0)
        with pytest.raises(CircuitOpenError):
            breaker.__enter__()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(cancel_a_trial())

    assert breaker.state is State.HALF_OPEN
    with breaker:
        pass
    assert breaker.state is State.HALF_OPEN


def test_bug_08_a_second_release_frees_no_place():
    """A permit that is given back twice does not raise the number of trials."""
    breaker = half_open(half_open_concurrent=1)
    permit = breaker.acquire(10.0)

    for _ in range(5):
        breaker.record(permit, Outcome.CANCELLED, 10.0)
    breaker.acquire(10.0)

    assert breaker.acquire(10.0) is None


def test_bug_09_half_open_has_no_minimum_of_calls():
    """One failed trial reopens it, however many calls the window is to have when closed."""
    breaker = half_open(min_calls=100)

    call(breaker, FAILED, 10.0)

    assert breaker.state is State.OPEN


def test_bug_10_no_timer_ends_forced_open():
    """Neither time nor the result of a trial that was under way ends what a hand has set."""
    breaker = half_open()
    trial = breaker.acquire(10.0)
    breaker.force_open()

    breaker.record(trial, PASSED, 11.0)
    assert breaker.acquire(1e9) is None
    assert breaker.state is State.FORCED_OPEN


def test_bug_11_a_listener_may_use_the_breaker():
    """A listener that asks, calls and resets within a transition sees it complete."""
    seen = []

    def listener(old, new, _):
        seen.append((old, new, breaker.state, breaker.ready_at(0.0)))
        if new is State.OPEN:
            breaker.reset(0.0)

    breaker = make(listener)
    for _ in range(3):
        call(breaker, FAILED, 0.0)

    assert [each[:3] for each in seen] == [
        (State.CLOSED, State.OPEN, State.OPEN),
        (State.OPEN, State.CLOSED, State.CLOSED),
    ]
    assert breaker.state is State.CLOSED


def test_bug_11_a_listener_that_takes_the_trial():
    """When the listener of a transition takes the only trial, the caller is refused."""
    taken = []

    def listener(_, new, __):
        if new is State.HALF_OPEN:
            taken.append(breaker.acquire(10.0))

    breaker = make(listener)
    for _ in range(3):
        call(breaker, FAILED, 0.0)

    assert breaker.acquire(10.0) is None
    assert taken[0] is not None


def test_bug_11_a_listener_that_fails():
    """What a listener raises reaches nobody, and the transition stands."""

    def listener(*_):
        raise RuntimeError

    breaker = make(listener)
    for _ in range(3):
        call(breaker, FAILED, 0.0)

    assert breaker.state is State.OPEN


def test_bug_11_a_listener_in_another_thread():
    """A listener that waits for a thread which uses the breaker does not lock up."""
    breaker = CircuitBreaker("bug", failure_threshold=1)
    states = []

    def ask():
        states.append(breaker.state)

    def listener(event):
        if event.kind is EventKind.TRANSITION:
            thread = threading.Thread(target=ask, daemon=True)
            thread.start()
            thread.join(20)

    breaker.subscribe(listener)
    failing(breaker)

    assert states == [State.OPEN]


def test_bug_12_a_clock_that_goes_back_prolongs_nothing():
    """An hour back in the open state, it still opens for no longer than it was to."""
    breaker = opened(3600.0)

    assert breaker.ready_at(0.0) == 10.0
    assert breaker.retry_after(5.0) == 5.0
    assert breaker.ready_at(10.0) == 0.0


def test_bug_12_a_clock_that_goes_back_in_a_trial():
    """A hung trial is noticed after its timeout by the clock as it is now."""
    breaker = half_open(3600.0, trial_timeout=100)
    breaker.acquire(3600.0)

    assert breaker.ready_at(0.0) == inf
    assert breaker.ready_at(99.0) == inf
    assert breaker.ready_at(100.0) == 120.0


def test_bug_12_a_clock_that_goes_back_counts():
    """Calls after a step back count as others do."""
    breaker = make(failure_threshold=0, failure_rate=0.5, min_calls=4)
    call(breaker, PASSED, 3600.0)

    for _ in range(4):
        call(breaker, FAILED, 0.0)
    assert breaker.state is State.OPEN

    call(breaker, PASSED, 10.0)
    assert breaker.state is State.CLOSED
    assert breaker.counts(-1e6) == (0, 0, 0)


@pytest.mark.parametrize(
    ("outcome", "slower"), [(Outcome.THROTTLED, "slowed down"), (Outcome.FAILURE, "breaker")]
)
def test_bug_15_fast_failures_slow_down(outcome, slower):
    """A domain that answers 429 or 503 at once is asked less often, not as fast as ever."""
    gates = Gates(GateConfig(), lambda: 0.5)
    now, asked = 100.0, 0
    while now < 160.0:
        if gates.ready_at("a.test", now) <= now:
            ticket = gates.acquire("a.test", now)
            gates.settle(ticket, Outcome.SUCCESS if now < 130.0 else outcome, now, 0.001)
            asked += now >= 130.0
        now += 0.01

    assert asked <= 300  # of 3,000
    assert slower in gates.why("a.test", now)


def test_bug_16_only_healthy_idle_breakers_may_be_forgotten():
    """Open ones, and those with a call, a row or a recent failure are kept."""
    assert make().healthy_idle(0.0)
    assert not opened(0.0).healthy_idle(1e9)
    assert not half_open(10.0).healthy_idle(1e9)

    busy, recent = make(), make()
    busy.acquire(0.0)
    call(recent, FAILED, 0.0)
    assert not busy.healthy_idle(1e9)
    assert not recent.healthy_idle(1e9)

    healed = half_open(10.0)
    call(healed, PASSED, 10.0)
    assert healed.healthy_idle(10.0)

    for change in ("force_open", "disable", "metrics_only"):
        breaker = make()
        getattr(breaker, change)()
        assert not breaker.healthy_idle(1e9)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError]
)
def test_bug_18_what_is_no_exception_never_trips(error):
    """Such an error is not a failure, and its permit is given back."""
    breaker = CircuitBreaker("bug", failure_threshold=1, exceptions=(Exception, error))

    for _ in range(5):
        failing(breaker, error)

    assert breaker.state is State.CLOSED
    assert breaker.counts == (0, 0, 0)
    assert breaker._core.healthy_idle(0.0)


def test_bug_18_a_cancelled_future_is_an_exception():
    """Only what is not an Exception is exempt by its kind; the rest is up to the filter."""
    breaker = CircuitBreaker("bug", failure_threshold=1)

    failing(breaker, CancelledError)

    assert breaker.state is State.OPEN
