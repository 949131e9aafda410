"""Make ``scrapy_resilience/normalize/distances.json`` from the CLDR, through Babel.

``python tools/distances.py`` writes the table. Of each language: ``ago`` and ``in``, what
stands around a number in "3 years ago" (``{0}`` for the number) by its unit; ``units``, the
names of the units alone; ``days``, words such as yesterday with the days that have passed.
``and`` has the words between the parts of a list, of all languages.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

import babel
from babel import Locale

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from cldr import LANGUAGES  # noqa: E402

from scrapy_resilience.normalize._distance import UNITS, distance_key  # noqa: E402

TARGET = ROOT / "scrapy_resilience" / "normalize" / "distances.json"
WIDTHS = ("", "-short", "-narrow")
DIRECTIONS = {"past": "ago", "future": "in"}
NUMBER = "{0}"


def marker(patterns: set[str]) -> str:
    """What all have behind the unit: the word for *ago*."""
    ends = [pattern.partition(NUMBER)[2] for pattern in patterns] or [""]
    size = 0
    while size < len(ends[0]) and all(end.endswith(ends[0][-size - 1 :]) for end in ends):
        size += 1
    common = ends[0][len(ends[0]) - size :]
    if common and common[0] >= "\u2e80":
        return common
    return common[common.index(" ") :] if " " in common else ""


def relative(locale: Locale) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """The patterns of a language by their direction, and its units without the direction."""
    fields = locale._data["date_fields"]  # noqa: SLF001
    found: dict[str, dict[str, str]] = defaultdict(dict)
    units: dict[str, str] = {}
    for direction, name in DIRECTIONS.items():
        for width in WIDTHS:
            patterns: dict[str, str] = {}
            for unit in UNITS:
                forms = fields.get(unit + width, {}).get(direction, {})
                written = {distance_key(each) for each in forms.values() if NUMBER in each}
                patterns |= dict.fromkeys(written, unit)
            tail = marker({*patterns})
            for pattern, unit in patterns.items():
                if found[name].setdefault(pattern, unit) != unit:
                    found[name][pattern] = ""
                add(units, pattern.partition(NUMBER)[2].removesuffix(tail), unit)
    return found, units


def add(units: dict[str, str], name: str, unit: str) -> None:
    """Add the name of a unit; one that has two meanings has none."""
    name = name.strip()
    if name and units.setdefault(name, unit) != unit:
        units[name] = ""


def alone(locale: Locale, units: dict[str, str]) -> None:
    """Add the units as they stand in durations."""
    for unit in UNITS:
        for forms in locale._data["unit_patterns"].get(f"duration-{unit}", {}).values():  # noqa: SLF001
            for form, pattern in forms.items():
                if form != "per":
                    add(units, distance_key(pattern).partition(NUMBER)[2], unit)


def joints(locale: Locale) -> set[str]:
    """The words between the parts of a list."""
    patterns = [
        pattern for style in locale.list_patterns.values() for pattern in style.values()
    ]
    between = [re.sub(r".*\{0\}|\{1\}.*|[\s,،、;]", "", pattern) for pattern in patterns]
    return {distance_key(each) for each in between if each}


def by_unit(names: dict[str, str]) -> dict[str, str]:
    """The names of each unit, in one line."""
    return {
        unit: "|".join(sorted(name for name, of in names.items() if of == unit))
        for unit in UNITS
    }


def main() -> None:
    """Write the table."""
    languages, words = {}, set()
    for language in LANGUAGES:
        locale = Locale.parse(language)
        found, units = relative(locale)
        alone(locale, units)
        day = locale._data["date_fields"]["day"]  # noqa: SLF001
        days = {
            distance_key(word): -int(count) for count, word in day.get("relative", {}).items()
        }
        parts = {name: by_unit(found[name]) for name in DIRECTIONS.values()}
        languages[language] = {**parts, "units": by_unit(units), "days": days}
        words |= joints(locale)
    table = {
        "source": f"CLDR, through Babel {babel.__version__}, by tools/distances.py",
        "and": sorted(words),
        **languages,
    }
    lines = (
        f'"{key}": {json.dumps(value, ensure_ascii=False, sort_keys=True)}'
        for key, value in table.items()
    )
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
