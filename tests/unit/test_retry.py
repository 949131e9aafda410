"""Retries around functions: the decorator and execute_with_retry."""

from __future__ import annotations

import asyncio
import functools

import pytest

from scrapy_resilience.core.patterns import Patterns
from scrapy_resilience.exceptions import (
    CircuitOpenError,
    ConfigurationError,
    MaxRetriesExceededError,
    PermanentFailureError,
)
from scrapy_resilience.retry import (
    RetryPolicy,
    execute_with_retry,
    is_active,
    retry,
    retry_context,
    set_active,
    set_testing,
)

PLAIN = RetryPolicy(attempts=4, base=1, multiplier=2, max_delay=60, jitter=0)


class Flaky:
    """A function that fails *times* times, then returns its argument."""

    def __init__(self, times, error=OSError):
        self.times = times
        self.error = error
        self.calls = 0

    def __call__(self, value="done"):
        self.calls += 1
        if self.calls <= self.times:
            raise self.error(f"failure {self.calls}")
        return value


class Clock(list):
    """The sleeps that were asked for."""

    def sleep(self, seconds):
        """Note them, and go on."""
        self.append(seconds)

    async def sleep_async(self, seconds):
        """Note them, and go on."""
        self.append(seconds)


def run(coroutine):
    """The result of a coroutine that waits for nothing."""
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    return ended.value.value


def both(kind, function, clock, policy=PLAIN, /, **options):
    """Run *function* with retries: as it is, or as a coroutine function."""
    if kind == "sync":
        return execute_with_retry(function, policy, sleep=clock.sleep, **options)

    async def call():
        return function()

    return run(execute_with_retry(call, policy, sleep=clock.sleep_async, **options))


kinds = pytest.mark.parametrize("kind", ["sync", "async"])


@kinds
def test_a_function_is_called_until_it_succeeds(kind):
    """Two failures, then the result; the waits are those of the policy."""
    clock, function = Clock(), Flaky(2)

    assert both(kind, function, clock) == "done"
    assert (function.calls, clock) == (3, [1, 2])


@kinds
def test_a_function_that_succeeds_is_called_once(kind):
    """Without a failure nothing waits."""
    clock, function = Clock(), Flaky(0)

    assert both(kind, function, clock) == "done"
    assert (function.calls, clock) == (1, [])


@kinds
def test_the_last_failure_is_the_cause(kind):
    """After all tries the error tells how many, and is caused by the last one."""
    clock, function = Clock(), Flaky(99)

    with pytest.raises(MaxRetriesExceededError, match=r"failed 4 times.*failure 4") as caught:
        both(kind, function, clock)

    assert caught.value.attempts == 4
    assert isinstance(caught.value.__cause__, OSError)
    assert (function.calls, len(clock)) == (4, 3)


@kinds
@pytest.mark.parametrize(
    "on", [OSError, (KeyError, OSError), lambda error: "1" not in str(error)]
)
def test_the_filter(kind, on):
    """What the filter does not name is raised as it is, at once."""
    error = ZeroDivisionError if on is OSError else ValueError
    function = Flaky(1, error)

    with pytest.raises(error):
        both(kind, function, Clock(), on=on)

    assert function.calls == 1


@kinds
@pytest.mark.parametrize(
    "error",
    [
        lambda _: CircuitOpenError("db", 5.0),
        PermanentFailureError,
        MaxRetriesExceededError,
        KeyboardInterrupt,
    ],
)
def test_what_is_never_retried(kind, error):
    """An open breaker, a permanent failure, an inner retry that gave up, Ctrl-C."""
    function = Flaky(9, error)

    with pytest.raises(BaseException) as caught:  # noqa: PT011 - compared below
        both(kind, function, Clock(), on=BaseException)

    assert function.calls == 1
    assert caught.value.__cause__ is None


@kinds
def test_patterns_tell_a_permanent_failure(kind):
    """What a policy's patterns call permanent is not tried again."""
    policy = RetryPolicy(patterns=Patterns({"permanent": "failure 2"}, "S"), jitter=0)
    function = Flaky(9)

    with pytest.raises(PermanentFailureError, match="OSError: failure 2") as caught:
        both(kind, function, Clock(), policy)

    assert function.calls == 2
    assert isinstance(caught.value.__cause__, OSError)


