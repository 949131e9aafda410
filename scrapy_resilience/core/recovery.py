"""When a component that is unwell is told of, and when it is tried to make it well.

A component is *unwell* from the first look that finds it degraded or unhealthy to the first
that finds it healthy. Recovery is tried while it is unhealthy: at once, and after each try in
vain later than before. A look that knows nothing changes nothing.

One that falls ill again soon after it was well has not been made well: the delays go on where
they were. It has to stay well for as long as the last delay to begin anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from scrapy_resilience.core.health import Status

__all__ = ["Change", "Recovery"]

Change = Literal["", "breached", "recovered"]

_ORDER: Final[dict[str, int]] = {"healthy": 0, "degraded": 1, "unhealthy": 2}


class Recovery:
    """Of one component.

    :param delay: seconds after the first try; twice as many after each one more
    :param longest: seconds that no delay exceeds
    """

    def __init__(self, delay: float, longest: float) -> None:
        self._first = delay
        self._longest = longest
        self._status: Status = "healthy"
        self._delay = 0.0
        self._well_since: float | None = None
        self._due = 0.0
        self._trying = False

    def look(self, now: float, status: Status) -> Change:
        """Note how it is *now*, in seconds; says what others are to be told."""
        if status == "unknown":
            return ""
        before, self._status = self._status, status
        if status == "healthy":
            if self._well_since is None or before != "healthy":
                self._well_since = now
            elif self._delay and now - self._well_since >= self._delay:
                self._delay = self._due = 0.0
            return "recovered" if before != "healthy" else ""
        return "breached" if _ORDER[status] > _ORDER[before] else ""

    def is_due(self, now: float) -> bool:
        """Whether it is to be recovered now."""
        return self._status == "unhealthy" and not self._trying and now >= self._due

    def begin(self) -> None:
        """A try begins: there is no other before :meth:`end`."""
        self._trying = True

    def end(self, now: float) -> None:
        """A try has ended, however."""
        self._trying = False
        self._delay = min(max(2 * self._delay, self._first), self._longest)
        self._due = now + self._delay
