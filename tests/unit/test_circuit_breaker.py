"""Circuit breakers outside Scrapy: decorator, context manager, listeners, registry."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import logging
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache, partial

import pytest
from breaker_samples import Clock, run

from scrapy_resilience import breaker as module
from scrapy_resilience.breaker import (
    BreakerEvent,
    CircuitBreaker,
    EventKind,
    State,
    breakers,
    get_breaker,
)
from scrapy_resilience.exceptions import (
    CircuitOpenError,
    ConfigurationError,
    ResilienceError,
)

AT_ONCE = {"first_trial": 0, "recovery_timeout": 10, "jitter": 0}
"""Open for 10 s from the first time on."""


@pytest.fixture
def clock():
    """Return a clock that stands still."""
    return Clock()


@pytest.fixture
def breaker(clock):
    """Return a breaker that opens after two failures, for 10 s."""
    return CircuitBreaker("shop", **AT_ONCE, failure_threshold=2, clock=clock)


def fail(breaker, times=2, error=OSError):
    """Make calls that raise."""
    for _ in range(times):
        with pytest.raises(error), breaker:
            raise error("no answer")


# --- ways to use it -----------------------------------------------------------------


def test_decorates_a_function(breaker, clock):
    """The function is called while it is closed, and not once it is open."""
    calls = []

    @breaker
    def ask(what, *, loud=False):
        """Ask it."""
        calls.append((what, loud))
        if what == "bad":
            raise OSError
        return what

    for _ in range(2):
        with pytest.raises(OSError):  # noqa: PT011 - it has no text
            ask("bad")
    with pytest.raises(CircuitOpenError):
        ask("good")
    clock.sleep(10)
    assert ask("good", loud=True) == "good"

    assert calls == [("bad", False), ("bad", False), ("good", True)]
    assert ask.__name__ == "ask"
    assert ask.__doc__ == "Ask it."


def test_decorates_a_coroutine_function(breaker, clock):
    """It is the coroutine's end that counts, with the time that it took."""

    @breaker
    async def ask(seconds):
        await asyncio.sleep(0)
        clock.sleep(seconds)
        raise OSError

    assert inspect.iscoroutinefunction(ask)
    durations = []
    breaker.subscribe(lambda event: durations.append(event.duration))
    for _ in range(2):
        with pytest.raises(OSError):  # noqa: PT011 - it has no text
            run(ask(3.0))
    with pytest.raises(CircuitOpenError):
        run(ask(3.0))

    assert durations[:2] == [3.0, 3.0]


def test_a_method(breaker):
    """A decorated method gets its object."""

    class Client:
        @breaker
        def me(self):
            return self

    client = Client()

    assert client.me() is client


def generator():
    """Yield nothing."""
    yield


async def async_generator():
    """Yield nothing."""
    yield


@pytest.mark.parametrize("function", [generator, async_generator])
def test_a_generator_is_refused(breaker, function):
    """A generator function has done nothing when it returns, so it can't be guarded."""
    with pytest.raises(TypeError, match="is a generator: decorate what it calls"):
        breaker(function)


@pytest.mark.parametrize("function", [classmethod(len), 5])
def test_what_is_no_function_is_refused(breaker, function):
    """When it is decorated, and not when it is called."""
    with pytest.raises(TypeError, match="can't be called"):
        breaker(function)


def test_an_object_whose_call_is_async(breaker):
    """What its coroutine raises is a failure, as with a coroutine function."""

    class Client:
        async def __call__(self):
            raise OSError("no answer")

    guarded = breaker(Client())
    for _ in range(2):
        with pytest.raises(OSError, match="no answer"):
            run(guarded())

    assert breaker.state is State.OPEN


async def asks(_error):
    """A filter that nobody awaits."""


@pytest.mark.parametrize(
    "value", [5, "OSError", None, int, (OSError, "KeyError"), asks, OSError("an instance")]
)
@pytest.mark.parametrize("name", ["exceptions", "exclude"])
def test_exceptions_are_classes_or_functions(name, value):
    """Anything else would hide the failure itself when one comes."""
    with pytest.raises(ConfigurationError, match=f"{name}="):
        CircuitBreaker("shop", **{name: value})


def test_no_exceptions_at_all_are_refused():
    """Such a breaker would never open."""
    with pytest.raises(ConfigurationError, match="exceptions="):
        CircuitBreaker("shop", exceptions=())


