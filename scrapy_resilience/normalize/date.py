"""Dates: a day, or a moment in UTC.

The day is read by its form: ISO 8601, numbers, or names of months in 75 languages (`_day`); the
time with the words for the parts of the day (`_time`); "3 days ago" by the patterns of the CLDR
(`_distance`). What is left goes to dateparser, with few languages. Nothing depends on the clock
or the time zone of the machine: a text such as "3 days ago" needs *now*.
"""

from __future__ import annotations

import datetime as dt
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.normalize._common import normalizer, plain
from scrapy_resilience.normalize._dateparser import absolute_day, distance
from scrapy_resilience.normalize._day import (
    FIRST,
    LAST,
    Day,
    Hints,
    hints_of,
    named_day,
    only_words,
    other_day,
    read_day,
    with_digits,
)
from scrapy_resilience.normalize._distance import Distance, measured
from scrapy_resilience.normalize._time import Clock, clock_of, find_clock, is_span
from scrapy_resilience.normalize._zones import UTC, named_zone, zone_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    Found = dict[str, Any] | None

__all__ = ["normalize_date"]


@normalizer
def normalize_date(
    text: str,
    *,
    now: datetime | float | None = None,
    locale: str | None = None,
    languages: Sequence[str] = (),
    order: str | None = None,
    timezone: str | None = None,
) -> dict[str, Any] | None:
    """Read a date: ``"Jan 15, 2024"`` → ``{"iso": "2024-01-15", "timestamp": 1705276800, …}``.

    *now* is when the page was fetched, as a timestamp or a datetime (UTC if it has no zone):
    without it, "yesterday" is ``None``. *locale* (``en-GB``) settles the order of numeric
    dates and the language; *order* (``DMY``, ``MDY``, ``YMD``) and *languages* (two-letter
    codes) overrule it. *timezone* (``Europe/Berlin``, ``+02:00``) is that of days, and of
    times without a zone; UTC by default.

    ``iso`` is a day where the text has no time, else a moment in UTC. ``timestamp`` is in
    seconds, at midnight for a day. ``ambiguous`` is true for a text with a second meaning:
    ``03/04/2024`` without a hint, or a time that clocks show twice. A time that clocks skip,
    a zone with several meanings (``IST``) and a date without its year are ``None``.

    Raises `ConfigurationError` for a *timezone* or an *order* that does not exist, and
    `MissingLibraryError` without the extra ``quality``, where dateparser is needed.
    """
    if order not in _ORDERS:
        raise ConfigurationError(f"order={order!r} is none of DMY, MDY and YMD")
    zone = zone_of(timezone) if timezone else UTC
    names = (languages,) if isinstance(languages, str) else (*languages,)
    hints = hints_of(locale, names, order)
    text = plain(text)
    if not text.isascii():
        text = with_digits(_BULLETS.sub("·", text))
    return _read(text, now, zone, hints) or _read_part(text, now, zone, hints)


_ORDERS = {None, "DMY", "MDY", "YMD"}
_BULLETS = re.compile(r"[●○◦▪▫■□◆◇∙⋅‧・»›→¦]")
_PART = re.compile(r"\s*[|•·]\s*|\s*\bby\s", re.IGNORECASE)
_AUTHOR = re.compile(
    r"\b(?i:by|von|par|por|da|door|av|af|przez)(?: [^\W\d_a-z][^\s\d,|]*){1,4},? "
    r"(?:(?i:on|am|vom|le|el|em|il|op|den|dnia) )(?=.*\d)"
)
"""``by John Doe on`` in front of a date."""


def _read(text: str, now: datetime | float | None, zone: dt.tzinfo, hints: Hints) -> Found:
    if iso := _ISO.fullmatch(text):
        if _is_timetable(text, iso):
            raise ValueError(text)
        clock = clock_of(*iso.group(2, 3, 4, 5)) if iso[2] else None
        return _result(_iso_day(iso[1]), clock, iso[6], zone)
    if found := named_day(text, hints):
        return _result(found, None, None, zone)
    if mail := _MAIL.fullmatch(text):
        clock = clock_of(*mail.group(2, 3, 4))
        return _result(read_day(mail[1], hints), clock, mail[5], zone)
    if basic := _BASIC.fullmatch(text) or _RUN.fullmatch(text):
        clock = clock_of(*basic.group(2, 3, 4))
        return _result(read_day(basic[1], hints), clock, basic[5], zone)
    if at := find_clock(text, hints.languages):
        return _timed(at, now, zone, hints) or _relative(text, now, zone, hints)
    return (
        _result(other_day(text, hints), None, None, zone)
        or _relative(text, now, zone, hints)
        or _result(absolute_day(text, hints), None, None, zone)
    )


def _read_part(text: str, now: datetime | float | None, zone: dt.tzinfo, hints: Hints) -> Found:
    """The only date of a line such as "By John Doe | January 15, 2024"."""
    parts = _PART.split(_AUTHOR.sub("| ", text))
    if not 1 < len(parts) <= _MOST_PARTS:
        return None
    found = [one for part in parts if part and (one := _read(part, now, zone, hints))]
    return found[0] if len(found) == 1 else None


_MOST_PARTS = 4

# --- a time of day ---------------------------------------------------------------------

_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
    r" ?([Zz]|[+-]\d\d:?\d\d|[+-]\d\d)?)?"
)
_BASIC = re.compile(r"(\d{8})T(\d\d)(\d\d)(\d\d)?(Z|[+-]\d{4})?")
_RUN = re.compile(r"(?=\d{14}$|\d{10}:)(\d{8})(\d\d):?(\d\d)(?::?(\d\d))?(Z)?")
"""``20240115103000`` and ``2024011510:30``."""
_MAIL = re.compile(
    r"(?:[A-Z][a-z]{2}, )?(\d{1,2} [A-Z][a-z]{2} \d{4}) (\d\d):(\d\d)(?::(\d\d))?"
    r" (GMT|UTC|Z|[+-]\d{4})"
)
"""As RFC 2822 and HTTP write it."""


