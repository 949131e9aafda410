"""Prices: one amount or two, with the ISO 4217 currency.

A text is read in three steps: find its numbers with the symbols, signs and words beside
them; leave out what is no price of the thing (savings, shipping, prices per unit, percents,
numbers without a currency where another has one); see how the rest belong together. Where
that leaves two prices and no reason to take one, there is no result. Where the one number of
a text has no currency beside it, price-parser looks for one in the rest of the text.
"""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from scrapy_resilience.normalize._common import chain, cldr, library, normalizer, plain
from scrapy_resilience.normalize._currency import ENGLISH, Meaning, Symbols, decimal_sign, symbols
from scrapy_resilience.normalize._number import NUMBER, exact, read_number, scale_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["normalize_price"]


@normalizer
def normalize_price(
    text: str,
    *,
    currency: str | None = None,
    locale: str | None = None,
    decimal: bool = False,
) -> dict[str, Any] | None:
    """Read a price: ``"$1,234.56"`` → ``{"amount": 1234.56, "currency": "USD", "raw": …}``.

    *currency* is a code or symbol from elsewhere: it settles what ``$`` or ``kr`` means, and
    stands in where the text names none. *locale* (``de-CH``) settles those too, and whether
    ``1.234`` is a thousand; ``und`` is that of machines, with decimal points only. What is
    not known counts as not given, as both often come from the page.

    ``amount`` is an int or a float that prints as the exact number, and a `Decimal` with
    *decimal*. ``currency`` is ``None`` when the text has no symbol, or one of several
    meanings (``kr``). Keys that come only where the text has them: ``amount_max``, the end
    of a range; ``amount_regular``, the price before a reduction; ``quantity``, how many
    things the amount is for.

    Raises `MissingLibraryError` without the extra ``quality``, where price-parser is needed.
    """
    text = _clean(text)
    reading = _Reading(text, symbols(locale), locale, currency)
    found = reading.simple() or reading.price()
    if found is None:
        return None
    if not decimal:
        found |= {key: exact(found[key]) for key in _AMOUNTS if key in found}
    return None if None in {found.get(key, 0) for key in _AMOUNTS} else found


_AMOUNTS = ("amount", "amount_max", "amount_regular")
_FREE = {
    "free", "gratis", "kostenlos", "umsonst", "gratuit", "gratuito", "grátis", "gratuite",
    "за так", "бесплатно", "безкоштовно", "za darmo", "zdarma", "ingyenes", "ilmainen",
    "ücretsiz", "無料", "免费", "免費", "무료", "मुफ़्त", "مجاني", "חינם",
}  # fmt: skip

# --- the text --------------------------------------------------------------------------

_RAISED = re.compile("[⁰¹²³⁴-⁹]+")
_SIGNS = str.maketrans(dict.fromkeys("−‐‑‒–—―﹣", "-") | dict.fromkeys("’‘`´′ʼ٬", "'") | {"٫": ".", "⁄": "/"})  # noqa: E501, RUF001
_SPACE = re.compile(r"[^\S\n]+")
_LINES = re.compile(r" ?\n\s*")
_FAMILIAR = re.compile("[\x00-\x7f€£¥₹₽₪₺₩À-Ćč-ıł-ņő-ž]*")
"""Characters that are what they look like, in any form."""
_UNEVEN = re.compile(r"[\t-\r]|  |^ | $")


def _clean(text: str) -> str:
    if not text.isascii():
        text = text.replace("\xa0", " ").replace("\u202f", " ")
    if not _FAMILIAR.fullmatch(text):
        # Cents in small figures: not to be taken for more digits.
        text = plain(_RAISED.sub(r"\n\g<0>", text)).translate(_SIGNS)
    if _UNEVEN.search(text):
        text = _LINES.sub("\n", _SPACE.sub(" ", text)).strip()
    return text


# --- the numbers -----------------------------------------------------------------------


