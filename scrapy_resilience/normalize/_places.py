"""The table of countries, states and cities that ``tools/places.py`` makes.

Its data is that of GeoNames (CC BY 4.0) and of the Unicode CLDR; see ``NOTICE.txt``.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final, NamedTuple

import zstandard

__all__ = [
    "CACHED",
    "City",
    "Country",
    "Meanings",
    "State",
    "fold",
    "groups",
    "meanings",
    "of_code",
]

CACHED: Final = 4096
_DROPPED: Final = re.compile(r"[.'’`ʻʼ]+")
_SPACES: Final = re.compile(r"[\W_]+")
_SAINTS: Final = re.compile(r"\b(?:saint|fort|mount)\b")


class Country(NamedTuple):
    """A country by its code."""

    country: str


class State(NamedTuple):
    """A part of a country: codes of ISO 3166-2, and that of the group with its cities."""

    country: str
    code: str
    group: str


class City(NamedTuple):
    """A city, the code of its state ("" if unknown) and the power of two of its size."""

    name: str
    country: str
    group: str
    size: int


class Meanings(NamedTuple):
    """What a name or a code can mean; a city's own name and the largest city come first."""

    countries: tuple[Country, ...] = ()
    states: tuple[State, ...] = ()
    cities: tuple[City, ...] = ()


@lru_cache(CACHED)
def fold(name: str) -> str:
    """*name* as it is looked up: no accents, no marks, ``st`` for ``Saint``."""
    if not name.isascii():
        marked = unicodedata.normalize("NFKD", name)
        name = "".join(each for each in marked if not unicodedata.combining(each))
    name = _SPACES.sub(" ", _DROPPED.sub("", name.casefold())).strip()
    return _SAINTS.sub(_short, name) if "t" in name else name


@lru_cache(CACHED)
def meanings(name: str) -> Meanings:
    """What a folded *name* can mean."""
    entry = _table().get(name)
    return _read(name, entry) if entry else Meanings()


def of_code(code: str) -> Meanings:
    """What a code of a country or a state can mean, as ``ny``."""
    return meanings(f"#{code}")


@cache
def groups() -> frozenset[tuple[str, str]]:
    """Countries with the codes of the groups of states that have cities."""
    cities = (each for entry in _table().values() for each in entry.split("\t"))
    return frozenset((each[1:3], each.split(".", 2)[1]) for each in cities if each[0] == "p")


def _short(word: re.Match[str]) -> str:
    return word[0][0] + "t"


def _read(key: str, entry: str) -> Meanings:
    countries, states, cities = [], [], []
    for each in entry.split("\t"):
        kind, (country, *rest) = each[0], each[1:].split(".", 2)
        if kind == "c":
            countries.append(Country(country))
        elif kind == "s":
            states.append(State(country, rest[0], rest[-1]))
        else:
            group, city = rest
            name = city[1:] or key.title()
            cities.append(City(name, country, group, ord(city[0]) - ord("a")))
    cities.sort(key=lambda city: (fold(city.name) != key, -city.size))
    return Meanings(tuple(countries), tuple(states), tuple(cities))


@cache
def _table() -> dict[str, str]:
    """Return each line of the table by its name."""
    packed = files(__package__).joinpath("places.txt.zst").read_bytes()
    lines = zstandard.decompress(packed).decode("utf-8").split("\n")
    return dict(line.split("\t", 1) for line in lines)
