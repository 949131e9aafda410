"""How long contexts and browsers live, when one is started again, and how many pages it gets.

A browser grows with each page that it has shown, so nothing in it is kept for long. What is
*worn* gets no new page; it is closed when its last page is gone.

=========  =========================================================  ======================
what       is worn                                                    then
=========  =========================================================  ======================
context    after so many pages, at an age, or with its browser        another one has its
                                                                      cookies and storage
context    without a page for some time: the less the fuller the      closed, and made again
           memory is                                                  when it is asked for
browser    after so many contexts if its memory has grown, at an      another one is started
           age, or when it does not answer
=========  =========================================================  ======================

Nothing here knows a browser or a clock: *now* is an argument, in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

__all__ = ["BrowserLimits", "ContextLimits", "Restarts", "places"]

_RELAXED: Final = 0.5
_FULL: Final = 0.95
"""Shares of the memory between which idle contexts are closed sooner and sooner."""
_LONGEST_WAIT: Final = 30.0
_SHORTEST_WAIT: Final = 0.5
_RECENT: Final = 10.0
"""Seconds for which a plain request tells that there are more of its kind."""


@dataclass(frozen=True)
class ContextLimits:
    """When a context is worn. 0 turns a limit off."""

    pages: int = 100
    age: float = 3600.0
    idle: float = 60.0

    def is_worn(self, pages: int, age: float) -> bool:
        """After *pages* that were opened in it, at an *age* in seconds."""
        return 0 < self.pages <= pages or 0 < self.age <= age

    def is_idle(self, unused: float, memory: float | None) -> bool:
        """Without a page for *unused* seconds, with that share of the *memory* in use."""
        return bool(self.idle) and unused >= self.patience(memory)

    def patience(self, memory: float | None) -> float:
        """Seconds that a context may be without a page."""
        if memory is None or memory <= _RELAXED:
            return self.idle
        return self.idle * max(0.0, (_FULL - memory) / (_FULL - _RELAXED))


@dataclass(frozen=True)
class BrowserLimits:
    """When a browser is worn. 0 turns a limit off."""

    contexts: int = 10
    growth: float = 1.5
    age: float = 0.0

    def is_worn(self, contexts: int, first: int | None, memory: int | None, age: float) -> bool:
        """After *contexts* of which *first* bytes were left by the first one, now *memory*."""
        if 0 < self.age <= age:
            return True
        if not 0 < self.contexts <= contexts or first is None or memory is None:
            return False
        return memory > first * self.growth


class Restarts:
    """When a browser that has ended, or did not start, is started again.

    At once after the first time; then later and later; not after *most* times in a row. A
    page that was got ends the row: browsers that work may be killed for ever.
    """

    def __init__(self, most: int = 5) -> None:
        self._most = most
        self.in_a_row = 0
        self._next = -inf

    def ended(self, now: float) -> None:
        """A browser has crashed, or was not to be had."""
        self.in_a_row += 1
        if self.in_a_row > 1:
            wait = _SHORTEST_WAIT * 2.0 ** min(self.in_a_row - 2, 10)
            self._next = now + min(wait, _LONGEST_WAIT)

    def got_a_page(self) -> None:
        """It works."""
        self.in_a_row, self._next = 0, -inf

    @property
    def are_over(self) -> bool:
        """Whether it is not to be started any more."""
        return self.in_a_row >= self._most

    def wait(self, now: float) -> float:
        """Seconds until it may be started."""
        return max(self._next - now, 0.0)


def places(wanted: int, most: int, since_plain: float) -> int:
    """How many of *most* requests under way may be the browser's, which has pages for *wanted*.

    All, but for half of them where plain ones go as well, the last one *since_plain* seconds
    ago: a browser that hangs then takes no place of theirs.
    """
    return max(min(wanted, most if since_plain > _RECENT else most // 2), 1)
