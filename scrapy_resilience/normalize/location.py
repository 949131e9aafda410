"""Places: ``normalize_location("NYC, NY, USA")``."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy_resilience.normalize._address import (
    WITH_CODES,
    cities_of,
    ends_with_city,
    has_codes,
    has_two,
    is_area,
    is_common,
    is_known,
    is_name,
    is_strange,
    pieces,
    street_and_state,
    with_country,
    without_number,
    without_remarks,
    without_streets,
)
from scrapy_resilience.normalize._common import normalizer, plain
from scrapy_resilience.normalize._places import CACHED, fold, groups, meanings, of_code

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scrapy_resilience.normalize._places import City, Meanings, State

__all__ = ["normalize_location"]

_LONGEST: Final = 200
"""Characters that are looked at: addresses are shorter."""

_MOST_PARTS: Final = 6
_MOST_WORDS: Final = 6
_STATE_SIZE: Final = 20
"""A state goes before a city of its name that has less than half a million people: 2**19."""

_METROPOLIS: Final = 5
"""So much larger, as a power of two, is one that rivals with another of its name."""

_SUBURB: Final = 2
_DISTRICT: Final = 4
"""So much smaller, as a power of two, is a part of the city beside it: one of a name that the
city's state has, and any."""

_CITY_STATES: Final = frozenset({"GI", "HK", "MC", "MO", "SG", "VA"})


class _Area(NamedTuple):
    """What the last parts of a text say, and the parts before them."""

    rest: list[str]
    country: str
    state: State | None
    parts: int
    sure: bool = True
    """False for what more likely is not a state, unless a city confirms it."""


class _Reading(NamedTuple):
    """One way to read a text."""

    level: int
    """3: all of it is a country; 2: a known city; 1: no city is named, or not beside its area;
    0: an unknown one."""
    parts: int
    """Parts of the text that say which area it is."""
    size: int
    """Of the city, as a power of two."""
    city: str | None
    state: str | None
    country: str
    near: bool = False
    """In the region of the hint."""

    @property
    def rank(self) -> tuple[int, bool, int]:
        """What decides between readings, before the size of the city does."""
        return self.level, self.near, self.parts


@normalizer
def normalize_location(text: str, *, region: str | None = None) -> dict[str, Any] | None:
    """Return ``city``, ``state``, ``country``, ``ambiguous`` and ``raw``, or None.

    ``country`` is a code of ISO 3166-1 and ``state`` one of ISO 3166-2 without the country
    (``NY`` of ``US-NY``). A code that is a state's and a country's (``CA``, ``GA``) is what
    its city is in. A state that is not named is that of the city. What two readings differ in
    is None and ``ambiguous`` is true (``"Springfield, USA"``), unless one of them is in
    *region*, an ISO 3166-1 code. A city that is not in the table is kept as it is written
    when its state or country is known. None for a text with two places (``"London / Paris"``).
    """
    line = without_remarks(plain(text[:_LONGEST]))
    if line[-1:].isalnum():
        line = with_country(line)
    near = region.strip().upper() if region else None
    parts = _parts(line)
    if any(map(has_two, parts)):
        return None
    readings = list(_readings(parts))
    if not readings:
        return None
    if near:
        readings = [each._replace(near=each.country == near) for each in readings]
    readings.sort(key=lambda each: (each.level, each.near, each.parts, each.size), reverse=True)
    best = readings[0]
    if any(_is_elsewhere(part, best) for part in parts[: len(parts) - best.parts]):
        return None
    if best.city in parts and not is_name(best.city, best.country):
        return None
    if not (best.parts or best.near) and is_strange(parts):  # Paris, Narnia
        return {"city": best.city, "state": None, "country": None, "ambiguous": True}
    return _merged(readings)


def _is_elsewhere(part: str, best: _Reading) -> bool:
    """Whether a part is a place that neither is, has nor is in what *best* says."""
    found, cities = meanings(fold(part)), cities_of(part)
    if is_common(part):
        return False
    if not (found.countries or found.states or cities) or _is_area(
        found, best, alone=not cities
    ):
        return False
    if cities and cities[0].size + _DISTRICT <= best.size:
        return False
    return part != best.city and not any(_is_within(city, best) for city in cities)


