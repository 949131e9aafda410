"""Prices: one amount or two, with the ISO 4217 currency.

Of the numbers of a text (`_money`), those that are no price of the thing are left out:
savings, shipping, prices per unit, numbers without a currency where another has one. Then
it shows how the rest belong together: a range, a price and the one before it. Where two are
left and no reason to take one, there is no result. Where the one number of a text has no
currency beside it, price-parser looks for one in the rest of the text.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from scrapy_resilience.normalize._common import library, normalizer
from scrapy_resilience.normalize._currency import ENGLISH
from scrapy_resilience.normalize._money import Number, Reader, clean
from scrapy_resilience.normalize._number import exact
from scrapy_resilience.normalize._price_words import (
    ALONE,
    DASH,
    EACH,
    FOR,
    FREE,
    GROSS,
    LABEL,
    NET,
    OFF,
    SAID_BEFORE,
    TAX,
    UNIT,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    Found = dict[str, Any] | None

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

    *currency* is a code or symbol from elsewhere, or a text with one code: it settles what
    ``$`` or ``kr`` means, and stands in where the text names none. *locale* (``de-CH``)
    settles those too, and whether ``1.234`` is a thousand; ``und`` is that of machines, with
    decimal points only. What is not known counts as not given, as both often come from the
    page.

    Two marks at one amount (``$10 CAD``) must agree, or the result is ``None``.

    ``amount`` is an int or a float that prints as the exact number, and a `Decimal` with
    *decimal*. ``currency`` is ``None`` when the text has no symbol, or one of several
    meanings (``kr``). Keys that come only where the text has them: ``amount_max``, the end
    of a range; ``amount_regular``, the price before a reduction; ``quantity``, how many
    things the amount is for.

    Raises `MissingLibraryError` without the extra ``quality``, where price-parser is needed.
    """
    reader = Reader(clean(text), locale, currency)
    found = reader.simple() or _read(reader)
    if found is None:
        return None
    for key in _AMOUNTS & found.keys():
        amount = found[key]
        if amount is not None and not decimal:
            amount = exact(amount)
        if amount is None:
            return None
        found[key] = amount
    return found


_AMOUNTS = frozenset({"amount", "amount_max", "amount_regular"})


def _read(reader: Reader) -> Found:
    numbers = reader.numbers()
    if not numbers:
        free = reader.text.casefold().strip(" .!*") in FREE
        return {"amount": Decimal(0), "currency": None} if free else None
    if not any(number.symbol for number in numbers):
        return _bare(reader, numbers)
    numbers = _with_cents(reader.text, _with_myriads(numbers))
    return _chosen(reader, numbers, _offers(reader, numbers))


# --- two numbers that are one ----------------------------------------------------------

_MYRIAD = 4
_CENTS = re.compile(r"\d\d")
_WHOLE = re.compile(r"\d{1,3}(?:[.,' ]?\d{3})*")
_REST = re.compile(r"\d{2,3}[.,]\d+")
_NO_GROUPS = str.maketrans("", "", ".,' ")


def _with_myriads(numbers: list[Number]) -> list[Number]:
    """``1億2000万円`` is one number."""
    merged: list[Number] = []
    for number in numbers:
        last = merged[-1] if merged else None
        if last and not last.symbol and last.end == number.start and last.power >= _MYRIAD:
            total = int(last.token) * 10**last.power + int(number.token) * 10**number.power
            merged[-1] = number._replace(token=str(total), start=last.start, power=0)
        else:
            merged.append(number)
    return merged


def _with_cents(text: str, numbers: list[Number]) -> list[Number]:
    """``$19 99`` and ``12€50`` are one number each."""
    merged: list[Number] = []
    for number in numbers:
        last = merged[-1] if merged else None
        if last and last.symbol and not number.symbol and _are_cents(text, last, number):
            whole = last.token.translate(_NO_GROUPS)
            merged[-1] = last._replace(token=f"{whole}.{number.token}", end=number.end)
        elif last and last.symbol and not number.symbol and _goes_on(text, last, number):
            raise ValueError(text)
        else:
            merged.append(number)
    return merged


def _goes_on(text: str, last: Number, number: Number) -> bool:
    """Whether two numbers may be one with groups of two: ``THB12 34,56``."""
    between = text[last.end : number.start]
    return (
        between == " "
        and text[last.end - 1].isdigit()
        and last.token.isdigit()
        and bool(_REST.fullmatch(number.token))
    )


