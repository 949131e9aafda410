"""Spans of your own: ``with span("login", attempt=2):`` and ``@traced``.

They are part of the trace of the request for which they run: in a callback, a pipeline, a
middleware or whatever these call. Where nothing is traced, or the request is not sampled, they
cost a look at a context variable.
"""

from __future__ import annotations

import inspect
from contextlib import aclosing, contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, overload

from scrapy_resilience.observe.tracing.tracing import current_tracing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

__all__ = ["span", "traced"]

F = TypeVar("F", bound="Callable[..., Any]")


@contextmanager
def span(name: str, **attributes: Any) -> Iterator[Any]:
    """A span for the time of a ``with`` block; an exception that leaves it makes it an error.

    *attributes* are numbers, booleans, or anything else as text. Gives OpenTelemetry's
    ``Span``, or None where nothing is traced.
    """
    tracing = current_tracing()
    if tracing is None:
        yield None
        return
    with tracing.span(name, attributes) as found:
        yield found


@overload
def traced(function: F, /) -> F: ...


@overload
def traced(name: str, /) -> Callable[[F], F]: ...


def traced(what: Any, /) -> Any:
    """A span for each call of a function, coroutine function or (async) generator function.

    It has the function's name, or that of ``@traced("name")``. That of a generator lasts from
    when its first output is asked for until it has no more.
    """
    if isinstance(what, str):
        return lambda function: _traced(function, what)
    return _traced(what, what.__qualname__)


def _traced(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Each kind needs a wrapper of its kind: Scrapy asks what a callback is."""

    async def waits(*args: Any, **kwargs: Any) -> Any:
        with span(name):
            return await function(*args, **kwargs)

    def yields(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with span(name):
            return (yield from function(*args, **kwargs))

    async def yields_later(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        with span(name):
            made = function(*args, **kwargs)
            async with aclosing(made) as outputs:
                async for output in outputs:
                    yield output

    def calls(*args: Any, **kwargs: Any) -> Any:
        with span(name):
            return function(*args, **kwargs)

    wrapper: Callable[..., Any] = calls
    if inspect.iscoroutinefunction(function):
        wrapper = waits
    elif inspect.isgeneratorfunction(function):
        wrapper = yields
    elif inspect.isasyncgenfunction(function):
        wrapper = yields_later
    return wraps(function)(wrapper)
