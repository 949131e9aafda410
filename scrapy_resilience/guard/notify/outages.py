"""Breakers that stay open for long: a domain that is down, and not one that coughs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy_resilience import _clock, signals
from scrapy_resilience.core.breaker import State
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.observe.sentences import duration

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from scrapy_resilience._clock import Timer

__all__ = ["Outages"]

_MOST: Final = 10_000
"""Domains that are watched at a time, and of which it was told."""
_BACK: Final = {State.CLOSED.value, State.FORCED_OPEN.value}
"""States that end an outage; the second one is somebody's wish."""


class _Outage(NamedTuple):
    since: float
    reason: str


class Outages:
    """Tells of domains whose breakers are open for more than *after* seconds, and of their end.

    By the signal ``crawl_event``, with the kind ``outage``.
    """

    def __init__(self, crawler: Crawler, after: float) -> None:
        self._crawler = crawler
        self._after = after
        self._open: dict[str, _Outage] = {}
        """In the order in which they began."""
        self._told: dict[str, _Outage] = {}
        self._timer: Timer | None = None
        crawler.signals.connect(self._changed, signals.breaker_changed)

    def start(self) -> None:
        """Those that an earlier run has left open count from now on."""
        notable = gatekeeper_of(self._crawler).gates.notable.not_closed
        for state in (State.OPEN, State.HALF_OPEN):
            for gate in notable[state]:
                self._begin(gate.domain, "")

    def stop(self) -> None:
        """The crawl ends."""
        self._cancel()
        self._open.clear()

    def _changed(self, domain: str, new: str, reason: str) -> None:
        if new not in _BACK:
            self._begin(domain, reason)
            return
        self._open.pop(domain, None)
        if (outage := self._told.pop(domain, None)) is not None and new == State.CLOSED.value:
            seconds = _clock.monotonic() - outage.since
            self._tell(domain, f"{domain} answers again, after {duration(seconds)}", "info")

    def _begin(self, domain: str, reason: str) -> None:
        if domain in self._open or domain in self._told or len(self._open) >= _MOST:
            return
        self._open[domain] = _Outage(_clock.monotonic(), reason)
        if self._timer is None:
            self._wait()

    def _wait(self) -> None:
        """Until the oldest one is old enough."""
        self._cancel()
        if oldest := next(iter(self._open.values()), None):
            delay = max(oldest.since + self._after - _clock.monotonic(), 0.0)
            self._timer = _clock.call_later(delay, self._look)

    def _look(self) -> None:
        self._timer = None
        now = _clock.monotonic()
        for domain, outage in [*self._open.items()]:
            if now - outage.since < self._after:
                break
            del self._open[domain]
            self._told[domain] = outage
            if len(self._told) > _MOST:
                del self._told[next(iter(self._told))]
            why = f" ({outage.reason})" if outage.reason else ""
            text = f"{domain} does not answer since {duration(now - outage.since)}"
            self._tell(domain, f"{text}: its circuit breaker is open{why}", "warning")
        self._wait()

    def _tell(self, domain: str, text: str, severity: str) -> None:
        told: dict[str, Any] = {"kind": "outage", "text": text, "severity": severity}
        self._crawler.signals.send_catch_log(signals.crawl_event, **told, domain=domain)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
