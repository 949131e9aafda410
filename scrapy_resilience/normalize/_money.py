"""The numbers of a text, with the symbols, signs and words of magnitude beside them."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from scrapy_resilience.normalize._common import cldr, plain
from scrapy_resilience.normalize._currency import (
    ENGLISH,
    YEN,
    Meaning,
    decimal_sign,
    symbols,
    yen_or_yuan,
)
from scrapy_resilience.normalize._number import NUMBER, read_number, scale_of, word_scale_of

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["Number", "Reader", "clean"]

# --- the text --------------------------------------------------------------------------

_RAISED = re.compile("[⁰¹²³⁴-⁹]+")
_FOOTNOTE = re.compile("(?<=[.,][0-9]{2})[⁰¹²³⁴-⁹]+")
_RAISED_CENTS = re.compile(r"(?<=\d)([⁰¹²³⁴-⁹]{2})(?![⁰¹²³⁴-⁹])")
_SIGNS = str.maketrans(
    {
        **dict.fromkeys("−‐‑‒–—―﹣", "-"),
        **dict.fromkeys("’‘`´′ʼ٬", "'"),
        "٫": ".",
        "،": ",",
        "⁄": "/",
    }
)
_SPACE = re.compile(r"[^\S\n]+")
_LINES = re.compile(r" ?\n\s*")
_FAMILIAR = re.compile("[\x00-\x7f€£¥₹₽₪₺₩À-Ćč-ıł-ņő-ž]*")
"""Characters that are what they look like, in any form."""

_SPLIT = re.compile(r"(?<=\d)(?:\s?(\.)\s|\s([.,])\s?)(?=\d\d(?!\d))")
_WHOLE = re.compile(r"(?<![\d.,])(\d{1,3}(?:\.\d{3})+),[-–—]")
"""``1.899,-``: the mark of a whole amount says what the points are."""
_UNEVEN = re.compile(r"[\t-\r]|  |^ | $")


def clean(text: str) -> str:
    """*text* with ASCII digits and signs and single spaces; lines stay lines."""
    if not text.isascii():
        text = text.replace("\xa0", " ").replace("\u202f", " ")
        if not _FAMILIAR.fullmatch(text):
            # Cents in small figures: not to be taken for more digits.
            text = _RAISED_CENTS.sub(r".\1", _FOOTNOTE.sub("", text))
            text = plain(_RAISED.sub(r"\n\g<0>", text)).translate(_SIGNS)
            text = _WORD.sub(_in_one_script, text)
    if ",-" in text or ",–" in text:
        text = _WHOLE.sub(lambda found: found[1].replace(".", ""), text)
    if len(text.split(None, 1)) == 1:
        return text
    if _UNEVEN.search(text):
        text = _LINES.sub("\n", _SPACE.sub(" ", text)).strip()
    return _SPLIT.sub(r"\1\2", text)  # $12 . 99, as pages with a span for each part have it


# --- letters that look alike -----------------------------------------------------------

_WORD = re.compile(r"[^\W\d_]{2,}")
_CYRILLIC = dict(zip("асеорхуіјѕАВСЕНКМОРТХУІЈЅ", "aceopxyijsABCEHKMOPTXYIJS", strict=True))
_GREEK = dict(zip("ορνιΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "opviABEZHIKMNOPTYX", strict=True))
_TO_LATIN = str.maketrans(_CYRILLIC | _GREEK)
_TO_OTHERS = [
    str.maketrans({latin: own for own, latin in script.items()})
    for script in (_CYRILLIC, _GREEK)
]


def _in_one_script(found: re.Match[str]) -> str:
    """A word in the one script that all of its letters can be of."""
    word = found[0]
    if word.isascii() or not any(letter.isascii() for letter in word):
        return word
    for table in (_TO_LATIN, *_TO_OTHERS):
        same = word.translate(table)
        if same.isascii() or (table is not _TO_LATIN and not any(map(str.isascii, same))):
            return same
    return word


# --- the numbers -----------------------------------------------------------------------

_MOST = 12
"""Numbers in a text that can be one price."""

_LARGEST = 18
"""Digits before the point that an amount of money can have."""

_LONGEST = 28
"""Characters of a number: the digits that arithmetic with Decimal keeps by default."""

_UNREADABLE = re.compile(r"\d+/\d|[\d.,]*[.,]\d\d-\s*\D{0,3}$")
"""A fraction, and a minus behind: a reduction for accountants, an open range for others."""

_ZEROS = re.compile(r"0\d")
_GLUE = re.compile(r"\w+|[^\w\s~/+-]")
"""What makes two numbers one that can't be read: 1e5, 5x2, 1·234."""

