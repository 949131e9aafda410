"""A thread that sees when the event loop stands still, and where.

Nothing in the loop can say so while it does. The thread looks each second or so whether a
timer of the loop's has run since; what it has to see of the thread of the loop to tell one
that is blocked from one that could not run is in :mod:`scrapy_resilience.core.standstill`.

It only logs, and writes the file that ``scrapy resilience status`` reads: everything else is
done in the loop, when that turns again.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import WeakKeyDictionary

from scrapy_resilience._log import get_logger
from scrapy_resilience.core.standstill import Look, Standstill
from scrapy_resilience.guard.stuck.stacks import depth, thread_stack, told_place, told_stack
from scrapy_resilience.observe.accounting.loop_time import open_schedstat, queued_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy_resilience.core.standstill import Stack

__all__ = ["Listener", "LoopWatch", "loop_watch"]

logger = get_logger(__name__)

_SHORTEST, _LONGEST = 0.02, 1.0
"""Seconds between two looks."""
_PART: Final = 8
"""Of the time after which it is told."""
_LATE: Final = 2.0
"""Intervals after its last turn, from which on a loop stands."""
_LINGER: Final = 0.2
"""Seconds for which the end of a crawl waits for the thread."""


class _Clocks(NamedTuple):
    """At one moment."""

    seconds: float
    computed: float | None
    """By the thread of the loop: seconds of a processor; None where nobody tells."""
    queued: float | None
    """Seconds that it was ready to run, and did not; None where nobody tells."""


class Listener:
    """Is told. A place is in words."""

    def stands(self, place: str) -> None:
        """The loop stands still: called in the thread, while it does."""

    def stood(self, place: str) -> None:
        """The loop has turned since: called in it."""

    def over(self, place: str, seconds: float) -> None:
        """It is known for how long."""


class LoopWatch:
    """Of one event loop; made in it, from :func:`loop_watch`."""

    def __init__(self, after: float) -> None:
        self._interval = min(max(after / _PART, _SHORTEST), _LONGEST)
        self._standstill = Standstill(self._interval, after)
        self._listeners: list[Listener] = []
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._turned: _Clocks | None = None
        """When it turned last."""
        self._outer: int | None = None
        self._timer: asyncio.Handle | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._looked = time.monotonic()
        self._told = ""
        """Where the loop stands still, by the thread; the loop takes it when it turns."""
        self._stood = ""
        """Where the loop stood still that turns again."""

    def add(self, listener: Listener) -> None:
        """Tell *listener*; the first one begins the watch."""
        self._listeners.append(listener)
        if self._thread is None:
            self._schedstat = open_schedstat()
            self._clock = _thread_clock(self._thread_id)
            self._timer = self._loop.call_soon(self._tick)
            self._thread = threading.Thread(
                target=self._watch, name="resilience-loop-watch", daemon=True
            )
            self._thread.start()

    def remove(self, listener: Listener) -> bool:
        """Tell it no more. Whether it was the last one: then the watch has ended."""
        if is_last := self._listeners == [listener]:
            self._stop.set()
            if self._timer is not None:
                self._timer.cancel()
            if self._thread is not None:
                self._thread.join(_LINGER)  # it may be telling something
        self._note()
        self._end_standstill()
        with suppress(ValueError):
            self._listeners.remove(listener)
        return is_last

    def _tick(self) -> None:
        self._turned = self._read()
        if self._outer is None:
            self._outer = depth()
        self._end_standstill()
        self._timer = self._loop.call_later(self._interval, self._tick)

    def _note(self) -> None:
        """What the thread has seen: the first thing that is done when the loop turns."""
        place, self._told = self._told, ""
        if not place:
            return  # the end of a crawl was quicker
        self._stood = place
        for each in [*self._listeners]:
            each.stood(place)

    def _end_standstill(self) -> None:
        if not self._stood:
            return
        place, self._stood = self._stood, ""
        rest = min(time.monotonic() - self._looked, 2 * self._interval)
        seconds = self._standstill.lasted + rest
        logger.warning("The event loop had stood still for %s s in %s", f"{seconds:.1f}", place)
        for each in [*self._listeners]:
            each.over(place, seconds)

    # --- the thread ---

    def _watch(self) -> None:
        try:
            last = self._read()
            while not self._stop.wait(self._interval):
                now, turned = self._read(), self._turned
                seen = self._look(now, last, turned)
                last = now
                if seen is not None:
                    self._act(seen)
        except Exception:
            logger.exception("Nobody sees any more whether the event loop is blocked")
        finally:
            schedstat, self._schedstat = self._schedstat, None
            if schedstat is not None:
                os.close(schedstat)

    def _read(self) -> _Clocks:
        computed = queued = None
        if self._clock is not None:
            with suppress(OSError):
                computed = time.clock_gettime(self._clock)
        if self._schedstat is not None:
            with suppress(OSError, ValueError, IndexError):
                queued = queued_seconds(self._schedstat)
        return _Clocks(time.monotonic(), computed, queued)

    def _look(self, now: _Clocks, last: _Clocks, turned: _Clocks | None) -> Look | None:
        if self._outer is None or turned is None:
            return None  # it has not begun to turn
        if has_turned := turned.seconds > last.seconds:
            # no thread may have run since, and so no look came in time
            has_turned = now.seconds - turned.seconds < _LATE * self._interval
            last = turned
        seconds, computed, queued = (
            None if new is None or old is None else new - old
            for new, old in zip(now, last, strict=True)
        )
        stack: Stack = () if has_turned else thread_stack(self._thread_id, self._outer)
        return Look(seconds or 0.0, has_turned, stack, computed, queued)

    def _act(self, seen: Look) -> None:
        step = self._standstill.look(seen)
        self._looked = time.monotonic()
        if step != "blocked":
            return
        stack = self._standstill.stack or ()
        place = told_place(stack)
        for each in [*self._listeners]:
            each.stands(place)  # first: a handler of the log may be what blocks
        self._told = place
        logger.warning(
            "The event loop has stood still for %s s in %s. It is in %s",
            f"{self._standstill.lasted:.1f}",
            place,
            told_stack(stack),
        )
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._note)


def _thread_clock(thread: int) -> int | None:
    """The processor's time of a thread, where the system has it."""
    get = getattr(time, "pthread_getcpuclockid", None)
    return None if get is None else int(get(thread))


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[float, LoopWatch]] = (
    WeakKeyDictionary()
)


def loop_watch(after: float, listener: Listener) -> Callable[[], None]:
    """Watch the loop that runs; what is returned ends that. Crawls of one loop share it."""
    loop = asyncio.get_running_loop()
    shared = _watches.setdefault(loop, {})
    watch = shared.setdefault(after, LoopWatch(after))
    watch.add(listener)

    def end() -> None:
        if watch.remove(listener) and shared.get(after) is watch:
            del shared[after]

    return end
