"""Calls of functions of the user's: of any kind, for a bounded time, one after the other."""

from __future__ import annotations

import asyncio
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, cast

from scrapy.utils.defer import ensure_awaitable

from scrapy_resilience import _clock
from scrapy_resilience.callables import is_async
from scrapy_resilience.waits import forget, in_thread, let_go

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from threading import Thread
    from weakref import ref

    from scrapy.crawler import Crawler

__all__ = ["BoundedCall", "with_crawler"]


class BoundedCall:
    """Of one function without arguments; *name* is that of its thread."""

    def __init__(self, function: Callable[[], Any], name: str) -> None:
        self._function = function
        self._name = name
        self._work: asyncio.Future[Any] | None = None
        self._thread: Thread | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether the last call has not come back, cancelled or not."""
        alive = self._thread is not None and self._thread.is_alive()
        return alive or (self._work is not None and not self._work.done())

    async def answer(self, timeout: float) -> Any:
        """What the function returns; it runs in a thread if it is no coroutine function.

        Raises what it raises, and :exc:`asyncio.TimeoutError` after *timeout* seconds.
        """
        began = _clock.stopwatch()
        if is_async(self._function):
            return await self._wait(ensure_awaitable(self._function()), timeout)
        answer, self._thread = in_thread(self._function, self._name)
        found = await self._wait(answer, timeout)
        if isawaitable(found):  # of a function that only gives one
            found = await self._wait(
                ensure_awaitable(found), timeout - _clock.stopwatch() + began
            )
        return found

    async def _wait(self, work: Awaitable[Any], timeout: float) -> Any:
        self._work = asyncio.ensure_future(work)
        self._work.add_done_callback(forget)  # it may fail in the turn in which this is cut off
        began = _clock.stopwatch()
        try:
            await asyncio.wait({self._work}, timeout=timeout)
            late = _clock.stopwatch() - began - timeout
            if not self._work.done() and late > timeout / 2:
                # the loop was blocked, or the process stopped: it had no chance to answer
                await asyncio.wait({self._work}, timeout=timeout)
            if self._work.done():
                return self._work.result()
        finally:
            self.leave()
        raise asyncio.TimeoutError

    def leave(self) -> None:
        """Nobody waits for it any more: it must not keep the process."""
        if self._work is not None:
            self._work.cancel()
        if self._thread is not None:
            let_go(self._thread)


def with_crawler(
    function: Callable[[Crawler], Any], crawler: ref[Crawler]
) -> Callable[[], Any]:
    """A function of the user's, with its crawler, which is there while the crawl runs."""
    if not is_async(function):
        return lambda: function(cast("Crawler", crawler()))

    async def ask() -> Any:
        return await function(cast("Crawler", crawler()))

    return ask
