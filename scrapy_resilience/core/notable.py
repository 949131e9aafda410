"""Which gates there is something to tell of: to the next checkpoint, and to whoever looks."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from scrapy_resilience.core.breaker import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy_resilience.core.gate import Gate, SavedGate

__all__ = ["Notable"]


class Notable:
    """The gates of one crawl that are not just healthy, in the order of their changes."""

    def __init__(self) -> None:
        self.not_closed: dict[State, dict[Gate, None]] = {
            State.FORCED_OPEN: {}, State.OPEN: {}, State.HALF_OPEN: {},
        }  # fmt: skip
        """The gates whose breakers are in each of these states."""
        self._changed: dict[str, Gate] = {}
        self._stored: dict[str, None] = {}

    def __iter__(self) -> Iterator[str]:
        """Their domains, those that are not closed first. One may come twice."""
        for gates in self.not_closed.values():
            for gate in gates:
                yield gate.domain
        yield from chain(self._changed, self._stored)

    def is_stored(self, domain: str) -> bool:
        """Whether the last checkpoint has something of it."""
        return domain in self._stored

    def mark(self, gate: Gate) -> None:
        """The next checkpoint may have something else of it."""
        self._changed[gate.domain] = gate

    def sort(self, gate: Gate, old: State, new: State) -> None:
        """Its breaker has another state."""
        if old is not State.CLOSED:
            self.not_closed[old].pop(gate, None)
        if new is not State.CLOSED:
            self.not_closed[new][gate] = None

    def evicted(self, gate: Gate) -> None:
        """It was idle, and is forgotten."""
        if self.is_stored(gate.domain):
            self.mark(gate)
        else:
            self._changed.pop(gate.domain, None)

    def restored(self, gate: Gate, old: State) -> None:
        """It has what the last checkpoint knows; its breaker was in another state before."""
        self.sort(gate, old, gate.breaker.state)
        self._stored[gate.domain] = None

    def changes(self, now: float, wall: float) -> dict[str, SavedGate | None]:
        """What the next checkpoint has to know: domain → plain values, None to forget it."""
        gates, self._changed = self._changed, {}
        found: dict[str, SavedGate | None] = {}
        for domain, gate in gates.items():
            data = gate.dump(now, wall)
            if data is not None:
                self._stored[domain] = None
            elif domain in self._stored:
                del self._stored[domain]
            else:
                continue
            found[domain] = data
        return found
