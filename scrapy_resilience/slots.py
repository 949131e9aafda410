"""How many requests each download slot has under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy import Request, signals

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.core.downloader import Downloader
    from scrapy.crawler import Crawler

    from scrapy_resilience.frontier.lanes import Frontier

__all__ = ["SlotUsage", "slot_limit", "slot_name"]


class SlotUsage:
    """Counts a request from its hand-out until it has left the downloader.

    Requests that bypass the scheduler count too, and a request whose slot a middleware
    changes counts where it went. Scrapy's own slots can't be asked: they count a request
    as transferring only some turns of the loop after it was started.
    """

    def __init__(self, crawler: Crawler, frontier: Frontier) -> None:
        self._downloader = crawler.engine.downloader
        self._frontier = frontier
        self._slots: dict[Request, str] = {}
        self._lanes: dict[Request, str] = {}
        crawler.signals.connect(self._reached, signals.request_reached_downloader)
        crawler.signals.connect(self._left, signals.request_left_downloader)

    def __len__(self) -> int:
        return len(self._slots)

    def handed_out(self, request: Request, lane: str, slot: str) -> None:
        """The frontier counts a request of *lane* at *slot* already."""
        self._slots[request] = slot
        self._lanes[request] = lane

    def sweep(self) -> bool:
        """Free the shares of requests that ended before the downloader, as cached ones do."""
        active = self._downloader.active
        gone = [request for request in self._slots if request not in active]
        for request in gone:
            self._left(request)
        return bool(gone)

    def _reached(self, request: Request) -> None:
        slot = slot_name(request.meta[self._downloader.DOWNLOAD_SLOT])
        counted = self._slots.get(request)
        lane = self._lanes.pop(request, None)
        if counted == slot:
            return
        if lane is not None:
            self._frontier.reroute(lane, slot)  # the next ones will go there too
        if counted is not None:
            self._frontier.vacate(counted)
        self._slots[request] = slot
        self._frontier.occupy(slot)

    def _left(self, request: Request) -> None:
        self._lanes.pop(request, None)
        slot = self._slots.pop(request, None)
        if slot is not None:
            self._frontier.vacate(slot)


def slot_name(key: object) -> str:
    """A download slot as text that any file can hold: users choose slots freely."""
    name = str(key)
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()


def slot_limit(downloader: Downloader) -> Callable[[str], int]:
    """How many requests a slot may have under way: its own limit, or the settings'."""
    default = downloader.ip_concurrency or downloader.domain_concurrency

    def limit(key: str) -> int:
        slot = downloader.slots.get(key)
        if slot is not None:
            return slot.concurrency
        found: int = downloader.per_slot_settings.get(key, {}).get("concurrency", default)
        return found

    return limit
