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

__all__ = ["ENGLISH", "YEN", "Meaning", "Symbols", "decimal_sign", "symbols", "yen_or_yuan"]

_ALIASES = {
    "AED": "Dhs Dhs.",
    "ALL": "Lek lekë",
    "ARS": "Arg$",
    "AUD": "Aus$",
    "BBD": "BDS$ Bds$",
    "BHD": "BD",
    "BGN": "лв",
    "BTC": "BTC XBT ₿",
    "CAD": "Can$ CDN$ Cdn$ CDN",
    "CHF": "Fr. Fr SFr SFr. sFr. Franken",
    "CNY": "RMB 人民币 元 yuan",
    "COP": "Col$",
    "CZK": "Kc kc kč KČ",
    "DZD": "دج",
    "EGP": "E£ £E LE L.E. L.E",
    "EUR": "euro euros Euro Euros EURO EUROS евро ευρώ",
    "GBP": "pound pounds Pounds stg",
    "GEL": "ლარი ლ lari",
    "GHS": "₵",
    "HUF": "forint",
    "IDR": "Rp.",
    "GYD": "GY$ G$",
    "ILS": "NIS nis שח ש״ח",
    "JMD": "J$ JA$",
    "JOD": "JD",
    "JPY": "円 日元 yen Yen",
    "KES": "KSh Kshs KSh.",
    "KRW": "원 won",
    "KWD": "KD",
    "KZT": "тг тг. тңг теңге тенге",
    "MXN": "Mex$ Mx$",
    "PEN": "S/.",
    "PLN": "zl Zł ZŁ zl. zł. złotych",
    "QAR": "QR",
    "RON": "lei Lei LEI leu",
    "RSD": "дин din динар динара dinara Dinara RSD.",
    "SGD": "Sing$",
    "THB": "บาท",
    "TRY": "TL TL.",
    "TTD": "TT$",
    "TWD": "NTD NT",
    "USD": "U$S U$D",
    "UAH": "грн грн. ГРН гривень",
    "UZS": "сум so'm",
    "VND": "đ ₫ đồng VNĐ",
}
_SHARED = {
    "$": "dollar dollars Dollar Dollars",
    "Rs": "Rs. rs rs. RS RS. Re. rupees Rupees रु रु. रू",
    "kr": "kr. Kr Kr. KR kronor kroner krónur",
    "¥": "",
    "Br": "Br. br",
    "р": "руб руб. Руб. РУБ р. Р Р. рублей рубля",
}
_SHARED_MORE = {
    "Rs": ("LKR", "NPR"),
    "FCFA": ("XOF", "XAF"),
    "CFA": ("XOF", "XAF"),
    "Dh": ("AED", "MAD"),
    "р": ("RUB", "BYN"),
    "kr": ("ISK",),
    "£": ("EGP", "LBP", "SYP", "SDG"),
    "SR": ("SAR", "SCR"),
    "ريال": ("SAR", "QAR", "YER", "OMR"),
    "درهم": ("AED", "MAD"),
    "جنيه": ("EGP", "SDG"),
    "دينار": ("KWD", "BHD", "JOD", "IQD", "LYD", "DZD", "TND"),
}
_DEFAULTS = {"р": "RUB", "£": "GBP"}
_MINOR = {"¢": "$", "p": "£"}
"""Hundredths, and the symbol of their whole."""

_LOOK_ALIKE = {"p": "р", "p.": "р.", "P": "Р", "P.": "Р."}
"""Pence in Latin letters, roubles in Cyrillic ones: 336 p. is written with either."""

_OTHERS = ("تومان", "تومن", "toman", "tomans", "Toman")
"""Units that are no currencies of ISO 4217: ten rials."""

