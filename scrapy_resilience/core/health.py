"""How well a crawl is: judgements of numbers, and what they come to together.

A component is *healthy*, *degraded*, *unhealthy* or *unknown*. One that only informs, such as a
processor that is busy or a breaker that is open, makes the whole degraded at most: what a site
does is no fault of the crawl's. A component that weighs and is unhealthy makes the whole
unhealthy, and not ready. What is unknown says nothing, unless nothing is known.

Liveness is none of this: the process and its event loop are alive when they answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, cast, get_args

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "COMMIT_AGE", "CPU", "DISK", "LOOP_LAG", "MEMORY", "OPEN_FILES", "Finding", "Levels",
    "Status", "as_finding", "breakers", "frontier", "is_ready", "overall", "store",
]  # fmt: skip

Status: TypeAlias = Literal["healthy", "degraded", "unhealthy", "unknown"]

_ORDER: Final[tuple[Status, ...]] = ("healthy", "degraded", "unhealthy")


class Finding(NamedTuple):
    """What a check has found."""

    status: Status
    detail: str = ""


class Levels(msgspec.Struct, frozen=True):
    """From which value on something is degraded, and unhealthy."""

    degraded: float
    unhealthy: float

    def judge(self, value: float | None) -> Status:
        """None is a value that is not known."""
        if value is None:
            return "unknown"
        if value >= self.unhealthy:
            return "unhealthy"
        return "degraded" if value >= self.degraded else "healthy"

    def times(self, factor: float) -> Levels:
        """Levels that are so many times as high, but not lower."""
        factor = max(factor, 1.0)
        return Levels(self.degraded * factor, self.unhealthy * factor)


CPU: Final = Levels(0.80, 0.95)
"""Shares of the processors that may be used."""
MEMORY: Final = Levels(0.85, 0.95)
"""Shares of the memory that may be used."""
DISK: Final = Levels(0.90, 0.98)
"""Shares of the disk that are used."""
OPEN_FILES: Final = Levels(0.80, 0.95)
"""Shares of the files that the process may have open."""
LOOP_LAG: Final = Levels(1.0, 5.0)
"""Seconds by which the event loop was late."""
COMMIT_AGE: Final = Levels(60.0, 300.0)
"""Seconds since the last commit, where one is due each ten."""
_USUAL_INTERVAL: Final = 10.0


def as_finding(answer: Any) -> Finding:
    """What a check of the user's means by its *answer*.

    None and True are healthy, False is unhealthy; a status, or a pair of a status and a text,
    says it in words. Anything else is unknown.
    """
    if answer is None or answer is True:
        return Finding("healthy")
    if answer is False:
        return Finding("unhealthy")
    status, detail = answer if _is_pair(answer) else (answer, "")
    if isinstance(status, str) and status in get_args(Status):
        return Finding(cast("Status", status), str(detail))
    return Finding("unknown", f"the check answered with {type(answer).__name__}, not a status")


def _is_pair(answer: Any) -> bool:
    return isinstance(answer, (tuple, list)) and len(answer) == 2  # noqa: PLR2004 - a pair


def overall(parts: Iterable[tuple[Status, bool]]) -> Status:
    """The worst of several statuses, each with whether it only informs."""
    worst = -1
    for status, informs in parts:
        if status != "unknown":
            worst = max(worst, min(_ORDER.index(status), 1 if informs else 2))
    return _ORDER[worst] if worst >= 0 else "unknown"


def is_ready(parts: Iterable[tuple[Status, bool]]) -> bool:
    """Whether nothing that weighs is unhealthy."""
    return overall(parts) != "unhealthy"


def frontier(pending: int | None, held: int) -> Finding:
    """Whether there is anything that may be asked for now; None: not known."""
    if pending is None:
        return Finding("unknown", "another scheduler does not tell what is pending")
    if 0 < pending == held:
        return Finding("degraded", f"all {pending} pending requests wait for their time")
    return Finding("healthy", f"{pending} pending, {held} of them held")


def breakers(states: dict[str, int]) -> Finding:
    """By how many domains are in each state that is not closed."""
    told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()) if count)
    return Finding("degraded", told) if told else Finding("healthy", "all are closed")


def store(age: float | None, interval: float, trouble: str) -> Finding:
    """By the age of the last commit, and what keeps one from being written.

    *interval* is the time between two commits; nothing is known before the first one.
    """
    if trouble:
        return Finding("unhealthy", trouble)
    if age is None:
        return Finding("unknown", "no commit yet")
    status = COMMIT_AGE.times(interval / _USUAL_INTERVAL).judge(age)
    return Finding(status, f"last commit {age:.0f} s ago")
