"""Outcomes of the last seconds, in buckets that expire."""

from __future__ import annotations

from array import array
from typing import Final, NamedTuple

__all__ = ["BUCKETS", "Counts", "Window"]

BUCKETS: Final = 10
_EMPTY: Final = array("I", [0]) * (3 * BUCKETS)
"""One for calls, one for failures, one for slow calls, of each bucket."""


class Counts(NamedTuple):
    """Calls in a window, and how many of them failed and were slow."""

    calls: int
    failures: int
    slow: int


class Window:
    """Counts of the last *seconds*, to a tenth of them.

    Buckets expire when the window is read as well as when it is written. A clock that goes
    back by less than the window counts in the newest bucket until it has caught up; one that
    goes back by more starts an empty window, as one that goes forward by more does.

    The newest bucket is in attributes, which are cheap to add to, the others in one array.
    """

    __slots__ = ("_calls", "_failures", "_older", "_slow", "_turn", "_width")

    def __init__(self, seconds: float, now: float) -> None:
        self._width = seconds / BUCKETS
        self._turn = now // self._width
        self._older = _EMPTY
        self._calls = self._failures = self._slow = 0

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count one call."""
        if now // self._width != self._turn:
            self._advance(now)
        self._calls += 1
        if failed:
            self._failures += 1
        if slow:
            self._slow += 1

    def read(self, now: float) -> Counts:
        """What the window holds at *now*."""
        self._advance(now)
        older = self._older
        return Counts(
            self._calls + sum(older[:BUCKETS]),
            self._failures + sum(older[BUCKETS : 2 * BUCKETS]),
            self._slow + sum(older[2 * BUCKETS :]),
        )

    def _advance(self, now: float) -> None:
        turn = now // self._width
        shift = turn - self._turn
        if -BUCKETS < shift <= 0:
            return
        if abs(shift) >= BUCKETS:
            self._older = _EMPTY
        else:
            self._put(int(self._turn), self._calls, self._failures, self._slow)
            for expired in range(int(self._turn) + 1, int(turn) + 1):
                self._put(expired, 0, 0, 0)
        self._calls = self._failures = self._slow = 0
        self._turn = turn

    def _put(self, turn: int, *counts: int) -> None:
        if self._older is _EMPTY:
            self._older = _EMPTY[:]  # most domains are left before their first bucket ends
        self._older[turn % BUCKETS :: BUCKETS] = array("I", counts)
