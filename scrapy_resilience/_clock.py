"""The clock that glue goes by: a test puts in another one.

Glue calls ``_clock.monotonic()`` and its like through this module. Whatever waits for a domain,
a disk or a moment goes by it; how long our own work takes is told by ``stopwatch()``, which
stays true where a clock is only scaled.

Real time stays where something else than a clock is waited for: threads, the end of the process
after a signal, polls of what the event loop does, and timeouts of ``asyncio.wait_for()``.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from scrapy.utils.asyncio import call_later as scrapy_call_later
from scrapy.utils.asyncio import sleep as scrapy_sleep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Clock", "Timer", "call_later", "monotonic", "sleep", "stopwatch", "use", "wall"]


class Timer(Protocol):
    """What :meth:`Clock.call_later` returns."""

    def cancel(self) -> None:
        """Don't call; of no effect when it was called or cancelled."""


class Clock(Protocol):
    """What a clock can do."""

    def monotonic(self) -> float:
        """Seconds that only grow."""

    def wall(self) -> float:
        """Seconds since 1970."""

    def stopwatch(self) -> float:
        """Seconds that measure work of this process."""

    def call_later(self, delay: float, function: Callable[..., Any], *args: Any) -> Timer:
        """Call a function in some seconds."""

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Wait without blocking the event loop."""


class _RealClock:
    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)
    stopwatch = staticmethod(time.perf_counter)
    call_later = staticmethod(scrapy_call_later)
    sleep = staticmethod(scrapy_sleep)


def use(clock: Clock) -> ExitStack:
    """Go by *clock* from now on; when the context that is returned ends, by the one before."""
    stack = ExitStack()
    stack.callback(_go_by, _current)
    _go_by(clock)
    return stack


def _go_by(clock: Clock) -> None:
    global _current, monotonic, wall, stopwatch, call_later, sleep  # noqa: PLW0603 - as quick as time's own
    _current = clock
    monotonic, wall, stopwatch = clock.monotonic, clock.wall, clock.stopwatch
    call_later, sleep = clock.call_later, clock.sleep


_current: Clock = _RealClock()
monotonic, wall, stopwatch = _current.monotonic, _current.wall, _current.stopwatch
call_later, sleep = _current.call_later, _current.sleep
