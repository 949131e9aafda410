"""The end of the process in time, whatever hangs: a thread that needs no event loop.

A pipeline that blocks, a thread that does not end or a feed that is uploaded for minutes
would keep a process for as long as it takes. What is committed is safe from any kill, so
this one is as good as another.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.running_command import (
    running_command,
    stops_scrapy,
    stops_twisted,
)
from scrapy_resilience.names import EXIT_RESUMABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy_resilience.core.shutdown import Deadlines

__all__ = ["ExitWatchdog", "exit_watchdog"]

logger = get_logger(__name__)

_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGBREAK")
_LAST_WORDS: Final = 0.5


def _exit() -> None:
    words = threading.Thread(target=_say, daemon=True)
    words.start()
    words.join(_LAST_WORDS)  # whoever holds a lock may keep it
    os._exit(EXIT_RESUMABLE)


def _say() -> None:
    logger.error(
        "Something still runs: the process ends now, the next run goes on at the last commit"
    )
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


class ExitWatchdog:
    """Watches the signals of one process for all of its crawls.

    *leave* ends the process; it is called in a thread.
    """

    def __init__(self, leave: Callable[[], None] = _exit) -> None:
        self.signals = 0
        self.signalled: float | None = None
        """When the first signal came, on the monotonic clock."""
        self._leave = leave
        self._watched: dict[int, Deadlines] = {}
        self._moments: SimpleQueue[float | None] = SimpleQueue()  # safe in signal handlers
        self._thread: threading.Thread | None = None

    def watch(self, key: int, deadlines: Deadlines) -> None:
        """A crawl has begun: end in time when a signal stops it."""
        self._watched[key] = deadlines
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._wait, name="resilience-ending", daemon=True
            )
            self._thread.start()
        self._listen()

    def leave_in(self, seconds: float) -> None:
        """End the process then, if it has not ended by itself: a thread may keep it."""
        self._moments.put(time.monotonic() + seconds)

    def seconds_left(self) -> float | None:
        """Until the process ends as it is; None while no signal has come."""
        if self.signalled is None or not self._watched:
            return None
        ends = [each.seconds_left(again=self.signals > 1) for each in self._watched.values()]
        return max(self.signalled + max(ends) - time.monotonic(), 0.0)

    def unwatch(self, key: int, *, lingers: bool) -> None:
        """A crawl has ended. *lingers*: the process has nothing else to do."""
        self._watched.pop(key, None)
        if not (self._watched or lingers):
            self._moments.put(None)

    def _listen(self) -> None:
        """Stand before the handlers of Scrapy and Twisted; those of others stay alone."""
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            handler = None if number is None else signal.getsignal(number)
            if number is not None and (stops_scrapy(handler) or stops_twisted(handler)):
                with contextlib.suppress(ValueError):  # not the main thread
                    signal.signal(number, partial(self._received, handler))

    def _received(self, handler: Any, number: int, frame: Any) -> None:
        now = time.monotonic()
        self.signals += 1
        self.signalled = self.signalled or now
        again = self.signals > 1
        ends = [watched.seconds_left(again=again) for watched in self._watched.values()]
        if ends:
            self._moments.put(now if again and stops_twisted(handler) else now + max(ends))
        process = stops_scrapy(handler)
        if again and process is not None and running_command() is None:
            process.bootstrap_failed = True
        if not (again and stops_twisted(handler)):  # a reactor can't be stopped twice
            handler(number, frame)
            self._listen()  # Scrapy has put in the handler of the next signal

    def _wait(self) -> None:
        end: float | None = None
        while True:
            try:
                left = None if end is None else max(end - time.monotonic(), 0.0)
                moment = self._moments.get(timeout=left)
            except Empty:
                self._leave()
                end = None
                continue
            end = moment if moment is None or end is None else min(end, moment)


exit_watchdog: Final = ExitWatchdog()
