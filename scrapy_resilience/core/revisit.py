"""When a page that was seen is due again.

After a fixed age, or after a *period* of its own that follows how often it changes. The rule
is that of Apache Nutch's ``AdaptiveFetchSchedule``, with its rates: the period grows by 0.4 of
itself where a visit finds nothing new, and shrinks by 0.2 where it does, within bounds. It
comes to rest where three visits in five find a change. Nutch's second rule, which aims at the
moment of the last change, is left out: it makes pages due at once that have not changed
(NUTCH-1564).

==========  =================================================================
period      a page is due
==========  =================================================================
None        when it has reached the fixed age; never, where that is 0
0           always: it is asked for because of what it links to
seconds     when it has reached that age, within the bounds of now
==========  =================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["ALWAYS", "Revisit"]

ALWAYS: Final = 0
"""The period of a page that is due whenever it is asked for."""
_GROWS: Final = 0.4
_SHRINKS: Final = 0.2
_AHEAD: Final = 86_400
"""Seconds by which a page may have been seen in the future: a clock was wrong then."""


@dataclass(frozen=True)
class Revisit:
    """The rule of one crawl; all in seconds. An *age* of 0: never."""

    age: float = 0.0
    adaptive: bool = False
    least: float = 0.0
    most: float = float("inf")

    def is_due(self, at: float, period: int | None, now: float) -> bool:
        """Whether a page that was seen *at* a time, as *now* in seconds since 1970, is due."""
        if period == ALWAYS or at - now > _AHEAD:
            return True
        wait = self.age if period is None or not self.adaptive else self._bounded(period)
        return bool(wait) and now - at >= wait

    def next_period(self, period: int | None, *, changed: bool) -> int | None:
        """The period after another visit; *period* is None before the first one."""
        if not self.adaptive:
            return None
        if period is None or period == ALWAYS:  # it gave links until now
            return self._bounded(self.age)
        return self._bounded(period * (1 - _SHRINKS if changed else 1 + _GROWS))

    def _bounded(self, seconds: float) -> int:
        return max(round(min(max(seconds, self.least), self.most)), 1)