@pytest.mark.parametrize(
    ("filters", "counts"),
    [
        ({}, True),
        ({"exceptions": [KeyError, OSError]}, True),
        ({"exceptions": lambda error: "answer" in str(error)}, True),
        ({"exceptions": lambda error: "busy" in str(error)}, False),
        ({"exclude": OSError}, False),
        ({"exclude": [KeyError, lambda error: "answer" in str(error)]}, False),
        ({"exclude": lambda error: "busy" in str(error)}, True),
        ({"exceptions": OSError, "exclude": ConnectionError}, True),
        ({"exceptions": OSError, "exclude": Exception}, False),
    ],
)
def test_what_counts(filters, counts):
    """Classes and functions say what is a failure, and what is none all the same."""
    breaker = CircuitBreaker("shop", failure_threshold=1, **filters)

    with pytest.raises(OSError, match="no answer"), breaker:
        raise OSError("no answer")

    assert (breaker.state is State.OPEN) == counts


# --- calls that are cut off -------------------------------------------------------------


async def cut_off(guarded):
    """A call that asyncio.wait_for around it cuts off."""
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(guarded(), 0.001)


async def hang():
    """Never ends."""
    await asyncio.Event().wait()


def test_a_call_that_is_cut_off_is_neither(breaker, clock):
    """A caller that does not wait says nothing of the function; a trial's place is free."""
    guarded = breaker(hang)
    run(cut_off(guarded))
    assert (breaker.state, breaker.counts.calls) == (State.CLOSED, 0)
    fail(breaker)
    clock.sleep(100)

    for _ in range(5):
        run(cut_off(guarded))
    assert breaker.state is State.HALF_OPEN
    with breaker:
        pass

    assert breaker.state is State.CLOSED


def test_a_call_that_is_cut_off_counts_where_that_is_asked_for():
    """With count_cancelled a call that hangs is a failure, whoever does not wait for it."""
    breaker = CircuitBreaker("shop", failure_threshold=2, count_cancelled=True)

    for _ in range(2):
        run(cut_off(breaker(hang)))

    assert breaker.state is State.OPEN


def test_a_time_limit_inside_is_a_failure():
    """What the function itself gives up is its failure."""
    breaker = CircuitBreaker("shop", failure_threshold=1)

    @breaker
    async def ask():
        await asyncio.wait_for(hang(), 0.001)

    with pytest.raises(asyncio.TimeoutError):
        run(ask())

    assert breaker.state is State.OPEN


# --- functions that give coroutines -----------------------------------------------------


def test_a_function_that_returns_a_coroutine(breaker, clock):
    """The call ends when the coroutine does: its failure counts, and its trial is one."""

    async def work(error):
        await asyncio.sleep(0)
        with breaker:  # a part of the call
            if error is not None:
                raise error
        return "done"

    guarded = breaker(lambda error: work(error))  # noqa: PLW0108 - a plain function
    for _ in range(2):
        with pytest.raises(OSError, match="no answer"):
            run(guarded(OSError("no answer")))
    assert breaker.state is State.OPEN
    with pytest.raises(CircuitOpenError):
        guarded(None)
    clock.sleep(100)

    assert run(guarded(None)) == "done"
    assert breaker.state is State.CLOSED


# --- fallbacks ---------------------------------------------------------------------------


def test_a_fallback(clock):
    """While it is open, another function has the arguments and gives the result."""
    breaker = CircuitBreaker(
        "shop", failure_threshold=1, clock=clock, fallback=lambda name, size=0: (name, size)
    )

    @breaker
    def look_up(*_args, **_options):
        raise OSError("no answer")

    with pytest.raises(OSError, match="no answer"):
        look_up("x")
    assert look_up("x", size=5) == ("x", 5)
    with pytest.raises(CircuitOpenError), breaker:
        pass


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_fallback_of_a_coroutine_function(kind):
    """It may be either, and is awaited where it is one."""

    async def later(name):
        return name

    fallback = later if kind == "async" else str
    breaker = CircuitBreaker("shop", fallback=fallback)
    breaker.force_open()

    @breaker
    async def look_up(_name):
        raise AssertionError("never run")

    assert run(look_up("x")) == "x"


def test_a_fallback_is_a_function():
    """Anything else would be found out when it is needed."""
    with pytest.raises(ConfigurationError, match="fallback="):
        CircuitBreaker("shop", fallback="cached")


def test_the_way_to_the_breaker(breaker):
    """A decorated function knows its breaker, through other decorators too."""

    @lru_cache
    @breaker
    def look_up():
        pass

    @breaker
    async def ask():
        pass

    assert look_up.breaker is ask.breaker is breaker


