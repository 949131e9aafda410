"""Clocks for tests: one that a test moves, and one that runs fast in a whole crawl."""

from __future__ import annotations

import time
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any

from scrapy.utils.asyncio import call_later, sleep

from scrapy_resilience import _clock

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from scrapy_resilience._clock import Clock, Timer

__all__ = ["FakeClock", "ScaledClock", "use_clock"]


def use_clock(clock: Clock) -> AbstractContextManager[object]:
    """Let all components go by *clock* from now on.

    Returns a context manager: when it ends, they go by the clock from before again. For a
    crawl that is a child process, call it in the settings module of the project.
    """
    return _clock.use(clock)


class _Call:
    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._function: Callable[..., Any] | None = function
        self._args = args

    def cancel(self) -> None:
        self._function = None

    def __call__(self) -> None:
        function, self._function = self._function, None
        if function is not None:
            function(*self._args)


class FakeClock:
    """A clock that stands still until it is moved.

    Who sleeps moves it, and goes on at once; ``slept`` has the seconds of each sleep. *now* is
    where it stands, in seconds since 1970 too.
    """

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now
        self.slept: list[float] = []
        self._calls: list[tuple[float, int, _Call]] = []
        self._ordinals = count()

    def monotonic(self) -> float:
        return self.now

    wall = stopwatch = monotonic

    def call_later(self, delay: float, function: Callable[..., Any], *args: Any) -> Timer:
        call = _Call(function, args)
        heappush(self._calls, (self.now + delay, next(self._ordinals), call))
        return call

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass, and call in turn what is due within them."""
        end = self.now + seconds
        while self._calls and self._calls[0][0] <= end:
            due, _, call = heappop(self._calls)
            self.now = max(self.now, due)
            call()
        self.now = max(self.now, end)


class ScaledClock:
    """A clock that is *factor* times as fast as the machine's, since the moment *since*.

    A hold of 300 seconds is over in 0.3 with a factor of 1000. Only the waits of the crawl
    become shorter, not its work: downloads, and the intervals between commits, take as long as
    ever. Processes that follow each other agree on the time when they are given the same
    *since*, in seconds since 1970; without it the clock begins at the present time.
    """

    def __init__(self, factor: float, since: float | None = None) -> None:
        self.factor = factor
        self._began = time.monotonic()
        self._since = time.time() if since is None else since

    def monotonic(self) -> float:
        return self._began + (time.monotonic() - self._began) * self.factor

    def wall(self) -> float:
        return self._since + (time.time() - self._since) * self.factor

    def stopwatch(self) -> float:
        return time.perf_counter()

    def call_later(self, delay: float, function: Callable[..., Any], *args: Any) -> Timer:
        return call_later(delay / self.factor, function, *args)

    async def sleep(self, seconds: float) -> None:
        await sleep(seconds / self.factor)
