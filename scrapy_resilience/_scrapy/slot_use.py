"""What the download slots of a crawl are used for."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.core.engine import ExecutionEngine

__all__ = ["SlotUse", "is_full_of_responses", "slot_use"]

_MOST: Final = 200
"""Requests that one look is at."""


class SlotUse(NamedTuple):
    """Numbers of requests; those by slot are of :data:`_MOST` at most, and stand for all."""

    total: int
    """That may be under way: at least one."""
    active: int
    """That are."""
    transferring: dict[str, float]
    """That wait for their answer, by download slot."""
    crowded: dict[str, float]
    """That wait because others of their slot are under way."""
    delayed: dict[str, float]
    """That wait for the delay of their slot."""
    others: list[Request]
    """That are in a middleware, before they are sent or after it."""
    scale: float
    """How many requests each of those stands for."""


def slot_use(engine: ExecutionEngine) -> SlotUse:
    """What the requests in the downloader are doing."""
    downloader = engine.downloader
    active = len(downloader.active)
    total = getattr(downloader, "total_concurrency", 0) or max(active, 1)
    slots = getattr(downloader, "slots", {})
    scale = max(active / _MOST, 1.0)
    found = SlotUse(total, active, {}, {}, {}, [], scale)
    for request in islice(downloader.active, _MOST):
        key = request.meta.get("download_slot", "")
        slot = slots.get(key)
        if slot is None or request not in slot.active:
            found.others.append(request)
            continue
        if request in slot.transferring:
            uses = found.transferring
        else:
            uses = found.delayed if slot.delay else found.crowded
        uses[key] = uses.get(key, 0.0) + scale
    return found


def is_full_of_responses(engine: ExecutionEngine) -> bool:
    """Whether nothing is downloaded because callbacks and pipelines have too much to do."""
    slot = engine.scraper.slot
    return slot is not None and slot.needs_backout()
