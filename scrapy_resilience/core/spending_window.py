"""How much was spent within a sliding window, to the very entry.

A claim counts from the moment before it is sent until the window has passed since its *end*,
which is when its answer came or it failed. The server sees a request somewhere between the
two. So there, too, no window of the length ever holds more than the limit: when the last
request of a window was let through, each other one of the window was still counted.

An entry has left when *more* than the length has passed. Time does not go back: an earlier
*now* counts as the latest one. Of too many entries neighbours become one, with the later end:
they leave later than they must, by a part of the window, and never earlier.
"""

from __future__ import annotations

from math import inf, nextafter
from typing import Final

__all__ = ["ENTRIES", "SpendingWindow"]

ENTRIES: Final = 1024
"""Of one window, at the most."""
_PIECES: Final = 50
_PATIENCE: Final = 30.0
"""Seconds by which a pause may last longer for that."""


class SpendingWindow:
    """*limit* units in any *seconds*; inf for a window that never moves."""

    __slots__ = (
        "_entries", "_most", "_now", "ended", "limit", "open", "reserved", "seconds", "told",
    )  # fmt: skip

    def __init__(self, limit: int, seconds: float, most: int = 0) -> None:
        self.limit = limit
        self.seconds = seconds
        self.open = 0
        """Claimed, and not ended."""
        self.ended = 0
        """Within the window."""
        self.reserved = 0
        """For those that are expected to claim."""
        self.told: dict[int, float] = {}
        """When it was told that a share of the limit (in percent) was reached."""
        self._entries: list[tuple[float, int]] = []  # an empty deque takes ten times as much
        self._most = most or ENTRIES
        self._now = -inf

    def __len__(self) -> int:
        return len(self._entries)

    def idle(self, now: float) -> bool:
        """Whether forgetting it changes nothing."""
        self._move(now)
        return not (self.open or self.ended or self.reserved)

    def used(self, now: float) -> int:
        """What counts now."""
        self._move(now)
        return self.open + self.ended

    def ready_at(self, amount: int, now: float, *, reserved: bool = False) -> float:
        """0 when *amount* more has room, else the earliest time at which it may; inf: never.

        Nothing, an amount of 0, has room while anything has. *reserved* counts as used where
        that is asked for.
        """
        self._move(now)
        used = self.open + self.ended + (self.reserved if reserved else 0)
        over = used + (amount or 1) - self.limit
        if over <= 0:
            return 0.0
        if self.seconds == inf or amount > self.limit:
            return inf
        for end, units in self._entries:
            over -= units
            if over <= 0:
                return nextafter(end + self.seconds, inf)
        return self._now + self.seconds  # for those to leave that have not ended

    def worth_at(self, until: float) -> float:
        """When it is worth to go on, where there is room from *until* on: not for one request.

        A window that moves gives its room back piece by piece.
        """
        if until == inf:
            return inf
        several = self.ready_at(self.limit // _PIECES, self._now, reserved=True)
        return min(max(until, several), until + min(self.seconds / _PIECES, _PATIENCE))

    def claim(self, amount: int) -> None:
        """Count *amount*, whether there is room or not."""
        self.open += amount

    def void(self, amount: int) -> None:
        """What was claimed has not been spent."""
        self.open -= amount

    def end(self, amount: int, now: float) -> None:
        """What was claimed leaves when the window has moved past *now*."""
        self.open -= amount
        self.add(amount, now)

    def add(self, amount: int, now: float) -> None:
        """*amount* was spent just now."""
        self._move(now)
        if not amount:
            return
        self.ended += amount
        if self.seconds == inf:
            return
        entries = self._entries
        entries.append((self._now, amount))
        if len(entries) > self._most:
            self._merge()

    def _move(self, now: float) -> None:
        self._now = now = max(now, self._now)
        seconds, gone = self.seconds, 0
        for end, amount in self._entries:
            if end + seconds >= now:
                break
            self.ended -= amount
            gone += 1
        if gone:
            del self._entries[:gone]

    def _merge(self) -> None:
        """One entry for each of half as many parts of the window, whose borders stay."""
        merged: list[tuple[float, int]] = []
        width, last = 2 * self.seconds / self._most, -inf
        for end, amount in self._entries:
            part = end // width
            before = merged.pop()[1] if part == last else 0
            merged.append((end, before + amount))
            last = part
        self._entries = merged
