"""How many requests at a time are best: more by one step, fewer by a share (AIMD).

Additive increase, multiplicative decrease, as TCP's congestion control (Chiu and Jain 1989),
with two signs of congestion instead of lost packets. *Pressure*: the event loop is late by its
own work; then the limit becomes :data:`FEWER` of itself. *No gain*: a step up was taken, as
many requests were really under way, and the pages a second did not grow by a part of what the
step promises; then the step is taken back, and the next try comes later, twice as late each
time. So a crawl whose servers or whose gates are its limit does not creep to the maximum.

A span in which the limit was not reached says nothing about it, and changes nothing. *now* is
an argument.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["FEWER", "Adaptive", "Span"]

FEWER: Final = 0.7
"""Of the limit, under pressure. TCP's half costs more than a late loop does."""
_LATE: Final = 0.5
"""Seconds of lag: pressure."""
_STEP: Final = 0.25
"""Of the limit, and 1 at least, is one step up: from 16 to 100 in ten of them."""
_GAIN: Final = 0.3
"""Of what a step promises: noise of pages a second is some per cent."""
_FULL: Final = 0.9
"""Of the limit, under way in the mean, is a span in which it was reached."""
_REST: Final = 2
"""Spans until the next try after one in vain, doubling."""
_LONGEST: Final = 32


class Span(NamedTuple):
    """What was seen since the last look."""

    pages_per_second: float
    under_way: float
    """In the mean."""
    lag: float
    """By the loop's own work."""


class Adaptive:
    """The limit of one crawl, between *least* and *most*."""

    def __init__(self, least: int, most: int, begin: int) -> None:
        self._least, self._most = least, max(least, most)
        self.limit = min(max(begin, least), self._most)
        self._before: tuple[int, float] | None = None
        """The limit before the step that is tried, and its pages a second."""
        self._rest, self._waits = 0, _REST

    def look(self, span: Span) -> int:
        """The limit for the next span."""
        if span.lag >= _LATE:
            self._before, self._rest = None, self._waits
            self.limit = max(int(self.limit * FEWER), self._least)
        elif span.under_way >= _FULL * self.limit:
            self._judge(span.pages_per_second)
        return self.limit

    def _judge(self, rate: float) -> None:
        """The limit was reached: keep the last step or take it back, and try the next one."""
        if self._before is not None:
            before, old = self._before
            self._before = None
            if rate < old * (1.0 + _GAIN * (self.limit / before - 1.0)):
                self.limit = before
                self._rest, self._waits = self._waits, min(2 * self._waits, _LONGEST)
                return
            self._waits = _REST
        if self._rest:
            self._rest -= 1
        elif self.limit < self._most:
            self._before = self.limit, rate
            self.limit = min(self.limit + max(int(self.limit * _STEP), 1), self._most)
