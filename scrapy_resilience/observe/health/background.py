"""Looks that may block, in a thread of their own: a disk that hangs must not hold the loop.

The last answer stays, and how old it is can be told.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Generic, TypeVar

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience.core.masking import message_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Background"]

logger = get_logger(__name__)

_T = TypeVar("_T")


class Background(Generic[_T]):
    """What *look* returns, looked at in a thread when somebody asks, once at a time.

    One thread for all looks: starting one costs the loop a millisecond, waking one does not.
    It does not keep the process. An error is logged once, until a look succeeds again. *name*
    says what is looked at, in the plural.
    """

    def __init__(self, name: str, look: Callable[[], _T]) -> None:
        self.value: _T | None = None
        """Of the last look; None before."""
        self.looked: float | None = None
        """When that was asked for, on the monotonic clock."""
        self._name = name
        self._look = look
        self._thread: Thread | None = None
        self._wanted: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._running: asyncio.Future[None] | None = None
        self._asked = 0.0
        self._troubled = False

    @property
    def waits_since(self) -> float | None:
        """When the look was asked for that has not come back; None where none is under way."""
        under_way = self._running is not None and not self._running.done()
        return self._asked if under_way else None

    def ask(self) -> asyncio.Future[None]:
        """Look anew, where no look is under way. The loop must run."""
        if self._running is not None and not self._running.done():
            return self._running
        loop = asyncio.get_running_loop()
        self._asked = _clock.monotonic()
        self._running = running = loop.create_future()

        def tell() -> None:
            with suppress(RuntimeError):  # the event loop has ended
                loop.call_soon_threadsafe(_end, running)

        if self._thread is None:
            self._thread = Thread(
                target=self._work, name=f"resilience-{self._name}", daemon=True
            )
            self._thread.start()
        self._wanted.put(tell)
        return running

    def look(self) -> _T | None:
        """Look now, in the thread of whoever calls: for use where no loop runs."""
        self._asked = _clock.monotonic()
        self._try()
        return self.value

    def close(self) -> None:
        """No more looks; one that is under way is left alone."""
        if self._thread is not None:
            self._wanted.put(None)
            self._thread = None
            self._wanted = SimpleQueue()

    def _work(self) -> None:
        wanted = self._wanted
        while (tell := wanted.get()) is not None:
            self._try()
            tell()

    def _try(self) -> None:
        asked = self._asked
        try:
            self.value = self._look()
        except Exception as error:  # noqa: BLE001 - nothing here may end the crawl
            self.value = None
            if not self._troubled:
                logger.warning("The %s can't be read: %s", self._name, message_of(error))
            self._troubled = True
        else:
            self.looked = asked
            self._troubled = False


def _end(running: asyncio.Future[None]) -> None:
    if not running.done():
        running.set_result(None)