_COUNTRIES = {
    "CAN": "CAD", "USA": "USD", "AUS": "AUD", "MEX": "MXN", "NZL": "NZD", "ARG": "ARS",
    "COL": "COP", "CHL": "CLP", "HKG": "HKD", "SGP": "SGD", "TWN": "TWD", "URY": "UYU",
    "BRA": "BRL", "JAM": "JMD", "TTO": "TTD",
}  # fmt: skip
"""What stands beside a dollar sign for its country."""
_SIGNS = "$£¥₩€"
_NOT_CURRENT = frozenset(
    (
        "ADP AFA ALK ANG AOK AON AOR ARA ARL ARM ARP ATS AZM BAD BAN BEC BEF BEL BGL BGM BGO "
        "BOL BOP BOV BRB BRC BRE BRN BRR BRZ BUK BYB BYR CHE CHW CLE CLF CNH COU CSD CSK CUC "
        "CYP DDM DEM ECS ECV EEK ESA ESB ESP FIM FRF GEK GHC GNS GQE GRD GWE GWP HRD HRK IEP "
        "ILP ILR ISJ ITL KRH KRO LTL LTT LUC LUF LUL LVL LVR MAF MCF MDC MGF MKN MLF MRO MTL "
        "MTP MVP MXP MXV MZE MZM NIC NLG PEI PES PLZ PTE RHD ROL RUR SDD SDP SIT SKK SLL SRG "
        "STD SUR SVC TJR TMM TPE TRL UAK UGS USN USS UYI UYP UYW VEB VED VEF VNN XAD XAG XAU "
        "XBA XBB XBC XBD XDR XEU XFO XFU XPD XPT XRE XSU XTS XUA XXX YDD YUD YUM YUN YUR ZAL "
        "ZMK ZRN ZRZ ZWD ZWL ZWR "
    ).split()
)
"""Codes of funds, metals and currencies that are gone: beside a sign they contradict it."""

_LOWER = (
    "aud", "brl", "cad", "chf", "cny", "czk", "dkk", "eur", "gbp", "hkd", "huf", "inr", "jpy",
    "krw", "nok", "nzd", "pln", "rub", "sek", "usd",
)  # fmt: skip
ENGLISH = {"ALL", "CUP", "TOP"}
"""Codes that are words too: currencies only after a number."""


_INITIAL = re.compile(r"\.?[^\W\d_]\.|\.\w")
"""Behind a letter that is not a symbol: ``P.A.``, ``p.h.``."""


class Meaning(NamedTuple):
    """What a symbol means: the currency where nothing else is known, and all it may be."""

    default: str | None
    all: frozenset[str]
    minor: bool = False
    clash: bool = False
    """Nobody can say what is meant: signs that contradict each other."""

    def settle(self, hint: str | None) -> str | None:
        """The currency, with the one that was named elsewhere."""
        return hint if hint in self.all else self.default

    def beside(self, other: Meaning) -> Meaning:
        """What two marks of one amount mean: ``$10 CAD``."""
        both = self.all & other.all
        if self.all == other.all:
            return self
        if not both:
            return CLASH
        usual = (one for one in (self.default, other.default) if one in both)
        default = next(iter(both)) if len(both) == 1 else next(usual, None)
        return Meaning(default, both, minor=self.minor or other.minor)


CLASH = Meaning(None, frozenset(), clash=True)


