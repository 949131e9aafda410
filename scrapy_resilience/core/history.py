"""Bounded time series: the same columns in several resolutions, each for a span of its own.

Rates are the mean of their span and come from counters that only grow; levels are those at its
end; peaks are the largest in it.
"""

from __future__ import annotations

from array import array
from math import isnan, nan
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COLUMNS", "TIERS", "History", "Sample", "Tier"]


class Sample(NamedTuple):
    """What is known of the crawl at one moment; None where it is not."""

    pages: float
    items: float
    errors: float
    retries: float
    bytes: float
    pending: float | None
    held: float
    under_way: float
    memory: float | None
    loop_lag: float | None


_COUNTERS: Final = 5
_LEVELS: Final = 8
COLUMNS: Final = (
    "time", "pages_per_second", "items_per_second", "errors_per_second", "retries_per_second",
    "bytes_per_second", "pending", "held", "under_way", "memory", "loop_lag",
)  # fmt: skip
"""The time is that of the end of the span, in seconds since 1970. What comes behind it is in
the order of :class:`Sample`; the last two are peaks."""
TIERS: Final = ((1.0, 600), (15.0, 1440), (300.0, 2016))
"""Seconds between two rows, and how many rows: 10 minutes, 6 hours and 7 days."""


class Tier:
    """One resolution: a ring of rows, made of samples that come more often."""

    def __init__(self, seconds: float, rows: int) -> None:
        self.seconds = seconds
        self._rows = rows
        self._values = array("d")
        self._next = 0
        self._since: tuple[float, Sample] | None = None
        self._peaks = [nan, nan]

    def __len__(self) -> int:
        return len(self._values) // len(COLUMNS)

    def add(self, now: float, sample: Sample) -> list[float] | None:
        """Take a sample; the row that it has completed, if any."""
        if self._since is None:
            self._since = now, sample
            return None
        for place, value in enumerate(sample[_LEVELS:]):
            if value is not None and not value <= self._peaks[place]:
                self._peaks[place] = value
        began, before = self._since
        passed = now - began
        if 0 <= passed < self.seconds - _EARLY:
            return None
        self._since, peaks, self._peaks = (now, sample), self._peaks, [nan, nan]
        if passed <= 0:  # the clock was put back
            return None
        rates = (
            max(new - old, 0.0) / passed
            for new, old in zip(sample[:_COUNTERS], before[:_COUNTERS], strict=True)
        )
        levels = (nan if level is None else level for level in sample[_COUNTERS:_LEVELS])
        row = [now, *rates, *levels, *peaks]
        self.put(row)
        return row

    def put(self, row: Sequence[float]) -> None:
        """Add a row, in the place of the oldest where there is no room."""
        width = len(COLUMNS)
        values = array("d", row)
        if len(self) < self._rows:
            self._values.extend(values)
            return
        self._values[self._next * width : (self._next + 1) * width] = values
        self._next = (self._next + 1) % self._rows

    def rows(self) -> list[list[float | None]]:
        """The oldest first."""
        width = len(COLUMNS)
        order = [*range(self._next, len(self)), *range(self._next)]
        starts = [at * width for at in order]
        return [
            [None if isnan(value) else value for value in self._values[at : at + width]]
            for at in starts
        ]


_EARLY: Final = 0.25
"""Seconds by which a timer may be early."""


class History:
    """All tiers."""

    def __init__(self, tiers: Sequence[tuple[float, int]] = TIERS) -> None:
        self.tiers = [Tier(seconds, rows) for seconds, rows in tiers]

    def add(self, now: float, sample: Sample) -> list[float] | None:
        """Take a sample; the row of the coarsest tier that it has completed, if any."""
        row = None
        for tier in self.tiers:
            row = tier.add(now, sample)
        return row
