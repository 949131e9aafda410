"""Make ``scrapy_resilience/normalize/day_parts.json`` from the CLDR, through Babel.

``python tools/day_parts.py`` writes the table: for each language the words for a part of the
day, as `day_part_key` makes them, with the hours they stand for (bit 13 is 13:00 to 13:59),
and the other words that languages have beside a time.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

import babel
from babel import Locale, localedata

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from scrapy_resilience.normalize._time import day_part_key  # noqa: E402

TARGET = ROOT / "scrapy_resilience" / "normalize" / "day_parts.json"
HALVES = {"am": range(12), "pm": range(12, 24)}
_WORD = re.compile(r"[^\s\d.,:()\-–—'’]{1,12}")


def hours_of(locale: Locale, period: str) -> int:
    """The hours of a period, as bits. Midnight is of the day before or the next: no hours."""
    hours = set(HALVES.get(period, ()))
    for rule in locale.day_period_rules.get(None, {}).get(period, ()):
        if "at" in rule:
            start = stop = int(rule["at"]) // 3600
        else:
            start, stop = int(rule["from"]) // 3600, int(rule["before"]) // 3600
        if period != "midnight":
            count = (stop - start) % 24 or (1 if start == stop else 24)
            hours |= {(start + hour) % 24 for hour in range(count)}
    return sum(1 << hour for hour in hours)


def main() -> None:
    """Write the table."""
    parts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    words: set[str] = set()
    for name in localedata.locale_identifiers():
        locale = Locale.parse(name)
        for widths in locale.day_periods.values():
            for periods in widths.values():
                for period, word in periods.items():
                    if key := day_part_key(word):
                        parts[locale.language][key] |= hours_of(locale, period)
        patterns = [locale.time_formats[style].pattern for style in ("short", "medium")]
        patterns += [str(pattern) for pattern in locale.datetime_formats.values()]
        for pattern in patterns:
            quoted = " ".join(re.findall(r"'([^']+)'", pattern))
            bare = re.sub(r"'[^']*'|[A-Za-z{}]", " ", pattern)
            words |= {word.casefold() for word in _WORD.findall(f"{quoted} {bare}")}
    table = {
        "source": f"CLDR, through Babel {babel.__version__}, by tools/day_parts.py",
        "words": sorted(words),
        "parts": parts,
    }
    lines = (
        f'"{key}": {json.dumps(value, ensure_ascii=False, sort_keys=True)}'
        for key, value in table.items()
    )
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