_UNREADABLE = re.compile(r"\d+/\d|[\d.,]*[.,]\d\d-\s*$")
"""Numbers with a fraction of their own, and with a minus behind: booking, or slip of the pen."""


class _Number(NamedTuple):
    """A number and what stands beside it; it takes the text from *start* to *end*."""

    token: str
    start: int
    end: int
    symbol: str | None
    power: int
    negative: bool
    label: str | None
    amount: Decimal | None = None
    currency: str | None = None


_LABELS = {
    "was": "was|were|regular|reg|regularly|original|originally|old|before|list price|rrp|msrp"
    "|uvp|statt|vorher|instead of|avant|au lieu de|antes|ahora no|prima|era|invece di|van"
    "|ordinarie|før|было|старая цена|eski|à la place de|de:|por antes|compare at|retail",
    "now": "now|sale|sale price|jetzt|nur|only|maintenant|ahora|ora|solo|сейчас|nu|agora|por"
    "|today|our price|special|deal",
    "off": "save|you save|saving|savings|off|discount|rabatt|sparen|sie sparen|économisez"
    "|ahorra|ahorras|risparmi|shipping|delivery|postage|versand|versandkosten|livraison"
    "|envío|envio|spedizione|tax|vat|deposit|скидка|plus|\\+",
}  # fmt: skip
_LABEL = re.compile(
    rf"(?<!\w)(?:{'|'.join(f'(?P<{name}>{words})' for name, words in _LABELS.items())})(?!\w)",
    re.IGNORECASE,
)
_DASH = re.compile(r"\s*(?:-|~|\.\.|…|to|bis|à|a|al|até|hasta|до|til|till|tot|do|ile|から|至)\s*", re.IGNORECASE)  # noqa: E501
_UNIT = re.compile(r"\s*(?:/|per\b|pro\b|je\b|par\b|por\b|la\b)\s*\d*\s*[^\W\d]", re.IGNORECASE)
_FOR = re.compile(r"\s*(?:for|für|pour|por|per|voor|för|за|za)\s*", re.IGNORECASE)
_ALONE = re.compile(
    r"(?:price|preis|prix|precio|preço|prezzo|prijs|pris|cena|цена|fiyat|価格|価格|价格"
    r"|from|ab|à partir de|desde|da|od|от|now|only|nur|total|[\s:.,*!=\-()])*",
    re.IGNORECASE,
)


_SIMPLE = re.compile(
    r"(?:([^\d\s.,'+\-()/%]{1,4}) ?)?"
    r"(\d{1,3}(?:[ ,.']\d{2,3})*[ ,.']\d{3}(?:[.,]\d{1,3})?|\d+(?:[.,]\d+)?)"
    r"(?: ?([^\d\s.,'+\-()/%a-zA-Z]|[^\d\s.,'+\-()/%]{2,5}))?"
)


