"""What has happened to the crawl, in words: a bounded log that outlives the process."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience import _clock
from scrapy_resilience.core.masking import clipped, shown
from scrapy_resilience.observe.record.journal import newest
from scrapy_resilience.observe.view import EventView, Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy_resilience.observe.record.journal import Journal

__all__ = ["SEVERITIES", "EventLog"]

SEVERITIES: Final = ("info", "warning", "error")
_KEPT: Final = 1000
_SHOWN: Final = 100
_LONGEST: Final = 300
"""Characters of a text."""
_ALONE: Final = frozenset({"run"})
"""Kinds of which there are never many at once."""
_SHORT: Final = 100
"""Characters of a kind, a domain and each text of an entry that has several."""
_TOGETHER: Final = 1.0
"""Seconds within which events of a kind become one entry."""
_KINDS: Final = 50
"""Entries that may grow at a time; there are fewer kinds."""
_TOLD: Final = 3
"""Events of such an entry whose texts it has."""


class EventLog:
    """The events of one job: the newest 1,000.

    Those of one kind that come within a second are one entry, so a hundred breakers that open
    at once are.
    """

    def __init__(self, journal: Journal) -> None:
        self._kept: deque[EventView] = deque(maxlen=_KEPT)
        self._unsaved: dict[int, EventView] = {}
        self._numbers = 0
        self._open: dict[tuple[str, str], _Open] = {}
        self.heard: Callable[[EventView], None] = lambda _: None
        """Called with each entry, again when it has grown."""
        self.each: list[Callable[[EventView], None]] = []
        """Each is called with every event alone; its number is 0."""
        journal.register("event", EventView, self._collect, self._restore, newest(_KEPT))

    def event(self, kind: str, text: str, *, severity: Any = "info", domain: str = "") -> None:
        """Something has happened. *text* is one sentence; secrets in it are masked."""
        now = _clock.wall()
        text = clipped(text, _LONGEST)
        severity = severity if severity in SEVERITIES else "info"
        for tell in self.each:
            tell(_entry(now, kind, text, severity=severity, domain=domain))
        found = self._open.get((kind, severity))
        if found is None or kind in _ALONE or not found.is_at(now):
            self._numbers += 1
            entry = _entry(now, kind, text, severity=severity, domain=domain)
            entry.number = self._numbers
            self._kept.append(entry)
            self._remember(kind, severity, entry)
        else:
            entry = found.add(text, domain)
        self._save(entry)
        self.heard(entry)

    def view(self) -> list[EventView]:
        """The newest 100, the newest first."""
        return [*reversed(self._kept)][:_SHOWN]

    def all(self) -> list[EventView]:
        """Those that are kept, the oldest first."""
        return [*self._kept]

    def _remember(self, kind: str, severity: Severity, entry: EventView) -> None:
        """For a second, so that it may grow."""
        if len(self._open) >= _KINDS:
            self._open.clear()
        self._open[kind, severity] = _Open(entry)

    # --- the journal ---

    def _save(self, entry: EventView) -> None:
        self._unsaved[entry.number] = entry
        while len(self._unsaved) > _KEPT:
            del self._unsaved[next(iter(self._unsaved))]

    def _collect(self) -> EventView | None:
        return self._unsaved.pop(next(iter(self._unsaved))) if self._unsaved else None

    def _restore(self, entries: list[EventView]) -> None:
        by_number = {entry.number: entry for entry in entries}
        self._kept.extend(by_number[number] for number in sorted(by_number))
        self._numbers = max(by_number, default=0)


def _entry(now: float, kind: str, text: str, *, severity: Severity, domain: str) -> EventView:
    return EventView(
        time=now, kind=shown(kind)[:_SHORT], text=text, severity=severity,
        domain=shown(domain)[:_SHORT],
    )  # fmt: skip


class _Open:
    """An entry that may grow."""

    def __init__(self, entry: EventView) -> None:
        self.entry = entry
        self._texts = [entry.text]
        self._more = 0

    def is_at(self, now: float) -> bool:
        return 0 <= now - self.entry.time < _TOGETHER

    def add(self, text: str, domain: str) -> EventView:
        if len(self._texts) < _TOLD:
            self._texts.append(text)
        else:
            self._more += 1
        more = [f"and {self._more} more"] if self._more else []
        self.entry.text = "; ".join([*(text[:_SHORT] for text in self._texts), *more])
        if domain != self.entry.domain:
            self.entry.domain = ""
        return self.entry
