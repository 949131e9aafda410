"""The lanes there are, and the queues in which those stand that may be asked now.

There is a queue for each number of requests under way. A lane that another one counts stands
in none: it waits among the guests of that one.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from scrapy_resilience.frontier.groups import Groups
from scrapy_resilience.frontier.lane import Lane

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Queues"]


class Queues:
    """*limit* and *group*: see :class:`~scrapy_resilience.frontier.lanes.Frontier`."""

    def __init__(self, limit: Callable[[str], int], group: Callable[[str], str]) -> None:
        self._limit = limit
        self.lanes: dict[str, Lane] = {}
        self.idents: dict[int, Lane] = {}
        self.groups = Groups(self.lanes, group)
        self.by_load: list[OrderedDict[Lane, None]] = []
        """The least busy lanes first."""
        self._next_ident = 1

    def add(self, ident: int, name: str, rows: int = 0) -> Lane:
        """A lane that is new, or of which the store has *rows*."""
        lane = self.lanes[name] = self.idents[ident] = Lane(ident, name, rows)
        self.groups.add(lane)
        self._next_ident = max(self._next_ident, ident + 1)
        return lane

    def lane(self, slot: str) -> Lane:
        """The lane of *slot*, which may be new."""
        lane = self.lanes.get(slot)
        return self.add(self._next_ident, slot) if lane is None else lane

    # --- what is under way ---

    def occupy(self, slot: str) -> None:
        """One more request of *slot* is under way."""
        lane = self.lane(slot)
        lane.busy += 1
        self._queue_up(lane)

    def vacate(self, slot: str) -> None:
        """One request less of *slot* is under way."""
        lane = self.lane(slot)
        lane.busy = max(lane.busy - 1, 0)
        self._queue_up(lane)

    def is_crowded(self, slot: str) -> bool:
        """Whether requests of *slot* wait for others of it to end."""
        lane = self.lanes.get(slot)
        if lane is None or lane.held_until or lane.busy < self._limit(slot):
            return False
        return lane.waiting > 0 or bool(lane.guests)

    # --- who counts it ---

    def reroute(self, slot: str, counted_by: str) -> None:
        """From now on the requests of *slot* count as requests of another slot."""
        lane, counter = self.lane(slot), self.lane(counted_by)
        if lane.counted_by is counter:
            return
        if counter is not lane:
            counter.referrers += 1  # first, or leaving another one may forget it
            counter.guests = counter.guests or OrderedDict()
        self._leave(lane)
        lane.counted_by = counter
        self._queue_up(lane)
        self.place(lane)

    def _leave(self, lane: Lane) -> None:
        """Count a lane's requests by itself again."""
        counter, lane.counted_by = lane.counted_by, lane
        if counter is not lane:
            counter.referrers -= 1
            if counter.guests:
                counter.guests.pop(lane, None)
            self._queue_up(counter)

    # --- where it stands ---

    def place(self, lane: Lane) -> None:
        """Put a lane where it belongs: in a queue, among another one's guests, or nowhere."""
        counter = lane.counted_by
        if counter is not lane:
            assert counter.guests is not None
            if lane.ripe:
                counter.guests[lane] = None
            else:
                counter.guests.pop(lane, None)
                self.forget(lane)
        self._queue_up(counter)

    def _queue_up(self, lane: Lane) -> None:
        queue = None
        counts = lane.counted_by is lane
        if counts and (lane.ripe or lane.guests) and lane.busy < self._limit(lane.name):
            while len(self.by_load) <= lane.busy:
                self.by_load.append(OrderedDict())
            queue = self.by_load[lane.busy]
        if queue is not lane.queue:
            if lane.queue is not None:
                del lane.queue[lane]
            if queue is not None:
                queue[lane] = None
            lane.queue = queue
        if queue is None:
            self.forget(lane)

    def forget(self, lane: Lane) -> None:
        """Keep a lane only while something is to be known of it."""
        if lane.forgettable and self.lanes.get(lane.name) is lane:
            del self.lanes[lane.name], self.idents[lane.ident]
            self.groups.remove(lane)
            self._leave(lane)