class _Reading:
    """One text, as a locale and a currency from elsewhere make it read."""

    def __init__(
        self, text: str, known: Symbols, locale: str | None, currency: str | None
    ) -> None:
        self.text = text
        self.known = known
        self.sign = decimal_sign(locale)
        self.language = locale[:2].lower() if locale else ""
        meaning = known.meanings.get(currency.strip()) if currency else None
        self.hint = meaning.default if meaning else None

    def simple(self) -> dict[str, Any] | None:
        """One number and one symbol, and nothing else: what most pages have."""
        found = _SIMPLE.fullmatch(self.text)
        if found is None:
            return None
        prefix, token, suffix = found.groups()
        meaning = self.known.meanings.get(prefix or suffix)
        if meaning is None or (prefix and suffix) or (prefix or suffix) in ENGLISH:
            return None
        amount, code = self._value(token, 0, meaning)
        return {"amount": amount, "currency": code}

    def price(self) -> dict[str, Any] | None:
        numbers = self._numbers()
        if not numbers:
            free = self.text.casefold().strip(" .!*") in _FREE
            return {"amount": Decimal(0), "currency": None} if free else None
        if not any(number.symbol for number in numbers):
            return self._bare(numbers)
        numbers = self._cents(self._myriads(numbers))
        priced = self._ranges(numbers)
        return self._together(priced, numbers)

    # - - find them

    def _numbers(self) -> list[_Number]:
        found: list[_Number] = []
        matches = list(islice(NUMBER.finditer(self.text), _MOST + 1))
        if len(matches) > _MOST:
            return []
        end = 0
        for place, match in enumerate(matches):
            after = matches[place + 1].start() if place + 1 < len(matches) else len(self.text)
            number = self._number(match, end, after)
            if number is None:
                end = match.end()
                continue
            found.append(number)
            end = number.end
        return found

    def _number(self, match: Any, floor: int, ceiling: int) -> _Number | None:
        token = match[0].rstrip(".,'")
        start, end = match.start(), match.start() + len(token)
        before = self.text[floor:start]
        rest = self.text[match.end() : ceiling]
        if rest.lstrip().startswith("%") or _UNREADABLE.match(self.text, start):
            return None
        prefix, left, negative = self._prefix(before)
        power, scale_end = scale_of(rest, priced=prefix is not None, mil=self._mil(prefix))
        if power is None:
            return None
        suffix, right = self._suffix(rest[scale_end:], prefix, ceiling < len(self.text))
        if not (suffix or scale_end) and rest.isalpha() and ceiling < len(self.text):
            return None  # 1e5, 5x2
        if suffix or scale_end:
            end = match.end() + scale_end + right
        symbol = self._one(prefix, suffix)
        label = _last_label(before[: len(before) - left])
        return _Number(token, start - left, end, symbol, power, negative, label)

    def _mil(self, symbol: str | None) -> int | None:
        if self.language in {"pt", "es", "gl", "ca"} or symbol == "R$":
            return 3
        return 6 if self.language == "en" else None

    def _prefix(self, before: str) -> tuple[str | None, int, bool]:
        """The symbol before a number, how much of *before* is the number's, and its sign."""
        bare = before.rstrip(" ")
        minus = bare.endswith("-")
        if minus:
            bare = bare[:-1]
        symbol = self.known.ends(bare.rstrip(" :")) if bare else None
        if symbol is None:
            return None, len(before) - len(bare) if minus else 0, minus and self._opens(bare, before)
        bare = bare.rstrip(" :")[: -len(symbol)]
        if not minus and bare.rstrip(" ").endswith("-"):
            outer = bare.rstrip(" ")[:-1]
            if self._opens(outer, bare):
                return symbol, len(before) - len(outer), True
        return symbol, len(before) - len(bare), minus

    @staticmethod
    def _opens(outer: str, inner: str) -> bool:
        """Whether a minus between *outer* and a number is its sign, not a dash."""
        return not outer.strip() or (outer[-1] in " \n(:" and not inner.endswith(" "))

    def _suffix(self, rest: str, prefix: str | None, more: bool) -> tuple[str | None, int]:  # noqa: FBT001
        """The symbol after a number, and where it ends, if it is not the next number's."""
        text = rest.lstrip(" .,-") if rest[:1] in ".,-" else rest.lstrip(" ")
        symbol = self.known.begins(text)
        if symbol is None:
            return None, 0
        end = len(rest) - len(text) + len(symbol)
        if prefix and more and not rest[end:].strip():
            return None, 0
        return symbol, end

    def _one(self, prefix: str | None, suffix: str | None) -> str | None:
        """Of ``$10 CAD``, the symbol that says more."""
        if prefix is None or suffix is None:
            return prefix or suffix
        one, two = self.known.meanings[prefix], self.known.meanings[suffix]
        return suffix if len(two.all) < len(one.all) and two.all <= one.all else prefix

    # - - put them together

    def _valued(self, number: _Number, symbol: str | None) -> _Number:
        """The number with its amount and currency; without an amount, it can't be read."""
        meaning = self.known.meanings[symbol] if symbol else Meaning(self.hint, frozenset())
        amount, code = self._value(number.token, number.power, meaning)
        if amount is not None and number.negative:
            amount = -amount
        return number._replace(amount=amount, currency=code, symbol=symbol)

    def _value(self, token: str, power: int, meaning: Meaning) -> tuple[Decimal | None, str | None]:
        code = meaning.settle(self.hint)
        table = cldr()
        digits = table["digits"].get(code, 2)
        home = table["decimals"].get(code)
        amount = read_number(token, self.sign, digits, home)
        if amount is None or amount.adjusted() + power >= _LARGEST:
            return None, code
        if code is None and "CNY" in meaning.all and "." in str(amount):
            code = "CNY"  # of those that ¥ means, the one with hundredths
        if power:
            amount = amount.scaleb(power)
        return amount / 100 if meaning.minor else amount, code

    def _myriads(self, numbers: list[_Number]) -> list[_Number]:
        """``1億2000万円`` is one number."""
        merged: list[_Number] = []
        for number in numbers:
            last = merged[-1] if merged else None
            if last and last.symbol is None and last.end == number.start and last.power >= 4:  # noqa: PLR2004
                parts = (
                    Decimal(one.token).scaleb(one.power) if one.token.isdigit() else None
                    for one in (last, number)
                )
                total = sum(part if part is not None else Decimal("nan") for part in parts)
                merged[-1] = number._replace(token=str(int(total)), start=last.start, power=0)
            else:
                merged.append(number)
        return merged

    def _cents(self, numbers: list[_Number]) -> list[_Number]:
        """``$19 99`` and ``12€50`` are one number."""
        merged: list[_Number] = []
        for number in numbers:
            last = merged[-1] if merged else None
            if (
                last
                and last.symbol
                and number.symbol is None
                and len(number.token) == 2  # noqa: PLR2004
                and number.token.isdigit()
                and _GROUPS.fullmatch(last.token)
                and (between := self.text[last.end : number.start]) in {"", " ", "\n"}
                and (between or not self.text[last.start : last.end].endswith(last.token))
            ):
                whole = last.token.translate(_NO_GROUPS)
                merged[-1] = last._replace(token=f"{whole}.{number.token}", end=number.end)
            else:
                merged.append(number)
        return merged

    def _ranges(self, numbers: Sequence[_Number]) -> list[tuple[_Number, _Number | None]]:
        """The numbers with a currency, each with the end of its range."""
        found: list[tuple[_Number, _Number | None]] = []
        place = 0
        while place < len(numbers):
            number, after = numbers[place], numbers[place + 1 : place + 2]
            symbol = number.symbol or (after[0].symbol if after else None)
            if after and symbol and self._joined(number, after[0]):
                high = self._valued(after[0]._replace(negative=False), after[0].symbol or symbol)
                if number.power == 0 and high.power:
                    number = number._replace(power=high.power)
                found.append((self._valued(number, symbol), high))
                place += 2
                continue
            if number.symbol:
                found.append((self._valued(number, symbol), None))
            place += 1
        return found

    def _joined(self, number: _Number, after: _Number) -> bool:
        between = self.text[number.end : after.start]
        if after.negative or (after.start < len(self.text) and self.text[after.start] == "-"):
            between += "-"
        return bool(_DASH.fullmatch(between))

    def _together(
        self, priced: list[tuple[_Number, _Number | None]], numbers: list[_Number]
    ) -> dict[str, Any] | None:
        own = [one for one in priced if one[0].label != "off"]
        if len(own) > 1:
            own = self._distinct(own)
        regular = None
        if len(own) == 2:  # noqa: PLR2004
            own, regular = _was_and_now(own)
        if len(own) > 1 and self.hint:
            own = [one for one in own if one[0].currency == self.hint]
        if len(own) != 1:
            return None
        low, high = own[0]
        found: dict[str, Any] = {"amount": low.amount, "currency": low.currency}
        if self._in_brackets() and low.amount is not None and not high:
            found["amount"] = -abs(low.amount)
        if high:
            if None in {low.amount, high.amount} or low.amount > high.amount:  # type: ignore[operator]
                return None
            found |= {"amount_max": high.amount} if low.currency == high.currency else {"amount": None}
        if regular:
            found["amount_regular"] = regular.amount
        if quantity := self._quantity(low, numbers):
            found["quantity"] = quantity
        return found

    def _distinct(
        self, priced: list[tuple[_Number, _Number | None]]
    ) -> list[tuple[_Number, _Number | None]]:
        """Each price once, and those per pound or litre only where all are."""
        units = [_UNIT.match(self.text, (high or low).end) for low, high in priced]
        whole = [one for one, unit in zip(priced, units, strict=True) if not unit] or priced
        return list({(low.amount, low.currency, high and high.amount): (low, high) for low, high in whole}.values())

    def _in_brackets(self) -> bool:
        return self.text[0] == "(" and self.text[-1] == ")"

    def _quantity(self, price: _Number, numbers: list[_Number]) -> int | None:
        """The 2 of ``2 for $5``."""
        for number in numbers:
            if number.symbol is None and number.token.isdigit() and number.end <= price.start:
                between = self.text[number.end : price.start]
                return int(number.token) if _FOR.fullmatch(between) else None
        return None

    # - - no symbol beside any

    def _bare(self, numbers: list[_Number]) -> dict[str, Any] | None:
        (number, *others) = numbers
        rest = self.text[: number.start] + " " + self.text[number.end :]
        if others:
            if self.hint and len(others) == 1 and self._joined(number, others[0]):
                low, high = (self._valued(one, None) for one in numbers)
                return {
                    "amount": low.amount,
                    "currency": self.hint,
                    "amount_max": high.amount,
                }
            return None
        valued = self._valued(number, None)
        if valued.amount is None:
            return None
        if _ALONE.fullmatch(rest):
            negative = self._in_brackets() and self.hint
            amount = -valued.amount if negative else valued.amount
            return {"amount": amount, "currency": self.hint}
        return self._far(number)

    def _far(self, number: _Number) -> dict[str, Any] | None:
        """The currency is not beside the number: price-parser knows where to look."""
        parsed = library("price_parser").Price.fromstring(
            self.text, decimal_separator="." if self.sign == "." else None
        )
        meaning = self.known.meanings.get(parsed.currency or "")
        if meaning is None or not _word(parsed.currency, self.text):
            return None
        valued = self._valued(number, parsed.currency)
        if valued.amount is None or abs(valued.amount) != parsed.amount:
            return None
        return {"amount": valued.amount, "currency": valued.currency}