class Symbols(NamedTuple):
    """The symbols as a locale reads them, and how long those with an edge can be."""

    meanings: dict[str, Meaning]
    by_last: dict[str, list[int]]
    by_first: dict[str, list[int]]

    def meaning(self, symbol: str) -> Meaning:
        """What a symbol means, or several with a tab between them, or ``XYZ$``."""
        if "\t" in symbol:
            first, _, other = symbol.rpartition("\t")
            one = self.meaning(first)
            both = one.beside(self.meaning(other))
            return one if both.clash and len(other) == 1 and other.isalpha() else both  # $12 L
        found = self.meanings.get(symbol)
        if found is None and symbol[-1] in _SIGNS and len(symbol) > 2:
            sign = self.meanings[symbol[-1]]
            codes = [code for code in sign.all if code.startswith(symbol[:2])]
            codes = [] if symbol[:-1] in _NOT_CURRENT else codes
            found = Meaning(codes[0], frozenset(codes)) if len(codes) == 1 else None
        return found or CLASH

    def hinted(self, hint: str) -> str | None:
        """The currency of what a page has for it: a symbol, or a text with one code."""
        if meaning := self.meanings.get(hint.strip()):
            return meaning.default
        codes = {*_CODE.findall(hint)} & {*cldr()["codes"]} - ENGLISH
        return codes.pop() if len(codes) == 1 else None

    def second(self, text: str, *, before: bool) -> str | None:
        """The code or sign that *text* ends or begins with, beside another."""
        if not text or text.isspace():
            return None
        symbol = self.ends(text) if before else self.begins(text)
        if symbol and _is_plain(symbol):
            return symbol
        return self.odd_code(text, before=before)

    def odd_code(self, text: str, *, before: bool) -> str | None:
        """A code beside a sign that no amount has, or that may be a word: ``ALL $5``.

        In small letters, which mean nothing, so the two contradict each other.
        """
        if not text[-1 if before else 0 :][:1].isupper():
            return None
        found = (_CODE_BEFORE if before else _CODE_BEHIND).search(text)
        if found and (found[0] in _NOT_CURRENT or (before and found[0] in ENGLISH)):
            return found[0].lower()
        return None

    def ends(self, text: str) -> str | None:
        """The symbol that *text* ends with, whole words only."""
        found = _COMPOUND_BEFORE.search(text) if text[-2:-1].isupper() else None
        if found and (found[0] in self.meanings or not _is_label(found[0])):
            return found[0]
        for length in self.by_last.get(text[-1:], ()):
            symbol = text[-length:]
            if symbol in self.meanings and symbol not in ENGLISH:
                before = text[-length - 1 : -length]
                if not (before and _letter(before) and _letter(symbol[0])):
                    return symbol
        return None

    def begins(self, text: str) -> str | None:
        """The symbol that *text* begins with, whole words only."""
        found = _COMPOUND_BEHIND.match(text) if text else None
        if found and found[0] not in self.meanings:
            return None if found[0][:-1] in self.meanings else found[0]
        for length in self.by_first.get(text[:1], ()):
            symbol = text[:length]
            if symbol in self.meanings:
                after = text[length : length + 1]
                if not (after and _letter(after) and _letter(symbol[-1])) and not (
                    len(symbol.rstrip(".")) == 1
                    and _letter(symbol[0])
                    and _INITIAL.match(text, length)
                ):
                    return symbol
        return None


_COMPOUND_BEFORE = re.compile(rf"(?<![A-Za-z])[A-Z]{{1,3}}[{_SIGNS}]$")
_COMPOUND_BEHIND = re.compile(rf"[A-Za-z]{{1,4}}[{_SIGNS}]")
_CODE = re.compile(r"(?<![^\W_])[A-Z]{3}(?![^\W_])")
_CODE_BEFORE = re.compile(r"(?<![A-Za-z])[A-Z]{3}$")
_CODE_BEHIND = re.compile(r"^[A-Z]{3}(?![A-Za-z])")
_LABELS = {
    "NOW",
    "WAS",
    "NEW",
    "FOR",
    "BUY",
    "OLD",
    "REG",
    "ALL",
    "PAY",
    "GET",
    "TO",
    "AT",
    "BY",
}


def _is_plain(symbol: str) -> bool:
    """Whether a symbol is hardly a word beside another: a code, a sign, ``kr``."""
    return (
        (len(symbol) == len("RMB") and symbol.isupper())
        or symbol.rstrip(".") in _SHARED
        or not symbol.replace(" ", "").isalpha()
    )


def _is_label(compound: str) -> bool:
    """Whether ``NOW$`` is a word and a sign, and ``USD$`` a code and a sign."""
    word = compound[:-1]
    return word in _LABELS or word in cldr()["codes"]


