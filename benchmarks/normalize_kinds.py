"""Kinds of texts in which a value can be silently wrong, made from sources of others.

Each kind yields texts with what became of them:

- right: the value that the text says
- none: ``None``, or without the part that can't be told (a day for a moment, no currency)
- ambiguous: marked as such
- wrong: another value, and nothing that says so

The sources: the CLDR (Babel), the example numbers of libphonenumber, the legal forms of
ISO 20275, the names of GeoNames and of the time zone database, and the calendar. Texts are
combined as sites print them.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from babel import Locale, localedata
from babel.dates import format_datetime

from scrapy_resilience.normalize import normalize_date

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["AMBIGUOUS", "KINDS", "NONE", "RIGHT", "WRONG", "Kind", "Made"]

RIGHT, NONE, AMBIGUOUS, WRONG = "right", "none", "ambiguous", "wrong"


class Made(NamedTuple):
    """A text and what became of it."""

    text: str
    became: str
    found: object


class Kind(NamedTuple):
    """A kind: its texts, and the least share of them that is read."""

    texts: Callable[[], Iterator[Made]]
    read: float = 0.0


def _made(text: str, found: dict[str, Any] | None, *, right: bool, part: bool = False) -> Made:
    if found is None or part:
        return Made(text, NONE, found)
    if found.get("ambiguous"):
        return Made(text, AMBIGUOUS, found)
    return Made(text, RIGHT if right else WRONG, found)


# --- dates: the parts of the day -------------------------------------------------------

_TIMES: Final = ((0, 5), (6, 0), (9, 5), (12, 30), (13, 0), (15, 30), (21, 5), (23, 59))
_DAY_PARTS: Final = ("h:mm a", "h:mm B", "a h:mm", "B h:mm", "h:mm aaaaa")
_AS_SHORT: Final = ("short", "medium")
_STANDARD: Final = {"h", "ut", "z"}
"""Letters that stand for a part of the day in a few languages, and for hours or UTC in all."""


def _times(patterns: tuple[str, ...], *, hinted: bool) -> Iterator[Made]:
    seen = set()
    for name in localedata.locale_identifiers():
        locale = Locale.parse(name)
        for hour, minute in _TIMES:
            moment = dt.datetime(2024, 1, 15, hour, minute, tzinfo=dt.timezone.utc)
            for pattern in patterns:
                wanted = str(getattr(locale.time_formats.get(pattern), "pattern", pattern))
                try:
                    time = format_datetime(moment, wanted, locale=locale)
                except (KeyError, ValueError):  # the locale has no such parts
                    continue
                if _STANDARD & {*time.casefold().split()}:
                    continue
                for text in (f"2024-01-15 {time}", f"15.01.2024, {time}", f"{time} 15.01.2024"):
                    if (once := (text, hinted and locale.language)) not in seen:
                        seen.add(once)
                        yield _moment(text, moment, name if hinted else None)


def _moment(text: str, moment: dt.datetime, locale: str | None) -> Made:
    found = normalize_date(text, locale=locale)
    part = found is not None and found["iso"] == str(moment.date())
    right = found is not None and found["timestamp"] == moment.timestamp()
    return _made(text, found, right=right, part=part)


KINDS: Final[dict[str, Kind]] = {
    "date: times of all locales": Kind(lambda: _times(_AS_SHORT, hinted=True), 0.97),
    "date: times of all locales, no hint": Kind(lambda: _times(_AS_SHORT, hinted=False), 0.85),
    "date: parts of the day": Kind(lambda: _times(_DAY_PARTS, hinted=True), 0.97),
    "date: parts of the day, no hint": Kind(lambda: _times(_DAY_PARTS, hinted=False), 0.85),
}
