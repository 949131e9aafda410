"""Names of log files that were put aside: ``app.log.2026-11-28``, ``app.log.2026-11-28.1``."""

from __future__ import annotations

import re
from datetime import date, timedelta
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["DAY", "date_of", "expired", "past_name"]

DAY: Final = 86_400
"""Seconds; the days are those of UTC."""
_FIRST: Final = date(1970, 1, 1)
_PAST: Final = re.compile(r"\.(\d{4}-\d\d-\d\d)(\.\d+)?")


def date_of(day: int) -> str:
    """The date of a day that is counted from 1970 on."""
    return (_FIRST + timedelta(days=day)).isoformat()


def past_name(name: str, day: str, taken: Collection[str]) -> str:
    """How the file *name* is called when it is put aside; none of *taken*."""
    names = (f"{name}.{day}{f'.{number}' if number else ''}" for number in count())
    return next(each for each in names if each not in taken)


def expired(name: str, there: Collection[str], day: int, days: int) -> Iterator[str]:
    """Those of *there* that are the file *name* of a day more than *days* before *day*."""
    oldest = date_of(day - days)
    for each in there:
        found = _PAST.fullmatch(each.removeprefix(name)) if each.startswith(name) else None
        if found and found[1] < oldest:
            yield each
