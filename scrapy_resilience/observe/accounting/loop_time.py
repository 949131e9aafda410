"""What the thread of the event loop does with its time: it computes, waits, or is blocked.

The time in which the loop waits for events is measured where it waits, in its selector. In the
rest it computes, which the system counts; it waits for a processor, which Linux counts too; or
a call blocks it, such as ``time.sleep()`` or a database's. A loop that hides its selector, as
uvloop does, is known to stand still only when it has missed its time by half a second and more.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from time import thread_time
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from scrapy_resilience import _clock

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LoopMeter", "Use", "open_schedstat", "queued_seconds"]

_LATE: Final = 0.5
"""Seconds: a machine that is busy makes any loop late, but hardly by as much."""
_READY: Final = 1.25
"""One that has computed or waited for a processor in 0.8 of the time was ready all the time."""
_SLACK: Final = 0.05
"""Of the time: below this, what is neither counted as computing nor as waiting is no call."""


class Use(NamedTuple):
    """Shares of the time since the last look; what is left of 1 was free for events."""

    computing: float
    waiting: float
    """For a processor that others had."""
    blocked: float


class _Idle:
    """The seconds that a loop has waited for events, up to now."""

    def __init__(self, selector: Any) -> None:
        self.seconds = 0.0
        self.users = 0
        self._selector = selector
        self._select: Callable[..., Any] = selector.select

    def watch(self) -> None:
        self.users += 1
        if self.users == 1:
            self._selector.select = self._timed

    def leave(self) -> None:
        self.users -= 1
        if not self.users:
            self._selector.select = self._select

    def _timed(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout <= 0:  # there is work
            return self._select(timeout)
        began = _clock.stopwatch()
        try:
            return self._select(timeout)
        finally:
            self.seconds += _clock.stopwatch() - began


_idle: WeakKeyDictionary[asyncio.AbstractEventLoop, _Idle] = WeakKeyDictionary()
"""One for all crawls of a loop."""


def _idle_of(loop: asyncio.AbstractEventLoop) -> _Idle | None:
    selector = getattr(loop, "_selector", None)
    if selector is None or not callable(getattr(selector, "select", None)):
        return None
    return _idle.setdefault(loop, _Idle(selector))


class LoopMeter:
    """Measures the thread that makes it, which must be the loop's."""

    def __init__(self) -> None:
        self._idle: _Idle | None = None
        with suppress(RuntimeError):  # no loop runs: in tests only
            self._idle = _idle_of(asyncio.get_running_loop())
        if self._idle is not None:
            self._idle.watch()
        self._queues = open_schedstat()
        self._last = self._read()

    def close(self) -> None:
        if self._idle is not None:
            self._idle.leave()
            self._idle = None
        if self._queues is not None:
            os.close(self._queues)
            self._queues = None

    def take(self, expected: float) -> Use:
        """How the time since the last look was used, which *expected* seconds ago it was."""
        last, self._last = self._last, self._read()
        passed, computed, queued, idle = (
            now - then for now, then in zip(self._last, last, strict=True)
        )
        if passed <= 0:
            return Use(0.0, 0.0, 0.0)
        if self._idle is None:
            # a loop that is seldom ready waits while it would wait for events
            queued *= min(_READY * (computed + queued) / passed, 1.0)
            idle = passed - computed - queued
            if passed - expected > _LATE:
                idle = min(expected, idle)
        busy = min(max(passed - idle, computed), passed)
        computing = min(computed, busy)
        rest = busy - computing
        waiting = min(queued, rest) if self._queues is not None else rest
        blocked = rest - waiting
        if blocked < _SLACK * passed:  # waking up, Python's lock
            waiting, blocked = waiting + blocked, 0.0
        return Use(computing / passed, waiting / passed, blocked / passed)

    def _read(self) -> tuple[float, float, float, float]:
        idle = self._idle.seconds if self._idle is not None else 0.0
        return _clock.stopwatch(), thread_time(), self._queued(), idle

    def _queued(self) -> float:
        """Seconds that the thread was ready to run, and did not."""
        return 0.0 if self._queues is None else queued_seconds(self._queues)


def queued_seconds(descriptor: int) -> float:
    """Seconds that the thread of :func:`open_schedstat` was ready to run, and did not."""
    return int(os.pread(descriptor, 100, 0).split()[1]) / 1e9


def open_schedstat() -> int | None:
    """Linux's figures of this thread, where it has them: a descriptor, to be closed."""
    with suppress(OSError, ValueError, IndexError):
        path = f"/proc/self/task/{threading.get_native_id()}/schedstat"
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if int(os.pread(descriptor, 100, 0).split()[0]) > 0:
            return descriptor
        os.close(descriptor)
    return None
