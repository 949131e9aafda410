"""Dates: a day, or a moment in UTC.

The day is read by its form: ISO 8601, numbers, or names of months in 80 languages (`_day`).
What is left goes to dateparser, with few languages. Nothing depends on the clock or the time
zone of the machine: a text such as "3 days ago" needs *now*.
"""

from __future__ import annotations

import datetime as dt
import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.normalize._common import library, normalizer, plain
from scrapy_resilience.normalize._day import (
    FIRST,
    LAST,
    Day,
    Hints,
    hints_of,
    is_split,
    known_word,
    named_day,
    only_words,
    read_day,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    Found = dict[str, Any] | None

__all__ = ["normalize_date"]

UTC = dt.timezone.utc


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
    zone = _zone(timezone) if timezone else UTC
    names = (languages,) if isinstance(languages, str) else (*languages,)
    hints = hints_of(locale, names, order)
    text = plain(text)
    return _read(text, now, zone, hints) or _read_part(text, now, zone, hints)


_ORDERS = {None, "DMY", "MDY", "YMD"}
_PART = re.compile(r"\s*[|•·]\s*|\s*\bby\s", re.IGNORECASE)


def _read(text: str, now: datetime | float | None, zone: dt.tzinfo, hints: Hints) -> Found:
    if iso := _ISO.fullmatch(text):
        return _result(_iso_day(iso[1]), _clock(iso.group(2, 3, 4, 5)), iso[6], zone)
    if found := named_day(text, hints):
        return _result(found, None, None, zone)
    if mail := _MAIL.fullmatch(text):
        clock = _clock((*mail.group(2, 3, 4), None))
        return _result(read_day(mail[1], hints), clock, mail[5], zone)
    if basic := _BASIC.fullmatch(text):
        clock = _clock((*basic.group(2, 3, 4), None))
        return _result(read_day(basic[1], hints), clock, basic[5], zone)
    at = _TIME.search(text) if _CLOCK.search(text) else None
    if at:
        return _timed(text, at, now, zone, hints)
    return (
        _result(read_day(text, hints), None, None, zone)
        or _relative(text, now, zone, hints)
        or _result(_engine(text, hints), None, None, zone)
    )


def _read_part(text: str, now: datetime | float | None, zone: dt.tzinfo, hints: Hints) -> Found:
    """The only date of a line such as "By John Doe | January 15, 2024"."""
    parts = _PART.split(text)
    if not 1 < len(parts) <= _MOST_PARTS:
        return None
    found = [one for part in parts if part and (one := _read(part, now, zone, hints))]
    return found[0] if len(found) == 1 else None


_MOST_PARTS = 4

# --- a time of day ---------------------------------------------------------------------

_ZONE = r"Z|[+-]\d\d:?\d\d|(?:UTC|GMT) ?(?:[+-]\d{1,2}(?::?\d\d)?)?|[A-Z]{3,5}|[ECMP]T"
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
    r" ?([Zz]|[+-]\d\d:?\d\d|[+-]\d\d)?)?"
)
_BASIC = re.compile(r"(\d{8})T(\d\d)(\d\d)(\d\d)?(Z|[+-]\d{4})?")
_MAIL = re.compile(
    r"(?:[A-Z][a-z]{2}, )?(\d{1,2} [A-Z][a-z]{2} \d{4}) (\d\d):(\d\d)(?::(\d\d))?"
    r" (GMT|UTC|Z|[+-]\d{4})"
)
"""As RFC 2822 and HTTP write it."""

_CLOCK = re.compile(r"\d[:h]\d|\d ?[aApP]\.?[mM]\b")
_TIME = re.compile(
    r"(?<![\d.:/])(\d{1,2})(?:"
    r"[:h](\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?!\d)(?: ?([aApP])\.?[mM]\b\.?)?"
    r"| ?([aApP])\.?[mM]\b\.?)"
    rf"(?: ?(?P<zone>{_ZONE}|\((?:{_ZONE})\))(?!\w))?(?: ?\([A-Za-z ]+\))?"
)


def _iso_day(text: str) -> Day | None:
    try:
        return Day(dt.date.fromisoformat(text))
    except ValueError:
        return None


def _clock(parts: Sequence[str | None], half: str | None = None) -> dt.time | None:
    """The time of day; raises ValueError for one that no clock shows."""
    hour, minute, second, fraction = parts
    if hour is None:
        return None
    number = int(hour)
    if half:
        if not 1 <= number <= 12:
            raise ValueError
        number = number % 12 + (12 if half in "pP" else 0)
    micro = int((fraction or "0").ljust(6, "0")[:6])
    return dt.time(number, int(minute or 0), int(second or 0), micro)


