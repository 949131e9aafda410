"""When a resource is degraded or unhealthy: levels that neither a spike nor noise moves.

A value *rises* to a level when it has been above it for most of the last *patience*, which is
the interval of the watchdog. Time that lies further back weighs less: it counts by exp(-t /
patience), so that no samples need be kept. Between two samples of which one is above, the value
is taken to have been so for half of the time, and a gap counts for one patience at most. So

- one sample alone never suffices, be the gap before it as long as it may: it comes to 0.32;
- nor does a spike in every second sample, which comes to 0.5 at most;
- the second in a row does (0.75), or 0.8 patiences of samples at any rate.

Hence :data:`SHARE`, 0.55. (Crawlee's pool takes 0.2 to 0.6 of a window, by resource: it decides
anew each half second, and may flap at no cost.)

It does not wait where waiting is dangerous: at the value *at_once*, and above a level when the
growth of the last patience, once more, leads there. A leak of 25 MB a second is noticed at the
first sample above the level.

It *falls* at the first sample that is below the level by a margin: noise around a level is one
rise and no fall. What it had been above before counts no more.

A value that can't be read says nothing. When none could be read for two patiences, the status
is unknown: nobody waits for something that is not seen. A clock that is set back costs the time
between two samples, nothing else.
"""

from __future__ import annotations

from math import exp, inf, isfinite
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from scrapy_resilience.core.health import Levels, Status

__all__ = ["SHARE", "Threshold", "Trend"]

SHARE: Final = 0.55
_UNKNOWN_AFTER: Final = 2.0
"""Patiences."""


class Threshold(msgspec.Struct, frozen=True):
    """What is too much of something."""

    levels: Levels
    at_once: float = inf
    """From here on it is unhealthy without waiting."""
    margin: float = 0.05
    """Share of a level by which a value must be below it to be well again."""


class _Level:
    """One of the two, and whether the value has risen to it."""

    def __init__(self, at: float, margin: float) -> None:
        self._at = at
        self._well_below = at * (1.0 - margin)
        self._was_above = False
        self._share = 0.0
        """Of the last time, above the level."""
        self.up = False

    def look(self, value: float, fade: float, *, imminent: bool) -> None:
        above = value >= self._at
        between = (above + self._was_above) / 2
        self._share = self._share * fade + between * (1.0 - fade)
        self._was_above = above
        if above and (imminent or self._share > SHARE):
            self.up = True
        elif self.up and value < self._well_below:
            self.reset()

    def reset(self) -> None:
        self.up = False
        self._share = 0.0


class Trend:
    """How one resource is, sample by sample.

    :param patience: seconds
    """

    def __init__(self, threshold: Threshold, patience: float) -> None:
        levels, margin = threshold.levels, threshold.margin
        self._degraded = _Level(levels.degraded, margin)
        self._unhealthy = _Level(levels.unhealthy, margin)
        self._at_once = threshold.at_once
        self._patience = patience
        self._last: tuple[float, float] | None = None
        """When, and the value; None after one that could not be read."""
        self._known: float | None = None
        """When there was a value."""
        self._growth = 0.0
        """A second, of the last patience."""

    @property
    def status(self) -> Status:
        """What it has come to."""
        if self._known is None:
            return "unknown"
        if self._unhealthy.up:
            return "unhealthy"
        return "degraded" if self._degraded.up else "healthy"

    def add(self, now: float, value: float | None) -> Status:
        """Take a sample; *now* is on a clock that should only grow."""
        if value is None or not isfinite(value):
            self._miss(now)
            return self.status
        fade = self._fade(now, value)
        self._last, self._known = (now, value), now
        imminent = value + max(self._growth, 0.0) * self._patience >= self._at_once
        was_up = self._degraded.up
        for level in (self._degraded, self._unhealthy):
            level.look(value, fade, imminent=imminent)
        if was_up and not self._degraded.up:
            self._unhealthy.reset()
        return self.status

    def _fade(self, now: float, value: float) -> float:
        """What remains of the past; notes the growth."""
        if self._last is None or now <= self._last[0]:
            return 1.0
        passed = now - self._last[0]
        fade = exp(-min(passed / self._patience, 1.0))
        growth = (value - self._last[1]) / passed
        self._growth = self._growth * fade + growth * (1.0 - fade)
        return fade

    def _miss(self, now: float) -> None:
        self._last = None
        if self._known is None:
            return
        self._known = min(self._known, now)
        if now - self._known > _UNKNOWN_AFTER * self._patience:
            self._known, self._growth = None, 0.0
            self._degraded.reset()
            self._unhealthy.reset()
