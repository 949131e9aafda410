"""``scrapy resilience breakers``: look at the breakers of a stopped job, and set them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.commands.jobs import open_job, values
from scrapy_resilience.commands.tables import plain, shown_time, table
from scrapy_resilience.core.deadletter import printable
from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.frontier.store import Changes
from scrapy_resilience.names import STATE_BREAKERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy_resilience.frontier.sqlite import SQLiteStore

__all__ = ["show_breakers"]

Breakers = dict[str, dict[str, Any]]

_COLUMNS: Final = ("domain", "state", "opened until", "trips", "reason")


def show_breakers(path: str, action: str = "list", domain: str = "") -> tuple[Any, str]:
    """*action* is ``list``, ``open`` or ``reset``; the last two name a *domain*."""
    if action not in _ACTIONS:
        raise CheckpointError(f"{action!r} is not an action of breakers: use open or reset")
    with open_job(Path(path), write=action != "list") as store:
        found = _load(store)
        if action != "list":
            _ACTIONS[action](found, domain.lower())
            data = values.encode(found) if found else None
            store.commit(Changes(state={STATE_BREAKERS: data}))
    rows = [{"domain": name, **breaker} for name, breaker in sorted(found.items())]
    return rows, table([_COLUMNS, *map(_row, rows)]) if rows else "no breakers"


def _load(store: SQLiteStore) -> Breakers:
    stored = store.state().get(STATE_BREAKERS)
    found: Breakers = values.decode(stored) if stored else {}
    return found


def _open(breakers: Breakers, domain: str) -> None:
    """Nothing of the domain is asked until it is reset."""
    known = breakers.get(domain, {})
    breakers[domain] = {
        "trips": 0,
        **known,
        "state": "forced_open",
        "opened_until": None,
        "reason": "opened by hand",
    }


def _reset(breakers: Breakers, domain: str) -> None:
    if breakers.pop(domain, None) is None:
        raise CheckpointError(f"there is no breaker of {domain!r}: `breakers` lists them")


_ACTIONS: Final[dict[str, Callable[[Breakers, str], None]]] = {
    "list": lambda _breakers, _domain: None,
    "open": _open,
    "reset": _reset,
}


def _row(breaker: dict[str, Any]) -> tuple[str, ...]:
    until = breaker.get("opened_until")
    return (
        printable(breaker["domain"]),
        plain(breaker.get("state")),
        shown_time(until) if until else "-",
        plain(breaker.get("trips")),
        printable(plain(breaker.get("reason"))),
    )