@kinds
def test_patterns_tell_throttling(kind):
    """What a policy's patterns call throttled waits from 5 s on."""
    policy = RetryPolicy(patterns=Patterns({"throttled": "failure"}, "S"), jitter=0)
    clock = Clock()

    both(kind, Flaky(2), clock, policy)

    assert clock == [5, 10]


@kinds
def test_the_largest_delay(kind):
    """max_delay is above whatever a policy says, its base too."""
    clock = Clock()

    both(kind, Flaky(3), clock, max_delay=0.5)

    assert clock == [0.5, 0.5, 0.5]


@kinds
def test_a_largest_delay_above_that_of_the_policy(kind):
    """It never makes a wait longer."""
    clock = Clock()

    both(
        kind,
        Flaky(3),
        clock,
        RetryPolicy(attempts=4, base=1, multiplier=2, max_delay=2, jitter=0),
        max_delay=60,
    )

    assert clock == [1, 2, 2]


@kinds
def test_a_callback_for_each_retry(kind):
    """on_retry is told the number of the try, the error and the delay."""
    told = []

    both(kind, Flaky(2), Clock(), on_retry=lambda *args: told.append(args))

    assert [(attempt, str(error), delay) for attempt, error, delay in told] == [
        (1, "failure 1", 1),
        (2, "failure 2", 2),
    ]


def test_a_callback_may_be_a_coroutine_function():
    """An asynchronous on_retry is awaited before the wait."""
    clock = Clock()

    async def on_retry(*_args):
        clock.append("told")

    both("async", Flaky(1), clock, on_retry=on_retry)

    assert clock == ["told", 1]


def test_the_decorator_keeps_the_function():
    """Arguments, result and name are those of the function."""
    flaky, clock = Flaky(1), Clock()

    @retry(PLAIN, sleep=clock.sleep)
    def save(row, *, into):
        """Save."""
        return flaky((row, into))

    assert save(1, into="db") == (1, "db")
    assert (save.__name__, save.__doc__, clock) == ("save", "Save.", [1])


def test_the_decorator_on_a_coroutine_function():
    """A decorated coroutine function is one."""
    flaky, clock = Flaky(1), Clock()

    @retry("aggressive", sleep=clock.sleep_async, random=lambda: 0.5)
    async def look_up(name):
        return flaky(name)

    assert run(look_up("x")) == "x"
    assert clock == [0.5]


def test_the_decorator_without_arguments():
    """@retry alone is exponential_backoff."""

    @retry
    def works():
        return 1

    assert works() == 1


def test_each_call_counts_for_itself():
    """A decorated function has all its tries at each call."""
    flaky = Flaky(0)
    save = retry(PLAIN, sleep=Clock().sleep)(flaky)
    for _ in range(3):
        flaky.calls, flaky.times = 0, 3
        assert save("x") == "x"


def test_partials_and_objects_that_are_coroutine_functions():
    """A partial of a coroutine function and an object with async __call__ are awaited."""

    class Async:
        async def __call__(self):
            return 1

    async def add(a, b):
        return a + b

    assert run(execute_with_retry(functools.partial(add, 1, 2))) == 3
    assert run(execute_with_retry(Async())) == 1


def test_an_unknown_policy():
    """The error lists the policies that there are."""
    with pytest.raises(ConfigurationError, match=r"'fast' is not a retry policy.*conservative"):
        retry("fast")


@pytest.mark.parametrize("policy", [5, None, ["aggressive"], classmethod(len)])
def test_what_is_no_policy_is_refused(policy):
    """At once, and not with the first failure."""
    with pytest.raises(ConfigurationError, match="is not a retry policy"):
        retry(policy)


def generator():
    """Yield nothing."""
    yield


def test_a_generator_is_refused():
    """It has done nothing when it returns: no failure would be seen."""
    for use in (retry, retry("aggressive"), execute_with_retry):
        with pytest.raises(TypeError, match="is a generator: decorate what it calls"):
            use(generator)


