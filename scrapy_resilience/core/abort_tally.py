"""What abort conditions are about, over the last operations and items, and over kills.

A crawl of two days that goes wrong in its last hour is to be noticed: shares are of the last
operations, not of all. And time in which no page could come is no time without an item.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Recent", "Tally"]

_PARTS: Final = 10
_LONGEST_STEP: Final = 5.0
"""Seconds that one look may count for: a machine that slept did not wait for items."""
_NEAR: Final = 60.0
"""Seconds after a page in which the next may be expected, however slowly a site is asked."""


class Recent:
    """A mean over the last *size* of what is counted, made of two sums that only grow.

    They are remembered at eleven marks, a tenth of *size* apart (rounded up), so the mean is
    of *size* and up to a tenth more, and of a step more where one look brings more than that.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._step = -(-size // _PARTS)
        self._marks: deque[tuple[float, float]] = deque([(0.0, 0.0)])
        self._now = (0.0, 0.0)

    def put(self, count: float, total: float) -> None:
        """So many there were in all, and that is the sum of what they had."""
        if count < self._now[0] or not count:  # it began anew
            self._marks = deque([(0.0, 0.0)])
        self._now = (count, total)
        if count - self._marks[-1][0] >= self._step:
            self._marks.append(self._now)
        while len(self._marks) > 1 and count - self._marks[1][0] >= self._size:
            self._marks.popleft()

    def forget(self) -> None:
        """Only what comes from now on counts."""
        self._marks = deque([self._now])

    @property
    def count(self) -> float:
        """How many the mean is of."""
        return self._now[0] - self._marks[0][0]

    def mean(self, least: float = 1) -> float | None:
        """None where it would be of fewer than *least*."""
        count = self.count
        if count < max(least, 1):
            return None
        return (self._now[1] - self._marks[0][1]) / count

    def save(self) -> list[Any]:
        return [*map(list, self._marks), list(self._now)]

    def restore(self, saved: list[tuple[float, float]]) -> None:
        """Go on from what :meth:`save` gave."""
        *marks, self._now = saved
        self._marks = deque(marks[-_PARTS - 2 :] or [(0.0, 0.0)])


class _Saved(msgspec.Struct, array_like=True):
    operations: int
    failures: int
    row: int
    idle: float
    since: float
    domains: int
    drift: int
    windows: dict[str, list[tuple[float, float]]]


_OPERATIONS: Final = ""
"""The window of operations among those of fields."""


class Tally:
    """Of one job, since its last run that was ended or paused by a policy.

    *window* is how many operations or items a share is of, *names* are what there are shares of
    beside operations.
    """

    def __init__(self, window: int, names: Iterable[str] = ()) -> None:
        self.operations = 0
        """Requests that came to an end, well or not, and failures that code has recorded."""
        self.failures = 0
        self.row = 0
        """Failures since the last success."""
        self.idle = 0.0
        """Seconds without an item in which pages came or could come."""
        self.since = 0.0
        """Seconds that the crawl has run since it was judged last."""
        self.domains = 0
        """The most that were known at once."""
        self.drift = 0
        """Alarms."""
        self._windows = {name: Recent(window) for name in (_OPERATIONS, *names)}
        self._items: int | None = None
        self._pages: int | None = None
        self._page_at = -inf
        self._looked: float | None = None

    def window(self, name: str = _OPERATIONS) -> Recent:
        """That of operations, or another one by its name."""
        return self._windows[name]

    # --- operations ---

    def succeeded(self) -> None:
        self.row = 0
        self._ended()

    def failed(self) -> None:
        self.failures += 1
        self.row += 1
        self._ended()

    def _ended(self) -> None:
        self.operations += 1
        self.window().put(self.operations, self.failures)

    # --- time ---

    def look(self, now: float, *, items: int, pages: int, busy: bool, paused: bool) -> None:
        """Some time has passed: *busy* is whether a page is under way or could be asked for.

        *items* and *pages* are counts of this run. *paused*: nothing is to be asked for.
        """
        before, self._looked = self._looked, now
        seconds = 0.0 if before is None else min(max(now - before, 0.0), _LONGEST_STEP)
        self.since += seconds
        if pages != self._pages:
            self._page_at = -inf if self._pages is None else now
            self._pages = pages
        if items != self._items:
            self.idle = self.idle if self._items is None else 0.0
            self._items = items
        elif not paused and (busy or now - self._page_at <= _NEAR):
            self.idle += seconds

    # --- over runs ---

    def begin_anew(self) -> None:
        """Whoever runs it again has seen why it ended: the next run is judged by itself."""
        self.operations = self.failures = self.row = self.drift = 0
        self.idle = self.since = 0.0
        self.window().put(0, 0)
        for window in self._windows.values():
            window.forget()

    def save(self) -> Any:
        """Plain values."""
        windows = {name: window.save() for name, window in self._windows.items()}
        told = (self.operations, self.failures, self.row, self.idle, self.since, self.domains)
        return [*told, self.drift, windows]

    def restore(self, saved: Any) -> None:
        """Go on from what :meth:`save` gave.

        Raises :exc:`msgspec.ValidationError` for anything else, and changes nothing then.
        """
        found = msgspec.convert(saved, _Saved)
        self.operations, self.failures, self.row = found.operations, found.failures, found.row
        self.idle, self.since = found.idle, found.since
        self.domains, self.drift = found.domains, found.drift
        for name, told in found.windows.items():
            if told and name in self._windows:
                self.window(name).restore(told)
