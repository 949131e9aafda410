"""Circuit breakers for any function: a database, a webhook, an enrichment service.

The decisions are those of :mod:`scrapy_resilience.core.breaker`; here are the clock, the lock,
and the listeners.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import random
import time
from contextvars import ContextVar
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

from scrapy_resilience.breaker_events import BreakerEvent, EventKind, Listeners
from scrapy_resilience.callables import ErrorFilter, check_function, is_async
from scrapy_resilience.core.breaker import Breaker, Outcome, State
from scrapy_resilience.core.breakerconfig import BreakerConfig
from scrapy_resilience.core.classify import exception_text
from scrapy_resilience.exceptions import CircuitOpenError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from typing_extensions import Self

    from scrapy_resilience.core.window import Counts

__all__ = [
    "BreakerConfig",
    "BreakerEvent",
    "CircuitBreaker",
    "EventKind",
    "State",
    "breakers",
    "get_breaker",
]

_Function = TypeVar("_Function", bound="Callable[..., Any]")


_KINDS = {
    Outcome.SUCCESS: EventKind.SUCCESS,
    Outcome.FAILURE: EventKind.FAILURE,
    Outcome.IGNORED: EventKind.IGNORED,
    Outcome.CANCELLED: EventKind.CANCELLED,
}


class CircuitBreaker:
    """A circuit breaker as decorator and as context manager, sync and async.

    ::

        database = CircuitBreaker("database", failure_threshold=3, recovery_timeout=30)


        @database
        def save(row): ...  # or async def

    While it is open, a call raises :exc:`.CircuitOpenError` and the function is not run.
    Thread-safe; threads and tasks share it. A call inside a call of the same breaker is a part
    of it: it is not refused, and how the outermost one ends is what counts.

    :param name: what errors, events and :func:`get_breaker` call it
    :param exceptions: the exceptions that are failures: a class, a function that is asked, or
        a tuple of them. Others are ignored: they neither open nor close. What is no
        :exc:`Exception`, such as :exc:`KeyboardInterrupt` and
        :exc:`asyncio.CancelledError`, never is a failure.
    :param exclude: the exceptions that are ignored all the same, in the same ways
    :param count_cancelled: whether a call that is cancelled is a failure all the same, as one
        is that :func:`asyncio.wait_for` around it cuts off
    :param fallback: called in the place of a decorated function while it is open, with the
        same arguments; its result is returned. Without one :exc:`.CircuitOpenError` is raised.
    :param clock: returns seconds
    :param rng: returns a random number from 0 to 1, for the jitter
    :param settings: the fields of :class:`BreakerConfig`. A function is not a web site: here
        ``failure_threshold`` is exact (``usual_share=False``), and it is open for
        ``recovery_timeout`` at once (``first_trial=0``), unless you say otherwise.

    Raises :exc:`.ConfigurationError` for a setting with a value that makes no sense.
    """

    def __init__(
        self,
        name: str,
        *,
        exceptions: Any = Exception,
        exclude: Any = (),
        count_cancelled: bool = False,
        fallback: Callable[..., Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: Callable[[], float] = random.random,
        **settings: Any,
    ) -> None:
        self.name = name
        self.config = BreakerConfig(**{"usual_share": False, "first_trial": 0.0, **settings})
        self._exceptions = ErrorFilter(exceptions, "exceptions", any_kind=True)
        self._exclude = ErrorFilter(exclude, "exclude", any_kind=True, none=True)
        self._count_cancelled = count_cancelled
        if not (fallback is None or callable(fallback)):
            raise ConfigurationError(f"fallback={fallback!r}: use a function.")
        self._fallback = fallback
        self._last = ""
        self._clock = clock
        self._lock = RLock()  # not Lock: a signal handler may come in while we hold it
        self._listeners = Listeners(name, self._lock)
        self._core = Breaker(self.config, rng, self._listeners.note)
        _registry[name] = self

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.name!r} {self.state.value}>"

    # --- calls ----------------------------------------------------------------------

    def __call__(self, function: _Function) -> _Function:
        """Return *function*, guarded; its attribute ``breaker`` is this breaker.

        Of a function that returns an awaitable, the call ends when that does. Raises
        :exc:`TypeError` for a generator function: it has done nothing yet when it returns.
        """
        check_function(function)
        wrapper: Any
        if is_async(function):

            @functools.wraps(function)
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                call = _Call(self)
                if self._fallback is not None and not call.begins():
                    found = self._fallback(*args, **kwargs)
                    return await found if inspect.isawaitable(found) else found
                with call:
                    return await function(*args, **kwargs)
        else:

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                call = _Call(self)
                if self._fallback is not None and not call.begins():
                    return self._fallback(*args, **kwargs)
                with call:
                    result = function(*args, **kwargs)
                    if inspect.isawaitable(result):  # of a lambda of a coroutine, for example
                        result = call.finish(result)
                return result

        wrapper.breaker = self
        return wrapper  # type: ignore[no-any-return]

    def __enter__(self) -> Self:
        _Call(self).__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for call in reversed(_calls.get()):
            if call.breaker is self:
                call.__exit__(kind, error, traceback)
                return
        # Left in another context than entered: trial_timeout will free the place.

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    def _admit(self) -> tuple[int, float]:
        with self._lock:
            now = self._clock()
            permit = self._core.acquire(now)
            wait = self._core.retry_after(now) if permit is None else None
        if permit is None:
            refusal = CircuitOpenError(self.name, wait, self._last)
            self._listeners.tell(EventKind.REFUSED, error=refusal)
            raise refusal
        self._listeners.tell()
        return permit, now

    def _covers(self, since: float) -> bool:
        """Whether a call that began at *since* is not yet given up, as a trial would be."""
        with self._lock:
            return self._clock() - since < self.config.trial_timeout

    def _settle(self, permit: int, since: float, error: BaseException | None) -> None:
        outcome = self._outcome(error)
        with self._lock:
            now = self._clock()
            duration = max(now - since, 0.0)
            failure = type(error).__name__
            if error is not None and outcome is Outcome.FAILURE:
                self._last = exception_text(error)
            self._core.record(permit, outcome, now, duration, 0.0, failure)
        self._listeners.tell(_KINDS[outcome], duration=duration, error=error)

    def _outcome(self, error: BaseException | None) -> Outcome:
        if error is None:
            return Outcome.SUCCESS
        if self._count_cancelled and isinstance(error, asyncio.CancelledError):
            return Outcome.FAILURE
        if not isinstance(error, Exception):
            return Outcome.CANCELLED
        fails = self._exceptions(error) and not self._exclude(error)
        return Outcome.FAILURE if fails else Outcome.IGNORED

    # --- state ----------------------------------------------------------------------

    @property
    def state(self) -> State:
        """What it does with calls now."""
        with self._lock:
            self._core.ready_at(self._clock())
            state = self._core.state
        self._listeners.tell()
        return state

    @property
    def retry_after(self) -> float | None:
        """The seconds that it stays open, None when it is not open."""
        with self._lock:
            wait = self._core.retry_after(self._clock())
        self._listeners.tell()
        return wait

    @property
    def trips(self) -> int:
        """How many times in a row a trial has opened it again."""
        return self._core.trips

    @property
    def last_failure(self) -> str:
        """The name of the latest exception that was a failure; empty when there is none."""
        return self._core.last_failure

    @property
    def counts(self) -> Counts:
        """The calls in the window, the failed and the slow ones among them."""
        with self._lock:
            return self._core.counts(self._clock())

    def force_open(self) -> None:
        """Refuse every call until :meth:`reset`."""
        self._by_hand(self._core.force_open)

    def disable(self) -> None:
        """Admit every call and count nothing until :meth:`reset`."""
        self._by_hand(self._core.disable)

    def metrics_only(self) -> None:
        """Admit every call and count it, but never open, until :meth:`reset`."""
        self._by_hand(self._core.metrics_only)

    def reset(self) -> None:
        """Close it and forget all that was counted."""
        self._by_hand(lambda: self._core.reset(self._clock()))

    def _by_hand(self, change: Callable[[], None]) -> None:
        with self._lock:
            change()
        self._listeners.tell()

    # --- listeners ------------------------------------------------------------------

    def subscribe(self, listener: Callable[[BreakerEvent], object]) -> Callable[[], None]:
        """Call *listener* with each :class:`BreakerEvent`; returns what ends that.

        It is called after the fact and without a lock, so it may use the breaker. What it
        raises is logged.
        """
        return self._listeners.add(listener)


class _Call:
    """One call through a breaker, or a part of the call that it was made in."""

    __slots__ = ("_begun", "_goes_on", "_permit", "_since", "breaker")

    def __init__(self, breaker: CircuitBreaker) -> None:
        self.breaker = breaker
        self._permit: int | None = None
        """While an outermost call is under way."""
        self._since = 0.0
        self._begun = self._goes_on = False

    def begins(self) -> bool:
        """Whether the breaker admits it."""
        try:
            self._begin()
        except CircuitOpenError:
            return False
        return True

    def _begin(self) -> None:
        if not any(call.covers_one_of(self.breaker) for call in _calls.get()):
            self._permit, self._since = self.breaker._admit()  # noqa: SLF001
        self._begun = True

    def finish(self, result: Awaitable[Any]) -> Awaitable[Any]:
        """Go on until *result* is awaited, in whatever task that is."""
        self._goes_on = True

        async def finish() -> Any:
            self._goes_on = False
            with self:
                return await result

        return finish()

    def __enter__(self) -> None:
        if not self._begun:
            self._begin()
        _calls.set((*_calls.get(), self))

    def covers_one_of(self, breaker: CircuitBreaker) -> bool:
        """Whether a call of *breaker* that begins now is a part of this one."""
        return (
            self.breaker is breaker
            and self._permit is not None
            and breaker._covers(self._since)  # noqa: SLF001
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _calls.set(tuple(call for call in _calls.get() if call is not self))
        if self._goes_on:
            return
        permit, self._permit = self._permit, None
        if permit is not None:
            self.breaker._settle(permit, self._since, error)  # noqa: SLF001


_calls: ContextVar[tuple[_Call, ...]] = ContextVar("_calls", default=())
"""What is under way here: tasks and :func:`asyncio.to_thread` inherit it, threads do not."""

_registry: WeakValueDictionary[str, CircuitBreaker] = WeakValueDictionary()


def get_breaker(name: str) -> CircuitBreaker | None:
    """The latest breaker of that name that somebody still uses, None when there is none."""
    return _registry.get(name)


def breakers() -> dict[str, CircuitBreaker]:
    """All breakers that somebody still uses, by name."""
    alive = (ref() for ref in _registry.valuerefs())
    return {breaker.name: breaker for breaker in alive if breaker is not None}
