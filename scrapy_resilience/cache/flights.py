"""One caller computes a value, the others wait for it.

- They get what it gets: each a copy of its own, or its error. Whoever calls later tries again.
- A caller that is cancelled takes nobody with it: one of those who wait computes in its place.
- A value that can't be kept can't be handed out either: then each computes its own.
- Nobody waits for himself (a function that calls itself with the same arguments), nor longer
  than *patience*, as two may wait for each other: he computes, too, then.
- A plain function waits in a thread only, and not where an event loop runs: it would block it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from threading import Event, RLock
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Flight", "Flights", "Give", "Turn", "running_loop"]

Give: TypeAlias = Callable[[], Any]
"""Gives a copy of what was computed, or raises its error."""

_mine: ContextVar[tuple[Flight, ...]] = ContextVar("scrapy_resilience_flights", default=())


class Turn(Enum):
    """What somebody who has waited in vain does."""

    AGAIN = "again"
    """Look again: the one who computed was cancelled."""
    ALONE = "alone"
    """Compute."""


class Flight:
    """A value that is being computed."""

    __slots__ = ("_future", "_settled", "_threads", "loop", "outcome")

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.loop = loop
        """Of the one who computes, if any."""
        self.outcome: Give | Turn = Turn.AGAIN
        self._settled = False
        self._future: asyncio.Future[None] | None = None
        self._threads = Event() if loop is None else None

    def land(self) -> None:
        """It is over: :attr:`outcome` is what becomes of those who wait."""
        self._settled = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)
        if self._threads is not None:
            self._threads.set()

    @property
    def is_waited_for(self) -> bool:
        return self._future is not None

    def is_mine(self) -> bool:
        """Whether whoever asks is a part of the computation."""
        return self in _mine.get()

    async def wait(self, patience: float) -> Give | Turn:
        """In the event loop of the one who computes."""
        if self._future is None:
            self._future = asyncio.get_running_loop().create_future()
        await asyncio.wait({self._future}, timeout=patience)
        return self.outcome if self._settled else Turn.ALONE

    def wait_in_thread(self, patience: float) -> Give | Turn:
        assert self._threads is not None
        return self.outcome if self._threads.wait(patience) else Turn.ALONE


class Flights:
    """Those under way, by key."""

    def __init__(self) -> None:
        self._known: dict[str, Flight] = {}
        self._lock = RLock()  # a signal handler may come in while we hold it

    def __len__(self) -> int:
        return len(self._known)

    def join(self, key: str, loop: asyncio.AbstractEventLoop | None) -> tuple[Flight, bool]:
        """The flight of *key*, and whether the caller has begun it."""
        with self._lock:
            found = self._known.get(key)
            if found is not None:
                return found, False
            found = self._known[key] = Flight(loop)
            return found, True

    @contextmanager
    def leading(self, key: str, flight: Flight) -> Iterator[None]:
        """Around the computation."""
        token = _mine.set((*_mine.get(), flight))
        try:
            yield
        finally:
            _mine.reset(token)
            with self._lock:
                if self._known.get(key) is flight:
                    del self._known[key]
            flight.land()


def running_loop() -> asyncio.AbstractEventLoop | None:
    """That of this thread, if one runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
