"""What waits for a time: rows with a delay, and lanes that are held."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from scrapy_resilience.frontier.lane import Lane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy_resilience.frontier.store import Row

__all__ = ["Timers"]


class Timers:
    """In the order of their times; of a hold that was extended the last one counts."""

    def __init__(self) -> None:
        self.queue: list[tuple[float, int, Lane | Row]] = []
        """A heap: the first one is due next."""
        self._set = 0

    def __len__(self) -> int:
        return len(self.queue)

    def set(self, due: float, item: Lane | Row) -> None:
        self._set += 1  # ends ties: lanes and rows don't compare
        heapq.heappush(self.queue, (due, self._set, item))

    def pop(self, now: float) -> Lane | Row | None:
        """The next one whose time has come."""
        if not self.queue or self.queue[0][0] > now:
            return None
        return heapq.heappop(self.queue)[2]

    def rows(self) -> Iterator[Row]:
        """All rows, in any order."""
        return (item for _, _, item in self.queue if not isinstance(item, Lane))

    def take_rows(self, lane: int) -> list[Row]:
        """End the delays of all rows of a lane. Looks at every timer."""
        found, timers, self.queue = [], self.queue, []
        for timer in timers:
            item = timer[2]
            if isinstance(item, Lane) or item.lane != lane:
                self.queue.append(timer)
            else:
                found.append(item)
        heapq.heapify(self.queue)
        return found

    def next_due(self) -> float | None:
        """When the next delay or hold ends, on the clock of *now*."""
        while self.queue and _is_stale(*self.queue[0]):
            heapq.heappop(self.queue)
        return self.queue[0][0] if self.queue else None

    def next_is_delayed(self) -> bool:
        """Whether what is due next is one request, not all of a slot."""
        return self.next_due() is not None and not isinstance(self.queue[0][2], Lane)


def _is_stale(due: float, _: int, item: Lane | Row) -> bool:
    """Whether a timer belongs to a hold that was extended since."""
    return isinstance(item, Lane) and item.held_until != due
