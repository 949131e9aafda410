"""What an examination has found: how bad it is, what it is, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["LEVELS", "Finding", "Level", "has_problem"]

Level = Literal["ok", "note", "warning", "problem"]

LEVELS: Final[tuple[Level, ...]] = ("problem", "warning", "note", "ok")
"""The worst first."""


class Finding(NamedTuple):
    """One of them. Its texts hold no secret: :mod:`.masking` is for who makes it."""

    about: str
    """What was looked at, in a word."""
    level: Level
    what: str
    advice: str = ""
    """What to do; empty where there is nothing to do."""


def has_problem(findings: Iterable[Finding]) -> bool:
    """Whether something fails, or would."""
    return any(each.level == "problem" for each in findings)