def _are_cents(text: str, last: Number, number: Number) -> bool:
    if not _CENTS.fullmatch(number.token) or not _WHOLE.fullmatch(last.token):
        return False
    if text[number.start] == "-":  # $10 - 20
        return False
    between = text[last.end : number.start]
    return between in {" ", "\n"} or (not between and not text[last.end - 1].isdigit())


# --- what is offered -------------------------------------------------------------------


class _Offer(NamedTuple):
    """A price with the end of its range, and the word before it."""

    price: Number
    high: Number | None
    label: str | None

    @property
    def end(self) -> int:
        """Where it ends in the text."""
        return (self.high or self.price).end

    @property
    def value(self) -> tuple[Decimal | None, str | None, Decimal | None]:
        """What makes two offers the same."""
        return self.price.amount, self.price.currency, self.high and self.high.amount


def _label(before: str) -> str | None:
    label = None
    if before and not before.isspace():
        for found in LABEL.finditer(before):
            label = found.lastgroup
    return label


def _offers(reader: Reader, numbers: Sequence[Number]) -> list[_Offer]:
    """The numbers that have a currency, or share one as the ends of a range."""
    found: list[_Offer] = []
    place = floor = 0
    while place < len(numbers):
        number = numbers[place]
        after = numbers[place + 1] if place + 1 < len(numbers) else None
        label = _label(reader.text[floor : number.start])
        symbol = number.symbol or (after and _behind(reader.text, after))
        if after and symbol and _is_range(reader.text, number, after):
            found.append(_range(reader, number, after, symbol, label))
            place += 1
        elif number.symbol:
            found.append(_Offer(reader.valued(number, number.symbol), None, label))
        place += 1
        floor = numbers[place - 1].end
    return found


def _behind(text: str, number: Number) -> str | None:
    """The symbol behind a number, which is that of a range; in ``6 - $12`` it is not."""
    return None if text[number.end - 1].isdigit() else number.symbol


def _is_range(text: str, number: Number, after: Number) -> bool:
    between = text[number.end : after.start]
    if text[after.start] == "-":  # taken for its sign
        between += "-"
    return bool(DASH.fullmatch(between))


def _range(reader: Reader, low: Number, high: Number, symbol: str, label: str | None) -> _Offer:
    high = high._replace(negative=False)
    low, high = _valued_range(reader, low, high, symbol, high.symbol or symbol)
    return _Offer(low, high, label)


def _valued_range(
    reader: Reader, low: Number, high: Number, one: str | None, other: str | None
) -> tuple[Number, Number]:
    """Both ends with their amounts; a power of ten may stand at one of them: ``$50-60k``."""
    ends = reader.valued(low, one), reader.valued(high, other)
    power = max(low.power, high.power)
    if low.power == high.power or (low.power and high.power):
        return ends
    same = [end._replace(power=power) for end in (low, high)]
    shared = reader.valued(same[0], one), reader.valued(same[1], other)
    return shared if _rises(shared[0].amount, shared[1].amount) else ends


# --- the one that counts ---------------------------------------------------------------


def _chosen(reader: Reader, numbers: list[Number], offers: list[_Offer]) -> Found:
    left = [offer for offer in offers if not _is_off(reader.text, offer)]
    left = _distinct(reader.text, left)
    regular = None
    if len(left) > 1:
        left, regular = _reduced(left)
    if len(left) > 1 and reader.hint:
        left = [offer for offer in left if offer.price.currency == reader.hint]
    if len(left) != 1:
        return None
    price, high, _ = left[0]
    found: dict[str, Any] = {"amount": price.amount, "currency": price.currency}
    if high:
        if high.currency != price.currency or not _rises(price.amount, high.amount):
            return None
        found["amount_max"] = high.amount
    elif price.amount is not None and _in_brackets(reader.text):
        found["amount"] = -abs(price.amount)
    if regular:
        found["amount_regular"] = regular.amount
    if quantity := _quantity(reader.text, price, numbers):
        found["quantity"] = quantity
    return found


def _is_off(text: str, offer: _Offer) -> bool:
    """Whether an amount is saved or added: ``$5 off``, ``Save $5``, ``+ $5 shipping``."""
    return offer.label == "off" or bool(OFF.match(text, offer.end))


