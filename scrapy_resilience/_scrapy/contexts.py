"""Contexts around the work of an engine: one in another one, at little cost."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from scrapy import Request

__all__ = ["NOTHING", "Context", "both"]

Context: TypeAlias = "Callable[[Request, str], AbstractContextManager[Any]]"

NOTHING: Final = nullcontext()
"""A context in which there is nothing to do: beside another one it is not entered."""


def both(
    outer: Context, inner: Context, request: Request, component: str
) -> AbstractContextManager[Any]:
    """One context in another one, or the only one of them that has something to do."""
    around, within = outer(request, component), inner(request, component)
    if within is NOTHING:
        return around
    return within if around is NOTHING else _Both(around, within)


class _Both:
    """One context in another one, both of ours: they hide no exception.

    A class, as one that a generator makes costs three times as much.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, outer: Any, inner: Any) -> None:
        self._outer, self._inner = outer, inner

    def __enter__(self) -> None:
        self._outer.__enter__()
        self._inner.__enter__()

    def __exit__(self, *error: object) -> None:
        try:
            self._inner.__exit__(*error)
        finally:
            self._outer.__exit__(*error)