def test_an_async_context_manager(breaker):
    """``async with`` counts as ``with`` does."""

    async def ask():
        async with breaker as entered:
            assert entered is breaker
            raise OSError

    for _ in range(2):
        with pytest.raises(OSError):  # noqa: PT011 - it has no text
            run(ask())

    assert breaker.state is State.OPEN


def test_nested_and_interleaved_uses(clock):
    """Each outermost ``with`` gives back its own permit, in tasks that overlap as well."""
    breaker = CircuitBreaker("shop", clock=clock)
    durations = []
    breaker.subscribe(lambda event: durations.append(event.duration))

    async def visit(before, inside):
        await asyncio.wait_for(before.wait(), 20)
        async with breaker:
            clock.sleep(1)
            inside.set()
            await asyncio.sleep(0)
            with breaker:
                clock.sleep(1)

    async def both():
        first, second, end = asyncio.Event(), asyncio.Event(), asyncio.Event()
        first.set()
        await asyncio.gather(visit(first, second), visit(second, end))

    run(both())

    assert len(durations) == 2
    assert breaker.counts == (2, 0, 0)
    assert breaker._core.healthy_idle(clock.now)


def test_nested_uses_are_one_call(breaker, clock):
    """Only the outermost ``with`` is counted and told, with the time of all."""
    durations = []
    breaker.subscribe(lambda event: durations.append(event.duration))

    with breaker:
        clock.sleep(1)
        with breaker:
            clock.sleep(1)
        clock.sleep(5)

    assert durations == [7.0]
    assert breaker.counts == (1, 0, 0)


def half_open(breaker, clock):
    """Open a breaker, and wait until it takes trials, one at a time."""
    fail(breaker)
    clock.sleep(10)
    assert breaker.state is State.HALF_OPEN


def nested(breaker, way):
    """Return a function that calls another one of the same breaker in one of the ways."""

    @breaker
    def inner():
        return "well"

    @breaker
    async def inner_async():
        await asyncio.sleep(0)
        return inner()

    @breaker
    async def outer_async():
        return await inner_async()

    @breaker
    async def gathered():
        return (await asyncio.gather(inner_async(), inner_async(), asyncio.to_thread(inner)))[0]

    @breaker
    def outer():
        return inner()

    def block():
        with breaker:
            return outer()

    async def async_block():
        async with breaker:
            return await outer_async()

    return {
        "function": outer,
        "block": block,
        "coroutine": lambda: run(outer_async()),
        "async block": lambda: run(async_block()),
        "gather": lambda: run(gathered()),
    }[way]


@pytest.mark.parametrize("way", ["function", "block", "coroutine", "async block", "gather"])
def test_a_nested_call_belongs_to_its_trial(breaker, clock, way):
    """Half-open, a guarded function that calls others of its breaker closes it."""
    half_open(breaker, clock)
    call = nested(breaker, way)

    for _ in range(breaker.config.success_threshold):
        assert call() == "well"

    assert (breaker.state, breaker.trips) == (State.CLOSED, 0)


def test_the_outermost_call_decides(breaker):
    """What is raised inside and handled there is no failure; what gets out is one."""

    @breaker
    def inner():
        raise OSError

    @breaker
    def handles():
        with suppress(OSError):
            inner()

    @breaker
    def lets_out():
        inner()

    handles()
    handles()
    assert breaker.counts == (2, 0, 0)
    for _ in range(2):
        with pytest.raises(OSError):  # noqa: PT011 - it has no text
            lets_out()

    assert breaker.state is State.OPEN


def test_an_admitted_call_goes_on_when_it_opens(breaker):
    """What others do meanwhile does not refuse a part of a call that was let through."""
    with breaker:
        in_thread(lambda: fail(breaker))
        assert breaker.state is State.OPEN
        with breaker:
            pass

    with pytest.raises(CircuitOpenError), breaker:
        pass