_LARGEST = 18
"""Digits before the point that an amount of money can have."""

_MOST = 12
"""Numbers in a text that can be one price."""

_GROUPS = re.compile(r"\d{1,3}(?:[.,' ]?\d{3})*")
_NO_GROUPS = str.maketrans("", "", ".,' ")


def _last_label(before: str) -> str | None:
    label = None
    if not before or before.isspace():
        return None
    for found in _LABEL.finditer(before):
        label = found.lastgroup
    return label


def _was_and_now(
    pair: list[tuple[_Number, _Number | None]],
) -> tuple[list[tuple[_Number, _Number | None]], _Number | None]:
    """Of two prices, the one that counts, and the one that was."""
    one, two = pair
    labels = one[0].label, two[0].label
    if one[0].currency != two[0].currency or one[1] or two[1]:
        return pair, None
    if labels[0] == "was" != labels[1] or (labels[1] == "now" != labels[0]):
        return [two], one[0]
    if labels[1] == "was" != labels[0] or (labels[0] == "now" != labels[1]):
        return [one], two[0]
    return pair, None


def _word(symbol: str, text: str) -> bool:
    """Whether a symbol is a word of the text that can't be another."""
    plain_word = len(symbol) > 2 and symbol not in ENGLISH  # noqa: PLR2004
    return plain_word and bool(re.search(rf"(?<!\w){re.escape(symbol)}(?!\w)", text))
