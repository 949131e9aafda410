"""Prices and dates as the CLDR writes them, made with Babel: a source that is not ours.

3,520 prices: all of 32 locales, 11 currencies and 10 amounts, with the locale's own digits.
512 dates: 32 locales, 4 styles and 4 days. The days of one month can be taken for another's
in a numeric date; those of another can't.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_currency, get_currency_precision

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LOCALES", "CldrDate", "CldrPrice", "dates", "prices"]

LOCALES = (
    "ar_EG", "bg", "bn", "cs", "da", "de", "de_CH", "el", "en", "en_GB", "es", "es_MX", "fa",
    "fi", "fr", "he", "hi", "hu", "id", "it", "ja", "ko", "nl", "pl", "pt_BR", "ro", "ru",
    "sv", "th", "tr", "vi", "zh_Hans_CN",
)  # fmt: skip
CURRENCIES = (
    "USD", "EUR", "GBP", "JPY", "CNY", "CHF", "INR", "BRL", "KRW", "PLN", "KWD",
)  # fmt: skip
AMOUNTS = (
    "0.99", "5", "12.5", "19.99", "100", "999.95", "1234.56", "9999", "12345.6", "1234567.89",
)  # fmt: skip
STYLES = ("short", "medium", "long", "full")
DAYS = (date(2024, 1, 15), date(2023, 12, 31), date(2024, 3, 4), date(2025, 8, 26))


class CldrPrice(NamedTuple):
    """One text, and what it says."""

    text: str
    locale: str
    amount: Decimal
    currency: str


class CldrDate(NamedTuple):
    """One text, and what it says."""

    text: str
    locale: str
    style: str
    day: date


def prices() -> Iterator[CldrPrice]:
    """All prices; an amount has as many digits as its currency."""
    for name in LOCALES:
        locale = Locale.parse(name)
        for code in CURRENCIES:
            step = Decimal(1).scaleb(-get_currency_precision(code))
            for written in AMOUNTS:
                amount = Decimal(written).quantize(step)
                text = format_currency(amount, code, locale=locale, numbering_system="default")
                yield CldrPrice(text, name, amount, code)


def dates() -> Iterator[CldrDate]:
    """All dates."""
    for name in LOCALES:
        locale = Locale.parse(name)
        for style in STYLES:
            for day in DAYS:
                text = format_date(day, style, locale=locale)
                yield CldrDate(text, name, style, day)
