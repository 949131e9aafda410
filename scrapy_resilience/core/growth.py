"""How fast something grows: by the second, and with each page."""

from __future__ import annotations

from typing import Final

__all__ = ["Growth"]

_APART: Final = 0.4
"""Seconds: readings nearer to each other tell of noise."""


class Growth:
    """Of a quantity, from one reading to the next; what falls grows by nothing."""

    def __init__(self) -> None:
        self._before: tuple[float, float, int] | None = None
        self.last = 0.0
        """How much it has grown between the last two readings."""
        self.per_second = 0.0
        self.per_page = 0.0

    def add(self, now: float, used: float, pages: int) -> None:
        """Count a reading; one that comes at once after another counts when it has fallen."""
        if self._before is None:
            self._before = now, used, pages
            return
        then, before, pages_before = self._before
        if used >= before and now - then < _APART:
            return
        self.last = max(used - before, 0.0)
        self.per_second = self.last / (now - then) if now > then else 0.0
        self.per_page = self.last / (pages - pages_before) if pages > pages_before else 0.0
        self._before = now, used, pages
