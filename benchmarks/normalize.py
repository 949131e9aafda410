"""Normalizers: right, wrong and refused, and what they cost, beside the libraries as shipped.

Accuracy is on texts that others wrote (`benchmarks.cldr`, `benchmarks.normalize_places`), each
counted once:

- right: what the text says; of a price the amount and the currency
- incomplete: the amount without a currency, or a day that is marked as ambiguous
- refused: ``None``
- wrong: another value, and nothing that says so

price-parser gives the symbol as it stands in the text, so of its results the amount alone
counts, and any symbol is taken for right. The kinds of texts of which one reading is wrong are
in `benchmarks.normalize_kinds`; what all cost is in `benchmarks.normalize_cost`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import dateparser
from price_parser import Price

from benchmarks import cldr, normalize_cost, normalize_kinds
from benchmarks.normalize_places import COMPANIES, PHONES, SETS
from benchmarks.report import Outcome
from scrapy_resilience.normalize import normalize_date, normalize_price

if TYPE_CHECKING:
    from benchmarks.crawls import Options

__all__ = ["run"]

_RIGHT, _INCOMPLETE, _REFUSED, _WRONG = "right", "incomplete", "refused", "wrong"
_KINDS: Final = {True: _RIGHT, None: _REFUSED, False: _WRONG}
_BECAME: Final = {
    normalize_kinds.RIGHT: _RIGHT,
    normalize_kinds.AMBIGUOUS: _INCOMPLETE,
    normalize_kinds.NONE: _REFUSED,
    normalize_kinds.WRONG: _WRONG,
}
_LEAST: Final = {PHONES: 1.0, COMPANIES: 0.95}
"""The share that must be right."""


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome("normalizers beside the libraries as shipped")
    _prices(outcome)
    _dates(outcome)
    _others(outcome)
    _kinds(outcome)
    normalize_cost.measure(outcome, options.of(20, 3))
    return outcome


# --- accuracy --------------------------------------------------------------------------


def _prices(outcome: Outcome) -> None:
    prices = list(cldr.prices())

    def ours(price: cldr.CldrPrice, locale: str | None) -> str:
        found = normalize_price(price.text, locale=locale, decimal=True)
        if found is None:
            return _REFUSED
        if found["amount"] != price.amount or found["currency"] not in {None, price.currency}:
            return _WRONG
        return _RIGHT if found["currency"] else _INCOMPLETE

    def theirs(price: cldr.CldrPrice) -> str:
        found = Price.fromstring(price.text)
        if found.amount is None:
            return _REFUSED
        return _RIGHT if found.amount == price.amount else _WRONG

    with_locale = Counter(ours(price, price.locale) for price in prices)
    without = Counter(ours(price, None) for price in prices)
    _count(outcome, "price, with locale", with_locale)
    _count(outcome, "price, without", without)
    _count(outcome, "price-parser, amount alone", Counter(map(theirs, prices)))
    _bars(outcome, "CLDR prices", with_locale, without, right=0.97, wrong=(0.005, 0.005))


def _dates(outcome: Outcome) -> None:
    dates = list(cldr.dates())

    def ours(date: cldr.CldrDate, locale: str | None) -> str:
        found = normalize_date(date.text, locale=locale)
        if found is None:
            return _REFUSED
        if found["ambiguous"]:
            return _INCOMPLETE
        return _RIGHT if found["iso"] == str(date.day) else _WRONG

    def theirs(date: cldr.CldrDate, languages: list[str] | None) -> str:
        found = dateparser.parse(date.text, languages=languages)
        if found is None:
            return _REFUSED
        return _RIGHT if found.date() == date.day else _WRONG

    with_locale = Counter(ours(date, date.locale) for date in dates)
    without = Counter(ours(date, None) for date in dates)
    _count(outcome, "date, with locale", with_locale)
    _count(outcome, "date, without", without)
    given = Counter(theirs(date, [date.locale.partition("_")[0]]) for date in dates)
    _count(outcome, "dateparser, language given", given)
    _count(outcome, "dateparser", Counter(theirs(date, None) for date in dates))
    _bars(outcome, "CLDR dates", with_locale, without, right=0.98, wrong=(0, 0.01))


def _others(outcome: Outcome) -> None:
    for name, texts in SETS.items():
        found = Counter(_KINDS[each] for each in texts())
        _count(outcome, name, found)
        if name in _LEAST:
            share, least = found[_RIGHT] / found.total(), _LEAST[name]
            outcome.bar(f"{name}, at least {least:.0%}", f"{share:.2%}", met=share >= least)


def _kinds(outcome: Outcome) -> None:
    """Texts in which a value can be silently wrong: none of them may be."""
    total: Counter[str] = Counter()
    for name, kind in normalize_kinds.KINDS.items():
        found = Counter(_BECAME[made.became] for made in kind.texts())
        _count(outcome, name, found)
        total += found
    text = f"{total.total():,} texts of all kinds, silently wrong, none"
    outcome.bar(text, str(total[_WRONG]), met=not total[_WRONG])


def _count(outcome: Outcome, name: str, found: Counter[str]) -> None:
    kinds = {kind: found[kind] for kind in (_RIGHT, _INCOMPLETE, _REFUSED, _WRONG)}
    outcome.rows.append({"what": name, "texts": found.total(), **kinds})


def _bars(
    outcome: Outcome,
    name: str,
    with_locale: Counter[str],
    without: Counter[str],
    *,
    right: float,
    wrong: tuple[float, float],
) -> None:
    share = with_locale[_RIGHT] / with_locale.total()
    text = f"{name}, right with locale, at least {right:.0%}"
    outcome.bar(text, f"{share:.2%}", met=share >= right)
    for label, found, bar in zip(
        ("with", "without"), (with_locale, without), wrong, strict=True
    ):
        share = found[_WRONG] / found.total()
        text = f"{name}, wrong {label} locale, at most {bar:.1%}"
        outcome.bar(text, f"{share:.2%}", met=share <= bar)
