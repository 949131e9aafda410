"""How many requests of the browser are handed out at a time.

A page of the browser takes long, and one that hangs takes very long. So no more of them are
handed out than there are pages for, and where plain requests go as well, half of the places
of the crawl and of each download slot are theirs: they never wait for the browser.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from scrapy import signals

from scrapy_resilience._scrapy.engine import engine_of, wake
from scrapy_resilience.core.browserlife import places
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.gates.lane_names import is_of_browser, slot_of
from scrapy_resilience.scheduling.slots import slot_limit

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler

    from scrapy_resilience.browsers.contexts import Contexts
    from scrapy_resilience.browsers.slots import PageSlots

__all__ = ["BrowserPlaces"]

_LOOK: Final = 1.0
"""Seconds until a lane is asked again that found no place: not every end is told."""


class BrowserPlaces:
    """Of one crawl; the gatekeeper asks it for lanes of the browser."""

    def __init__(self, crawler: Crawler, slots: PageSlots, contexts: Contexts) -> None:
        self._crawler = ref(crawler)
        self._slots = slots
        self._contexts = contexts
        self._under_way: dict[Request, str] = {}
        self._plain_at: dict[str, float] = {}
        """When a plain request went last: of any slot (""), of those with a browser's."""
        self._waiting: dict[str, None] = {}
        self._keeper = keeper = gatekeeper_of(crawler)
        keeper.places = self
        crawler.signals.connect(self._left, signals.request_left_downloader)

    def ready_at(self, lane: str, now: float) -> float:
        """When a request of *lane* may go: not after *now* where there is a place."""
        if not is_of_browser(lane) or self._has_place(slot_of(lane), now):
            return 0.0
        self._waiting[lane] = None
        return now + _LOOK

    def handed_out(self, request: Request, lane: str, now: float) -> None:
        """A request of *lane* goes."""
        slot = slot_of(lane)
        if is_of_browser(lane):
            self._under_way[request] = slot
            self._plain_at.setdefault(slot, -inf)
            return
        self._plain_at[""] = now
        if slot in self._plain_at:
            self._plain_at[slot] = now

    def _has_place(self, slot: str, now: float) -> bool:
        crawler = self._crawler()
        engine = None if crawler is None else engine_of(crawler)
        if engine is None:
            return True
        self._forget_ended()
        pages = self._slots.limit * max(len(self._contexts.by_name), 1)
        most, of_slot = engine.downloader.total_concurrency, slot_limit(engine.downloader)(slot)
        used = list(self._under_way.values())
        return len(used) < places(
            pages, most, now - self._plain_at.get("", -inf)
        ) and used.count(slot) < places(pages, of_slot, now - self._plain_at.get(slot, -inf))

    def _forget_ended(self) -> None:
        """Requests that never reached the downloader leave it without a word."""
        scheduler: Any = self._keeper.scheduler
        if scheduler is None:
            return
        known = scheduler.in_flight.under_way
        for request in list(self._under_way):
            found = known.get(request)
            if found is None or found.slot is None:
                del self._under_way[request]

    def _left(self, request: Request) -> None:
        if self._under_way.pop(request, None) is None or not self._waiting:
            return
        scheduler, crawler = self._keeper.scheduler, self._crawler()
        waiting, self._waiting = self._waiting, {}
        if scheduler is None or crawler is None or (engine := engine_of(crawler)) is None:
            return
        for lane in waiting:
            scheduler.frontier.release(lane)
        wake(engine)
