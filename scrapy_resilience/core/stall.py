"""Whether a crawl has stalled: nothing ends although something ought to.

A crawl that is paused, that may ask none of its domains, or whose downloads and callbacks are
within their time, does not stall: it has an *excuse*. One that has nothing to do does not
either. Else the time runs from the last thing that has ended. After *timeout* seconds the crawl
is stalled and to be healed, after as many again once more, and so on; or it is given up there,
where *closes* says so.

==================  ==============================  ================================
state               seen                            step
==================  ==============================  ================================
going, stalled      something has ended             going; ``OVER`` if it was stalled
going, stalled      an excuse, or nothing to do     the same
going               *timeout* without either        stalled, ``STALLED``
stalled             *timeout* more                  ``AGAIN``, or given up, ``CLOSE``
given up            anything                        nothing
==================  ==============================  ================================
"""

from __future__ import annotations

from enum import Enum

import msgspec

__all__ = ["Situation", "StallWatch", "Step"]


class Situation(msgspec.Struct, frozen=True):
    """What one look has seen."""

    progress: int
    """A number that is another one whenever something has begun or ended."""
    waits_for: str = ""
    """What ought to end or begin; empty where nothing is to do."""
    excuse: str = ""
    """Why nothing of it has to end now."""


class Step(Enum):
    """What is to be done after a look."""

    NOTHING = "nothing"
    STALLED = "stalled"
    """Tell it, and heal."""
    AGAIN = "again"
    """Heal once more."""
    CLOSE = "close"
    OVER = "over"
    """It goes on."""


class StallWatch:
    """Of one crawl.

    :param timeout: seconds
    :param closes: whether a crawl is given up that was healed in vain
    """

    def __init__(self, timeout: float, *, closes: bool = False) -> None:
        self._timeout = timeout
        self._closes = closes
        self._progress: int | None = None
        self._since = 0.0
        self._heals = 0
        self._given_up = False

    @property
    def stalled(self) -> bool:
        """Whether it is stalled now."""
        return self._heals > 0

    def waited(self, now: float) -> float:
        """Seconds since something has ended, or had to."""
        return now - self._since

    def look(self, now: float, seen: Situation) -> Step:
        """The next step; *now* is in seconds of a clock that never goes back."""
        if self._given_up:
            return Step.NOTHING
        if seen.progress != self._progress or seen.excuse or not seen.waits_for:
            was_stalled = self.stalled
            self._progress, self._since, self._heals = seen.progress, now, 0
            return Step.OVER if was_stalled else Step.NOTHING
        if self.waited(now) < self._timeout * (self._heals + 1):
            return Step.NOTHING
        self._heals += 1
        if self._heals == 1:
            return Step.STALLED
        if self._closes:
            self._given_up = True
            return Step.CLOSE
        return Step.AGAIN
