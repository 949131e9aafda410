"""Whether a text has the shape of what a field should hold: quick, and not a parser.

A selector that hits the wrong element still fills its field. These checks see that a price
has no digit, that a rating is an amount of money, that a link is none; they cost about a
microsecond, where parsing costs tens.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["KINDS", "is_valid"]

_LONG: Final = 200
"""Characters; a longer value is not a price, number, rating or date."""

_LONG_URL: Final = 4000

_DIGIT: Final = re.compile(r"\d")
_MONEY: Final = re.compile(r"[$€£¥₹₽₩]")
_FREE: Final = re.compile(r"\b(?:free|gratis|kostenlos|gratuit)\b", re.IGNORECASE)
_STARS: Final = re.compile(r"[★⭐]|[\d½]")
_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_WORDS_IN_PRICE: Final = 6


def _price(text: str) -> bool:
    if _DIGIT.search(text):
        return len(_WORD.findall(text)) <= _WORDS_IN_PRICE
    return _FREE.search(text) is not None


def _rating(text: str) -> bool:
    return _STARS.search(text) is not None and not _MONEY.search(text)


def _number(text: str) -> bool:
    return _DIGIT.search(text) is not None


def _date(text: str) -> bool:
    return _DIGIT.search(text) is not None and not _MONEY.search(text)


def _url(text: str) -> bool:
    """Absolute or relative; an image inlined as ``data:`` is a placeholder."""
    shaped = "/" in text or "." in text[:-1]
    return shaped and len(text.split()) == 1 and not text.startswith("data:")


KINDS: Final[Mapping[str, Callable[[str], bool] | None]] = {
    "text": None,
    "price": _price,
    "number": _number,
    "rating": _rating,
    "date": _date,
    "url": _url,
}
"""What a field may hold. ``text`` is anything that is not empty."""


def is_valid(kind: str, text: str) -> bool:
    """Whether *text* may be a value of *kind*, one of :data:`KINDS`."""
    check = KINDS[kind]
    if check is None:
        return bool(text)
    return len(text) <= (_LONG_URL if kind == "url" else _LONG) and check(text)
