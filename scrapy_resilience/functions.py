"""What the decorators ask of a function."""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["check_function", "is_async"]


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