def in_thread(function):
    """Call a function in a thread of its own, which knows nothing of the calls here."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_a_thread_makes_calls_of_its_own(breaker, clock):
    """Another thread is part of a call only where it was given its context."""
    half_open(breaker, clock)

    def ask():
        with breaker:
            pass

    with breaker:
        in_thread(partial(contextvars.copy_context().run, ask))
        with pytest.raises(CircuitOpenError):
            in_thread(ask)


def test_a_task_that_outlives_its_call(breaker):
    """A task that a guarded call has started makes calls of its own once that has ended."""
    told = []
    breaker.subscribe(told.append)

    async def work(start):
        await start.wait()
        for _ in range(2):
            with suppress(OSError), breaker:
                raise OSError

    async def main():
        start = asyncio.Event()
        async with breaker:
            task = asyncio.create_task(work(start))
            await asyncio.sleep(0)
        start.set()
        await task

    run(main())

    assert [event.kind.value for event in told] == [
        "success", "failure", "failure", "transition",
    ]  # fmt: skip


def test_a_call_that_never_ends_covers_no_others(breaker, clock):
    """A ``with`` whose end is lost counts as under way for trial_timeout, and no longer."""
    breaker.__enter__()
    fail(breaker)
    assert breaker.state is State.CLOSED

    clock.sleep(breaker.config.trial_timeout)
    fail(breaker)

    assert breaker.state is State.OPEN


def test_calls_of_two_breakers_are_two_calls(breaker, clock):
    """A breaker inside another one's call counts for itself."""
    other = CircuitBreaker("bank", clock=clock)

    with breaker, other:
        pass

    assert (breaker.counts, other.counts) == ((1, 0, 0), (1, 0, 0))


def test_two_breakers_end_in_any_order(breaker, clock):
    """The end of one breaker's call is not taken for the end of another's."""
    other = CircuitBreaker("bank", clock=clock)
    breaker.__enter__()
    other.__enter__()
    breaker.__exit__(OSError, OSError(), None)
    other.__exit__(None, None, None)

    assert breaker.counts == (1, 1, 0)
    assert other.counts == (1, 0, 0)


def test_threads_share_it():
    """Counts of many threads are exact."""
    breaker = CircuitBreaker("shop", failure_threshold=0, failure_rate=0)

    def visit(number):
        with breaker:
            if number % 2:
                raise OSError

    def work(number):
        for _ in range(200):
            with suppress(OSError):
                visit(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))

    assert breaker.counts == (1600, 800, 0)
    assert breaker._core._out == 0


def test_one_thread_at_a_time():
    """Whatever depends on the time is done under the lock, and no listener is."""
    locked, told = [], []
    breaker = CircuitBreaker("shop", **AT_ONCE, failure_threshold=1, clock=lambda: note(locked))

    def note(where):
        where.append(breaker._lock._is_owned())
        return 5.0

    breaker.subscribe(lambda _: note(told))
    fail(breaker, 1)
    with pytest.raises(CircuitOpenError), breaker:
        pass
    assert (breaker.state, breaker.retry_after, breaker.counts) == (
        State.OPEN,
        10.0,
        (0, 0, 0),
    )
    breaker.reset()

    assert len(locked) > 5
    assert all(locked)
    assert len(told) == 4
    assert not any(told)


def test_the_real_clock():
    """Without a clock argument it is the monotonic one, and the open time passes."""
    breaker = CircuitBreaker("shop", failure_threshold=1, recovery_timeout=0.001)
    fail(breaker, 1)

    end = threading.Event()
    while breaker.state is State.OPEN:
        end.wait(0.001)

    assert breaker.state is State.HALF_OPEN


# --- what counts --------------------------------------------------------------------


def test_a_result_comes_through_after_recovery(breaker, clock):
    """Two successes after the open time close it."""
    fail(breaker)
    clock.sleep(10)

    for _ in range(2):
        with breaker:
            pass

    assert breaker.state is State.CLOSED
    assert breaker.trips == 0


def test_other_exceptions_are_ignored(clock):
    """What is not among the exceptions neither opens nor closes, and is raised."""
    breaker = CircuitBreaker("shop", failure_threshold=2, exceptions=OSError, clock=clock)

    fail(breaker, 1)
    fail(breaker, 10, KeyError)
    assert breaker.state is State.CLOSED

    fail(breaker, 1, ConnectionError)
    assert breaker.state is State.OPEN
    assert breaker.last_failure == "ConnectionError"


def test_slow_calls(clock):
    """Slow successes open it."""
    breaker = CircuitBreaker("shop", slow_call_duration=2, min_calls=3, clock=clock)

    for _ in range(3):
        with breaker:
            clock.sleep(2)

    assert breaker.state is State.OPEN


def test_a_clock_that_goes_back_within_a_call(clock):
    """Such a call took no time."""
    breaker = CircuitBreaker("shop", clock=clock)
    durations = []
    breaker.subscribe(lambda event: durations.append(event.duration))

    with breaker:
        clock.sleep(-100)

    assert durations == [0.0]


def test_the_error(breaker, clock):
    """It names the breaker and the seconds that remain, and can be pickled."""
    fail(breaker)
    clock.sleep(2.5)

    with pytest.raises(CircuitOpenError) as info, breaker:
        pass

    for error in (info.value, pickle.loads(pickle.dumps(info.value))):  # noqa: S301 - our own
        assert (error.name, error.retry_after) == ("shop", 7.5)
        assert error.last_failure == "OSError: no answer"
        text = "circuit breaker 'shop' is open after OSError: no answer: try again in 7.5 s"
        assert str(error) == text
        assert isinstance(error, ResilienceError)


