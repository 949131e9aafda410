"""Time in which a process could run: a clock that does not tick while it was stopped.

A process that was suspended, or had no processor for minutes, finds all its time-outs passed
when it goes on, and what it waits for had no chance to come. Who looks at intervals counts an
interval that was far too long as a short one.
"""

from __future__ import annotations

from typing import Final

__all__ = ["OwnTime"]

_MOST: Final = 2.0
"""Intervals that one look counts."""


class OwnTime:
    """Seconds of its own time, up to the last look.

    :param interval: seconds between two looks, as they are meant
    """

    def __init__(self, interval: float) -> None:
        self.now = 0.0
        self._interval = interval
        self._looked: float | None = None

    def look(self, clock: float) -> float:
        """The time, when a clock that also counts what was missed stands at *clock*."""
        if self._looked is not None:
            passed = max(clock - self._looked, 0.0)
            self.now += min(passed, _MOST * self._interval)
        self._looked = clock
        return self.now
