"""Time zones: of a hint, and of the letters behind a time."""

from __future__ import annotations

import datetime as dt
import re
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from scrapy_resilience.exceptions import ConfigurationError

__all__ = ["UTC", "ZONE", "is_zone", "named_zone", "zone_of"]

UTC = dt.timezone.utc
ZONE = r"Z|[+-]\d\d:?\d\d|(?:UTC|GMT) ?(?:[+-]\d{1,2}(?::?\d\d)?)?|[A-Z]{3,5}|[ECMP]T"
"""A zone behind a time, as a regular expression."""

_HOURS = {
    "UTC": 0, "GMT": 0, "Z": 0, "UT": 0, "WET": 0, "WEST": 1, "CET": 1, "CEST": 2, "MEZ": 1,
    "MESZ": 2, "EET": 2, "EEST": 3, "MSK": 3, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5,
    "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "AKST": -9, "AKDT": -8, "HST": -10, "JST": 9,
    "KST": 9, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13,
}  # fmt: skip
"""Zones by their letters: those of RFC 2822, and those with one meaning."""

_CITIES = {
    "ET": "America/New_York",
    "CT": "America/Chicago",
    "MT": "America/Denver",
    "PT": "America/Los_Angeles",
}
"""Zones of the USA without a word on summer time."""

_OFFSET = re.compile(r"(?:UTC|GMT)? ?([+-])(\d{1,2}):?(\d\d)?")


@lru_cache(64)
def zone_of(name: str) -> dt.tzinfo:
    if name.upper() in {"UTC", "GMT", "Z"}:
        return UTC
    if fixed := _OFFSET.fullmatch(name):
        return _fixed(fixed)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"timezone={name!r} is neither a name such as Europe/Berlin nor an offset"
            " such as +02:00"
        ) from error


def _fixed(found: re.Match[str]) -> dt.tzinfo:
    delta = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
    return dt.timezone(-delta if found[1] == "-" else delta)


_FARTHEST = 14
"""Hours: no zone is farther from UTC."""


def named_zone(name: str, local: datetime, zone: dt.tzinfo) -> dt.tzinfo | None:
    """The zone that a text names: as *zone* calls itself, or one with a single meaning."""
    if fixed := _OFFSET.fullmatch(name):
        return _fixed(fixed) if int(fixed[2]) <= _FARTHEST else None
    if local.replace(tzinfo=zone).tzname() == name:
        return zone
    if name in _CITIES:
        return zone_of(_CITIES[name])
    hours = _HOURS.get(name.upper().strip())
    return None if hours is None else dt.timezone(timedelta(hours=hours))


def is_zone(name: str) -> bool:
    """Whether letters are those of a zone, whatever else they mean."""
    return name in _HOURS or name in _CITIES
