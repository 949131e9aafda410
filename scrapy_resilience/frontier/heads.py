"""What of a lane is in memory, and what only in the store.

A lane keeps its best rows in memory and the rest only in the store::

         head          │ bound │   in the store, and tail
    best ──────────────┤       ├─────────────────────────── worst

Every row of the head is better than ``bound``, every spilled row is not. New rows that
are worse than the bound wait in the tail until they are committed, and are then
forgotten: the store has them. An empty head is refilled from the store.
"""

from __future__ import annotations

import heapq
from operator import itemgetter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sized

    from scrapy_resilience.frontier.lane import Lane
    from scrapy_resilience.frontier.store import Changes, Row, Store

__all__ = ["Heads"]

_HEADS: Final = 65_536
"""Rows that all heads together aim to hold; a head gets its share, within limits."""
_HEAD_MIN: Final = 4
_HEAD_MAX: Final = 32
_ORDER: Final = itemgetter(2)
"""Of a key: in C, where the loop waits for thousands of them."""


class Heads:
    """Of all *lanes* of a frontier. Only rows that are durable are left to the store."""

    def __init__(self, store: Store, lanes: Sized) -> None:
        self._store = store
        self._lanes = lanes
        self.taken: set[int] = set()
        """Rows in the store that a refill must not read."""
        self.new: dict[int, Row] = {}
        """Durable rows that are not sealed yet."""
        self._sealed: dict[int, Row] = {}
        """Those that are being written."""
        self.trims: list[Lane] = []
        """Lanes with rows that the store may have since."""
        self.missing = 0
        """Rows that the store has counted and does not have."""

    def share(self) -> int:
        """How many rows a head holds."""
        return min(max(_HEADS // (len(self._lanes) or 1), _HEAD_MIN), _HEAD_MAX)

    def next(self, lane: Lane) -> Row | None:
        """Take the best row of a lane."""
        if not lane.head:
            self._refill(lane)
        if not lane.head:
            return None
        row = heapq.heappop(lane.head)
        self.take(row)
        return row

    def take(self, row: Row) -> None:
        """A row is under way, or waits for a time: it is in memory."""
        if isinstance(row.data, bytes):
            self.taken.add(row.number)

    def spill(self, row: Row, lane: Lane) -> bool:
        """Leave a row to the store, if the store has it."""
        number = row.number
        stored = isinstance(row.data, bytes) and not (
            number in self.new or number in self._sealed
        )
        lane.spilled += stored
        return stored

    def trim(self) -> None:
        """Forget rows that the store has. One lane at each push and pop: no long stall."""
        lane = self.trims.pop()
        if lane.tail:
            self._spill_tail(lane)
        share = self.share()
        if len(lane.head) > 2 * share:
            self._cut(lane, share)

    def give_back(self, lane: Lane) -> None:
        """Forget as much of a lane as the store has."""
        if lane.tail:
            self._spill_tail(lane)
        if len(lane.head) > _HEAD_MIN:
            self._cut(lane, _HEAD_MIN)

    def _cut(self, lane: Lane, share: int) -> None:
        """Leave the best *share* rows in a head."""
        lane.head.sort()
        cut = lane.head[share:]
        del lane.head[share:]
        lane.bound = cut[0].place
        for row in cut:
            if not self.spill(row, lane):
                heapq.heappush(lane.tail, row)

    def _spill_tail(self, lane: Lane) -> None:
        lane.tail = [row for row in lane.tail if not self.spill(row, lane)]
        heapq.heapify(lane.tail)

    def _refill(self, lane: Lane) -> None:
        """Read the best rows of a lane from the store, and move the bound behind them."""
        if lane.bound is not None:
            self._spill_tail(lane)
            wanted = self.share()
            rows = self._store.read(lane.ident, *lane.bound)
            for row in rows:
                number = row.number
                if number in self.taken or number in self._sealed:
                    continue
                if wanted == 0:
                    lane.bound = row.place
                    break
                wanted -= 1
                lane.spilled -= 1
                heapq.heappush(lane.head, row)
            else:
                self.missing += lane.spilled  # 0, unless the file counted wrong
                lane.spilled = 0
                lane.bound = None
            rows.close()
        while lane.tail and (lane.bound is None or lane.tail[0].place < lane.bound):
            heapq.heappush(lane.head, heapq.heappop(lane.tail))

    def seal(self) -> list[Row]:
        """The rows that are written now."""
        self._sealed, self.new = self.new, {}
        return list(self._sealed.values())

    def committed(self, changes: Changes, lanes: list[Lane]) -> None:
        """The store has what was sealed, of these *lanes*."""
        self.taken.difference_update(map(abs, map(_ORDER, changes.deletes)))
        self._sealed = {}
        self.trims = lanes
