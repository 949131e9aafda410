"""What the lanes of the frontier are called.

A lane is the requests of one download slot *and* one domain: limits belong to slots, gates to
domains. Nearly always both are the host, and so is the lane's name. Retries have a lane of
their own beside it, which takes turns with it: a page that has failed is neither left to the
end of the crawl nor tried before all others. Requests that open a page in a browser have one as
well, because the browser has places of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrapy_resilience import names
from scrapy_resilience.scheduling.requests import WrongMeta

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.settings import BaseSettings

    from scrapy_resilience.gates.domains import Domains

__all__ = ["RETRIES", "LaneNames", "domain_of", "is_of_browser", "is_of_retries", "slot_of"]

RETRIES: Final = "\tretry"
"""What the name of a lane of retries ends in."""
_BROWSER: Final = "\tbrowser"
"""What it ends in before that, where the requests open pages in a browser."""
_SEPARATOR: Final = "\t"
_LANE_KEYS: Final = frozenset(
    {names.META_OPEN_ACTION, "download_slot", names.META_FAILED_AT, "playwright"}
)


def is_of_retries(lane: str) -> bool:
    """Whether the requests of *lane* have failed before."""
    return lane.endswith(RETRIES)


def is_of_browser(lane: str) -> bool:
    """Whether the requests of *lane* open pages in a browser."""
    return lane.removesuffix(RETRIES).endswith(_BROWSER)


def slot_of(lane: str) -> str:
    """The download slot of a lane."""
    return _plain(lane).rsplit(_SEPARATOR, 2)[0]


def _plain(lane: str) -> str:
    return lane.removesuffix(RETRIES).removesuffix(_BROWSER)


def _opens_page(request: Request) -> bool:
    """One that goes on in a page that is open waits for none, nor do others wait for it."""
    return bool(request.meta.get("playwright") and not request.meta.get("playwright_page"))


def domain_of(lane: str) -> str:
    """The domain of a lane."""
    lane = _plain(lane)
    return lane.rsplit(_SEPARATOR, 2)[1] if _SEPARATOR in lane else lane


class LaneNames:
    """The names of lanes, and what they mean."""

    def __init__(self, settings: BaseSettings, domains: Domains) -> None:
        self._domains = domains
        self._wrong_meta = WrongMeta()
        self.has_retries = not settings.getpriority("RETRY_PRIORITY_ADJUST")
        """Whether retries have lanes of their own; who says when they go says no."""

    def of(self, slot: str, request: Request) -> str:
        """The lane of a request that goes through the download slot *slot*."""
        if self._domains.is_slot and request.meta.keys().isdisjoint(_LANE_KEYS):
            return slot
        lane = self._of_first_tries(slot, request)
        if _opens_page(request):
            lane += _BROWSER
        is_retry = self.has_retries and names.META_FAILED_AT in request.meta
        return lane + RETRIES if is_retry else lane

    def _of_first_tries(self, slot: str, request: Request) -> str:
        domain, action = self._domains.of(request), self._domains.open_action(request)
        wanted = request.meta.get(names.META_OPEN_ACTION)
        if wanted and wanted != action:
            self._wrong_meta.tell(names.META_OPEN_ACTION, request, "hold or fail", wanted)
        if domain == slot and action == self._domains.action(domain):
            return slot
        return _SEPARATOR.join((slot, domain, action))

    def split(self, lane: str) -> tuple[str, str]:
        """The domain of a lane, and what becomes of its requests while the breaker is open."""
        lane = _plain(lane)
        if _SEPARATOR not in lane:
            return lane, self._domains.action(lane)
        _, domain, action = lane.rsplit(_SEPARATOR, 2)
        return domain, action
