"""What the download slots of a crawl are used for, and what the free ones wait for."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience._scrapy.engine import is_idle, is_starting
from scrapy_resilience._scrapy.slot_use import SlotUse, is_full_of_responses, slot_use
from scrapy_resilience.core.accounting import (
    CALLBACKS,
    COMMIT,
    DELAYED,
    FRONTIER,
    GATE,
    HAND_OUT,
    PACED,
    PER_DOMAIN,
    PROCESSOR,
    SERVERS,
    START,
    Key,
    spread,
)
from scrapy_resilience.core.masking import shown
from scrapy_resilience.gates.crawl_pauses import pauses_of
from scrapy_resilience.scheduling.slots import slot_name

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from scrapy_resilience.checkpoint.barrier import Barrier
    from scrapy_resilience.frontier.lane import Lane
    from scrapy_resilience.frontier.lanes import Frontier
    from scrapy_resilience.gates.gatekeeper import Gatekeeper
    from scrapy_resilience.scheduler import ResilientScheduler

__all__ = ["SlotCauses"]

_LANES: Final = 20
"""Held lanes that one look is at; the next look goes on behind them."""
_LONG: Final = 100
"""Characters of a domain or a reason."""


class SlotCauses:
    """Of one crawl. With another scheduler than ours it sees what the downloader does."""

    def __init__(self, crawler: Crawler, keeper: Gatekeeper, barrier: Barrier | None) -> None:
        self._crawler = crawler
        self._keeper = keeper
        self._barrier = barrier
        self._pauses = pauses_of(crawler)
        self._held: list[Lane] = []
        self._at = 0

    def causes(self, now: float) -> dict[Key, float]:
        """What each download slot is used for, or waits for; the weights are slots."""
        use = slot_use(self._crawler.engine)
        found = self._used(use)
        if (free := use.total - use.active) > 0:
            for key, slots in self._free(use, free, now).items():
                found[key] = found.get(key, 0.0) + slots
        return found

    def _used(self, use: SlotUse) -> dict[Key, float]:
        found: dict[Key, float] = {}
        for requests, cause, detail in (
            (use.transferring, SERVERS, ""),
            (use.crowded, SERVERS, PER_DOMAIN),
            (use.delayed, GATE, PACED),
        ):
            for slot, number in requests.items():
                found[Key(cause, detail, _short(slot_name(slot)))] = number
        for request in use.others:
            if self._is_barrier_up():
                key = Key(COMMIT)
            elif request in self._keeper.waits.requests:
                key = Key(GATE, DELAYED)
            else:
                key = Key(SERVERS)  # robots.txt, or what else its middlewares ask for
            found[key] = found.get(key, 0.0) + use.scale
        return found

    def _free(self, use: SlotUse, free: float, now: float) -> dict[Key, float]:
        scheduler: Any = self._crawler.engine.scheduler
        is_ours = getattr(scheduler, "runs_jobs", False)  # isinstance() takes any for ours
        ours: ResilientScheduler | None = scheduler if is_ours else None
        if ours is not None and ours.committer is not None and ours.committer.intake.up:
            return {Key(COMMIT): free}
        if pauses := self._pauses.all():
            return {Key(GATE, _short(pauses[0].reason)): free}
        if is_full_of_responses(self._crawler.engine):
            return {Key(CALLBACKS): free}
        if ours is None:
            return spread(free, {}, self._rest(use, is_ready=False, is_wanted=False))
        wanted = self._wanted(ours.frontier, use, now)
        is_ready = ours.frontier.has_ready
        return spread(free, wanted, self._rest(use, is_ready=is_ready, is_wanted=bool(wanted)))

    def _rest(self, use: SlotUse, *, is_ready: bool, is_wanted: bool) -> Key | None:
        """What slots wait for that no request which waits would fill."""
        engine = self._crawler.engine
        if self._is_barrier_up() and use.others:  # responses that it holds
            return Key(COMMIT)
        if not is_idle(engine):
            return Key(CALLBACKS)
        if is_ready:
            return None if is_wanted else Key(PROCESSOR, HAND_OUT)
        if is_starting(engine):
            return Key(FRONTIER, START)
        return Key(FRONTIER) if use.active or not is_wanted else None

    def _wanted(self, frontier: Frontier, use: SlotUse, now: float) -> dict[Key, float]:
        """How many slots waiting requests would fill, by what they wait for."""
        most = use.total
        wanted: dict[Key, float] = {}
        for slot in use.transferring:
            name = slot_name(slot)
            if frontier.is_crowded(name):
                waiting = max(frontier.waiting(name), 1)
                wanted[Key(SERVERS, PER_DOMAIN, _short(name))] = min(waiting, most)
        if frontier.delayed:
            wanted[Key(GATE, DELAYED)] = min(frontier.delayed, most)
        lanes, scale = self._held_lanes(frontier)
        for lane in lanes:
            if lane.held_until > now and (waiting := lane.waiting):
                domain, reason = self._keeper.why(lane.name, now)
                key = Key(GATE, _short(reason), _short(domain))
                wanted[key] = wanted.get(key, 0.0) + min(waiting, most) * scale
        return wanted

    def _held_lanes(self, frontier: Frontier) -> tuple[list[Lane], float]:
        """Some held lanes, other ones each time, and how many each of them stands for."""
        if self._at >= len(self._held):
            self._held, self._at = frontier.held_lanes(), 0
        begin, self._at = self._at, self._at + _LANES
        lanes = self._held[begin : self._at]
        return lanes, len(self._held) / len(lanes) if lanes else 0.0

    def _is_barrier_up(self) -> bool:
        return self._barrier is not None and self._barrier.up


@lru_cache(1024)
def _short(text: str) -> str:
    """What others chose, for a page."""
    return shown(text)[:_LONG]
