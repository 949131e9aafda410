"""A lane: the requests of one download slot, and their order."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections import OrderedDict

    from scrapy_resilience.frontier.store import Row

__all__ = ["Lane", "Order"]

_PRIORITY_MAX: Final = 2**60
_LOWEST: Final = (-(2**63), -(2**63))


class Order(msgspec.Struct, frozen=True):
    """Scrapy's request order: by priority, and newest or oldest first within one.

    *start_lifo* orders start requests, which go after others of their priority;
    None treats them like any other.
    """

    lifo: bool = True
    start_lifo: bool | None = False

    def place(
        self, number: int, priority: int, *, start: bool, fifo: bool = False
    ) -> tuple[int, int]:
        """(rank, order) of a row; the smallest goes first.

        *fifo*: after those of its priority that are there, whatever the order is.
        """
        apart = start and self.start_lifo is not None
        lifo = not fifo and (self.start_lifo if apart else self.lifo)
        priority = min(max(priority, -_PRIORITY_MAX), _PRIORITY_MAX)
        return -2 * priority + apart, -number if lifo else number


class Lane:
    """The requests of one download slot.

    When a middleware sends the requests of a lane to another slot, that slot's lane counts
    them, and this one waits there as a guest.
    """

    __slots__ = (
        "bound", "busy", "counted_by", "delayed", "guests", "guests_turn", "head",
        "held_until", "ident", "name", "queue", "referrers", "rows", "spilled", "tail",
    )  # fmt: skip

    def __init__(self, ident: int, name: str, rows: int = 0) -> None:
        self.ident = ident
        self.name = name
        self.rows = rows  # in the store once everything up to now is committed
        self.spilled = rows  # that wait for their turn in the store only
        self.bound: tuple[int, int] | None = _LOWEST if rows else None
        self.head: list[Row] = []
        self.tail: list[Row] = []
        self.busy = 0
        self.counted_by = self
        self.guests: OrderedDict[Lane, None] | None = None
        self.guests_turn = False
        self.referrers = 0
        self.delayed = 0
        self.held_until = 0.0
        self.queue: OrderedDict[Lane, None] | None = None

    def add(self, row: Row) -> None:
        below = self.bound is None or row.place < self.bound
        heapq.heappush(self.head if below else self.tail, row)

    @property
    def waiting(self) -> int:
        return len(self.head) + len(self.tail) + self.spilled

    @property
    def ripe(self) -> bool:
        return not self.held_until and (bool(self.head) or self.spilled > 0 or bool(self.tail))

    @property
    def forgettable(self) -> bool:
        return not (
            self.busy
            or self.rows
            or self.delayed
            or self.held_until
            or self.referrers
            or self.waiting
        )

    def next_source(self) -> Lane:
        """This lane, or the guest whose turn it is."""
        if not self.guests:
            return self
        self.guests_turn = not self.guests_turn
        if self.ripe and not self.guests_turn:
            return self
        guest = next(iter(self.guests))
        self.guests.move_to_end(guest)
        return guest
