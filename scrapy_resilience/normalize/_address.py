"""What an address has besides a place: remarks, streets, postal codes, a second place."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from scrapy_resilience.normalize._places import CACHED, fold, meanings, of_code

if TYPE_CHECKING:
    from scrapy_resilience.normalize._places import City

__all__ = [
    "WITH_CODES", "cities_of", "ends_with_city", "has_codes", "has_two", "is_area", "is_common",
    "is_known", "is_name", "is_strange", "pieces", "street_and_state", "with_country",
    "without_number", "without_remarks", "without_streets",
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
_HOUSE: Final = re.compile(
    r"(\d{3,5})(?: [^\s,]+){3,},? [A-Za-z]{2,4}\.?(?:,? \d{5}(?:-\d{4})?)?(?:, United States)?$"
)
"""A number, a street, a city and the code of a state: that number is no postal code."""
_NO_PLACE: Final = re.compile(
    r"\b(?:remote|hybrid|on-?site|anywhere|worldwide|global|location:?|headquarters|hq"
    r"|asia(?:[\s-]pacific)?|apac|emea|mena)(?:\s+(?:in|from))?\b"
    r"|\b[гм]\.\s?(?=[а-яёґєії])",  # "city of" in Russian and Ukrainian
    re.IGNORECASE,
)
_NEAR: Final = re.compile(
    r"^\s*(?:near|nr\.?|close to|bei|près de|cerca de|vicino a)\s", re.IGNORECASE
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
_INITIALS: Final = re.compile(r"\b(?:[A-Z]\.){2,}|\b[A-Z]\. [A-Z]\.(?=\s*(?:$|[,;\d]))")
_AROUND: Final = re.compile(
    r"^(?:greater|metro|downtown|city of)\s+|\s+(?:metropolitan\s+|metro\s+)?area$",
    re.IGNORECASE,
)


def without_remarks(line: str) -> str:
    """A line without footnotes, *remote* and the like, and with countries in one piece."""
    if "[" in line:
        line = _FOOTNOTE.sub("", line)
    if near := _NEAR.match(line):
        line = line[near.end() :]
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
        line = _INITIALS.sub(lambda found: re.sub(r"[. ]", "", found[0]), line)
    if _DIGIT.search(line):
        house = _HOUSE.match(line)
        start = house.end(1) if house else 0
        line = line[:start] + _POSTAL.sub(" ", line[start:])
    found: list[str] = []
    for part in _BETWEEN.split(line):
        bare = " ".join(part.split()).strip(" .:-")
        if any(map(str.isalnum, bare)):
            found += [bare] if bare < _EAST_ASIA else _joined(bare)
    return found


def without_streets(parts: list[str]) -> list[str]:
    """Leave out streets and floors, if something else is there; what stands behind stays."""
    if len(parts) < 2:
        return parts
    found: list[str] = []
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        if is_known(part) or not _STREET.search(part):
            found.append(part)
        elif city := _behind_street(part, following):
            found.append(city)
    return found or parts


def _behind_street(part: str, following: str) -> str | None:
    """The city of ``301 N LEONA GARDEN CITY``, when a state of English addresses follows."""
    words = _ZONE.sub("", part).split()
    if not part[0].isdigit() or not following:
        return None
    states = (*meanings(fold(following)).states, *of_code(following.casefold()).states)
    groups = {(state.country, state.group) for state in states if state.country in _ENGLISH}
    for start in range(max(len(words) - 3, 2), len(words)):
        tail = " ".join(words[start:])
        if words[start - 1].casefold() not in _OF_ONE_NAME and any(
            (city.country, city.group) in groups for city in cities_of(tail)
        ):
            return tail
    return None


def street_and_state(part: str) -> tuple[str, str] | None:
    """Cut ``301 N LEONA GARDEN CITY MI``, where no comma does."""
    if not part[0].isdigit():
        return None
    head, _, code = part.rpartition(" ")
    if head.count(" ") > 1 and len(code) in {2, 3}:
        states = of_code(code.casefold()).states
        if any(state.country in _ENGLISH for state in states):
            return head, code
    return None


_ENGLISH: Final = frozenset({"US", "CA", "AU"})
"""Where the number stands before the street, and the city behind it."""
_ZONE: Final = re.compile(r"(?<=[^\W\d]) \d{1,2}$")
"""``CHICAGO 32``, as before there were postal codes."""
_NUMBERED: Final = re.compile(r"^\D+\s\d+\s?[a-z]?\s+(?=[^\W\d])")


def without_number(part: str) -> str:
    """The city of ``Ackermannstr. 12a Frankfurt am Main``, or all of *part*."""
    found = _NUMBERED.match(part) if _DIGIT.search(part) else None
    return part[found.end() :] if found and cities_of(part[found.end() :]) else part


def ends_with_city(part: str, country: str, group: str | None) -> bool:
    """Whether a name of more words ends with a city of the state or country."""
    words = part.split()
    return any(
        city.country == country and group in {None, city.group}
        for start in range(2, len(words))
        for city in cities_of(" ".join(words[start:]))
    )


def with_country(line: str) -> str:
    """A line that ends with a postal code of one country, with that country."""
    if not _DIGIT.search(line):
        return line
    if found := _ZIP.search(line):
        if found[2].startswith(_ZIPS.get(found[1], "x")):
            return f"{line}, United States"
    elif _BRITISH.search(line):
        return f"{line}, United Kingdom"
    elif _CANADIAN.search(line):
        return f"{line}, Canada"
    return line


_ZIP: Final = re.compile(r"\b([A-Z]{2}),? (\d{5})(?:-\d{4})?\s*$")
_BRITISH: Final = re.compile(r"\b[A-Z]{1,2}\d[A-Z\d]?\s?\d[A-Z]{2}\s*$")
_CANADIAN: Final = re.compile(r"\b[A-Z]\d[A-Z]\s?\d[A-Z]\d\s*$")
_ZIPS: Final = {
    state: digits
    for digits, states in {
        "0": "CT MA ME NH NJ RI VT", "1": "NY PA", "19": "DE", "2": "DC MD NC SC VA WV",
        "3": "AL FL GA MS TN", "4": "IN KY MI OH", "5": "IA MN MT ND SD WI",
        "6": "IL KS MO NE", "7": "AR LA OK TX", "8": "AZ CO ID NM NV UT WY",
        "9": "AK CA HI OR WA",
    }.items()
    for state in states.split()
}  # fmt: skip
"""How the ZIP codes of a state begin."""


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


def is_common(part: str) -> bool:
    """Whether a part is one that many cities have, or a county without a code."""
    return fold(part) in _PARTS_OF_CITIES


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