def test_the_error_without_a_time(breaker):
    """When it can't tell until when, it says later."""
    breaker.force_open()

    with pytest.raises(CircuitOpenError, match="try again later"), breaker:
        pass


def test_bad_settings():
    """A setting out of bounds is refused by name, one that is unknown as any argument."""
    with pytest.raises(ConfigurationError, match="failure_rate=2: use a number"):
        CircuitBreaker("shop", failure_rate=2)
    with pytest.raises(TypeError, match="failure_treshold"):
        CircuitBreaker("shop", failure_treshold=2)


# --- by hand ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ("force_open", State.FORCED_OPEN),
        ("disable", State.DISABLED),
        ("metrics_only", State.METRICS_ONLY),
        ("reset", State.CLOSED),
    ],
)
def test_by_hand(breaker, change, state):
    """Each manual state can be set from open, and is told to listeners."""
    fail(breaker)
    assert breaker.retry_after == 10.0
    events = []
    breaker.subscribe(events.append)

    getattr(breaker, change)()

    assert breaker.state is state
    assert breaker.retry_after is None
    assert [(event.old, event.new) for event in events] == [(State.OPEN, state)]
    assert repr(breaker) == f"<CircuitBreaker 'shop' {state.value}>"


# --- listeners ----------------------------------------------------------------------


def test_events(breaker, clock):
    """A listener hears of each call, refusal and transition, in order."""
    events = []
    end = breaker.subscribe(events.append)
    fail(breaker)
    with pytest.raises(CircuitOpenError), breaker:
        pass
    clock.sleep(10)
    fail(breaker, 1, KeyboardInterrupt)
    with breaker:
        clock.sleep(1)
    end()
    breaker.reset()

    assert [(event.kind.value, event.reason) for event in events] == [
        ("failure", ""),
        ("failure", ""),
        ("transition", "failures in a row"),
        ("refused", ""),
        ("transition", "recovery due"),
        ("cancelled", ""),
        ("success", ""),
        ("transition", "trials passed"),
    ]
    assert events[-2] == BreakerEvent(EventKind.SUCCESS, "shop", 1.0)
    assert isinstance(events[0].error, OSError)


def test_two_listeners(breaker):
    """The end of one is not the end of the other."""
    first, second = [], []
    end = breaker.subscribe(first.append)
    breaker.subscribe(second.append)
    end()
    fail(breaker, 1)

    assert (len(first), len(second)) == (0, 1)


def test_a_listener_that_fails(breaker, caplog):
    """It is logged, the others are called, and the call's own error comes through."""
    events = []

    def bad(event):
        raise ValueError(event.kind)

    breaker.subscribe(bad)
    breaker.subscribe(events.append)
    with caplog.at_level(logging.ERROR, module.__name__):
        fail(breaker, 1)

    assert [event.kind for event in events] == [EventKind.FAILURE]
    assert "A listener of circuit breaker 'shop' failed" in caplog.text


# --- registry -----------------------------------------------------------------------


def test_the_registry():
    """Every breaker that somebody holds is found by its name."""
    one, two = CircuitBreaker("one"), CircuitBreaker("two")

    assert get_breaker("one") is one
    assert breakers()["two"] is two
    assert get_breaker("three") is None


def test_bug_16_the_registry_keeps_nothing_alive():
    """Breakers that nobody holds are gone, and their entries too."""
    for number in range(100):
        CircuitBreaker(f"passing {number}")
    gc.collect()

    assert not [name for name in breakers() if name.startswith("passing")]


def test_a_decorated_function_holds_its_breaker():
    """A breaker lives as long as what it guards."""

    @CircuitBreaker("held by a function")
    def ask():
        return 1

    gc.collect()

    assert get_breaker("held by a function") is not None
    assert ask() == 1


def test_the_latest_of_a_name_is_found():
    """A new breaker takes the name, and the end of the old one does not take it away."""
    old = CircuitBreaker("same")
    new = CircuitBreaker("same")
    del old
    gc.collect()

    assert get_breaker("same") is new


def test_the_threshold_is_exact():
    """However often a function has succeeded, it opens after failure_threshold failures."""
    breaker = CircuitBreaker("exact", failure_threshold=2)
    for fails in (True, False, True, False, True, True):
        with suppress(OSError), breaker:
            if fails:
                raise OSError

    assert breaker.state is State.OPEN
