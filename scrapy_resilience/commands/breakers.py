"""``scrapy resilience breakers``: what a job knows of its domains, to see and to set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from scrapy_resilience import _clock
from scrapy_resilience.checkpoint.state import GATES, StateRegistry, checked
from scrapy_resilience.commands.jobs import open_job, values
from scrapy_resilience.commands.tables import plain, shown_number, shown_time, table
from scrapy_resilience.core.breaker import State
from scrapy_resilience.core.gate import SavedGate
from scrapy_resilience.core.gates import GateConfig, Gates
from scrapy_resilience.core.pace import Pace
from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.frontier.store import Changes

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["renewed", "saved_gates", "show_breakers"]

Saved: TypeAlias = dict[str, SavedGate | None]

_SHOWN: Final = {
    "state": State.CLOSED.value,
    "until": None,
    "trips": 0,
    "held_until": None,
    "hold_reason": "",
    "rate": None,
    "last_failure": "",
}
"""What is shown of a domain, with what it is where nothing is stored."""
_COLUMNS: Final = (
    "domain", "state", "until", "trips", "held until", "because", "rate", "last failure",
)  # fmt: skip
_NOW: Final = 0.0
"""Of a clock that stands still: only the time of day counts between two runs."""
_ACTIONS: Final[dict[str, Callable[[Gates, str, float], None]]] = {
    "open": Gates.force_open,
    "reset": Gates.reset,
}


def show_breakers(path: str, action: str = "list", domain: str = "") -> tuple[Any, str] | None:
    """*action* is ``list``, ``open`` or ``reset``; the last two name a *domain*.

    None for another one.
    """
    if action not in {"list", *_ACTIONS}:
        return None
    with open_job(Path(path), write=action != "list") as store:
        state = StateRegistry(store.state(), values)
        saved = saved_gates(state)
        if action != "list":
            changed = _act(action, saved, domain)
            state.register_map(GATES, lambda: changed)
            store.commit(Changes(state=state.changed()))
            saved |= changed
    rows = [_shown(name, data) for name, data in sorted(saved.items()) if data is not None]
    rows = [row for row in rows if not _is_well(row, _clock.wall())]
    return rows, table([_COLUMNS, *map(_row, rows)]) if rows else "no breakers"


def saved_gates(state: StateRegistry) -> Saved:
    """What the last run knew of domains, None for one to forget. Raises :exc:`DamagedError`."""
    return checked(state.load_map(GATES), Saved, "domains")


def _act(action: str, saved: Saved, domain: str) -> Saved:
    """What the gates of the next run find changed."""
    if domain not in saved:
        domain = domain.lower()  # as hosts are stored; a function may give other names
    if action == "reset" and domain not in saved:
        raise CheckpointError(f"there is no breaker of {domain!r}: `breakers` lists them")
    gates, wall = Gates(GateConfig(), _never), _clock.wall()
    gates.restore({domain: saved.get(domain) or {}}, _NOW, wall)
    _ACTIONS[action](gates, domain, _NOW)
    return gates.changed(_NOW, wall)


def renewed(data: SavedGate, domain: str) -> SavedGate | None:
    """What is left of a domain whose requests are to be tried anew: only what was asked for.

    A hold (``Retry-After``) goes on; a breaker that was forced open stays.
    """
    gates, wall = Gates(GateConfig(), _never), _clock.wall()
    gates.restore({domain: data}, _NOW, wall)
    gate = gates.gate(domain, _NOW)
    if gate.breaker.state is State.FORCED_OPEN:
        return data
    left, reason = gate.held_until - _NOW, gate.hold_reason
    gates.reset(domain, _NOW)
    if left > 0:
        gates.hold(domain, left, reason, _NOW)
    return gates.changed(_NOW, wall).get(domain)


def _never() -> float:
    """No breaker opens by itself here, for which it would need a random number."""
    raise AssertionError


def _shown(domain: str, saved: SavedGate) -> dict[str, Any]:
    data: dict[str, Any] = {**saved, "rate": Pace.load(saved.get("pace", {}), _NOW).rate}
    return {"domain": domain, **{key: data.get(key, _SHOWN[key]) for key in _SHOWN}}


def _is_well(row: dict[str, Any], now: float) -> bool:
    """Whether the next run asks the domain like any other."""
    held = (row["held_until"] or 0.0) > now
    return row["state"] == _SHOWN["state"] and not held and row["rate"] is None


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["domain"],
        row["state"].replace("_", " "),
        _time(row["until"]),
        plain(row["trips"]),
        _time(row["held_until"]),
        plain(row["hold_reason"]),
        "-" if row["rate"] is None else f"{shown_number(row['rate'])}/s",
        plain(row["last_failure"]),
    )


def _time(seconds: float | None) -> str:
    return shown_time(seconds) if seconds else "-"