_SIMPLE = re.compile(
    r"(?:([^\d\s.,'+\-()/%]{1,4}) ?)?"
    r"(\d{1,3}(?:(?:[,.'] ?| )\d{2,3})*(?:[,.'] ?| )\d{3}(?:[.,]\d{1,3})?|\d+(?:[.,]\d+)?)"
    r"(?: ?([^\d\s.,'+\-()/%a-zA-Z]|[^\d\s.,'+\-()/%]{2,5}))?"
)
_GAP = re.compile(r"(?<=[,.']) ")
_BEHIND_ONLY = frozenset({"p", "p.", "¢"})
"""Marks of hundredths: ``p. 336`` is a page."""
_MIL = {"ca": 3, "en": 6, "es": 3, "gl": 3, "pt": 3}
_LAKH = 5


class Number(NamedTuple):
    """A number with what belongs to it, which is the text from *start* to *end*."""

    token: str
    start: int
    end: int
    symbol: str | None
    power: int
    negative: bool
    amount: Decimal | None = None
    currency: str | None = None


class Reader:
    """A text, as a locale and a currency from elsewhere make it read."""

    def __init__(self, text: str, locale: str | None, currency: str | None) -> None:
        self.text = text
        self.known = symbols(locale)
        self.decimal_sign = decimal_sign(locale)
        self._language = locale[:2].lower() if locale else ""
        self.hint = self.known.hinted(currency) if currency else None

    def simple(self) -> dict[str, Any] | None:
        """The result for one number with one symbol: what most pages have."""
        found = _SIMPLE.fullmatch(self.text)
        if found is None:
            return None
        prefix, token, suffix = found.groups()
        meaning = self.known.meanings.get(prefix or suffix)
        if meaning is None or (prefix and suffix) or prefix in ENGLISH:
            return None
        amount, code = self._value(_GAP.sub("", token) if " " in token else token, 0, meaning)
        return {"amount": amount, "currency": code}

    def numbers(self) -> list[Number]:
        """All numbers but percents and those that can't be read; none of a text with many."""
        matches = list(islice(NUMBER.finditer(self.text), _MOST + 1))
        if not 0 < len(matches) <= _MOST:
            return []
        found: list[Number] = []
        floor = 0
        ceilings = [*(match.start() for match in matches[1:]), len(self.text)]
        for match, ceiling in zip(matches, ceilings, strict=True):
            number = self._number(match, floor, ceiling)
            floor = number.end if number else match.end()
            if number:
                found.append(number)
        return found

    def valued(self, number: Number, symbol: str | None) -> Number:
        """The number with the amount and the currency that *symbol* gives it."""
        meaning = self.known.meaning(symbol) if symbol else Meaning(self.hint, frozenset())
        amount, code = self._value(number.token, number.power, meaning)
        if amount is not None and number.negative:
            amount = -amount
        token, start, end, _, power, negative = number[:6]
        return Number(token, start, end, symbol, power, negative, amount, code)

    def _value(
        self, token: str, power: int, meaning: Meaning
    ) -> tuple[Decimal | None, str | None]:
        code = meaning.settle(self.hint)
        if code is None and meaning.all == YEN:
            code = yen_or_yuan(self.text)
        table = cldr()
        digits = table["digits"].get(code, 2)
        home = table["decimals"].get(code) if code else _home_of(meaning)
        if len(token) > _LONGEST or meaning.clash:
            return None, code
        amount = read_number(token, self.decimal_sign, digits, home)
        if amount is None or amount.adjusted() + power >= _LARGEST:
            return None, code
        if code is None and meaning.all == YEN and "." in str(amount):
            code = "CNY"  # of those that ¥ means, the one with hundredths
        if power:
            amount = amount.scaleb(power)
        return amount / 100 if meaning.minor else amount, code

    def _number(self, match: re.Match[str], floor: int, ceiling: int) -> Number | None:
        token = match[0].rstrip(".,'")
        start, end = match.start(), match.start() + len(token)
        before, rest = self.text[floor:start], self.text[match.end() : ceiling]
        more = ceiling < len(self.text)
        if (rest and rest.lstrip().startswith("%")) or _UNREADABLE.match(self.text, start):
            return None
        if token[0] in ".," and self.known.ends(before + token[0]):
            return None  # B/.49: of the symbol, or of the number
        halved = before == "/" and self.text[floor - 1].isdigit()
        if floor and (halved or self._is_glue(before)):
            return None
        prefix, left, negative = (
            self._before(before, first=not floor) if before else (None, 0, False)
        )
        power, scale_end, suffix, right = self._behind(rest, prefix, more=more)
        if suffix or scale_end:
            end = match.end() + scale_end + right
        elif more and self._is_glue(rest):
            return None
        cents = suffix and not prefix and _ZEROS.match(token)  # of 5 00 $
        unit = floor and before.strip() == "/" and (not suffix or _is_unit(suffix))  # 100 g
        if power is None or cents or unit:
            return None
        if suffix and before and not prefix:
            prefix = self.known.odd_code(before.rstrip(), before=True)
        symbol = f"{prefix}\t{suffix}" if prefix and suffix else prefix or suffix
        return Number(token, start - left, end, symbol, power, negative)

    def _behind(
        self, rest: str, prefix: str | None, *, more: bool
    ) -> tuple[int | None, int, str | None, int]:
        """The power of ten behind a number, the symbol behind it, and where each ends."""
        if not rest:
            return 0, 0, None, 0
        local = self._powers(prefix)
        power, scale_end = scale_of(rest, priced=prefix is not None, local=local)
        symbol, right = self._after(rest[scale_end:], more=more, prefix=prefix)
        if symbol and not power:  # 125 USD million
            more_power, length = word_scale_of(rest[scale_end + right :], local=local)
            return more_power if power == 0 else None, scale_end, symbol, right + length
        return power, scale_end, symbol, right

    def _is_glue(self, between: str) -> bool:
        return bool(_GLUE.fullmatch(between)) and not self.known.ends(between)

    def _powers(self, symbol: str | None) -> dict[str, int | None]:
        """Powers of ten by words that don't mean the same everywhere."""
        found = {"mil": 3 if symbol == "R$" else _MIL.get(self._language)}
        if symbol and "INR" in self.known.meaning(symbol).all:
            found["l"] = _LAKH
        return found

    def _before(self, text: str, *, first: bool) -> tuple[str | None, int, bool]:
        """The symbol before a number, the length that belongs to it, and whether it is less."""
        outer = text.rstrip(" ")
        minus = outer.endswith("-")
        if minus:
            outer = outer[:-1]
        symbol = self.known.ends(outer.rstrip(" :")) if outer else None
        if symbol is None or symbol in _BEHIND_ONLY:
            return (
                None,
                len(text) - len(outer) if minus else 0,
                minus and _opens(outer, text, first=first),
            )
        inner = outer = outer.rstrip(" :")[: -len(symbol)]
        if code := self.known.second(outer.rstrip(" "), before=True):  # CAD $5
            symbol = f"{symbol}\t{code}"
            inner = outer = outer.rstrip(" ")[: -len(code)]
        if not minus and outer.rstrip(" ").endswith("-"):
            outer = outer.rstrip(" ")[:-1]
            if _opens(outer, inner, first=first):
                return symbol, len(text) - len(outer), True
        return symbol, len(text) - len(inner), minus

    def _after(self, rest: str, *, more: bool, prefix: str | None) -> tuple[str | None, int]:
        """The symbol after a number, and where it ends, if it is not the next number's."""
        text = rest.lstrip(" .,-") if rest[:1] in {".", ",", "-"} else rest.lstrip(" ")
        if text[:1] == "(" and (code := self.known.second(text[1:], before=False)):
            closed = text[1 + len(code) :].lstrip()[:1] == ")"
            return (code, rest.index("(") + 1 + len(code)) if closed else (None, 0)
        symbol = self.known.begins(text)
        if symbol is None:
            code = prefix and self.known.odd_code(text, before=False)
            return (code, len(rest) - len(text) + len(code)) if code else (None, 0)
        if symbol == "p." and rest[0] != " " and self.known.meanings[symbol].clash:
            symbol = "p"  # 99p.
        end = len(rest) - len(text) + len(symbol)
        left = rest[end:]
        if more and not left.strip() and (prefix or (rest[0] == " " and not left)):
            return None, 0
        if not prefix and (code := self._second(left, more=more)):
            return f"{symbol}\t{code}", end + len(left) - len(left.lstrip(" (")) + len(code)
        return symbol, end

    def _second(self, left: str, *, more: bool) -> str | None:
        """The other mark behind the first, if it is not the next number's: ``10 $ (CAD)``."""
        text = left.lstrip(" (")
        code = self.known.second(text, before=False)
        return None if code is None or (more and not text[len(code) :].strip()) else code


def _home_of(meaning: Meaning) -> str | None:
    """The decimal sign of all that a symbol means: a comma for ``kr``."""
    homes = {cldr()["decimals"].get(code) for code in meaning.all}
    return homes.pop() if len(homes) == 1 else None


def _is_unit(symbol: str) -> bool:
    """Whether a symbol is a unit of weight or volume as well: ``L``."""
    return symbol.isascii() and symbol.isalpha() and len(symbol) == 1


def _opens(outer: str, inner: str, *, first: bool) -> bool:
    """Whether a minus between *outer* and the end of *inner* is a sign, not a dash."""
    if first and not outer.strip():
        if inner.endswith(" "):  # a bullet, or a minus
            raise ValueError(inner)
        return True
    return outer[-1:] in {" ", "\n", "(", ":"} and not inner.endswith(" ")