def _lengths(found: Iterable[str], edge: int) -> dict[str, list[int]]:
    """By the character at an *edge*, the lengths of what has it there, the longest first."""
    lengths: dict[str, set[int]] = {}
    for symbol in found:
        lengths.setdefault(symbol[edge], set()).add(len(symbol))
    return {character: sorted(some, reverse=True) for character, some in lengths.items()}


def _letter(character: str) -> bool:
    """Whether words are written with it; Chinese and its like have no gaps between words."""
    return character.isalpha() and not "\u2e80" <= character <= "\uffdc"


def _written_besides() -> dict[str, str]:
    """What shops write and the CLDR lacks."""
    found = {word: code for code, words in _ALIASES.items() for word in words.split()}
    for country, code in _COUNTRIES.items():
        names = f"{country}$", f"{country} $", f"${country}", f"$ {country}"
        found |= dict.fromkeys(names, code)
    return found


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
    found |= _written_besides()
    meanings = {symbol: Meaning(code, frozenset({code})) for symbol, code in found.items()}
    for symbol in {**table["shared"], **_SHARED_MORE}:
        codes = {*table["shared"].get(symbol, ()), *_SHARED_MORE.get(symbol, ())}
        if symbol in _SIGNS:  # HK$
            codes |= {code for name, code in found.items() if symbol in name}
        usual = None if symbol in _SHARED_MORE else table["symbols"].get(symbol)
        meaning = Meaning(_DEFAULTS.get(symbol, usual), frozenset(codes))
        for name in (symbol, *_SHARED.get(symbol, "").split()):
            meanings[name] = meaning
    for minor, whole in _MINOR.items():
        meanings[minor] = meanings[whole]._replace(minor=True)
    meanings |= dict.fromkeys(_OTHERS, Meaning(None, frozenset()))
    return {**meanings, "p.": CLASH}


@lru_cache(64)
def symbols(locale: str | None) -> Symbols:
    """The symbols as they are read in *locale*."""
    meanings = dict(_everywhere())
    names = chain(locale) if locale else ()
    entries = [cldr()["locales"][name] for name in names]
    home = next((entry["currency"] for entry in reversed(entries) if "currency" in entry), None)
    if home in meanings["р"].all:
        meanings |= {latin: meanings[own] for latin, own in _LOOK_ALIKE.items()}
    if home == "HUF":  # elsewhere feet
        meanings["ft"] = meanings["Ft"]
    for symbol, meaning in meanings.items():
        if home in meaning.all:
            meanings[symbol] = meaning._replace(default=home)
    for entry in entries:
        for symbol, code in entry.get("symbols", {}).items():
            for name in (symbol, *_SHARED.get(symbol, "").split()):
                known = meanings.get(name, Meaning(code, frozenset()))
                meanings[name] = known._replace(default=code, all=known.all | {code})
    return Symbols(meanings, _lengths(meanings, -1), _lengths(meanings, 0))


YEN = frozenset({"CNY", "JPY"})
"""What ¥ means."""

_KANA = re.compile("[\u3041-\u30ff]")


def yen_or_yuan(text: str) -> str | None:
    """The currency of ¥ by the script: simplified characters are Chinese, kana Japanese.

    Which characters only one of the countries uses, their own encodings say. Traditional
    ones, of Taiwan and Hong Kong, say nothing.
    """
    if text.isascii():
        return None
    japanese, chinese, traditional = bool(_KANA.search(text)), False, False
    for character in text:
        if character >= "\u4e00":
            one, other = _is_in(character, "shift_jis"), _is_in(character, "gb2312")
            third = _is_in(character, "big5")
            japanese |= one and not other and not third
            chinese |= other and not one
            traditional |= third and not other
    if japanese == (chinese and not traditional):
        return None
    return "JPY" if japanese else "CNY"


def _is_in(character: str, codec: str) -> bool:
    return bool(character.encode(codec, "ignore"))


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
