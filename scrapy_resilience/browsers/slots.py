"""How many pages a context may have: a place is taken before a page, and given back once."""

from __future__ import annotations

import asyncio
from collections import Counter, deque

from scrapy_resilience import _clock
from scrapy_resilience.browsers.bounded import LateError

__all__ = ["PageSlot", "PageSlots"]


class PageSlot:
    """A place for one page. What gives it back may be told of the page's end twice."""

    def __init__(self, slots: PageSlots, name: str) -> None:
        self._slots: PageSlots | None = slots
        self._name = name

    def release(self) -> None:
        """Give it back; of no effect when it was."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.free(self._name)


class PageSlots:
    """The places of all contexts, by name: a context that takes another one's place has its."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def used(self, name: str) -> int:
        """How many are taken."""
        return self._used.get(name, 0)

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return sum(map(len, self._waiting.values()))

    async def acquire(self, name: str, seconds: float) -> PageSlot:
        """Wait for a place, in turn. Raises :exc:`.LateError` when there is none in time."""
        if self.used(name) >= self.limit:
            await self._wait(name, seconds)  # who goes leaves the place counted
        else:
            self._used[name] += 1
        return PageSlot(self, name)

    async def _wait(self, name: str, seconds: float) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, deque()).append(turn)
        timer = _clock.call_later(seconds, _fail, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.free(name)  # it was its turn, which is another one's now
            raise
        finally:
            timer.cancel()

    def free(self, name: str) -> None:
        """A place is given back: to the one who waits longest."""
        waiting = self._waiting.get(name, ())
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._waiting.pop(name, None)
        self._used[name] -= 1
        if self._used[name] <= 0:
            del self._used[name]


def _fail(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_exception(LateError())
