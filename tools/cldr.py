"""Make ``scrapy_resilience/normalize/cldr.json`` from the CLDR, through Babel.

``python tools/cldr.py`` writes the table: currencies and their symbols, the decimal sign
and the order of numeric dates of each locale, and the words of dates. A locale holds only
what its parent (``de`` of ``de_CH``) does not say.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter, defaultdict
from datetime import date, timedelta
from pathlib import Path

import babel
from babel import Locale, dates, localedata
from babel.core import get_global

TARGET = Path(__file__).parents[1] / "scrapy_resilience" / "normalize" / "cldr.json"
LANGUAGES = (
    "af", "am", "ar", "az", "be", "bg", "bn", "bs", "ca", "cs", "cy", "da", "de", "el", "en",
    "es", "et", "eu", "fa", "fi", "fil", "fr", "ga", "gl", "gu", "he", "hi", "hr", "hu", "hy",
    "id", "is", "it", "ja", "ka", "kk", "km", "kn", "ko", "ky", "lo", "lt", "lv", "mk", "ml",
    "mn", "mr", "ms", "my", "nb", "ne", "nl", "nn", "no", "pa", "pl", "ps", "pt", "ro", "ru",
    "si", "sk", "sl", "sq", "sr", "sr_Latn", "sv", "sw", "ta", "te", "th", "tr", "uk", "ur",
    "uz", "vi", "zh", "zh_Hant", "zu",
)  # fmt: skip
"""Those whose words of dates are known: a word's month must be the same in all."""

INVISIBLE = dict.fromkeys(map(ord, "\u200e\u200f\u061c\u200b\u2066\u2067\u2068\u2069\ufeff"))
_LETTERS = r"[^\s\d.,،:/()\-–—]+"
WORD = re.compile(rf"{_LETTERS}(?:\.{_LETTERS})*")
DEFAULTS = {"$": "USD", "£": "GBP", "C$": "CAD"}
"""Of the symbols with more than one meaning, those that mean one where nothing is known."""

KEYS = ("decimal", "order", "currency")


def clean(text: str) -> str:
    """As the normalizers see it: no marks of direction, plain spaces, one form."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text).translate(INVISIBLE)).strip()


def short(name: str) -> str:
    """The name of a locale without its script, as pages write it: zh_TW for zh_Hant_TW."""
    parts = name.split("_")
    return "_".join(part for part in parts if len(part) != 4) if len(parts) > 2 else name


def current_currencies() -> list[str]:
    """The codes that are legal tender somewhere now."""
    tender = get_global("territory_currencies").values()
    return sorted({code for one in tender for code, _, end, legal in one if legal and not end})


def symbols_of(locale: Locale, codes: list[str]) -> dict[str, str]:
    """The symbols of a locale that are not simply the code."""
    found = {}
    for code in codes:
        symbol = clean(locale.currency_symbols.get(code, code))
        if symbol and symbol.casefold() != code.casefold() and not symbol.isdigit():
            found[symbol] = code
    return found


def currency_of(name: str) -> str | None:
    """The currency of a locale's country, or of the likely one of a language."""
    territory = name.rpartition("_")[2]
    if not re.fullmatch("[A-Z]{2}", territory):
        territory = get_global("likely_subtags").get(name, "").rpartition("_")[2]
    tender = get_global("territory_currencies").get(territory, [])
    now = [code for code, _, end, legal in tender if legal and not end]
    return next(iter(now), None)