def _is_timetable(text: str, iso: re.Match[str]) -> bool:
    """Whether a day has a time and a later one: ``2024-01-15 09:00-10:00``."""
    if iso[4] or not iso[6] or text[len("2024-01-15")] != " ":
        return False
    return is_span(f"{iso[2]}:{iso[3]}", iso[6], attached=False)


def _iso_day(text: str) -> Day | None:
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        return None
    return Day(day) if FIRST <= day.year <= LAST else None


def _timed(
    clock: Clock, now: datetime | float | None, zone: dt.tzinfo, hints: Hints
) -> dict[str, Any] | None:
    """A text with a time: what is left without it is the day."""
    rest = clock.rest
    day = (
        read_day(rest, hints) or _near_day(rest, now, zone, hints) or absolute_day(rest, hints)
    )
    return _result(day, clock.time, clock.zone, zone)


# --- the result ------------------------------------------------------------------------

_PRIME = {"Z", "z", "GMT", "UTC", "+0000", "+00:00"}
_EPOCH = dt.date(1970, 1, 1).toordinal()


def _result(day: Day | None, clock: dt.time | None, name: str | None, zone: dt.tzinfo) -> Found:
    if day is None or not FIRST <= day.day.year <= LAST:
        return None
    if clock is None:
        seconds = 86400 * (day.day.toordinal() - _EPOCH)
        if zone is not UTC:
            seconds = int(datetime.combine(day.day, dt.time(), zone).timestamp())
        return {"iso": day.day.isoformat(), "timestamp": seconds, "ambiguous": day.ambiguous}
    local = datetime.combine(day.day, clock)
    if name in _PRIME or (name is None and zone is UTC):
        return _moment(local.replace(tzinfo=UTC), ambiguous=day.ambiguous)
    if name:
        named = named_zone(name, local, zone)
        if named is None:
            return None
        zone = named
    moment = local.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != local:
        return None  # clocks skip it
    twice = local.replace(tzinfo=zone, fold=1).astimezone(UTC) != moment
    return _moment(moment, ambiguous=day.ambiguous or twice)


def _moment(moment: datetime, *, ambiguous: bool = False) -> Found:
    if not FIRST <= moment.year <= LAST:
        return None
    stamp = moment.timestamp()
    number = stamp if moment.microsecond else int(stamp)
    return {"iso": moment.isoformat(), "timestamp": number, "ambiguous": ambiguous}


# --- relative to the fetch -------------------------------------------------------------

_UNITS = {
    "s": "second", "sec": "second", "m": "minute", "min": "minute", "h": "hour", "hr": "hour",
    "d": "day", "w": "week", "wk": "week", "mo": "month", "mth": "month", "y": "year",
    "yr": "year", "second": "second", "minute": "minute", "hour": "hour", "day": "day",
    "week": "week", "month": "month", "year": "year",
}  # fmt: skip
_QUANTITY = re.compile(rf"(\d{{1,4}} ?|(?:an?|one) )({'|'.join(_UNITS)})s?\b\.?", re.IGNORECASE)
_AGO = re.compile(
    rf"(?<![-\d])\b((?:{_QUANTITY.pattern},? ?(?:and )?){{1,4}})ago\b"
    r"|\b(just now|today|yesterday)\b",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[a-z]+ed\b", re.IGNORECASE)
"""Edited, answered, reviewed: before a distance that is complete without it."""


def _at(now: datetime | float, zone: dt.tzinfo) -> datetime:
    """The time of the fetch on the clocks of *zone*."""
    if not isinstance(now, datetime):
        return datetime.fromtimestamp(now, zone)
    return now.replace(tzinfo=now.tzinfo or UTC).astimezone(zone)


def _relative(text: str, now: datetime | float | None, zone: dt.tzinfo, hints: Hints) -> Found:
    if now is None:
        return None
    far = _ago(text, hints) or distance(text, hints)
    if far is None:
        return None
    here = _at(now, zone)
    day = _months_back(here.date(), far.months)
    if far.days:
        return _result(Day(day - far.rest), None, None, zone)
    if far.months:
        here = datetime.combine(day, here.timetz())
    return _moment(here.astimezone(UTC) - far.rest)


def _near_day(
    text: str, now: datetime | float | None, zone: dt.tzinfo, hints: Hints
) -> Day | None:
    """The day of "yesterday" beside a time."""
    if now is None:
        return None
    far = _ago(text, hints) or distance(text, hints)
    if far is None or not far.days:
        return None
    return Day(_months_back(_at(now, zone).date(), far.months) - far.rest)


def _ago(text: str, hints: Hints) -> Distance | None:
    """A distance in English, with the abbreviations of sites."""
    found = _AGO.search(text)
    if found is None:
        return None
    left = text[: found.start()] + text[found.end() :]
    if not only_words(_LABEL.sub("", left), hints):
        return None
    if word := found[4]:
        days = timedelta(days=word.lower() == "yesterday")
        return Distance(0, days, days=word.lower() != "just now")
    return measured(
        [
            (number.strip() if number[0].isdigit() else "1", _UNITS[unit.lower()])
            for number, unit in _QUANTITY.findall(found[1])
        ]
    )


def _months_back(day: dt.date, months: int) -> dt.date:
    """The same day of an earlier month, or its last one."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    following = dt.date(year + month // 11, (month + 1) % 12 + 1, 1)
    return dt.date(year, month + 1, min(day.day, (following - timedelta(days=1)).day))
