"""What the lanes of the frontier are called.

A lane is the requests of one download slot *and* one domain: limits belong to slots, gates to
domains. Nearly always both are the host, and so is the lane's name. Retries have a lane of
their own beside it, which takes turns with it: a page that has failed is neither left to the
end of the crawl nor tried before all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrapy_resilience import names
from scrapy_resilience.scheduling.requests import WrongMeta

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.settings import BaseSettings

    from scrapy_resilience.gates.domains import Domains

__all__ = ["RETRIES", "LaneNames", "domain_of", "is_of_retries"]

RETRIES: Final = "\tretry"
"""What the name of a lane of retries ends in."""
_SEPARATOR: Final = "\t"
_LANE_KEYS: Final = frozenset({names.META_OPEN_ACTION, "download_slot", names.META_FAILED_AT})


def is_of_retries(lane: str) -> bool:
    """Whether the requests of *lane* have failed before."""
    return lane.endswith(RETRIES)


def domain_of(lane: str) -> str:
    """The domain of a lane."""
    lane = lane.removesuffix(RETRIES)
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
        lane = lane.removesuffix(RETRIES)
        if _SEPARATOR not in lane:
            return lane, self._domains.action(lane)
        _, domain, action = lane.rsplit(_SEPARATOR, 2)
        return domain, action
