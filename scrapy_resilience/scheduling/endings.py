"""Which requests have ended: no signal says so.

What was handed out is compared with what the engine still knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience import names
from scrapy_resilience._scrapy.engine import under_way

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler

    from scrapy_resilience.frontier.in_flight import InFlightRequests
    from scrapy_resilience.gates.gatekeeper import Gatekeeper

__all__ = ["Endings"]

_COLLECT_AT_LEAST: Final = 256


class Endings:
    """Of the requests *in_flight*. *keeper* is told, too."""

    def __init__(
        self, crawler: Crawler, in_flight: InFlightRequests, keeper: Gatekeeper | None
    ) -> None:
        self._crawler = crawler
        self._in_flight = in_flight
        self._keeper = keeper
        stats: Any = crawler.stats
        self._inc = stats.inc_value
        self._collect_at = _COLLECT_AT_LEAST

    def collect(self) -> bool:
        """Learn which requests have ended. Whether that lets others go."""
        engine = self._crawler.engine
        busy = under_way(engine)
        changed = self._in_flight.vacate(engine.downloader.active)
        if self._keeper is not None and self._keeper.sweep(busy):
            changed = True
        done = self._in_flight.collect(busy)
        self._inc(names.STAT_REQUESTS_DONE, done)
        self._collect_at = max(_COLLECT_AT_LEAST, 2 * len(self._in_flight.under_way))
        return changed

    def collect_before(self, request: Request) -> bool:
        """*request* is handed out next: the engine does not know it yet.

        One that was under way before, as the same object, has ended: it must not be taken for
        the one that goes now. Answers whether anything was looked at.
        """
        known = self._in_flight.under_way
        if request not in known and len(known) <= self._collect_at:
            return False
        self.collect()
        return True

    def is_under_way(self, request: Request) -> bool:
        """Whether the engine still has *request*, as this very object."""
        engine = self._crawler.engine
        if request in engine.downloader.active:
            return True  # a callback may download it for itself
        return request in self._in_flight.under_way and request in under_way(engine)
