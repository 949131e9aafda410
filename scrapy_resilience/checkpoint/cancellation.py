"""A cancellation that nobody has asked for is an error like any other.

Scrapy handles exceptions, and ``asyncio.CancelledError`` is none: a callback that awaits what
was cancelled, or a pipeline that raises it, ends its task without a word, and its item is gone
or its request never ends. Only a stop that cuts off what runs means it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from scrapy_resilience.exceptions import WorkCancelledError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

__all__ = ["Cancellations"]

_T = TypeVar("_T")


class Cancellations:
    """Makes exceptions of cancellations, but for those while *is_cut*."""

    def __init__(self, is_cut: Callable[[], bool]) -> None:
        self._is_cut = is_cut

    def within(
        self, method: Callable[..., Awaitable[_T]], error: type[Exception] = WorkCancelledError
    ) -> Callable[..., Awaitable[_T]]:
        """*method*, which raises *error* when what it does is cancelled."""

        async def call(*args: Any, **kwargs: Any) -> _T:
            try:
                return await method(*args, **kwargs)
            except asyncio.CancelledError as cancelled:
                raise self.instead(cancelled, error) from cancelled

        return call

    def outputs(self, result: Iterable[Any] | AsyncIterator[Any]) -> Any:
        """The outputs of a callback, likewise."""
        return self._async(result) if isinstance(result, AsyncIterator) else self._sync(result)

    def _sync(self, result: Iterable[Any]) -> Iterator[Any]:
        try:
            yield from result
        except asyncio.CancelledError as cancelled:
            raise self.instead(cancelled) from cancelled

    async def _async(self, result: AsyncIterator[Any]) -> AsyncIterator[Any]:
        try:
            async for output in result:
                yield output
        except asyncio.CancelledError as cancelled:
            raise self.instead(cancelled) from cancelled

    def instead(
        self, cancelled: asyncio.CancelledError, error: type[Exception] = WorkCancelledError
    ) -> BaseException:
        """What is to be raised in the place of *cancelled*; its task goes on."""
        if self._is_cut():
            return cancelled
        task = asyncio.current_task()
        if task is not None and hasattr(task, "uncancel"):
            task.uncancel()
        return error("what it was waiting for was cancelled")