def _distinct(text: str, offers: list[_Offer]) -> list[_Offer]:
    """Each offer once, and those per pound or without tax only where all are.

    Where some are said to be with the tax, the others are not.
    """
    if len(offers) < 2:
        return offers
    starts = {offer.price.start for offer in offers}
    whole = [offer for offer in offers if not _is_part(text, offer, starts)]
    whole = [offer for offer in whole if _is_said(GROSS, text, offer)] or whole
    return list({offer.value: offer for offer in whole or offers}.values())


def _is_said(words: tuple[re.Pattern[str], ...], text: str, offer: _Offer) -> bool:
    """Whether words about the tax belong to an amount: all stand before, or all behind."""
    behind, before, leading = words
    start = text[: offer.price.start]
    if SAID_BEFORE.match(text):
        return bool(leading.search(start))
    return bool(behind.match(text, offer.end) or before.search(start))


def _is_part(text: str, offer: _Offer, starts: set[int]) -> bool:
    """Whether an amount that ends there is per unit, or without the tax."""
    if unit := UNIT.match(text, offer.end):  # but 12 USD / 10 EUR are two prices
        return starts.isdisjoint(range(offer.end, unit.end()))
    return _is_said(NET, text, offer)


def _reduced(offers: list[_Offer]) -> tuple[list[_Offer], Number | None]:
    """Of two offers, the one that counts and the price that was, if a word says so."""
    one, *others = offers
    if len(others) != 1 or one.high or others[0].high:
        return offers, None
    (two,) = others
    if one.price.currency != two.price.currency or one.label == two.label:
        return offers, None
    if one.label == "was" or two.label == "now":
        return [two], one.price
    if two.label == "was" or one.label == "now":
        return [one], two.price
    return offers, None


def _rises(low: Decimal | None, high: Decimal | None) -> bool:
    return low is not None and high is not None and low <= high


def _in_brackets(text: str) -> bool:
    return text[0] == "(" and text[-1] == ")"


def _quantity(text: str, price: Number, numbers: list[Number]) -> int | None:
    """The 2 of ``2 for $5``."""
    for number in numbers:
        if number.end <= price.start and not number.symbol and number.token.isdigit():
            between = text[number.end : price.start]
            return int(number.token) if FOR.fullmatch(between) else None
    return None


# --- no symbol beside a number ---------------------------------------------------------


def _bare(reader: Reader, numbers: list[Number]) -> Found:
    text = reader.text
    number, *others = numbers
    if others:
        return _bare_range(reader, number, others)
    valued = reader.valued(number, None)
    if valued.amount is None:
        return None
    behind = EACH.sub("", TAX.sub("", text[number.end :]))
    if not ALONE.fullmatch(f"{text[: number.start]} {behind}"):
        return _far(reader, number)
    if _in_brackets(text):  # a count, but for a known currency
        return {"amount": -valued.amount, "currency": reader.hint} if reader.hint else None
    return {"amount": valued.amount, "currency": reader.hint}


def _bare_range(reader: Reader, number: Number, others: list[Number]) -> Found:
    """Two numbers are a range of prices only when the currency is known."""
    if not reader.hint or len(others) > 1 or not _is_range(reader.text, number, others[0]):
        return None
    ends = [one._replace(negative=False) for one in (number, *others)]
    low, high = _valued_range(reader, ends[0], ends[1], None, None)
    if not _rises(low.amount, high.amount):
        return None
    return {"amount": low.amount, "currency": reader.hint, "amount_max": high.amount}


def _far(reader: Reader, number: Number) -> Found:
    """The currency is not beside the number: price-parser knows where to look."""
    sign = "." if reader.decimal_sign == "." else None
    parsed = library("price_parser").Price.fromstring(reader.text, decimal_separator=sign)
    if not parsed.currency or not _is_word(parsed.currency, reader.text):
        return None
    if parsed.currency not in reader.known.meanings:
        return None
    valued = reader.valued(number, parsed.currency)
    if valued.amount is None or abs(valued.amount) != parsed.amount:
        return None
    return {"amount": valued.amount, "currency": valued.currency}


def _is_word(symbol: str, text: str) -> bool:
    """Whether a symbol is a whole word of the text, and no other word."""
    if len(symbol) < 3 or symbol in ENGLISH:
        return False
    return bool(re.search(rf"(?<!\w){re.escape(symbol)}(?!\w)", text))
