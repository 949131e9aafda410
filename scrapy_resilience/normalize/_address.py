"""What an address has besides a place: remarks, streets, postal codes, a second place."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from scrapy_resilience.normalize._places import CACHED, fold, meanings, of_code

if TYPE_CHECKING:
    from scrapy_resilience.normalize._places import City

__all__ = [
    "WITH_CODES", "cities_of", "has_codes", "has_two", "is_area", "is_known", "is_name",
    "is_strange", "pieces", "without_remarks", "without_streets",
]  # fmt: skip

WITH_CODES: Final = frozenset({"US", "CA", "AU", "BR", "IN", "IT", "MX"})
"""Countries whose addresses have the codes of states."""
_MOST_CITIES: Final = 8
_EAST_ASIA: Final = "\u2e80"
"""From here on texts have no spaces between words, and the country stands first."""
_LONGEST_NAME: Final = 12
_BETWEEN: Final = re.compile(r"[,;|/()\[\]·•،、\n]|\s[-–—]\s")
_FOOTNOTE: Final = re.compile(r"\[(?:\w{1,3}|note \w+|citation needed)\]", re.IGNORECASE)
_BRACKETED: Final = re.compile(r"([^,;|/()\n]+?)(?:\s*\(([^()]*)\)|\s[-–—]\s([^,;|/()\n]+))")
_OF_ONE_NAME: Final = frozenset(
    "de del della dello delle dei degli di da dos das du des la le les los las el al sur sous"
    " am an der dem den ob im bei upon under op aan nad".split()
)
"""Words within the name of one city: ``Stratford upon Avon``."""
_IN_NAMES: Final = _OF_ONE_NAME | frozenset(
    "on in next the of by at à au aux d' l' unter vor zu zum zur auf a d na over pri".split()
)
"""Small words that names of towns have, besides: those that only join places are others."""
_PORTUGUESE: Final = frozenset({"AO", "BR", "CV", "MZ", "PT", "ST"})
"""Where *do* is in names; in Poland it stands between two."""
_LARGE: Final = 17
"""The size of a city with 65,000 people, as a power of two."""
_MOST_TOKENS: Final = 12
_STREET: Final = re.compile(
    r"^(?:no\.? ?)?\d+\S*\s|\b(?:street|avenue|ave|road|rd|boulevard|blvd|lane|drive|suite"
    r"|floor|building|straße|strasse|str|rue|calle|piazza|plaza|platz|allee|ulica|ul)\b\.?|\bst\.?$",
    re.IGNORECASE,
)
_AREA: Final = re.compile(
    r"\b(?:county|parish|borough|province|provincia|prefecture|department|governorate|oblast"
    r"|district|region|departamento|landkreis|kreis|powiat|județ|megye)\b",
    re.IGNORECASE,
)
"""What is not a city, though it stands before a state or a country."""
_DIGIT: Final = re.compile(r"\d")
_POSTAL: Final = re.compile(
    r"\b(?:[A-Z]{1,2}-)?\d{4,6}(?:-\d{3,4})?\b"  # 10115, 62701-1234
    r"(?:\s[A-Z]{2}(?=\s*(?:$|[,;|/)])))?"  # 1012 AB
    r"|\b[A-Z]{1,2}\d[A-Z\d]?\s?\d[A-Z]{2}\b"  # SW1A 1AA
    r"|\b[A-Z]\d[A-Z]\s?\d[A-Z]\d\b"  # M5V 2T6
)
_NO_PLACE: Final = re.compile(
    r"\b(?:remote|hybrid|on-?site|anywhere|worldwide|global|location:?|headquarters|hq"
    r"|asia(?:[\s-]pacific)?|apac|emea|mena)(?:\s+(?:in|from))?\b"
    r"|\b[гм]\.\s?(?=[а-яёґєії])",  # "city of" in Russian and Ukrainian
    re.IGNORECASE,
)
_DANGLING: Final = re.compile(r"\s(?:and|or|und|oder|et|ou)\s*$|^\s*(?:and|or)\s")
_CONTINENTS: Final = frozenset(
    ("africa", "antarctica", "asia", "europe", "north america", "south america", "oceania",
     "latin america", "middle east", "eu", "dach", "benelux", "earth", "world")
)  # fmt: skip
_PARTS_OF_CITIES: Final = frozenset(
    ("centre", "center", "centro", "centrum", "zentrum", "mitte", "cbd", "downtown", "midtown",
     "uptown", "city centre", "city center", "old town", "altstadt", "inner city", "north",
     "south", "east", "west", "nord", "sud", "ost", "zuid", "noord", "oost",
     # counties of England that ISO 3166-2 lacks
     "west yorkshire", "south yorkshire", "north yorkshire", "yorkshire", "west midlands",
     "greater manchester", "merseyside", "tyne and wear", "middlesex", "east sussex",
     "west sussex", "berks", "bucks", "herts", "oxon", "lancs", "yorks")
)  # fmt: skip
_WARD: Final = re.compile(r"[- ](?:ku|gu|dong|shi|si|gun|cho|machi)$|\d", re.IGNORECASE)
_INITIALS: Final = re.compile(r"\b(?:[A-Z]\.){2,}")
_AROUND: Final = re.compile(
    r"^(?:greater|metro|downtown|city of)\s+|\s+(?:metropolitan\s+|metro\s+)?area$",
    re.IGNORECASE,
)


def without_remarks(line: str) -> str:
    """A line without footnotes, *remote* and the like, and with countries in one piece."""
    if "[" in line:
        line = _FOOTNOTE.sub("", line)
    line, count = _NO_PLACE.subn(" ", line)
    if count:
        line = _DANGLING.sub("", line)
    if "(" in line or " - " in line or "–" in line:
        line = _BRACKETED.sub(_whole_country, line)
    return line


def _whole_country(found: re.Match[str]) -> str:
    """``Congo (Kinshasa)``, ``Congo - Kinshasa``, ``Korea (South)``: one country each."""
    more = found[2] or found[3]
    for name in (f"{found[1]} {more}", f"{more} {found[1]}"):
        if meanings(fold(name)).countries:
            return " " + name
    return found[0]


def pieces(line: str) -> list[str]:
    """Cut an address where its signs do, without postal codes."""
    if "." in line:
        line = _INITIALS.sub(lambda initials: initials[0].replace(".", ""), line)
    if _DIGIT.search(line):
        line = _POSTAL.sub(" ", line)
    found: list[str] = []
    for part in _BETWEEN.split(line):
        bare = " ".join(part.split()).strip(" .:-")
        if any(map(str.isalnum, bare)):
            found += [bare] if bare < _EAST_ASIA else _joined(bare)
    return found


def without_streets(parts: list[str]) -> list[str]:
    """Leave out streets and floors, if something else is there."""
    if len(parts) < 2:
        return parts
    return [part for part in parts if is_known(part) or not _STREET.search(part)] or parts


def _joined(part: str) -> list[str]:
    """Return what is known of ``上海市浦东新区``, where the most general comes first.

    And the city that it ends with, where that is in another state: ``東京から大阪``.
    """
    ends = range(min(len(part), _LONGEST_NAME), 1, -1)
    first = next((part[:end] for end in ends if is_known(part[:end])), part)
    rest = part[len(first) :].removesuffix("まで").removesuffix("市")
    found = meanings(fold(first))
    areas = {(state.country, state.group) for state in found.states}
    areas |= {(city.country, city.group) for city in found.cities}
    for start in range(len(rest) - 1) if areas else ():
        if any((city.country, city.group) not in areas for city in cities_of(rest[start:])):
            return [rest[start:], first]
    return [first]


def is_name(city: str, country: str) -> bool:
    """Whether a town may be called so: no signs and no small words that names don't have."""
    words = city.split()
    if len(words) < 3 or city == city.casefold() or is_known(city):
        return True
    return all(
        word in _IN_NAMES
        or (word == "do" and country in _PORTUGUESE)
        or (any(map(str.isalnum, word)) and not word.islower())
        for word in words
    )


