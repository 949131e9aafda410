"""Whether an event loop stands still in one place: evidence of one who looks from outside.

A loop that has not turned for a while is blocked by what it runs, or it had no chance to run:
the process was stopped, the machine was suspended or busy. These are told apart:

* who looks is late as well when the whole process could not run; a look that comes far too
  late counts as one that came in time, but for what the loop's thread has computed meanwhile:
  a regular expression that goes through all it can match lets no other thread run
* time that the loop's thread was ready to run, and did not, is not counted; where the system
  does not tell that, a thread that has used some of the processor, but less than half of it,
  is taken for one that wanted all of it
* a debugger, or a console, that waits for somebody's keys is what that somebody wants
* each look sees the stack of the thread: a loop that is in other places each time has much to
  do, but nothing blocks it
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from scrapy_resilience.core.errorgroups import Frame

__all__ = ["Look", "Stack", "Standstill", "common"]

_MOST: Final = 2.0
"""Intervals that one look counts."""
_IDLE, _BUSY = 0.02, 0.5
"""Shares of the processor: below the first a thread waits, beyond the other it has what it
wants."""
_CONSOLES: Final = frozenset(
    {"IPython", "bdb", "bpython", "code", "debugpy", "ptpython", "pudb", "pydevd", "ipdb"}
)
"""Modules that stop a program to talk with somebody."""


Stack: TypeAlias = "tuple[Frame, ...]"
"""The outermost call first, without those of the event loop itself."""


class Look(msgspec.Struct, frozen=True):
    """What has been seen since the look before it."""

    seconds: float
    turned: bool
    """Whether the loop has turned."""
    stack: Stack = ()
    """Where it is now."""
    computed: float | None = None
    """Seconds of a processor that its thread has used; None where nobody tells."""
    queued: float | None = None
    """Seconds that it was ready to run, and did not; None where nobody tells."""


def common(first: Stack, second: Stack) -> Stack:
    """Calls that both stacks are in; the lines are those of the *second*."""
    found = []
    for one, other in zip(first, second, strict=False):
        if (one.file, one.function) != (other.file, other.function):
            break
        found.append(other)
    return tuple(found)


class Standstill:
    """Of one loop.

    :param interval: seconds between two looks, as they are meant
    :param after: seconds from which on it is told
    """

    def __init__(self, interval: float, after: float) -> None:
        self._interval = interval
        self._after = after
        self._told = False
        self.seconds = 0.0
        """For which it stands, or stood the last time, without those that do not count."""
        self.lasted = 0.0
        """The same with the time that the machine had for others."""
        self.stack: Stack | None = None
        """What all looks since then were in; None where the loop turns."""

    def look(self, seen: Look) -> Literal["", "blocked"]:
        """The next step: tell that it is blocked, once for each time."""
        if seen.turned or _is_wanted(seen.stack):
            self._told, self.stack = False, None
            return ""
        shared = common(self.stack or (), seen.stack)
        if not (shared or self._told):  # the first look, or it is in another place now
            shared, self.seconds, self.lasted = seen.stack, 0.0, 0.0
        self.stack = shared
        most = min(seen.seconds, _MOST * self._interval)
        self.seconds += max(_counted(seen, most), _ran(seen))
        self.lasted += max(most, _ran(seen, seen.queued or 0.0))
        if self._told or self.seconds < self._after or not self.stack:
            return ""
        self._told = True
        return "blocked"


def _is_wanted(stack: Stack) -> bool:
    return any(frame.module.partition(".")[0] in _CONSOLES for frame in stack)


def _ran(seen: Look, more: float = 0.0) -> float:
    """Seconds that the loop's thread has computed, and so many *more*."""
    return min((seen.computed or 0.0) + more, seen.seconds)


def _counted(seen: Look, most: float) -> float:
    """How much of the time the loop could have used."""
    if seen.queued is not None:
        return max(min(most, seen.seconds - seen.queued), 0.0)
    if seen.computed is not None and seen.seconds > 0:
        share = seen.computed / seen.seconds
        if _IDLE < share < _BUSY:
            return min(seen.computed, most)
    return most
