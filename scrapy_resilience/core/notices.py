"""What a crawl tells its owner: notices, and which of them go where.

A *notice* is one message, made of one event or of several of a kind that came together. It has
an id that stays the same over all tries to send it, so a receiver can drop what comes twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EVERY_EVENT", "KINDS", "SEVERITIES", "USUAL", "Notice", "Rule", "rank"]

SEVERITIES: Final = ("info", "warning", "error")
EVERY_EVENT: Final = "*"
"""Stands for all kinds of events in a rule."""
_NEVER: Final = "never"
_OTHERS: Final = "error"
"""The least severity of a kind that :data:`USUAL` does not have."""

USUAL: Final[Mapping[str, str]] = {
    "abort": "info",
    "blocked": "warning",
    "budget": "warning",
    "commit": "info",
    "component": "warning",
    "cpu": "warning",
    "disk": "warning",
    "drift": "warning",
    "finished": "info",
    "killed": "warning",
    "memory": "warning",
    "note": "info",
    "outage": "info",
    "pause": "info",
    "refused": "error",
    "run": _NEVER,  # its end comes as "finished"
    "snapshot": "warning",
    "stall": "warning",
    "stalled": "warning",
    "stuck": "warning",
    "test": "info",
}
"""The least severity that an event of a kind must have where a rule names no kinds."""
KINDS: Final = frozenset(USUAL) | {"breaker", "error"}
"""Of our own events: spiders add theirs."""

_TEXTS: Final = 3
"""Events of a notice whose texts it has."""
_LONGEST: Final = 300
"""Characters of a text."""
_SHORT: Final = 100
_DETAILS: Final = 16


def rank(severity: str) -> int:
    """0 for ``info``, 1 for ``warning``, 2 for ``error``; more for what is none of these."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


@dataclass(frozen=True)
class Rule:
    """What a channel is told.

    :ivar events: kinds of events, ``*`` for all; those of :data:`USUAL` where it is empty
    :ivar severity: the least one
    """

    events: frozenset[str] = frozenset()
    severity: str = SEVERITIES[0]

    def wants(self, kind: str, severity: str) -> bool:
        """Whether an event is told."""
        if rank(severity) < rank(self.severity):
            return False
        if self.events:
            return kind in self.events or EVERY_EVENT in self.events
        return rank(severity) >= rank(USUAL.get(kind, _OTHERS))


class Notice(msgspec.Struct, kw_only=True):
    """One message. Times are seconds since 1970; texts are in one line each, and masked."""

    id: str
    time: float
    """Of its first event."""
    kind: str
    severity: str
    texts: list[str]
    """Of its first events, three at most."""
    count: int = 1
    """Of its events."""
    last: float = 0.0
    """Time of its last event."""
    domain: str = ""
    """Empty where its events are of several."""
    spider: str = ""
    job: str = ""
    """The ident of the job; empty without one."""
    run: int = 1
    details: dict[str, Any] = {}
    """Figures, by their names."""
    report: str = ""
    """Path of the report of the crawl."""
    due: float = 0.0
    """Before that time others of its kind may join it."""
    left: list[str] = []
    """Names of the channels that it has still to go to."""
    sent: dict[str, float] = {}
    """When it went where."""
    tries: dict[str, int] = {}
    """In vain, to channels where it may be all the same."""

    def __post_init__(self) -> None:
        self.texts = [text[:_LONGEST] for text in self.texts[:_TEXTS]]
        self.kind, self.domain = self.kind[:_SHORT], self.domain[:_SHORT]
        self.spider = self.spider[:_SHORT]
        self.last = max(self.last, self.time)
        self.details = {
            name[:_SHORT]: value[:_SHORT] if isinstance(value, str) else value
            for name, value in [*self.details.items()][:_DETAILS]
        }

    def join(self, text: str, domain: str, now: float) -> None:
        """One more event of its kind and severity."""
        self.count += 1
        self.last = max(self.last, now)
        if len(self.texts) < _TEXTS:
            self.texts.append(text[:_LONGEST])
        if domain != self.domain:
            self.domain = ""

    @property
    def is_urgent(self) -> bool:
        """Whether a limit that others have used up keeps it waiting no longer."""
        return self.severity == SEVERITIES[-1] or self.kind == "finished"
