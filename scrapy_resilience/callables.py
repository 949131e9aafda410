"""What the decorators ask of functions, and of what they are told about errors."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ErrorFilter", "check_function", "is_async"]


def check_function(function: Any) -> None:
    """Raises :exc:`TypeError` for what can't be decorated.

    A generator function has done nothing yet when it returns.
    """
    if not callable(function):
        raise TypeError(f"{function!r} can't be called: decorate the function inside")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function!r} is a generator: decorate what it calls")


def is_async(function: Any) -> bool:
    """Whether a call gives a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object with async __call__
    )


class ErrorFilter:
    """Which errors are meant: a class of exceptions, a function that is asked, or several.

    :param name: of the argument, for errors
    :param none: whether it may be empty, and then none is meant
    :param any_kind: whether classes that are no :exc:`Exception` may be named, too

    Raises :exc:`.ConfigurationError` for anything else: it would hide the error that comes.
    """

    def __init__(
        self,
        value: Any,
        name: str,
        *,
        none: bool = False,
        any_kind: bool = False,
    ) -> None:
        self._name = name
        self._value = value
        given = tuple(_flat(value))
        if not (given or none):
            self._refuse()
        self.classes = tuple(each for each in given if isinstance(each, type))
        self._functions: list[Callable[[Any], Any]] = []
        for each in given:
            if isinstance(each, type):
                least = BaseException if any_kind else Exception
                if not (each is BaseException or issubclass(each, least)):
                    self._refuse()
            elif callable(each) and not is_async(each):
                self._functions.append(each)
            else:
                self._refuse()

    def __call__(self, error: BaseException) -> bool:
        return isinstance(error, self.classes) or any(
            self._ask(function, error) for function in self._functions
        )

    def _ask(self, function: Callable[[Any], Any], error: BaseException) -> bool:
        answer = function(error)
        if inspect.isawaitable(answer):
            getattr(answer, "close", lambda: None)()  # it is never awaited, and need not warn
            self._refuse()
        return bool(answer)

    def _refuse(self) -> None:
        raise ConfigurationError(
            f"{self._name}={self._value!r}: use a class of exceptions, a function that is not "
            "a coroutine function, or a tuple of them."
        )


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, (tuple, list)):
        for each in value:
            yield from _flat(each)
    else:
        yield value
