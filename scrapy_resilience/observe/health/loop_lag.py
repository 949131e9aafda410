"""How late the event loop is."""

from __future__ import annotations

from collections import deque
from typing import Final

from scrapy_resilience import _clock

__all__ = ["LoopLag"]

_EACH: Final = 0.5
"""Seconds between two samples of the event loop."""
_SLICE: Final = 5.0
_SLICES: Final = 12
"""Of which the last minute is made."""


class LoopLag:
    """How late the event loop was in the last minute: a timer twice a second."""

    def __init__(self) -> None:
        self._slices: deque[tuple[float, float]] = deque(maxlen=_SLICES)
        self._due: float | None = None
        self._timer: _clock.Timer | None = None

    def start(self) -> None:
        """Begin; the event loop must run. Of no effect where it has begun."""
        if self._timer is None:
            self._wait()

    def stop(self) -> None:
        """End; what was seen stays."""
        if self._timer is not None:
            self._timer.cancel()
        self._due = self._timer = None

    def longest(self) -> float:
        """Seconds, in the last minute; 0 where it never was late."""
        return max([*self._seen(), self._late_now()])

    def usual(self) -> float:
        """Seconds by which it was late in half of the last minute: one long turn is nothing.

        0 in the first half minute, too.
        """
        seen = sorted(self._seen(), reverse=True)
        return seen[_SLICES // 2 - 1] if len(seen) >= _SLICES // 2 else 0.0

    def _seen(self) -> list[float]:
        now = _clock.monotonic()
        return [late for began, late in self._slices if now - began <= _SLICE * _SLICES]

    def _late_now(self) -> float:
        return max(_clock.monotonic() - self._due, 0.0) if self._due is not None else 0.0

    def _wait(self) -> None:
        self._due = _clock.monotonic() + _EACH
        self._timer = _clock.call_later(_EACH, self._tick)

    def _tick(self) -> None:
        now = _clock.monotonic()
        late = max(now - (self._due or now), 0.0)
        if self._slices and now - self._slices[-1][0] < _SLICE:
            began, before = self._slices.pop()
            self._slices.append((began, max(before, late)))
        else:
            self._slices.append((now, late))
        self._wait()