def decimals(entries: dict[str, dict[str, object]]) -> dict[str, str]:
    """The decimal sign of most locales of a currency, where it is not a point."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in entries.values():
        counts[entry["currency"]][entry["decimal"]] += 1
    most = {code: found.most_common(1)[0][0] for code, found in counts.items() if code}
    return {code: sign for code, sign in sorted(most.items()) if sign == ","}


def order_of(locale: Locale) -> str:
    """The order of day, month and year in the short date: DMY, MDY or YMD."""
    pattern = re.sub(r"'[^']*'", "", locale.date_formats["short"].pattern)
    return "".join(dict.fromkeys(re.sub(r"[^dMy]", "", pattern))).upper()


def words_of(language: str) -> tuple[dict[str, int], set[str]]:
    """The words of a month, and the others, in the dates of a language."""
    locale = Locale.parse(language)
    seen: dict[str, set[int]] = defaultdict(set)
    for month in range(1, 13):
        for style in ("medium", "long", "full"):
            for day in range(7):
                text = dates.format_date(
                    date(2024, month, 9) + timedelta(day), style, locale=locale
                )
                for word in WORD.findall(clean(text).casefold()):
                    seen[word].add(month)
        for context in ("format", "stand-alone"):
            for width in ("wide", "abbreviated"):
                name = clean(locale.months[context][width][month]).casefold().rstrip(".")
                if name and WORD.fullmatch(name) and not re.search(r"\d", name):
                    seen[name].add(month)
    weekdays = {
        word
        for width in ("wide", "abbreviated")
        for name in locale.days["format"][width].values()
        for word in WORD.findall(clean(name).casefold())
    }
    months = {word: min(found) for word, found in seen.items() if len(found) == 1}
    months = {word: month for word, month in months.items() if word not in weekdays}
    return months, {word for word, found in seen.items() if len(found) > 1} | weekdays


def date_words() -> tuple[dict[str, int], dict[str, dict[str, int]], list[str]]:
    """Month names that all languages agree on, those that they don't, and other words."""
    months: dict[str, dict[str, int]] = defaultdict(dict)
    others: set[str] = set()
    for language in LANGUAGES:
        own, more = words_of(language)
        others |= more
        for word, month in own.items():
            months[word][language] = month
    agreed, split = {}, defaultdict(dict)
    for word, found in months.items():
        if len(set(found.values())) == 1:
            agreed[word] = next(iter(found.values()))
        else:
            for language, month in found.items():
                split[language][word] = month
    return agreed, split, sorted(others)


def locales(codes: list[str]) -> dict[str, dict[str, object]]:
    """All that each locale says."""
    found: dict[str, dict[str, object]] = {}
    for name in sorted(localedata.locale_identifiers()):
        locale = Locale.parse(name)
        if "u" in name.split("_"):
            continue
        numbering = locale.default_numbering_system
        signs = locale.number_symbols.get(numbering) or locale.number_symbols["latn"]
        decimal = {"٫": "."}.get(signs.get("decimal", "."), signs.get("decimal", "."))
        entry: dict[str, object] = {"decimal": decimal, "order": order_of(locale)}
        entry["symbols"] = symbols_of(locale, codes)
        entry["currency"] = currency_of(name)
        found[name] = entry
        found.setdefault(short(name), entry)
    return found


def shrink(
    entries: dict[str, dict[str, object]], common: dict[str, str]
) -> dict[str, dict[str, object]]:
    """Leave out what the parent, or the common symbols, say already."""
    small = {}
    for name, entry in entries.items():
        parent = entries.get(name.rpartition("_")[0], {"decimal": ".", "order": "YMD"})
        inherited = {**common, **parent.get("symbols", {})}
        new = {key: entry[key] for key in KEYS if entry[key] != parent.get(key)}
        symbols = {
            symbol: code
            for symbol, code in entry["symbols"].items()
            if inherited.get(symbol) != code
        }
        if symbols:
            new["symbols"] = symbols
        if new or "_" not in name:
            small[name] = new
    return small


def common_symbols(
    entries: dict[str, dict[str, object]],
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Symbols that mean one currency everywhere, and those that don't."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in entries.values():
        for symbol, code in entry["symbols"].items():
            counts[symbol][code] += 1
    one = {symbol: next(iter(found)) for symbol, found in counts.items() if len(found) == 1}
    many = {symbol: sorted(found) for symbol, found in counts.items() if len(found) > 1}
    one |= {symbol: DEFAULTS[symbol] for symbol in many if DEFAULTS.get(symbol)}
    return one, many


def main() -> None:
    """Write the table."""
    codes = current_currencies()
    entries = locales(codes)
    common, many = common_symbols(entries)
    months, split, others = date_words()
    fractions = get_global("currency_fractions")
    table = {
        "source": f"CLDR, through Babel {babel.__version__}, by tools/cldr.py",
        "digits": {
            code: fractions[code][0]
            for code in codes
            if code in fractions and fractions[code][0] != 2
        },
        "codes": codes,
        "decimals": decimals(entries),
        "symbols": common,
        "shared": many,
        "locales": shrink(entries, common),
        "months": months,
        "months_of": split,
        "words": others,
    }
    lines = (
        f'"{key}": {json.dumps(value, ensure_ascii=False, sort_keys=True)}'
        for key, value in table.items()
    )
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
