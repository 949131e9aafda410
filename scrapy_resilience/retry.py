"""Retries for any function, in a crawl or outside of one.

>>> from scrapy_resilience.retry import retry
>>> @retry("aggressive", on=OSError)
... def save(row): ...
>>> @retry  # exponential_backoff, and any Exception
... async def look_up(name): ...
"""

from __future__ import annotations

import asyncio
import inspect
import random as random_module
import time
from dataclasses import KW_ONLY, dataclass
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Final, NoReturn, overload

from msgspec.structs import replace

from scrapy_resilience._log import get_logger
from scrapy_resilience.callables import ErrorFilter, check_function, is_async
from scrapy_resilience.core.backoff import POLICIES, RetryPolicy
from scrapy_resilience.core.classify import exception_text
from scrapy_resilience.core.failures import PERMANENT
from scrapy_resilience.exceptions import (
    CircuitOpenError,
    ConfigurationError,
    MaxRetriesExceededError,
    PermanentFailureError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from types import TracebackType
    from typing import ParamSpec, TypeVar

    from typing_extensions import Self

    P = ParamSpec("P")
    R = TypeVar("R")

__all__ = [
    "Attempt",
    "RetryPolicy",
    "execute_with_retry",
    "is_active",
    "retry",
    "retry_context",
    "set_active",
    "set_testing",
]

logger = get_logger(__name__)

_DEFAULT: Final = "exponential_backoff"


@overload
def retry(policy: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def retry(
    policy: RetryPolicy | str = _DEFAULT, /, **options: Any
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def retry(policy: Any = _DEFAULT, /, **options: Any) -> Any:
    """Decorate a function, or a coroutine function, so that failures are tried again.

    *policy* is a :class:`RetryPolicy` or the name of one. *options* are those of
    :func:`execute_with_retry`. A function that is not a coroutine function blocks while it
    waits: don't decorate one that a callback calls.
    """
    if callable(policy) and not isinstance(policy, RetryPolicy):
        return retry()(policy)
    retries = _Retries.of(policy, **options)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        check_function(function)

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return retries.run(partial(function, *args, **kwargs), function)

        @wraps(function)
        async def call_async(*args: P.args, **kwargs: P.kwargs) -> Any:
            return await retries.run(partial(function, *args, **kwargs), function)

        return call_async if is_async(function) else call  # type: ignore[return-value]

    return decorate


def execute_with_retry(
    fn: Callable[[], Any], policy: RetryPolicy | str = _DEFAULT, **options: Any
) -> Any:
    """Call *fn* until it succeeds: its result, or a coroutine of it where *fn* gives one.

    Options, by name:

    * ``on``: the errors that are retried: a class of exceptions, a function that is asked,
      or a tuple of them; any ``Exception`` by default. Others are raised as they are.
    * ``on_result``: a function that is asked whether a result is to be tried again; none by
      default.
    * ``on_retry``: called as ``on_retry(attempt, error, delay)`` before each wait, with None
      as the error of a result; it may be a coroutine function where *fn* is one.
    * ``wait``: called as ``wait(error)``, gives the seconds to wait after it, or None for
      those of the policy: what a server has asked for, for example.
    * ``max_delay``: seconds that no wait is longer than, whatever the policy says.
    * ``timeout``: seconds after which no other try begins; none by default. A try that is
      under way is not cut off.
    * ``reraise``: True raises the last error itself after the last try, and gives back the
      last result.
    * ``sleep``, ``clock``, ``random``: to be replaced in tests.

    Raises :exc:`~scrapy_resilience.exceptions.MaxRetriesExceededError` when the last try
    has failed, and :exc:`~scrapy_resilience.exceptions.PermanentFailureError` when the
    policy's patterns call an error permanent; its cause is the last error. An open circuit
    breaker is not retried, nor what an inner retry has given up, unless ``on`` names
    ``CircuitOpenError``, ``PermanentFailureError`` or ``MaxRetriesExceededError``.
    """
    check_function(fn)
    return _Retries.of(policy, **options).run(fn, fn)


def retry_context(policy: RetryPolicy | str = _DEFAULT, **options: Any) -> _Attempts:
    """The tries of a block: ``for attempt in …``, and ``with attempt:`` around the block.

    With ``async for`` the waits are asynchronous; ``with`` stays. *options* are those of
    :func:`execute_with_retry` but for ``on_result``: a block has none.
    """
    if options.get("on_result") is not None:
        raise ConfigurationError("on_result: a block has no result. Raise an error in it.")
    return _Attempts(_Retries.of(policy, **options))


# --- for tests --------------------------------------------------------------------


class _Switch:
    """For all retries of the process."""

    active = True
    testing = False
    attempts = 1


def set_active(active: bool) -> None:  # noqa: FBT001 - stamina's name and call
    """Turn all retries of the process off, or on again: each function is called once."""
    _Switch.active = active


def is_active() -> bool:
    """Whether failures are tried again in this process."""
    return _Switch.active


def set_testing(testing: bool, *, attempts: int = 1) -> None:  # noqa: FBT001 - as above
    """Try at most *attempts* times, without waiting, in all retries of the process."""
    _Switch.testing, _Switch.attempts = testing, attempts


# --- one call and its tries ---------------------------------------------------------

_FINAL: Final = (CircuitOpenError, PermanentFailureError, MaxRetriesExceededError)


@dataclass
class _Retries:
    policy: RetryPolicy
    _: KW_ONLY
    on: Any = Exception
    on_result: Callable[[Any], Any] | None = None
    on_retry: Callable[[int, Exception | None, float], Any] | None = None
    wait: Callable[[Exception], float | None] | None = None
    max_delay: float | None = None
    timeout: float | None = None
    reraise: bool = False
    sleep: Callable[[float], Any] | None = None
    clock: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random_module.random

    def __post_init__(self) -> None:
        _check_functions(on_result=self.on_result, wait=self.wait)
        if not (self.on_retry is None or callable(self.on_retry)):
            raise ConfigurationError(f"on_retry={self.on_retry!r}: use a function.")
        _check_seconds("timeout", self.timeout)
        _check_seconds("max_delay", self.max_delay)
        self.on = ErrorFilter(self.on, "on")
        if self.max_delay is not None:
            most = min(self.policy.max_delay, self.max_delay)
            self.policy = replace(self.policy, base=min(self.policy.base, most), max_delay=most)

    @classmethod
    def of(cls, policy: RetryPolicy | str, **options: Any) -> _Retries:
        chosen = policy if isinstance(policy, RetryPolicy) else _policy_named(policy)
        return cls(chosen, **options)

    def run(self, fn: Callable[[], Any], named: Any) -> Any:
        course = _Course(self, getattr(named, "__qualname__", repr(named)))
        if is_async(named):
            return self._run_async(course, fn)
        return self._run(course, fn)

    def _run(self, course: _Course, fn: Callable[[], Any]) -> Any:
        delay: float | None
        while True:
            try:
                result = fn()
            except Exception as error:  # noqa: BLE001 - the filter decides
                delay = course.failed(error)
            else:
                if inspect.isawaitable(result):  # a lambda of a coroutine, for example
                    return self._run_async(course, fn, result)
                delay = course.returned(result)
                if delay is None:
                    return result
            self._pause(course, delay)

    def _pause(self, course: _Course, delay: float) -> None:
        if inspect.isawaitable(told := course.tell(delay)):
            getattr(told, "close", lambda: None)()
            raise TypeError("on_retry is a coroutine function, and what is tried is none")
        (self.sleep or time.sleep)(delay)

    async def _run_async(
        self, course: _Course, fn: Callable[[], Any], begun: Awaitable[Any] | None = None
    ) -> Any:
        delay: float | None
        while True:
            try:
                result = await (fn() if begun is None else begun)
            except Exception as error:  # noqa: BLE001 - the filter decides
                delay = course.failed(error)
            else:
                delay = course.returned(result)
                if delay is None:
                    return result
            begun = None
            await self._pause_async(course, delay)

    async def _pause_async(self, course: _Course, delay: float) -> None:
        if inspect.isawaitable(told := course.tell(delay)):
            await told
        if inspect.isawaitable(slept := (self.sleep or asyncio.sleep)(delay)):
            await slept


class _Course:
    """What has become of one call so far."""

    def __init__(self, retries: _Retries, name: str) -> None:
        self.attempt = 1
        self._retries = retries
        self._name = name
        self._error: Exception | None = None
        self._begun = retries.clock() if retries.timeout is not None else 0.0

    def failed(self, error: Exception) -> float:
        """Seconds to wait; raises what is to be raised instead."""
        self._error = error
        if not (_Switch.active and self._is_wanted(error)):
            raise error
        text = exception_text(error)
        patterns = self._retries.policy.patterns
        found = patterns.find(text) if patterns else None
        failure_class = found[0] if found else None
        if failure_class == PERMANENT:
            raise PermanentFailureError(f"{self._name}: {text}") from error
        delay = self._delay(error, failure_class)
        return self._give_up(text) if delay is None else delay

    def returned(self, result: Any) -> float | None:
        """Seconds to wait, None when *result* is good."""
        self._error = None
        rejects = self._retries.on_result
        if rejects is None or not (_Switch.active and rejects(result)):
            return None
        delay = self._delay(None, None)
        if delay is None and not self._retries.reraise:
            self._give_up(f"the result {result!r}"[:_TEXT])
        return delay

    def tell(self, delay: float) -> Any:
        """Begin the next try; gives what ``on_retry`` does."""
        self.attempt += 1
        tell = self._retries.on_retry
        return None if tell is None else tell(self.attempt - 1, self._error, delay)

    def _is_wanted(self, error: Exception) -> bool:
        on: ErrorFilter = self._retries.on
        if isinstance(error, _FINAL):
            named = tuple(each for each in on.classes if issubclass(each, _FINAL))
            return isinstance(error, named)
        return on(error)

    def _delay(self, error: Exception | None, failure_class: str | None) -> float | None:
        """None when this was the last try."""
        retries = self._retries
        attempts = retries.policy.attempts
        if _Switch.testing:
            return 0.0 if self.attempt < min(attempts, _Switch.attempts) else None
        if self.attempt >= attempts:
            return None
        delay = retries.policy.delay(self.attempt, retries.random, failure_class)
        if retries.wait is not None and error is not None:
            asked = retries.wait(error)
            delay = delay if asked is None else max(asked, 0.0)
        if retries.max_delay is not None:
            delay = min(delay, retries.max_delay)
        if retries.timeout is not None:
            passed = retries.clock() - self._begun
            return delay if passed + delay < retries.timeout else None
        return delay

    def _give_up(self, text: str) -> NoReturn:
        if self._retries.reraise and self._error is not None:
            raise self._error
        times = "once" if self.attempt == 1 else f"{self.attempt} times"
        raise MaxRetriesExceededError(
            f"{self._name} failed {times}, at last with {text}", self.attempt
        ) from self._error


class Attempt:
    """One try of a block; :attr:`num` counts from 1."""

    def __init__(self, course: _Course) -> None:
        self.num = course.attempt
        self._course = course
        self._delay: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        try:
            self._delay = self._course.failed(error)
        except Exception as raised:
            if raised is error:
                return False
            raise
        return True


class _Attempts:
    """The tries of one block."""

    def __init__(self, retries: _Retries) -> None:
        self._retries = retries

    def __iter__(self) -> Iterator[Attempt]:
        course = _Course(self._retries, "the block")
        while True:
            attempt = Attempt(course)
            yield attempt
            if attempt._delay is None:  # noqa: SLF001
                return
            self._retries._pause(course, attempt._delay)  # noqa: SLF001

    async def __aiter__(self) -> AsyncIterator[Attempt]:
        course = _Course(self._retries, "the block")
        while True:
            attempt = Attempt(course)
            yield attempt
            if attempt._delay is None:  # noqa: SLF001
                return
            await self._retries._pause_async(course, attempt._delay)  # noqa: SLF001


_TEXT: Final = 500


def _check_functions(**options: Any) -> None:
    for name, function in options.items():
        if function is not None and (not callable(function) or is_async(function)):
            raise ConfigurationError(
                f"{name}={function!r}: use a function that is not a coroutine function."
            )


def _check_seconds(name: str, value: Any) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is not None and not (number and value > 0):
        raise ConfigurationError(f"{name}={value!r}: use a number of seconds above 0.")


def _policy_named(name: Any) -> RetryPolicy:
    """Look up a policy; raises ConfigurationError for an unknown name, and for no name."""
    if not isinstance(name, str) or name not in POLICIES:
        raise ConfigurationError(
            f"{name!r} is not a retry policy: use {', '.join(POLICIES)} or a RetryPolicy."
        )
    return POLICIES[name]