def is_strange(parts: list[str]) -> bool:
    """Whether the last of several parts may be a country or a state that nobody knows.

    Not what has a number or the name of the city, and no common part of cities.
    """
    *others, last = parts
    key = fold(last)
    if not others or not any(map(str.isalpha, last)) or _WARD.search(last):
        return False
    if key in _CONTINENTS or key in _PARTS_OF_CITIES:
        return False
    if any(f" {fold(other)} " in f" {key} " for other in others):  # London, Greater London
        return False
    return not (is_known(last) or is_known(_AROUND.sub("", last)))


def has_two(part: str) -> bool:
    """Whether a part begins and ends with places, and has something between them.

    ``CA to Fresno``, whatever the word is that joins them; but words that names have as well
    join only large cities.
    """
    words = part.split()
    if not 2 < len(words) <= _MOST_TOKENS or is_known(part):
        return False
    lengths = range(min(len(words) - 2, 3), 0, -1)
    head = next((words[:at] for at in lengths if _is_place(words[:at])), None)
    tail = next((words[-at:] for at in lengths if _is_place(words[-at:])), None)
    if head is None or tail is None or len(head) + len(tail) >= len(words):
        return False
    between = words[len(head) : len(words) - len(tail)]
    if _IN_NAMES.issuperset(between) or between == ["do"]:
        return not _OF_ONE_NAME.issuperset(between) and _is_large(head) and _is_large(tail)
    return True


def _is_large(words: list[str]) -> bool:
    return any(city.size >= _LARGE for city in cities_of(" ".join(words)))


def _is_place(words: list[str]) -> bool:
    name = " ".join(words)
    return any(map(str.isalnum, name)) and (len(name) > 2 or name.isupper()) and is_known(name)


def is_area(part: str) -> bool:
    """Whether a name says that it is a county or the like, and no city."""
    return bool(_AREA.search(part))


@lru_cache(CACHED)
def is_known(part: str) -> bool:
    found = meanings(fold(part))
    return bool(found.countries or found.states or found.cities) or (
        part.isupper() and has_codes(part)
    )


def has_codes(part: str) -> bool:
    found = of_code(part.casefold())
    return bool(found.countries) or any(state.country in WITH_CODES for state in found.states)


@lru_cache(CACHED)
def cities_of(part: str) -> tuple[City, ...]:
    """Return the cities of a name, the largest first; ``LA`` is one, ``la`` is a word."""
    if len(part) <= len("LA") and part.isascii() and not part.isupper():
        return ()
    found = meanings(fold(part)).cities or meanings(fold(_AROUND.sub("", part))).cities
    return found[:_MOST_CITIES]