def _timed(
    text: str, at: re.Match[str], now: datetime | float | None, zone: dt.tzinfo, hints: Hints
) -> dict[str, Any] | None:
    """A text with a time: what is left without it is the day."""
    name, end = at["zone"], at.end()
    if name and name.isalpha() and known_word(name):  # 10:30 JAN 15 2024
        name, end = None, at.start("zone")
    rest = f"{text[: at.start()].rstrip(' ,-').removesuffix('T')} {text[end:]}".strip(" ,-|·•")
    day = read_day(rest, hints) or _near_day(rest, now, zone) or _engine(rest, hints)
    clock = _clock(at.group(1, 2, 3, 4), half=at[5] or at[6])
    return _result(day, clock, name and name.strip("()"), zone)


# --- zones -----------------------------------------------------------------------------

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
def _zone(name: str) -> dt.tzinfo:
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


def _named_zone(name: str, local: datetime, zone: dt.tzinfo) -> dt.tzinfo | None:
    """The zone that a text names: as *zone* calls itself, or one with a single meaning."""
    if fixed := _OFFSET.fullmatch(name):
        return _fixed(fixed)
    if local.replace(tzinfo=zone).tzname() == name:
        return zone
    if name in _CITIES:
        return _zone(_CITIES[name])
    hours = _HOURS.get(name.upper().strip())
    return None if hours is None else dt.timezone(timedelta(hours=hours))


# --- the result ------------------------------------------------------------------------

_PRIME = {"Z", "z", "GMT", "UTC", "+0000", "+00:00"}
_EPOCH = dt.date(1970, 1, 1).toordinal()


def _result(day: Day | None, clock: dt.time | None, name: str | None, zone: dt.tzinfo) -> Found:
    if day is None:
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
        named = _named_zone(name, local, zone)
        if named is None:
            return None
        zone = named
    moment = local.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != local:
        return None  # clocks skip it
    twice = local.replace(tzinfo=zone, fold=1).astimezone(UTC) != moment
    return _moment(moment, ambiguous=day.ambiguous or twice)


def _moment(moment: datetime, *, ambiguous: bool = False) -> dict[str, Any]:
    stamp = moment.timestamp()
    number = stamp if moment.microsecond else int(stamp)
    return {"iso": moment.isoformat(), "timestamp": number, "ambiguous": ambiguous}


# --- relative to the fetch -------------------------------------------------------------

_AGO = re.compile(
    r"\b(\d{1,4}|an?|one) ?(s|sec|m|min|h|hr|d|w|wk|mo|y|yr|second|minute|hour|day|week|month"
    r"|year)s?\.? ago\b|\b(just now|today|yesterday)\b",
    re.IGNORECASE,
)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DAY = 86400
_LABEL = re.compile(
    r"^(?:(?:[^\W\d_]+ ){0,3}[^\W\d_]+: ?|\w*publi\w* |posted |updated )", re.IGNORECASE
)


def _at(now: datetime | float, zone: dt.tzinfo) -> datetime:
    """The time of the fetch on the clocks of *zone*."""
    if not isinstance(now, datetime):
        return datetime.fromtimestamp(now, zone)
    return now.replace(tzinfo=now.tzinfo or UTC).astimezone(zone)


def _relative(text: str, now: datetime | float | None, zone: dt.tzinfo, hints: Hints) -> Found:
    if now is None:
        return None
    here = _at(now, zone)
    found = _AGO.search(text)
    if found and only_words(text[: found.start()] + text[found.end() :], hints):
        return _ago(found, here, zone)
    return _translated(text, here, zone, hints)


def _near_day(text: str, now: datetime | float | None, zone: dt.tzinfo) -> Day | None:
    """The day of "yesterday" beside a time."""
    found = _AGO.search(text)
    if now is None or found is None or not found[3]:
        return None
    return Day(_at(now, zone).date() - timedelta(days=found[3].lower() == "yesterday"))


def _ago(found: re.Match[str], here: datetime, zone: dt.tzinfo) -> dict[str, Any] | None:
    count, unit, word = found.groups()
    if word:
        if word.lower() == "just now":
            return _moment(here.astimezone(UTC))
        return _result(
            Day(here.date() - timedelta(days=word.lower() == "yesterday")), None, None, zone
        )
    number = int(count) if count.isdigit() else 1
    unit = unit.lower()
    if unit.startswith(("mo", "y")):
        return _result(
            Day(_months_back(here.date(), number * (12 if unit[0] == "y" else 1))),
            None,
            None,
            zone,
        )
    seconds = number * _SECONDS[unit[0]]
    if unit[0] in "dw":
        return _result(Day(here.date() - timedelta(seconds=seconds)), None, None, zone)
    return _moment(here.astimezone(UTC) - timedelta(seconds=seconds))


