"""Numbers as people write them: groups, decimal signs, and words for thousands and more."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NUMBER", "exact", "read_number", "scale_of", "word_scale_of"]

NUMBER = re.compile(
    r"\d{1,3}(?: \d{3})+(?!\d)(?:[.,]\d+)?|\d[\d.,']*(?:(?<=[.,]) (?=\d)[\d.,']+)*"
    r"|(?<![^\W_])[.,]\d+"
)
"""A number with all its signs, and those that may follow it. ``10, 200`` is one that can't be
read: it is a thousand, or two numbers."""

_GROUPED = {
    sign: re.compile(rf"\d{{1,3}}(?:{re.escape(sign)}\d{{2,3}})*{re.escape(sign)}\d{{3}}")
    for sign in ".,' "
}
_PLAIN = re.compile(r"\d+")


def read_number(
    token: str, decimal_sign: str | None, digits: int, home: str | None
) -> Decimal | None:
    """Read a number; ``None`` when it is none, or may be two.

    *decimal_sign* is that of the locale, when it is known. It decides only what nothing else
    does: a single sign before three digits. Then a currency of three *digits* (KWD) has them,
    one of none has groups, and so has any with a comma; a point does not group where the
    currency is at *home* with decimal points, nor without a currency.
    """
    token = token.rstrip(".,'")
    signs = [sign for sign in token if not sign.isdigit()]
    if not signs:
        return Decimal(token)
    kinds, last = {*signs}, signs[-1]
    if len(kinds) == 2 and last in ".,":
        (group,) = kinds - {last}
        return _fraction(token, last, group)
    if len(kinds) > 1:
        return None
    whole, _, fraction = token.rpartition(last)
    if last in "' " or len(signs) > 1:
        grouped: bool | None = True
    elif len(fraction) != 3 or len(whole) > 3 or whole[:1] in {"", "0"}:
        grouped = False
    else:
        grouped = last != decimal_sign if decimal_sign else _groups(last, digits, home)
    if grouped is None:
        return None
    return _whole(token, last) if grouped else _fraction(token, last, None)


def _groups(sign: str, digits: int, home: str | None) -> bool | None:
    if digits == 3:
        return False if sign == "." else None
    if digits == 0 or sign == ",":
        return True
    return True if home == "," else None


def _whole(token: str, group: str) -> Decimal | None:
    return Decimal(token.replace(group, "")) if _GROUPED[group].fullmatch(token) else None


def _fraction(token: str, sign: str, group: str | None) -> Decimal | None:
    whole, _, fraction = token.rpartition(sign)
    if group and not _GROUPED[group].fullmatch(whole):
        return None
    whole = whole.replace(group, "") if group else whole
    if not _PLAIN.fullmatch(whole or "0"):
        return None
    return Decimal(f"{whole or 0}.{fraction}")


_WORD = re.compile(r" ?((?:[^\W\d_]|[\u0900-\u097f])+)")
_SCALES = {
    3: "k thousand thousands tsd tausend тыс тысяч mila mille tys tis ribu rb nghìn ngàn",
    5: "lakh lakhs lac lacs लाख",
    6: "m mm mn mln mio million millions millionen millones milhões milhão millón milioni"
    " miljoen miljoner milionów млн миллионов juta jt triệu",
    7: "crore crores cr करोड़",
    9: "b bn billion billions mrd milliard milliards milliarde milliarden md mld miljard"
    " miliardi miliardů млрд миллиардов tỷ",
    12: "t tn trillion trillions billionen billones трлн",
}
_POWERS = {word: power for power, words in _SCALES.items() for word in words.split()}
_SIGNS = dict(zip("千万萬億亿兆천만억조", (3, 4, 4, 8, 8, 12, 3, 4, 8, 12), strict=True))


def scale_of(
    text: str, *, priced: bool, local: Mapping[str, int | None]
) -> tuple[int | None, int]:
    """The power of ten that *text*, which follows a number, begins with, and its length.

    A single letter counts when it is attached to the number or to the currency, or is a
    capital after a number that is *priced*: has its currency already. *local* has the powers
    of words that mean more than one; ``None`` for one that is not known here.
    """
    found = _WORD.match(text)
    if found is None:
        return 0, 0
    word = found[1].lower()
    if word[0] in _SIGNS:
        return _SIGNS[word[0]], found.start(1) + 1
    after = text[found.end() : found.end() + 1]
    alone = len(word) == 1 and text[0] == " " and after not in _ATTACHED
    if alone and not (priced and found[1].isupper()):
        more = text[found.end() :].lstrip()[:1]
        return (None if word in _POWERS and more in _ATTACHED else 0), 0
    power = local[word] if word in local else _POWERS.get(word, 0)
    return (0, 0) if power == 0 else (power, found.end() + (len(word) > 1 and after == "."))


def word_scale_of(text: str, *, local: Mapping[str, int | None]) -> tuple[int | None, int]:
    """The same behind a currency, where letters say something else: ``10 EUR M``."""
    found = _WORD.match(text)
    if found is None or len(found[1]) < _LETTERS or text[:1] != " ":
        return 0, 0
    return scale_of(text, priced=True, local=local)


_LETTERS = 3
_ATTACHED = {"€", "$", "£", "¥", "₹"}


def exact(value: Decimal) -> int | float | None:
    """The int or float that is this decimal, and ``None`` when no float is."""
    if value == value.to_integral_value():
        return int(value)
    number = float(value)
    return number if Decimal(repr(number)) == value else None