async def asks(_error):
    """A filter that nobody awaits."""


@pytest.mark.parametrize(
    "on",
    [
        "OSError",
        5,
        None,
        int,
        asks,
        (OSError, "ValueError"),
        [OSError, int],
        (OSError, (asks,)),
        KeyboardInterrupt,
        asyncio.CancelledError,
        OSError("an instance"),
        (),
        [()],
    ],
)
def test_a_filter_is_one(on):
    """Anything else would hide the failure itself when one comes, or never be retried."""
    with pytest.raises(ConfigurationError, match="on="):
        retry(on=on)


@kinds
def test_a_filter_that_answers_with_a_coroutine(kind):
    """It can't be known before it is asked, and is refused then."""
    with pytest.raises(ConfigurationError, match="on="):
        both(kind, Flaky(1), Clock(), on=lambda error: asks(error))  # noqa: PLW0108


@kinds
@pytest.mark.parametrize(
    "on", [[OSError], (KeyError, [OSError]), (KeyError, lambda error: "failure" in str(error))]
)
def test_a_filter_of_several(kind, on):
    """Classes and functions, in tuples and lists."""
    assert both(kind, Flaky(1), Clock(), on=on) == "done"


@kinds
@pytest.mark.parametrize(
    "error", [CircuitOpenError, PermanentFailureError, MaxRetriesExceededError]
)
def test_what_is_named_is_retried(kind, error):
    """An open breaker and an inner retry that gave up are, where the filter names them."""
    assert both(kind, Flaky(1, error), Clock(), on=(OSError, error)) == "done"


# --- functions that give coroutines --------------------------------------------------


def test_a_lambda_of_a_coroutine():
    """What gives an awaitable is awaited, and its failures are tried again."""
    clock, flaky = Clock(), Flaky(2)

    async def work(value):
        return flaky(value)

    assert (
        run(execute_with_retry(lambda: work("done"), PLAIN, sleep=clock.sleep_async)) == "done"
    )
    assert clock == [1, 2]


def test_a_decorated_function_that_returns_a_coroutine():
    """The decorator waits for it as well."""
    flaky, clock = Flaky(1), Clock()

    async def work(value):
        return flaky(value)

    @retry(PLAIN, sleep=clock.sleep_async)
    def begin(value):
        return work(value)

    assert run(begin(5)) == 5
    assert clock == [1]


def test_an_async_callback_of_a_plain_function():
    """Nobody would await it."""

    async def on_retry(*_args):
        raise AssertionError("never run")

    with pytest.raises(TypeError, match="on_retry is a coroutine function"):
        both("sync", Flaky(1), Clock(), on_retry=on_retry)


# --- what users of other packages have ------------------------------------------------


@kinds
def test_a_limit_of_time(kind):
    """No try begins after the timeout: waits of 1, 2 and 4 seconds do not fit into 5."""
    clock, function = Clock(), Flaky(99)

    with pytest.raises(MaxRetriesExceededError, match="failed 3 times"):
        both(kind, function, clock, timeout=5, clock=lambda: sum(clock))

    assert clock == [1, 2]


@kinds
def test_the_last_error_itself(kind):
    """Reraise gives the error of the last try in the place of ours."""
    with pytest.raises(OSError, match="failure 4"):
        both(kind, Flaky(99), Clock(), reraise=True)


@kinds
def test_a_result_is_tried_again(kind):
    """A result that is not good counts as a failure, and has no error."""
    results, told = [None, None, 5], []

    def tell(*args):
        told.append(args)

    options = {"on_result": lambda result: result is None, "on_retry": tell}

    assert both(kind, lambda: results.pop(0), Clock(), **options) == 5
    assert told == [(1, None, 1), (2, None, 2)]


@kinds
def test_results_that_stay_bad(kind):
    """After the last try they are an error, or, with reraise, what the function returned."""
    options = {"on_result": lambda result: result is None}

    with pytest.raises(MaxRetriesExceededError, match="4 times, at last with the result None"):
        both(kind, lambda: None, Clock(), **options)
    assert both(kind, lambda: None, Clock(), reraise=True, **options) is None