def _months_back(day: dt.date, months: int) -> dt.date:
    """The same day of an earlier month, or its last one."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    following = dt.date(year + month // 11, (month + 1) % 12 + 1, 1)
    return dt.date(year, month + 1, min(day.day, (following - timedelta(days=1)).day))


# --- dateparser ------------------------------------------------------------------------

_LATIN = ("en", "es", "fr", "de", "it", "pt", "nl", "pl", "tr")
_SCRIPTS = (
    ("[\u3040-\u30ff\u4e00-\u9fff]", ("ja", "zh")),
    ("[\uac00-\ud7af]", ("ko",)),
    ("[\u0400-\u04ff]", ("ru", "uk", "bg")),
    ("[\u0370-\u03ff]", ("el",)),
    ("[\u0590-\u05ff]", ("he",)),
    ("[\u0600-\u06ff]", ("ar", "fa")),
    ("[\u0900-\u097f]", ("hi",)),
    ("[\u0e00-\u0e7f]", ("th",)),
)


def _languages(text: str) -> tuple[str, ...]:
    """The languages to try where no hint names any: each costs time and memory."""
    if not text.isascii():
        for script, languages in _SCRIPTS:
            if re.search(script, text):
                return languages
    return _LATIN


_MAX_LENGTH = 64
_BASE = datetime(2001, 3, 15, 12)  # noqa: DTZ001 - only differences to it count
_SPAN = re.compile(r"(?:\d+ ?[^\W\d_\u2e80-\uffff]+\.?,? ?)+")
"""Two days, but neither ago nor to come; Chinese and its like have the word attached."""
_NAMES = re.compile(r"^[^$€£¥₹%@]*[^\W\d_]{2}[^$€£¥₹%@]*$")


@lru_cache(32)
def _parser(languages: tuple[str, ...], kind: str) -> Any:
    # RELATIVE_BASE can't be each page's time: dateparser keeps all settings it ever saw.
    settings = {
        "PARSERS": [kind],
        "RELATIVE_BASE": _BASE,
        "REQUIRE_PARTS": ["day", "month", "year"],
        "TIMEZONE": "UTC",
    }
    parser = library("dateparser.date").DateDataParser
    return parser(languages=list(languages), settings=settings)


@lru_cache(4096)
def _distance(text: str, languages: tuple[str, ...]) -> tuple[int, timedelta] | None:
    """How far back a relative date is: months, and the rest."""
    found = _parser(languages, "relative-time").get_date_data(text)
    moment = found.date_obj
    if moment is None or moment.tzinfo:
        return None
    if found.period in {"month", "year"}:
        return 12 * (_BASE.year - moment.year) + _BASE.month - moment.month, timedelta()
    return 0, _BASE - moment


def _translated(
    text: str, here: datetime, zone: dt.tzinfo, hints: Hints
) -> dict[str, Any] | None:
    """A relative date in another language than English."""
    text = _LABEL.sub("", text)
    if len(text) > _MAX_LENGTH or _SPAN.fullmatch(text):
        return None
    distance = _distance(text, hints.languages or _languages(text))
    if distance is None:
        return None
    months, passed = distance
    if passed % timedelta(days=1):
        return _moment(here.astimezone(UTC) - passed)
    return _result(Day(_months_back(here.date(), months) - passed), None, None, zone)


@lru_cache(4096)
def _absolute(text: str, languages: tuple[str, ...]) -> dt.date | None:
    found = _parser(languages, "absolute-time").get_date_data(text).date_obj
    return found.date() if found and not found.tzinfo else None


def _engine(text: str, hints: Hints) -> Day | None:
    """What dateparser takes for a day whose numbers stand in the text."""
    text = _LABEL.sub("", text)
    numbers = re.findall(r"\d+", text)
    if len(text) > _MAX_LENGTH or len(numbers) != 2 or not _NAMES.search(text):
        return None
    if not hints.languages and is_split(text):
        return None
    day = _absolute(text, hints.languages or _languages(text))
    if day is None or not FIRST <= day.year <= LAST or str(day.year) not in numbers:
        return None
    return Day(day) if {str(day.day), f"{day.day:02}"} & {*numbers} else None