def _is_area(found: Meanings, best: _Reading, *, alone: bool) -> bool:
    """Whether a name is that of the country or of a state in it.

    Of one that is not *alone*, as cities have its name, only of the state that was read.
    """
    if any(country == best.country for (country,) in found.countries):
        return True
    return any(
        state.country == best.country
        and (alone or best.state in {None, state.code, state.group})
        for state in found.states
    )


def _is_within(city: City, best: _Reading) -> bool:
    """Whether *city* is the one that was read, or may be a part of it."""
    if city.country != best.country:
        return False
    if best.city in {None, city.name}:
        return True
    return best.state in {None, city.group} and city.size + _SUBURB <= best.size


def _parts(line: str) -> list[str]:
    """Cut an address into its parts, the most general last."""
    if ("(" in line or "/" in line) and is_known(line):  # Frankfurt (Oder), Biel/Bienne
        return [line.strip()]
    found: list[str] = []
    cut = pieces(line)[-_MOST_PARTS:]
    for part, more in zip(cut, [*cut[1:], ""], strict=False):
        ends = street_and_state(part) if more in {"", "United States"} else None
        found += ends or _words(part if is_known(part) else without_number(part))
    found = without_streets(found)
    if found and fold(found[-1]) == "the":  # Bahamas, The
        found.pop()
    if len(found) > 1 and meanings(fold(f"{found[-1]} {found[-2]}")).countries:
        found[-2:] = [f"{found[-1]} {found[-2]}"]  # Tanzania, United Republic of
    return found


@lru_cache(CACHED)
def _words(part: str) -> tuple[str, ...]:
    """Cut ``New York NY`` and ``Paris France``, where no comma does."""
    words = part.split()
    if not 1 < len(words) <= _MOST_WORDS or is_known(part):
        return (part,)
    for count in range(1, min(len(words), 4)):
        head, tail = " ".join(words[:-count]), " ".join(words[-count:])
        found = meanings(fold(tail))
        if (
            found.countries
            or found.states
            or (tail.isupper() and has_codes(tail))
            or (part.islower() and count == 1 and _has_city(tail, head))
        ):
            before = _words(head)
            if any(reading.level > 0 for reading in _readings([*before, tail])):
                return (*before, tail)
    return (part,)


def _has_city(code: str, name: str) -> bool:
    """Whether a state with this code has the city: ``austin tx``, all in small letters."""
    states = of_code(code).states
    return any(
        _is_in(city, state)
        for state in states
        if _is_written(state)
        for city in cities_of(name)
    )


def _readings(parts: list[str]) -> Iterator[_Reading]:
    """Yield each way to read the parts that the table allows."""
    if not parts:
        return
    if len(parts) == 1:
        yield from _alone(parts[0])
        return
    found = False
    for area in _areas(parts):
        for reading in _in_area(area):
            found = found or reading.level > 0
            yield reading
    for part in parts if not found else ():
        for city in _called(part, cities_of(part)):
            yield _of_city(city, level=0)


def _alone(part: str) -> Iterator[_Reading]:
    """Yield what one name or code can be."""
    found = meanings(fold(part))
    cities = cities_of(part)
    for (country,) in found.countries:
        name = cities[0].name if cities and country in _CITY_STATES else None
        yield _Reading(3, 1, 0, name, None, country)
    for city in _called(part, cities):
        yield _of_city(city, level=2)
    for reading in _as_states(part):
        # Georgia is as likely the state; Niger, a state of Nigeria, is not
        rival = found.countries and reading.country == "US"
        yield reading._replace(level=3, parts=1, size=0) if rival else reading
    if part.isupper():
        for area in _areas([part]):
            yield from _in_area(area)


def _as_states(part: str) -> Iterator[_Reading]:
    """Yield the states of a name, but for those that have a city of it: ``New York``."""
    cities = cities_of(part)
    for state in meanings(fold(part)).states:
        if not any(_is_in(city, state) or _is_city(city, state) for city in cities):
            yield _Reading(2, 0, _STATE_SIZE, None, state.code, state.country)


