"""The tables of strings in dateparser's tests, as cases: dates, and distances from a moment."""

from __future__ import annotations

import ast
import re
from collections import Counter
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from babel import Locale, localedata
from dateutil.relativedelta import relativedelta

from benchmarks.reports_cases import Case
from benchmarks.reports_tables import given, tables, values

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["dates", "distances"]

_NAMES: Final = {"expected_date": "expected", "date_order": "order", "language": "languages"}
_FIELDS: Final = {
    "date_string", "expected", "languages", "locale", "locales", "order", "period",
    "expected_period",
}  # fmt: skip
_ORDERS: Final = {"DMY", "MDY", "YMD"}
_FIRST: Final = 1583
"""The first year of ours."""
_CLOCK: Final = re.compile(r"\d{1,2}[:.h]\d\d(?:[:.]\d\d)?(?!\.?\d)|[+-]\d\d:?\d\d$")
_SETTINGS: Final = re.compile(r"prefer|strict|preference")
_DIGITS: Final = re.compile(r"-?[\d:.]*\d{5}[\d:.]*")
_TWO_DAYS: Final = re.compile(r"(?<![\d-])\d{1,2}\.?\s?[-–]\s?\d{1,2}(?![\d-])")
_POINTS: Final = re.compile(r"(\d{1,2})\.\s?(\d{1,2})\.\s?\d{4}")
_UNSPACED: Final = "\u0e00"
"""From here on there are scripts without spaces between words."""
_ZONE: Final = re.compile(r"\d[+-]\d\d:?\d\d$")


def dates(source: str, skipped: Counter[str]) -> Iterator[Case]:
    """Tables of ``date_string`` and ``expected``, with a language, a locale or an order."""
    for test, fields, call in tables(source, _NAMES):
        if not {"date_string", "expected"} <= {*fields} <= _FIELDS:
            continue
        row = values(call, fields)
        if row is None or not isinstance(row.get("expected"), datetime):
            skipped["not literal"] += 1
        elif rule := _rule(test, row):
            skipped[rule] += 1
        else:
            wanted = {"iso": _iso(row["expected"])}
            yield Case("date", row["date_string"], _hints(row), wanted, "dateparser")


def _rule(test: str, row: dict[str, Any]) -> str | None:
    """The name of the rule by which a row is left out."""
    text, moment, order = row["date_string"], row["expected"], row.get("order")
    joined = text.startswith(f"{moment:%Y%m%d}")
    rules = {
        "settings": _SETTINGS.search(test),
        "hint": order and order not in _ORDERS,
        "digits": _DIGITS.fullmatch(text) and not joined,
        "clock": not joined and not _is_written(text, moment),
        "order": order and not joined and not _is_ordered(text, moment, order),
        "two days": _TWO_DAYS.search(text),
        "point": _is_american(text, moment),
        "zone": _ZONE.search(text) and "utc" not in test.lower(),
    }
    found = next((rule for rule, breaks in rules.items() if breaks), None)
    return "hint" if found == "order" else found


def _is_american(text: str, moment: datetime) -> bool:
    """Whether the month is read before the day, though there are points between them."""
    points = _POINTS.search(text)
    found = points and (int(points[1]), int(points[2]))
    return moment.month != moment.day and found == (moment.month, moment.day)


def _numbers(text: str) -> list[int]:
    """The numbers beside the time."""
    return [int(digits) for digits in re.findall(r"\d+", _CLOCK.sub(" ", text))]


def _is_written(text: str, moment: datetime) -> bool:
    """Whether a text has the numbers of a year and a day, and a month or a word."""
    day, *others = sorted(_numbers(text), key=lambda number: number != moment.day) or (0,)
    if day != moment.day or not others:
        return False
    if moment.year in others:
        return len(others) > 1 or any(map(str.isalpha, text))
    named = len(others) > 1 or bool(re.search(r"[^\W\d_]{3}", text))
    return moment.year % 100 in others and named


