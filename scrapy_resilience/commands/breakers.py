"""``scrapy resilience breakers``: look at the breakers of a stopped job, and set them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.checkpoint.state import StateRegistry
from scrapy_resilience.commands.jobs import open_job, values
from scrapy_resilience.commands.tables import plain, shown_time, table
from scrapy_resilience.core.breaker import State
from scrapy_resilience.core.deadletter import printable
from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.frontier.store import Changes
from scrapy_resilience.names import STATE_GATES

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["show_breakers"]

Gates = dict[str, dict[str, Any]]

_COLUMNS: Final = ("domain", "state", "opened until", "trips", "held until", "reason")
_CLOSED: Final = State.CLOSED.value
_FORCED: Final = State.FORCED_OPEN.value


def show_breakers(path: str, action: str = "list", domain: str = "") -> tuple[Any, str]:
    """*action* is ``list``, ``open`` or ``reset``; the last two name a *domain*."""
    if action not in _ACTIONS:
        raise CheckpointError(f"{action!r} is not an action of breakers: use open or reset")
    with open_job(Path(path), write=action != "list") as store:
        gates: Gates = {}
        changed: dict[str, dict[str, Any] | None] = {}
        registry = StateRegistry(store.state(), values)
        registry.register_map(STATE_GATES, lambda: changed, gates.update)
        if action != "list":
            domain = domain if domain in gates else domain.lower()
            changed[domain] = _ACTIONS[action](gates, domain)
            store.commit(Changes(state=registry.changed()))
    now, found = time.time(), {**gates, **changed}
    rows = [_about(name, gate) for name, gate in sorted(found.items()) if gate]
    rows = [row for row in rows if row["state"] != _CLOSED or (row["held_until"] or 0) > now]
    return rows, table([_COLUMNS, *map(_row, rows)]) if rows else "no breakers"


def _open(gates: Gates, domain: str) -> dict[str, Any]:
    """Nothing of the domain is asked until it is reset."""
    return {**gates.get(domain, {}), "state": _FORCED, "last_failure": "opened by hand"}


def _reset(gates: Gates, domain: str) -> None:
    """The next run asks the domain as if nothing had been."""
    if domain not in gates:
        raise CheckpointError(f"there is no breaker of {domain!r}: `breakers` lists them")


_ACTIONS: Final[dict[str, Callable[[Gates, str], dict[str, Any] | None]]] = {
    "list": lambda _gates, _domain: None,
    "open": _open,
    "reset": _reset,
}


def _about(domain: str, gate: dict[str, Any]) -> dict[str, Any]:
    state = gate.get("state", _CLOSED)
    return {
        "domain": domain,
        "state": state,
        "opened_until": gate.get("until") if state != _FORCED else None,
        "trips": gate.get("trips", 0),
        "held_until": gate.get("held_until"),
        "reason": gate.get("last_failure") or gate.get("hold_reason"),
    }


def _row(breaker: dict[str, Any]) -> tuple[str, ...]:
    opened, held = breaker["opened_until"], breaker["held_until"]
    return (
        printable(breaker["domain"]),
        plain(breaker["state"]),
        shown_time(opened) if opened else "-",
        plain(breaker["trips"]),
        shown_time(held) if held else "-",
        printable(plain(breaker["reason"])),
    )
