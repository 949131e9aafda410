"""How fast a crawl is, and how long it will take: from a few counts, read each second."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

__all__ = ["Rates", "Sample"]

_MINUTE: Final = 60.0
_KEPT: Final = 300.0
"""Seconds of samples: the rate at which a crawl comes to its end is taken over all of them."""
_LEAST: Final = 10.0
"""Seconds of samples before anything is said of the end."""


class Sample(NamedTuple):
    """Counts at one moment of a clock that never goes back, in seconds."""

    time: float
    pages: int
    items: int
    pending: int


class Rates:
    """The samples of the last minutes."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()

    def add(self, sample: Sample) -> None:
        self._samples.append(sample)
        while sample.time - self._samples[0].time > _KEPT:
            self._samples.popleft()

    def per_second(self) -> tuple[float, float]:
        """Pages and items a second, over the last minute."""
        if not self._samples:
            return 0.0, 0.0
        last = self._samples[-1]
        first = next(each for each in self._samples if last.time - each.time <= _MINUTE)
        seconds = last.time - first.time
        if not seconds:
            return 0.0, 0.0
        return (last.pages - first.pages) / seconds, (last.items - first.items) / seconds

    def seconds_left(self) -> float | None:
        """At the rate at which the requests that are left have become fewer.

        None where they have not, over the last minute as well as over all samples: pages
        lead to new ones then, and nobody knows how many.
        """
        if not self._samples:
            return None
        last, ends = self._samples[-1], []
        for span in (_MINUTE, _KEPT):
            first = next(each for each in self._samples if last.time - each.time <= span)
            seconds, fewer = last.time - first.time, first.pending - last.pending
            if seconds < _LEAST or fewer <= 0:
                return None
            ends.append(last.pending * seconds / fewer)
        return max(ends)
