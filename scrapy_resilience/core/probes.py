"""How long the first request of a domain may take, by how those of others went.

Where as many domains as are on probation wait for their first answer, the first request of
another one is a *probe*: it has a slow start's seconds, and all the time of its downloader
when it is tried again, on probation. When some domains in a row have not answered, the next
ones have a quarter, and then a twentieth of it (:data:`_SHARES`), so that one that is well is
found behind hundreds that are not. A look as short as that says nothing against a domain: its
next one is four times as long, and on probation only while others answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrapy_resilience.core.breaker import Outcome

if TYPE_CHECKING:
    from scrapy_resilience.core.gate import Gate, Ticket

__all__ = ["ANSWERS", "ProbeTimes"]

ANSWERS: Final = frozenset({Outcome.SUCCESS, Outcome.FAILURE, Outcome.THROTTLED})
"""Outcomes that say something of a domain."""
_SHARES: Final = ((8, 0.05), (2, 0.25), (0, 1.0))
"""After so many domains in a row without an answer, a probe has this share of a slow start."""
_MOST_OF_IT: Final = 0.9
"""Of its time, from which on a failure is that it had no more."""
_LOOKS: Final = 3
"""After as many short looks a probe has all of a slow start again."""


class ProbeTimes:
    """How long probes may take in a crawl whose slow start has as many seconds."""

    def __init__(self, slow_start: float) -> None:
        self._slow_start = slow_start
        self._lag = 1.0
        """How many times their time probes took lately: more than once when we are busy."""
        self._silent = 0
        """Domains in a row whose first request had no answer."""

    def seconds(self, gate: Gate) -> float:
        """How long a probe of *gate* may take."""
        share = next(share for least, share in _SHARES if self._silent >= least)
        share *= 4.0 ** min(gate.looks, _LOOKS) * self._lag
        return self._slow_start * min(share, 1.0)

    def ended(
        self, ticket: Ticket, outcome: Outcome, now: float, *, cut_short: bool
    ) -> Outcome:
        """What a first request has shown: nothing where it had no time to be answered."""
        least = _MOST_OF_IT * (ticket.probe or self._slow_start)
        if outcome is Outcome.FAILURE and (passed := now - ticket.sent_at) >= least:
            self._silent += 1
            if ticket.probe:
                self._lag = max(self._lag + 0.2 * (passed / ticket.probe - self._lag), 1.0)
            if cut_short and ticket.probe < self._slow_start:
                ticket.gate.looks += 1
                return Outcome.CANCELLED
        elif outcome in ANSWERS:
            self._silent = 0
        return outcome