def _is_ordered(text: str, moment: datetime, order: str) -> bool:
    """Whether the numbers of a text stand in the order that is given."""
    found = [number % 100 for number in _numbers(text)[:3]]
    parts = {"D": moment.day, "M": moment.month, "Y": moment.year % 100}
    whole = [parts[letter] for letter in order]
    named = [parts[letter] for letter in order if letter != "M"]
    return found in (whole, named)


def _hints(row: dict[str, Any]) -> dict[str, Any]:
    languages = row.get("languages") or ()
    languages = (languages,) if isinstance(languages, str) else (*languages,)
    locale = row.get("locale") or next(iter(row.get("locales") or ()), None)
    return given({"order": row.get("order"), "languages": languages, "locale": locale})


def _iso(moment: datetime) -> tuple[str, ...]:
    """A moment, and a day where it is its start, as theirs has no days."""
    whole = f"{moment.isoformat()}+00:00"
    starts = moment == moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return (str(moment.date()), whole) if starts else (whole,)


# --- distances -------------------------------------------------------------------------


def distances(source: str, skipped: Counter[str]) -> Iterator[Case]:
    """Tables of ``date_string`` and ``ago``, before the moment that their test calls now."""
    now = _now(source)
    for _, fields, call in tables(source, {}):
        if not {"date_string", "ago"} <= {*fields} <= {"date_string", "ago", "period"}:
            continue
        row = values(call, fields)
        if row is None:
            skipped["not literal"] += 1
        elif not _has_direction(row["date_string"]):
            skipped["no direction"] += 1
        elif row["ago"].get("years", 0) > now.year - _FIRST:
            skipped["years"] += 1
        else:
            moment = now - relativedelta(**row["ago"])
            wanted = [f"{moment.isoformat()}+00:00", str(moment.date())]
            if {"hours", "minutes", "seconds"} & {*row["ago"]}:
                wanted.pop()
            hints = {"now": now}
            yield Case(
                "date", row["date_string"], hints, {"iso": (*wanted,)}, "dateparser, ago"
            )


def _now(source: str) -> datetime:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "self.now":
            match node.value:
                case ast.Call(func=ast.Name(id="datetime"), args=numbers):
                    return datetime(*map(ast.literal_eval, numbers))  # noqa: DTZ001 - as theirs
    raise ValueError("the moment of the table is not found")


def _has_direction(text: str) -> bool:
    """Whether a distance has a word for the past, as the CLDR has it in any language."""
    line = text.casefold()
    if not re.search(r"\d", line):  # a word such as yesterday
        return True
    words = {*re.split(r"[\d\s,.]+", line)}
    found = any(word in words or (word >= _UNSPACED and word in line) for word in _directions())
    return found and not _SUM.match(line)


_SUM: Final = re.compile(r"-|now\b")
"""``now - 2 hours``."""


@cache
def _directions() -> frozenset[str]:
    """Words that more languages have for the past alone than for the future, or in a unit."""
    past: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for name in localedata.locale_identifiers():
        if "_" not in name:
            behind, ahead = _words(name, "past"), _words(name, "future")
            past.update(behind - ahead)
            others.update(ahead | _units(name))
    return frozenset(word for word in past if word and past[word] > others[word])


def _units(name: str) -> set[str]:
    """The names of units alone."""
    units = Locale.parse(name)._data.get("unit_patterns", {})  # noqa: SLF001
    patterns = (
        text
        for unit, widths in units.items()
        if unit.startswith("duration-")
        for forms in widths.values()
        for text in forms.values()
    )
    return {word for text in patterns for word in text.casefold().split() if word != "{0}"}


def _words(name: str, key: str) -> set[str]:
    fields = Locale.parse(name)._data.get("date_fields", {})  # noqa: SLF001
    patterns = (text for field in fields.values() for text in field.get(key, {}).values())
    return {word for text in patterns for word in re.split(r"[\s,.]+|\{0\}", text.casefold())}
