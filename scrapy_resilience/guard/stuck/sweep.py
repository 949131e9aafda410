"""Looks at what is under way each second or two, in a time in which the crawl could run.

What begins takes its time from :attr:`Sweep.now`, which costs next to nothing, and is that of
the last look: what is under way has been so for up to an interval less than it seems.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience.core.owntime import OwnTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scrapy_resilience._clock import Timer

__all__ = ["Sweep"]

logger = get_logger(__name__)

_SHORTEST, _LONGEST = 0.05, 2.0
_PART: Final = 8
"""Of the shortest time-out, between two looks."""


class Sweep:
    """Of one crawl, for these *timeouts*, in seconds; 0 is for none."""

    def __init__(self, timeouts: Iterable[float]) -> None:
        shortest = min((each for each in timeouts if each > 0), default=_LONGEST * _PART)
        self.interval = min(max(shortest / _PART, _SHORTEST), _LONGEST)
        self.now = 0.0
        """Seconds, up to the last look."""
        self.looks: list[Callable[[float], None]] = []
        """Each is called with the time."""
        self._time = OwnTime(self.interval)
        self._timer: Timer | None = None
        self._broken: set[Callable[[float], None]] = set()

    def start(self) -> None:
        """The event loop runs."""
        if not self.looks:
            return
        self._timer = _clock.call_later(self.interval, self.start)
        self.now = self._time.look(_clock.monotonic())
        for look in self.looks:
            try:
                look(self.now)
            except Exception:  # noqa: PERF203 - each on its own
                if look not in self._broken:  # it would say so each second
                    self._broken.add(look)
                    logger.exception("What is stuck can't be told")

    def stop(self) -> None:
        """The crawl has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
