"""Which ISO 4217 currencies a symbol, a code or a word may mean.

The symbols come from the CLDR (``tools/cldr.py``); what shops write besides stands here.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from scrapy_resilience.normalize._common import chain, cldr

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ENGLISH", "Meaning", "Symbols", "decimal_sign", "symbols"]

_ALIASES = {
    "AED": "Dhs Dhs.",
    "BBD": "BDS$ Bds$",
    "BHD": "BD",
    "BGN": "лв",
    "BTC": "BTC XBT ₿",
    "CHF": "Fr. Fr SFr SFr. sFr. Franken",
    "CNY": "RMB 人民币 元 yuan",
    "CZK": "Kc kc kč KČ",
    "EUR": "euro euros Euro Euros EURO EUROS евро ευρώ",
    "GBP": "pound pounds Pounds stg",
    "HUF": "ft forint",
    "IDR": "Rp.",
    "GYD": "GY$",
    "ILS": "NIS שח ש״ח",
    "JMD": "J$ JA$",
    "JOD": "JD",
    "JPY": "円 日元 yen Yen",
    "KES": "KSh Kshs KSh.",
    "KRW": "원 won",
    "KWD": "KD",
    "KZT": "тг тг. тңг теңге тенге",
    "PEN": "S/.",
    "PLN": "zl Zł ZŁ zl. zł. złotych",
    "QAR": "QR",
    "RON": "lei Lei LEI leu",
    "RSD": "дин din динар динара dinara RSD.",
    "RUB": "руб руб. Руб. РУБ р р. Р рублей рубля",
    "THB": "บาท",
    "TRY": "TL TL.",
    "TTD": "TT$",
    "TWD": "NTD NT",
    "USD": "U$S U$D",
    "UAH": "грн грн. ГРН гривень",
    "UZS": "сум",
    "VND": "đ ₫ đồng VNĐ",
}
_SHARED = {
    "$": "dollar dollars Dollar Dollars",
    "Rs": "Rs. rs rs. RS RS. Re. rupees Rupees रु रु. रू",
    "kr": "kr. Kr Kr. KR kronor kroner krónur",
    "¥": "",
    "Br": "Br. br",
}
_SHARED_MORE = {
    "Rs": ("LKR", "NPR"),
    "FCFA": ("XOF", "XAF"),
    "kr": ("ISK",),
    "SR": ("SAR", "SCR"),
    "ريال": ("SAR", "QAR", "YER", "OMR"),
    "درهم": ("AED", "MAD"),
    "جنيه": ("EGP", "SDG"),
    "دينار": ("KWD", "BHD", "JOD", "IQD", "LYD", "DZD", "TND"),
}
_MINOR = {"¢": "$", "p": "£"}
"""Hundredths, and the symbol of their whole."""

_LOWER = (
    "aud", "brl", "cad", "chf", "cny", "czk", "dkk", "eur", "gbp", "hkd", "huf", "inr", "jpy",
    "krw", "nok", "nzd", "pln", "rub", "sek", "usd",
)  # fmt: skip
ENGLISH = {"ALL", "CUP", "TOP"}
"""Codes that are words too: currencies only after a number."""


_INITIAL = re.compile(r"\.\w")
"""Behind a letter that is no symbol: ``P.A.``."""


class Meaning(NamedTuple):
    """What a symbol means: the currency where nothing else is known, and all it may be."""

    default: str | None
    all: frozenset[str]
    minor: bool = False

    def settle(self, hint: str | None) -> str | None:
        """The currency, with the one that was named elsewhere."""
        return hint if hint in self.all else self.default


class Symbols(NamedTuple):
    """The symbols as a locale reads them, and how long those with an edge can be."""

    meanings: dict[str, Meaning]
    by_last: dict[str, list[int]]
    by_first: dict[str, list[int]]

    def ends(self, text: str) -> str | None:
        """The symbol that *text* ends with, whole words only."""
        for length in self.by_last.get(text[-1:], ()):
            symbol = text[-length:]
            if symbol in self.meanings and symbol not in ENGLISH:
                before = text[-length - 1 : -length]
                if not (before and _letter(before) and _letter(symbol[0])):
                    return symbol
        return None

    def begins(self, text: str) -> str | None:
        """The symbol that *text* begins with, whole words only."""
        for length in self.by_first.get(text[:1], ()):
            symbol = text[:length]
            if symbol in self.meanings:
                after = text[length : length + 1]
                if not (after and _letter(after) and _letter(symbol[-1])) and not (
                    length == 1 and _letter(symbol) and _INITIAL.match(text, 1)
                ):
                    return symbol
        return None


def _lengths(found: Iterable[str], edge: int) -> dict[str, list[int]]:
    """By the character at an *edge*, the lengths of what has it there, the longest first."""
    lengths: dict[str, set[int]] = {}
    for symbol in found:
        lengths.setdefault(symbol[edge], set()).add(len(symbol))
    return {character: sorted(some, reverse=True) for character, some in lengths.items()}


def _letter(character: str) -> bool:
    """Whether words are written with it; Chinese and its like have no gaps between words."""
    return character.isalpha() and not "\u2e80" <= character <= "\uffdc"


@cache
def _everywhere() -> dict[str, Meaning]:
    """Symbols without a locale."""
    table = cldr()
    found = {code: code for code in table["codes"]}
    found |= {code: code.upper() for code in _LOWER} | {
        code.title(): code.upper() for code in _LOWER
    }
    for symbol, code in table["symbols"].items():
        found[symbol] = code
        if symbol.endswith(".") and len(symbol) > 2:
            found.setdefault(symbol[:-1], code)
        if symbol.endswith("$") and symbol[:-1].isalpha():
            found.setdefault(f"{symbol[:-1]} $", code)
            if len(symbol) > 2:  # as in French; "$ A" may go on with a word
                found.setdefault(f"$ {symbol[:-1]}", code)
    for code, words in _ALIASES.items():
        found |= dict.fromkeys(words.split(), code)
    meanings = {symbol: Meaning(code, frozenset({code})) for symbol, code in found.items()}
    for symbol in {**table["shared"], **_SHARED_MORE}:
        codes = {*table["shared"].get(symbol, ()), *_SHARED_MORE.get(symbol, ())}
        usual = None if symbol in _SHARED_MORE else table["symbols"].get(symbol)
        meaning = Meaning(usual, frozenset(codes))
        for name in (symbol, *_SHARED.get(symbol, "").split()):
            meanings[name] = meaning
    for minor, whole in _MINOR.items():
        meanings[minor] = meanings[whole]._replace(minor=True)
    return meanings


@lru_cache(64)
def symbols(locale: str | None) -> Symbols:
    """The symbols as they are read in *locale*."""
    meanings = dict(_everywhere())
    names = chain(locale) if locale else ()
    entries = [cldr()["locales"][name] for name in names]
    home = next((entry["currency"] for entry in reversed(entries) if "currency" in entry), None)
    for symbol, meaning in meanings.items():
        if home in meaning.all:
            meanings[symbol] = meaning._replace(default=home)
    for entry in entries:
        for symbol, code in entry.get("symbols", {}).items():
            for name in (symbol, *_SHARED.get(symbol, "").split()):
                known = meanings.get(name, Meaning(code, frozenset()))
                meanings[name] = known._replace(default=code, all=known.all | {code})
    return Symbols(meanings, _lengths(meanings, -1), _lengths(meanings, 0))


@lru_cache(64)
def decimal_sign(locale: str | None) -> str | None:
    """The decimal sign of a locale; ``None`` for one that the CLDR does not know.

    ``und``, the locale of machines (JSON-LD, microdata), has a point.
    """
    if locale is None:
        return None
    if locale in {"und", "root", "C"}:
        return "."
    sign = None
    for name in chain(locale):
        sign = cldr()["locales"][name].get("decimal", sign or ".")
    return sign
