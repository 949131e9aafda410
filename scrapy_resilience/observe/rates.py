"""How fast a crawl is, and how long it will take: from a few counts, read each second."""

from __future__ import annotations

from collections import deque
from itertools import dropwhile
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    pending: int | None
    """None where it is not known."""


class Rates:
    """The samples of the last minutes, and the newest one of before."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()

    def add(self, sample: Sample) -> None:
        samples = self._samples
        samples.append(sample)
        while len(samples) > 1 and sample.time - samples[1].time >= _KEPT:
            samples.popleft()

    def per_second(self) -> tuple[float, float]:
        """Pages and items a second, over the last minute; after a stall, over that as well."""
        if not self._samples:
            return 0.0, 0.0
        last = self._samples[-1]
        first = _a_minute_ago(self._samples, last)
        seconds = last.time - first.time
        if not seconds:
            return 0.0, 0.0
        return (last.pages - first.pages) / seconds, (last.items - first.items) / seconds

    def seconds_left(self) -> float | None:
        """At the rate at which the requests that are left have become fewer.

        None where they have not, over the last minute as well as since most were left: pages
        lead to new ones then, and nobody knows how many.
        """
        begun = list(dropwhile(lambda each: not each.pending, self._samples))
        if not begun or begun[-1].pending is None:
            return None
        last, left, ends = begun[-1], begun[-1].pending, []
        most = max(reversed(begun), key=lambda each: each.pending or 0)
        for first in (_a_minute_ago(begun, last), most):
            seconds, fewer = last.time - first.time, (first.pending or 0) - left
            if seconds < _LEAST or fewer <= 0:
                return None
            ends.append(left * seconds / fewer)
        return max(ends)


def _a_minute_ago(samples: Iterable[Sample], last: Sample) -> Sample:
    """The newest sample that is a minute older than the *last* one, else the oldest."""
    first = None
    for each in samples:
        if first is not None and last.time - each.time < _MINUTE:
            break
        first = each
    assert first is not None
    return first
