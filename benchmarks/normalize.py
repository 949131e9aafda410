"""Normalizers: right, wrong and refused, and what they cost, beside the libraries as shipped.

Accuracy is on texts that the CLDR writes (`benchmarks.cldr`), each counted once:

- right: the amount and the currency, or the day
- incomplete: the amount without a currency, or a day that is marked as ambiguous
- refused: ``None``
- wrong: another value, and nothing that says so

price-parser gives the symbol as it stands in the text, so of its results the amount alone
counts, and any symbol is taken for right.

Times are the best of several turns, in microseconds a text: without the memory of earlier
results, and with it. Hostile texts have 100,000 characters; each is looked at once, so
nothing is remembered. The import is measured in processes of its own, without Python's start.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

import dateparser
from price_parser import Price

from benchmarks import cldr
from benchmarks.report import Outcome
from scrapy_resilience.normalize import normalize_date, normalize_price

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.crawls import Options

_NOW = datetime(2024, 1, 15, 12, tzinfo=timezone.utc)
_HOSTILE_LENGTH = 100_000
_HOSTILE = (
    "1",
    "$",
    "1,",
    "1 ",
    "$1 ",
    "９",
    "($",
    "€1",
    "½",
    "jan ",
    "10:30 ",
    "a: ",
    "年月日",
)
_RIGHT, _INCOMPLETE, _REFUSED, _WRONG = "right", "incomplete", "refused", "wrong"


class Timed(NamedTuple):
    """A normalizer, what stands in its place without it, and texts of the web."""

    name: str
    ours: Callable[[str], object]
    uncached: Callable[[str], object]
    library: Callable[[str], object]
    texts: Sequence[str]


_TIMED = (
    Timed(
        "price",
        normalize_price,
        normalize_price.__wrapped__,  # type: ignore[attr-defined]
        Price.fromstring,
        (
            "$1,234.56",
            "1.234,56 €",
            "£19.99",
            "CHF 1’234.50",
            "₹1,23,456.00",
            "1 299 kr",
            "12,50 zł",
            "Price: $5.99",
            "$10 - $20",
            "Was $50 Now $40",
        ),
    ),
    Timed(
        "date, ISO and names of months",
        normalize_date,
        normalize_date.__wrapped__,  # type: ignore[attr-defined]
        dateparser.parse,
        (
            "2024-01-15",
            "2024-01-15T10:30:00Z",
            "Jan 15, 2024",
            "15 January 2024",
            "Monday, January 15, 2024",
            "15. Januar 2024",
            "15 janvier 2024",
        ),
    ),
    Timed(
        "date, others",
        lambda text: normalize_date(text, now=_NOW),
        lambda text: normalize_date.__wrapped__(text, now=_NOW),  # type: ignore[attr-defined]
        dateparser.parse,
        (
            "Mon, 15 Jan 2024 10:30:00 +0000",
            "01/15/2024",
            "2024年1月15日",
            "3 days ago",
            "Jan 15, 2024 10:30 PM EST",
            "hace 2 días",
            "Add to cart",
        ),
    ),
)


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome("normalizers beside the libraries as shipped")
    _prices(outcome)
    _dates(outcome)
    _times(outcome, options.of(20, 3))
    _hostile(outcome)
    _import(outcome, options.of(5, 1))
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


# --- time ------------------------------------------------------------------------------


def _times(outcome: Outcome, turns: int) -> None:
    for timed in _TIMED:
        uncached = _best(timed.uncached, timed.texts, turns)
        outcome.rows.append(
            {
                "what": f"{timed.name}, µs",
                "ours": uncached,
                "ours, seen before": _best(timed.ours, timed.texts, turns),
                "library": _best(timed.library, timed.texts, turns),
            }
        )
        if timed.name.startswith("date, ISO"):
            outcome.bar(
                "ISO and names of months, at most 5 µs",
                f"{uncached:.1f}",
                met=uncached <= 5,  # noqa: PLR2004
            )


def _best(function: Callable[[str], object], texts: Sequence[str], turns: int) -> float:
    """Microseconds a text: of each text the best turn, and the mean over the texts."""

    def once(text: str) -> float:
        rounds = 20
        started = time.perf_counter()
        for _ in range(rounds):
            function(text)
        return (time.perf_counter() - started) / rounds * 1e6

    return sum(min(once(text) for _ in range(turns)) for text in texts) / len(texts)


def _hostile(outcome: Outcome) -> None:
    functions: dict[str, Callable[..., Any]] = {
        "price": normalize_price,
        "date": normalize_date,
    }
    for name, function in functions.items():
        hints = {"now": _NOW} if name == "date" else {}
        function("12 warm 34", **hints)
        worst = max(_worst(function, hints, _HOSTILE), default=0)
        text = f"{name}: {_HOSTILE_LENGTH:,} hostile characters, at most 1 ms"
        outcome.bar(text, f"{worst:.2f} ms", met=worst <= 1)


def _worst(
    function: Callable[..., Any], hints: dict[str, Any], units: Iterable[str]
) -> Iterable[float]:
    """Milliseconds of each unit, repeated; of three texts that differ the fastest."""
    for unit in units:
        took = []
        for number in range(3):
            text = f"{number}{unit * (_HOSTILE_LENGTH // len(unit))}"
            started = time.perf_counter()
            function(text, **hints)
            took.append((time.perf_counter() - started) * 1e3)
        yield min(took)


def _import(outcome: Outcome, turns: int) -> None:
    code = (
        "import time; started = time.perf_counter(); import scrapy_resilience.normalize;"
        " print(time.perf_counter() - started)"
    )
    run = [sys.executable, "-c", code]
    took = min(float(subprocess.check_output(run)) for _ in range(turns)) * 1e3
    outcome.bar("import of the package, at most 60 ms", f"{took:.1f} ms", met=took <= 60)  # noqa: PLR2004
