"""How far a relative date is: by the patterns of the CLDR, months before days.

``vor 1 Jahr und 2 Monaten`` has the words that the CLDR puts around the last number, and names
of units with *and* or commas between the others. What it can't read, dateparser may.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy_resilience.normalize._common import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["UNITS", "Distance", "distance_key", "measured", "written_distance"]


class Distance(NamedTuple):
    """How far back a relative date is: months by the calendar, then the rest."""

    months: int
    rest: timedelta
    days: bool
    """Whether it is one of whole days, which has no time of day."""


UNITS: Final = ("year", "month", "week", "day", "hour", "minute", "second")
_MONTHS: Final = {"month": 1, "year": 12, "decade": 120, "century": 1200}
_SECONDS: Final = {
    "second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800, "fortnight": 1209600,
}  # fmt: skip
_SMALL: Final = frozenset({"second", "minute", "hour"})


def measured(quantities: Iterable[tuple[str, str]], *, ahead: bool = False) -> Distance | None:
    """The distance of numbers with English units.

    ``None`` for a unit that comes twice, and for a part of a month.
    """
    months, seconds, sign = 0, 0.0, -1 if ahead else 1
    units = set()
    for number, unit in quantities:
        if unit in units:
            return None
        units.add(unit)
        if unit in _SECONDS:
            seconds += float(number.replace(",", ".")) * _SECONDS[unit]
        elif number.isdigit():
            months += int(number) * _MONTHS[unit]
        else:
            return None
    rest = timedelta(seconds=sign * seconds)
    whole = _SMALL.isdisjoint(units) and not rest % timedelta(days=1)
    return Distance(sign * months, rest, whole)


# --- by the CLDR -----------------------------------------------------------------------

_NUMBERS: Final = re.compile(r"(\d{1,4})")
_FRACTION: Final = re.compile(r"\d[.,]\d")
_MOST: Final = 4
_EDGES: Final = " ,،、;"


_ABOUT: Final = re.compile(
    r"(?<!\w)(?:about|around|approximately|approx|circa|cirka|ca|etwa|ungefähr|environ|unos|unas"
    r"|aproximadamente|alrededor de|cerca de|aproximativ|ongeveer|około|ok|около|примерно"
    r"|приблизно|asi|přibližně|noin|körülbelül|yaklaşık|প্রায়|প্রায়) (?=(?:\w+ )?(?:\d|\{0\}))"
    r"|(?:大约|大約|约|約|약) ?(?=\d|\{0\})"
)
"""Words for *about*: a distance is as far as it says."""


def distance_key(text: str) -> str:
    """A text as it is looked up: small letters, no points, no spaces around a number."""
    text = " ".join(plain(text).casefold().replace(".", "").split())
    text = _ABOUT.sub("", text.replace("ঘন্টা", "ঘণ্টা"))
    return text.replace(" {0}", "{0}").replace("{0} ", "{0}")


def written_distance(text: str, languages: Sequence[str]) -> Distance | None:
    """The distance that a text in plain form says.

    Raises ValueError for one that is another in the next language.
    """
    found = _written(text, (*languages,) or _table()["languages"])
    if len(found) > 1:
        raise ValueError(text)
    return next(iter(found), None)


@lru_cache(4096)
def _written(text: str, languages: tuple[str, ...]) -> frozenset[Distance]:
    fraction, text = _FRACTION.search(text), distance_key(text)
    head, *parts = (part.strip() for part in _NUMBERS.split(text))
    if len(parts) > 2 * _MOST or fraction:
        return frozenset()
    found = (_in_language(text, head, parts, language) for language in languages)
    return frozenset(filter(None, found))


def _in_language(text: str, head: str, parts: Sequence[str], language: str) -> Distance | None:
    names = _names(language)
    if not parts:
        days = names.days.get(text)
        return None if days is None else Distance(0, timedelta(days=days), days=True)
    numbers, words = parts[::2], parts[1::2]
    pattern = f"{head}{{0}}{words[-1]}"
    last = names.ago.get(pattern) or names.ahead.get(pattern)
    if last is None:
        return None
    units = [*(_unit(word.removesuffix(head), names) for word in words[:-1]), last]
    if not all(units):
        return None
    return measured(zip(numbers, units, strict=True), ahead=pattern in names.ahead)


def _unit(words: str, names: _Names) -> str:
    """The unit that words between two numbers name: ``Jahr und``, and ``il öncə``."""
    words = words.strip(_EDGES)
    if found := names.units.get(words) or names.ago.get(f"{{0}}{words}"):
        return found
    for joint in _table()["and"]:
        if words.endswith(joint) and (
            found := names.units.get(words.removesuffix(joint).strip(_EDGES))
        ):
            return found
    return ""


_MORE_DAYS: Final = {"pl": {"dziś": 0}, "ja": {"きのう": 1}, "el": {"εχθές": 1}}
"""Words that the CLDR lacks."""


class _Names(NamedTuple):
    """The units by what a language writes, and its words for days."""

    ago: dict[str, str]
    ahead: dict[str, str]
    units: dict[str, str]
    days: dict[str, int]


@cache
def _names(language: str) -> _Names:
    entry = _table().get(language, {})
    ago, ahead, units = (
        {name: unit for unit, names in entry.get(part, {}).items() for name in names.split("|")}
        for part in ("ago", "in", "units")
    )
    return _Names(ago, ahead, units, entry.get("days", {}) | _MORE_DAYS.get(language, {}))


@cache
def _table() -> dict[str, Any]:
    """The table that ``tools/distances.py`` makes."""
    text = files(__package__).joinpath("distances.json").read_text("utf-8")
    table: dict[str, Any] = json.loads(text)
    table["languages"] = tuple(name for name, entry in table.items() if "days" in entry)
    return table