@kinds
def test_a_wait_that_the_error_asks_for(kind):
    """A Retry-After goes before the policy; None leaves it; max_delay is above both."""
    waits = iter([30.0, None, 500.0])
    clock = Clock()

    both(kind, Flaky(3), clock, wait=lambda _error: next(waits), max_delay=60)

    assert clock == [30, 2, 60]


def test_a_block():
    """Each try of a block has a number; errors are swallowed until the last."""
    clock, flaky, numbers = Clock(), Flaky(2), []

    for attempt in retry_context(PLAIN, on=OSError, sleep=clock.sleep):
        with attempt:
            numbers.append(attempt.num)
            result = flaky()

    assert (result, numbers, clock) == ("done", [1, 2, 3], [1, 2])


def test_an_async_block():
    """The waits of an async for are awaited, and so is on_retry."""
    clock, flaky = Clock(), Flaky(1)

    async def on_retry(*_args):
        clock.append("told")

    async def block():
        async for attempt in retry_context(PLAIN, sleep=clock.sleep_async, on_retry=on_retry):
            with attempt:
                result = flaky()
        return result

    assert run(block()) == "done"
    assert clock == ["told", 1]


@pytest.mark.parametrize(
    ("error", "reraise", "raised"),
    [
        (OSError, False, MaxRetriesExceededError),
        (OSError, True, OSError),
        (KeyError, False, KeyError),
        (KeyboardInterrupt, False, KeyboardInterrupt),
    ],
)
def test_a_block_that_fails(error, reraise, raised):
    """It ends as a function does."""
    flaky = Flaky(99, error)
    attempts = retry_context(PLAIN, on=OSError, sleep=Clock().sleep, reraise=reraise)

    def block():
        for attempt in attempts:
            with attempt:
                flaky()

    with pytest.raises(raised):
        block()

    assert flaky.calls == (4 if error is OSError else 1)


@pytest.mark.parametrize("entered", [True, False])
def test_a_block_that_is_left(entered):
    """Without a failure there is one try."""
    numbers = []
    for attempt in retry_context(PLAIN):
        numbers.append(attempt.num)
        if entered:
            with attempt:
                pass

    assert numbers == [1]


def test_a_block_has_no_result():
    """What would never be asked is refused."""
    with pytest.raises(ConfigurationError, match="on_result: a block has no result"):
        retry_context(on_result=bool)


@pytest.fixture
def switches():
    """What is turned on for all of the process is turned off again."""
    yield
    set_active(True)
    set_testing(False)


@kinds
@pytest.mark.usefixtures("switches")
def test_turned_off(kind):
    """Each function is called once, and its own error is raised."""
    set_active(False)

    assert not is_active()
    with pytest.raises(OSError, match="failure 1"):
        both(kind, Flaky(1), Clock())
    assert both(kind, lambda: None, Clock(), on_result=lambda _: True) is None


@kinds
@pytest.mark.usefixtures("switches")
def test_in_tests_nothing_waits(kind):
    """As many tries as are said, and no seconds between them."""
    clock, function = Clock(), Flaky(2)

    set_testing(True, attempts=3)
    assert both(kind, function, clock) == "done"
    set_testing(True)
    with pytest.raises(MaxRetriesExceededError, match="failed once"):
        both(kind, Flaky(9), clock)

    assert clock == [0, 0]


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": "5"},
        {"timeout": True},
        {"max_delay": "5"},
        {"wait": 5},
        {"wait": asks},
        {"on_result": asks},
        {"on_result": 5},
        {"on_retry": 5},
    ],
)
def test_wrong_options(options):
    """They are refused at once, by their names."""
    (name,) = options
    with pytest.raises(ConfigurationError, match=f"{name}="):
        retry(**options)


@pytest.mark.parametrize("delay", [0, -1])
def test_the_largest_delay_is_more_than_nothing(delay):
    """The error names what was asked for."""
    with pytest.raises(ConfigurationError, match=f"max_delay={delay}: use a number"):
        retry(max_delay=delay)
