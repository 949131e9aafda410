"""What normalizers and the confidence cost. Part of ``python -m benchmarks normalize``.

Times are CPU time, in microseconds a text: of each text the best of several turns, and the mean
over the texts. Tables and libraries are loaded. *worked out* is without the memory of earlier
results, *seen before* with it. Hostile texts have 100,000 characters; each is looked at once,
so nothing is remembered. The import is measured in processes of its own, without Python's
start.
"""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import datetime, timezone
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import dateparser
import phonenumbers
from price_parser import Price

from scrapy_resilience import normalize
from scrapy_resilience.confidence import ConfidenceCalculator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.report import Outcome

__all__ = ["measure"]

_NOW = datetime(2024, 1, 15, 12, tzinfo=timezone.utc)
_HOSTILE_LENGTH = 100_000
_ROUNDS = 20
_IMPORTS = 5
_ITEM, _SIMPLE_DATES, _HOSTILE_MS, _IMPORT_MS = 115, 5, 1, 60
"""The bars: µs of an item and of a date, ms of a hostile text and of the import."""


class Timed(NamedTuple):
    """A normalizer, texts of the web, and what stands in its place without it."""

    name: str
    function: Callable[..., Any]
    texts: Sequence[str]
    hints: Mapping[str, Any] = MappingProxyType({})
    library: Callable[[str], object] | None = None


_TIMED = (
    Timed(
        "price",
        normalize.normalize_price,
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
        library=Price.fromstring,
    ),
    Timed(
        "date, ISO and names of months",
        normalize.normalize_date,
        (
            "2024-01-15",
            "2024-01-15T10:30:00Z",
            "Jan 15, 2024",
            "15 January 2024",
            "Monday, January 15, 2024",
            "15. Januar 2024",
            "15 janvier 2024",
        ),
        library=dateparser.parse,
    ),
    Timed(
        "date, others",
        normalize.normalize_date,
        (
            "Mon, 15 Jan 2024 10:30:00 +0000",
            "01/15/2024",
            "2024年1月15日",
            "3 days ago",
            "Jan 15, 2024 10:30 PM EST",
            "hace 2 días",
            "Add to cart",
        ),
        {"now": _NOW},
        dateparser.parse,
    ),
    Timed(
        "company",
        normalize.normalize_company,
        (
            "Google LLC",
            "Samsung Electronics Co., Ltd.",
            "Müller GmbH & Co. KG",
            "Northern Trust",
            "トヨタ自動車株式会社",
            "Acme",
        ),
    ),
    Timed(
        "location",
        normalize.normalize_location,
        (
            "NYC, NY, USA",
            "San Francisco, CA 94105",
            "Paris, France",
            "München",
            "Springfield",
            "Remote",
        ),
    ),
    Timed(
        "phone",
        normalize.normalize_phone,
        (
            "(555) 123-4567",
            "+44 20 7946 0958",
            "Tel.: +49 (0)30 1234567",
            "212-555-0123 ext. 4",
            "call us",
        ),
        library=lambda text: list(phonenumbers.PhoneNumberMatcher(text, "US")),
    ),
    Timed(
        "rating",
        normalize.normalize_rating,
        (
            "4.5/5 stars",
            "4,5 von 5 Sternen",
            "★★★★☆",
            "9.2/10 (1,234 reviews)",
            "4.7",
            "No reviews yet",
        ),
    ),
)
_SIMPLE = "date, ISO and names of months"
_OTHER_DATES = "date, others"

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
    "+1",
    "(1",
    "a ",
    "Inc ",
    "S.A. ",
    "CA ",
    "paris ",
    "★",
    "4/5 ",
    "株式会社",
)


def measure(outcome: Outcome, turns: int) -> None:
    """Add the rows and bars."""
    worked_out = _times(outcome, turns)
    _item(outcome, worked_out, turns)
    for name in normalize.__all__:
        _hostile(outcome, name)
    _import(outcome)


def _times(outcome: Outcome, turns: int) -> dict[str, float]:
    """Return the microseconds that each takes to work a text out."""
    worked_out = {}
    for name, function, texts, hints, library in _TIMED:
        work = partial(function.__wrapped__, **hints)  # type: ignore[attr-defined]
        worked_out[name] = _best(work, texts, turns)
        row: dict[str, object] = {
            "what": f"{name}, µs",
            "worked out": worked_out[name],
            "seen before": _best(partial(function, **hints), texts, turns),
        }
        outcome.rows.append(
            row | ({"library": _best(library, texts, turns)} if library else {})
        )
    simple = worked_out[_SIMPLE]
    text = f"ISO and names of months, at most {_SIMPLE_DATES} µs"
    outcome.bar(text, f"{simple:.1f}", met=simple <= _SIMPLE_DATES)
    return worked_out


def _item(outcome: Outcome, worked_out: dict[str, float], turns: int) -> None:
    """One of each, of dates the simple ones or the others, and how far they can be trusted."""
    confidence = _best(_confidence, ("x" * 20_000,), turns)
    outcome.rows.append({"what": "confidence, µs", "worked out": confidence})
    whole = sum(worked_out.values()) + confidence
    for label, left_out in (("", _OTHER_DATES), (", with other dates", _SIMPLE)):
        took = whole - worked_out[left_out]
        text = f"all six and the confidence of an item{label}, at most {_ITEM} µs"
        outcome.bar(text, f"{took:.0f}", met=took <= _ITEM)


_CALCULATOR = ConfidenceCalculator()


def _confidence(text: str) -> object:
    return _CALCULATOR.calculate(
        content=text,
        sources={"json-ld": "19.99", "css": "19.99"},
        extraction_method="semantic",
        response_time=0.4,
        status=200,
        structured_data=True,
    )


def _best(function: Callable[[str], object], texts: Sequence[str], turns: int) -> float:
    def once(text: str) -> float:
        started = time.process_time()
        for _ in range(_ROUNDS):
            function(text)
        return (time.process_time() - started) / _ROUNDS * 1e6

    for text in texts:
        function(text)
    return sum(min(once(text) for _ in range(turns)) for text in texts) / len(texts)


def _hostile(outcome: Outcome, name: str) -> None:
    function = getattr(normalize, name)
    hints = {"now": _NOW} if name == "normalize_date" else {}
    function("12 warm 34", **hints)
    took = max(_worst(partial(function, **hints), unit) for unit in _HOSTILE)
    text = f"{name}: {_HOSTILE_LENGTH:,} hostile characters, at most {_HOSTILE_MS} ms"
    outcome.bar(text, f"{took:.2f} ms", met=took <= _HOSTILE_MS)


def _worst(function: Callable[[str], object], unit: str) -> float:
    """Milliseconds of a unit, repeated; of five texts that differ the fastest."""

    def once(number: int) -> float:
        text = f"{number}{unit * (_HOSTILE_LENGTH // len(unit))}"
        started = time.process_time()
        function(text)
        return (time.process_time() - started) * 1e3

    return min(map(once, range(5)))


def _import(outcome: Outcome) -> None:
    code = (
        "import scrapy_resilience, time; started = time.perf_counter();"
        " import scrapy_resilience.normalize; print(time.perf_counter() - started)"
    )
    run = [sys.executable, "-c", code]
    took = min(float(subprocess.check_output(run)) for _ in range(_IMPORTS)) * 1e3
    text = f"import of the package, at most {_IMPORT_MS} ms"
    outcome.bar(text, f"{took:.1f} ms", met=took <= _IMPORT_MS)