def _areas(parts: list[str]) -> Iterator[_Area]:
    """Yield what the last part can be, and the last two."""
    *rest, last = parts
    named, coded = meanings(fold(last)), of_code(last.casefold())
    for (country,) in (*named.countries, *coded.countries):
        yield _Area(rest, country, None, 1)
        for state in _states(rest[-1]) if rest else ():
            if state.country == country and (len(rest) > 1 or _is_code(rest[-1], state)):
                yield _Area(rest[:-1], country, state, 2)
    for state in named.states:
        is_city = any(_is_in(city, state) for city in cities_of(last))
        yield _Area(rest, state.country, state, 1, sure=state.country == "US" or not is_city)
    homes = {city.country for city in cities_of(rest[-1])} if rest else set()
    for state in coded.states:
        sure = _is_written(state)
        if sure or state.country in homes:
            yield _Area(rest, state.country, state, 1, sure=sure)


def _in_area(area: _Area) -> Iterator[_Reading]:
    """Yield the cities of an area that are meant, or the area with a city as it is written."""
    state = area.state.code if area.state else None
    if not area.rest:
        if area.sure:
            yield _Reading(1, area.parts, 0, None, state, area.country)
        return
    found: list[_Reading] = []
    for place, part in enumerate(reversed(area.rest)):  # Boston, Lincolnshire, England
        found = [
            _of_city(city, level=1 if place else 2, parts=area.parts, state=state)
            for city in cities_of(part)
            if city.country == area.country and (not area.state or _is_in(city, area.state))
        ]
        if found:
            break
    yield from found
    if area.state is None and len(area.rest) == 1:
        for reading in _as_states(area.rest[0]):
            if reading.country == area.country:
                yield reading._replace(parts=area.parts)
    if area.sure and not found:
        yield from _unknown_in(area, area.rest[-1])


def _unknown_in(area: _Area, name: str) -> Iterator[_Reading]:
    """Yield the area with a city that is not in the table, or without what is no city."""
    state, group = (area.state.code, area.state.group) if area.state else (None, None)
    named = {country for (country,) in meanings(fold(name)).countries}
    if named and not area.state and named.isdisjoint({area.country, *_CITY_STATES}):
        return  # USA, Canada
    if (
        area.country in named
        or is_area(name)
        or any(map(str.isdigit, name))
        or (ends_with_city(name, area.country, group) and is_name(name, area.country))
    ):
        yield _Reading(1, area.parts, 0, None, state, area.country)
    else:
        yield _Reading(0, area.parts, 0, name, state, area.country)


def _of_city(city: City, *, level: int, parts: int = 0, state: str | None = None) -> _Reading:
    state = state or city.group or None
    return _Reading(level, parts, city.size, city.name, state, city.country)


def _called(part: str, cities: tuple[City, ...]) -> Iterable[City]:
    """Leave out cities of another name, if one has this: Changchun is a Cancun too.

    But a metropolis is as likely as a town: Roma is in Texas.
    """
    key = fold(part)
    own = [city for city in cities if fold(city.name) == key]
    if not own:
        return cities
    size = own[0].size
    others = (city for city in cities if city not in own and city.size >= size + _METROPOLIS)
    return [*own, *(city._replace(size=size) for city in others)]


def _states(part: str) -> Iterable[State]:
    return (*meanings(fold(part)).states, *of_code(part.casefold()).states)


def _is_code(part: str, state: State) -> bool:
    return part.casefold() == state.code.casefold()


def _is_written(state: State) -> bool:
    """Whether addresses have this code; numbers are not codes that people write."""
    return state.country in WITH_CODES and not state.code.isdigit()


def _is_in(city: City, state: State) -> bool:
    return city.country == state.country and city.group in {"", state.group}


def _is_city(city: City, state: State) -> bool:
    """Whether a state is this city alone, as Debrecen is: no other has it as its state."""
    return city.country == state.country and (state.country, state.group) not in groups()


def _rivals(each: _Reading, best: _Reading) -> bool:
    """Whether *each* is as likely: of the size, or the city of the two of *Ontario, CA*."""
    is_state = best.parts > 0 and best.city is None and each.country != best.country
    return is_state or each.size >= best.size - 1


def _merged(readings: list[_Reading]) -> dict[str, Any] | None:
    """Return the best reading, without what others that are as good contradict."""
    best, *others = readings
    state: str | None = best.state
    country: str | None = best.country
    for each in others:
        if each.rank != best.rank:
            break
        if _rivals(each, best):
            state = state if each.state == best.state else None
            country = country if each.country == best.country else None
    if best.city is None and state is None and country is None:
        return None
    return {
        "city": best.city,
        "state": state,
        "country": country,
        "ambiguous": (state, country) != (best.state, best.country),
    }
