"""The rungs of the escalation ladder, and what leads from one to another.

========  ==================================================================================
healthy   nothing is done
clean     garbage is collected, caches are cleared, and what is free goes back to the system
fewer     half as many requests at a time
pause     nothing new is asked for; what is under way comes to its end
free      whoever has registered frees what it can, and all is cleaned once more
close     a snapshot is made, and the spider is closed: the job goes on in another process
========  ==================================================================================

Each rung costs more than the one before, so each has its time to help before the next one is
tried: *held* is pressure that has outlasted it. Pressure that is only high and does not grow
endangers nothing: it never leads further than to fewer requests. What leads to the pause is
*critical* pressure, and *fast* growth, which would cross the limit before the slow rungs had
their time; both skip them, but for *clean*, which is always tried first. From the pause on only
time and growth lead further: a spike is over in a moment, and closing would not undo it.

On the way down *gone* leads to healthy at once, and *eased*, which is pressure between the
marks for some time, one rung down. Nothing leads away from the close.

The table is all there is; a pair that it does not have changes nothing. A ladder may lack
rungs: it takes the next one that it has in the same direction.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["STEPS", "Event", "Rung"]


class Rung(IntEnum):
    """What is done about pressure."""

    HEALTHY = 0
    CLEAN = 1
    FEWER = 2
    PAUSE = 3
    FREE = 4
    CLOSE = 5


class Event(Enum):
    """Why a ladder is climbed, or left."""

    HELD = "held"
    CRITICAL = "critical"
    FAST = "fast"
    EASED = "eased"
    GONE = "gone"


_LEFT: Final = [rung for rung in Rung if Rung.HEALTHY < rung < Rung.CLOSE]
"""Those that something leads down from."""

STEPS: Final[Mapping[tuple[Rung, Event], Rung]] = {
    (Rung.HEALTHY, Event.HELD): Rung.CLEAN,
    (Rung.CLEAN, Event.HELD): Rung.FEWER,
    (Rung.PAUSE, Event.HELD): Rung.FREE,
    (Rung.FREE, Event.HELD): Rung.CLOSE,
    (Rung.HEALTHY, Event.CRITICAL): Rung.CLEAN,
    (Rung.CLEAN, Event.CRITICAL): Rung.PAUSE,
    (Rung.FEWER, Event.CRITICAL): Rung.PAUSE,
    (Rung.HEALTHY, Event.FAST): Rung.CLEAN,
    (Rung.CLEAN, Event.FAST): Rung.PAUSE,
    (Rung.FEWER, Event.FAST): Rung.PAUSE,
    (Rung.PAUSE, Event.FAST): Rung.FREE,
    (Rung.FREE, Event.FAST): Rung.CLOSE,
    **{(rung, Event.EASED): Rung(rung - 1) for rung in _LEFT},
    **{(rung, Event.GONE): Rung.HEALTHY for rung in _LEFT},
}
"""(rung, event) → the next rung."""
