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
from dataclasses import dataclass, replace
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Final, overload

from scrapy_resilience._log import get_logger
from scrapy_resilience.core.classify import exception_text
from scrapy_resilience.core.failures import PERMANENT
from scrapy_resilience.core.retry import POLICIES, RetryPolicy
from scrapy_resilience.exceptions import (
    CircuitOpenError,
    ConfigurationError,
    MaxRetriesExceededError,
    PermanentFailureError,
)
from scrapy_resilience.functions import check_function, is_async

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")
    Filter = type[BaseException] | tuple[type[BaseException], ...] | Callable[[Exception], bool]

__all__ = ["RetryPolicy", "execute_with_retry", "retry"]

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
    """Call *fn* until it succeeds: its result, or a coroutine of it for a coroutine function.

    Options, by name:

    * ``on``: the exceptions that are retried, a class, several, or a function that is
      asked; any ``Exception`` by default. Others are raised as they are.
    * ``on_retry``: called as ``on_retry(attempt, error, delay)`` before each wait; it may
      be a coroutine function where *fn* is one.
    * ``max_delay``: seconds that no wait is longer than, whatever the policy says.
    * ``sleep``, ``random``: to be replaced in tests.

    Raises :exc:`~scrapy_resilience.exceptions.MaxRetriesExceededError` when the last try
    has failed, and :exc:`~scrapy_resilience.exceptions.PermanentFailureError` when the
    policy's patterns call an error permanent; its cause is the last error. An open circuit
    breaker is never retried: its ``CircuitOpenError`` is raised at once.
    """
    check_function(fn)
    return _Retries.of(policy, **options).run(fn, fn)


_FINAL: Final = (CircuitOpenError, PermanentFailureError, MaxRetriesExceededError)


@dataclass(frozen=True)
class _Retries:
    policy: RetryPolicy
    on: Any
    on_retry: Callable[[int, Exception, float], Any] | None
    sleep: Callable[[float], Any] | None
    random: Callable[[], float]

    @classmethod
    def of(
        cls,
        policy: RetryPolicy | str,
        *,
        on: Filter = Exception,
        on_retry: Callable[[int, Exception, float], Any] | None = None,
        max_delay: float | None = None,
        sleep: Callable[[float], Any] | None = None,
        random: Callable[[], float] = random_module.random,
    ) -> _Retries:
        chosen = policy if isinstance(policy, RetryPolicy) else _policy_named(policy)
        if not (callable(on) or isinstance(on, tuple)):
            raise ConfigurationError(
                f"on={on!r}: use a class of exceptions, a tuple of them, or a function."
            )
        if max_delay is not None:
            base = min(chosen.base, max_delay)
            chosen = replace(chosen, base=base, max_delay=max_delay)
        return cls(chosen, on, on_retry, sleep, random)

    def run(self, fn: Callable[[], Any], named: Any) -> Any:
        run = self._run_async if is_async(named) else self._run
        return run(fn, getattr(named, "__qualname__", repr(named)))

    def _run(self, fn: Callable[[], Any], name: str) -> Any:
        attempt = 1
        while True:
            try:
                return fn()
            except Exception as error:  # noqa: BLE001 - the filter decides
                delay = self._delay(error, attempt, name)
                self._tell(attempt, error, delay)
            (self.sleep or time.sleep)(delay)
            attempt += 1

    async def _run_async(self, fn: Callable[[], Any], name: str) -> Any:
        attempt = 1
        while True:
            try:
                return await fn()
            except Exception as error:  # noqa: BLE001 - the filter decides
                delay = self._delay(error, attempt, name)
                told = self._tell(attempt, error, delay)
            if inspect.isawaitable(told):
                await told
            await (self.sleep or asyncio.sleep)(delay)
            attempt += 1

    def _delay(self, error: Exception, attempt: int, name: str) -> float:
        """Seconds to wait; raises what is to be raised instead."""
        if isinstance(error, _FINAL) or not self._wants(error):
            raise error
        text = exception_text(error)
        found = self.policy.patterns.find(text) if self.policy.patterns else None
        failure_class = found[0] if found else None
        if failure_class == PERMANENT:
            raise PermanentFailureError(f"{name}: {text}") from error
        if attempt >= self.policy.attempts:
            raise MaxRetriesExceededError(
                f"{name} failed {attempt} times, at last with {text}", attempt
            ) from error
        return self.policy.delay(attempt, self.random, failure_class)

    def _wants(self, error: Exception) -> bool:
        if isinstance(self.on, (type, tuple)):
            return isinstance(error, self.on)
        return bool(self.on(error))

    def _tell(self, attempt: int, error: Exception, delay: float) -> Any:
        if self.on_retry is None:
            return None
        return self.on_retry(attempt, error, delay)


def _policy_named(name: Any) -> RetryPolicy:
    """Look up a policy; raises ConfigurationError for an unknown name, and for no name."""
    if not isinstance(name, str) or name not in POLICIES:
        raise ConfigurationError(
            f"{name!r} is no retry policy: use one of {', '.join(POLICIES)}, or a RetryPolicy."
        )
    return POLICIES[name]
