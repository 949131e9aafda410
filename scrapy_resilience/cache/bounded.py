"""An end to waiting for a server that is not fooled by a busy event loop."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar

from scrapy_resilience import _clock

if sys.version_info >= (3, 11):
    from asyncio import timeout as _limit
else:
    from async_timeout import timeout as _limit  # redis needs it there

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ["bounded"]

_T = TypeVar("_T")
_CHANCES: Final = 3


async def bounded(work: Awaitable[_T], seconds: float) -> _T:
    """Await *work*, for so many seconds at most; raises :exc:`asyncio.TimeoutError` then.

    An event loop that was blocked for that long has read no answer: it gets the time again.
    """
    async with _limit(None) as limit:
        watch = _Watch(limit, seconds)
        try:
            return await work
        finally:
            watch.timer.cancel()


class _Watch:
    """Ends the time of *limit*, unless it had no chance."""

    def __init__(self, limit: Any, seconds: float) -> None:
        self._end_at = limit.reschedule if hasattr(limit, "reschedule") else limit.update
        self._seconds = seconds
        self._chances = _CHANCES
        self._begin()

    def _begin(self) -> None:
        self._due = _clock.monotonic() + self._seconds
        self.timer = _clock.call_later(self._seconds, self._over)

    def _over(self) -> None:
        self._chances -= 1
        if self._chances and _clock.monotonic() - self._due > self._seconds / 2:
            self._begin()
        else:  # at the next turn of the loop: what has come by now is read before
            self._end_at(asyncio.get_running_loop().time())
