"""Texts with the value that should come of them, and what did.

Outcomes:

- right: what the text says
- doubtful: a value that is marked as ambiguous or not valid; and of a text that says no value,
  or more than one, ``None`` or such a mark
- unread: ``None`` where the text has a value, or a part of it: an amount without its currency
- wrong: another value, and nothing that says so
"""

from __future__ import annotations

import csv
import re
import unicodedata
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy_resilience import normalize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = [
    "ANY",
    "DOUBTFUL",
    "KINDS",
    "OWN",
    "RIGHT",
    "UNREAD",
    "WRONG",
    "Case",
    "Judged",
    "judge",
    "own_cases",
]

RIGHT, DOUBTFUL, UNREAD, WRONG = "right", "doubtful", "unread", "wrong"
KINDS: Final = ("price", "date", "location", "company", "rating", "phone")
ANY: Final = "*"
"""What a part of a wanted value may be."""
OWN: Final = Path(__file__).with_name("reports.csv")


class Case(NamedTuple):
    """A text, the hints that its reader has, and what it says."""

    kind: str
    text: str
    hints: dict[str, Any]
    wanted: dict[str, Any] | None
    """Keys of the result; `ANY` is not judged, a tuple has several that are right. ``None``
    for a text that says no value, or can't be told."""
    source: str


class Judged(NamedTuple):
    """A case, and what became of it."""

    case: Case
    outcome: str
    found: dict[str, Any] | None


def judge(case: Case) -> Judged:
    """Read a text, and say what became of it."""
    hints = case.hints | ({"decimal": True} if case.kind == "price" else {})
    found: dict[str, Any] | None = getattr(normalize, f"normalize_{case.kind}")(
        case.text, **hints
    )
    return Judged(case, _outcome(case, found), found)


def _outcome(case: Case, found: dict[str, Any] | None) -> str:
    if case.wanted is None:
        return DOUBTFUL if found is None or _is_marked(found) else WRONG
    if found is None:
        return UNREAD
    if _is_marked(found):
        return DOUBTFUL
    fits = {key: _fits(wanted, found.get(key)) for key, wanted in case.wanted.items()}
    if fits.get("suffix") == UNREAD:  # then the name is the whole text
        return UNREAD
    if WRONG in fits.values():
        return WRONG
    return UNREAD if UNREAD in fits.values() else RIGHT


def _is_marked(found: dict[str, Any]) -> bool:
    return bool(found.get("ambiguous")) or found.get("valid") is False


def _fits(wanted: Any, found: Any) -> str:
    if isinstance(wanted, tuple):
        return RIGHT if RIGHT in (each := [_fits(one, found) for one in wanted]) else each[0]
    if wanted in {ANY, found}:
        return RIGHT
    if found is None:
        return UNREAD
    if isinstance(wanted, str) and isinstance(found, str):
        if _folded(wanted) == _folded(found):
            return RIGHT
        if len(found) == len("2024-01-15") and wanted.startswith(f"{found}T"):
            return UNREAD  # the day without its time
    return WRONG


_SHORT: Final = re.compile(r"\b(st|ft)\b")


def _folded(text: str) -> str:
    """Letters and digits alone: how a name is written is not judged, nor that St is Saint."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = _SHORT.sub(lambda found: {"st": "saint", "ft": "fort"}[found[1]], plain)
    return "".join(letter for letter in plain if letter.isalnum() or letter in "+-")


# --- the file of ours ------------------------------------------------------------------


def own_cases(lines: Iterable[str] | None = None) -> Iterator[Case]:
    """The texts of ``reports.csv``, or of *lines* that are written like it.

    The column ``wanted`` has ``-`` for none; ``10..20 USD`` for a price, an ISO 8601 day or
    moment in UTC for a date, ``city|state|country`` and ``name|form`` with nothing where there
    is none, ``4.5/5 120`` for a rating of 120 people, ``+12125550123 x9`` for a phone.
    """
    if lines is None:
        lines = OWN.read_text("utf-8").splitlines()
    for row in csv.DictReader(lines):
        kind, wanted = row["kind"], row["wanted"]
        value = None if wanted == "-" else _WANTED[kind](wanted)
        yield Case(kind, row["text"], _hints(row["hints"]), value, row["source"])


def _hints(text: str) -> dict[str, Any]:
    pairs = (each.partition("=") for each in text.split(";") if each)
    return {name: _HINTS.get(name, str)(value) for name, _, value in pairs}


_HINTS: Final[dict[str, Callable[[str], Any]]] = {
    "now": datetime.fromisoformat,
    "max": float,
    "languages": lambda text: tuple(text.split(",")),
}


def _price(text: str) -> dict[str, Any]:
    amounts, _, currency = text.partition(" ")
    low, _, high = amounts.partition("..")
    most = Decimal(high) if high else None
    return {"amount": Decimal(low), "amount_max": most, "currency": currency or None}


def _date(text: str) -> dict[str, Any]:
    return {"iso": f"{datetime.fromisoformat(text).isoformat()}+00:00" if "T" in text else text}


def _location(text: str) -> dict[str, Any]:
    parts = [tuple(part.split(" / ")) if part else None for part in text.split("|")]
    return dict(zip(("city", "state", "country"), parts, strict=True))


def _company(text: str) -> dict[str, Any]:
    name, _, form = text.partition("|")
    return {"name": tuple(name.split(" / ")), "suffix": form or None}


def _rating(text: str) -> dict[str, Any]:
    rating, _, count = text.partition(" ")
    value, _, best = rating.partition("/")
    most = None if best == "?" else float(best)
    return {"value": float(value), "max": most, "count": int(count) if count else ANY}


def _phone(text: str) -> dict[str, Any]:
    number, _, extension = text.partition(" x")
    return {"e164": number, "extension": extension or None}


_WANTED: Final[dict[str, Callable[[str], dict[str, Any]]]] = {
    "price": _price,
    "date": _date,
    "location": _location,
    "company": _company,
    "rating": _rating,
    "phone": _phone,
}
