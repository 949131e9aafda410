"""What the guards of a crawl have done, for its view; each adds its own beside it."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.core.masking import shown
from scrapy_resilience.core.pressure_rungs import Rung
from scrapy_resilience.gates.crawl_pauses import pauses_of
from scrapy_resilience.guard.concurrency import concurrency_limit_of
from scrapy_resilience.names import STAT_GUARD
from scrapy_resilience.observe.from_stats import number
from scrapy_resilience.observe.guard_views import LadderView
from scrapy_resilience.observe.view import GuardView, PauseView
from scrapy_resilience.signals import guard_breached, guard_recovered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrapy.crawler import Crawler

    from scrapy_resilience.observe.view import EventView

__all__ = ["Guards", "stored_guard"]

_NAMES: Final = 100
_OTHER: Final = "other"


class Guards:
    """Of one crawl: its pauses, how much it may do at a time, what has got worse."""

    def __init__(self, crawler: Crawler) -> None:
        self._pauses = pauses_of(crawler)
        self._limit = concurrency_limit_of(crawler)
        self._breaches: dict[str, int] = {}
        self._recoveries: dict[str, int] = {}
        crawler.signals.connect(self._breached, guard_breached)
        crawler.signals.connect(self._recovered, guard_recovered)

    def _breached(self, name: str) -> None:
        _count(self._breaches, name)

    def _recovered(self, name: str) -> None:
        _count(self._recoveries, name)

    def view(self, now: float, wall: float) -> GuardView:
        """*now* is the monotonic time, *wall* the time of day."""
        return GuardView(
            pauses=[
                PauseView(
                    reason=pause.reason,
                    text=shown(pause.text),
                    since=wall - now + pause.since,
                    until=wall - now + pause.until if pause.until < inf else None,
                )
                for pause in self._pauses.all()
            ],
            concurrency=self._limit.now,
            most=self._limit.most,
            breaches=dict(self._breaches),
            recoveries=dict(self._recoveries),
        )


def stored_guard(totals: Mapping[str, Any], events: Sequence[EventView]) -> GuardView:
    """What the ladders have done in all runs of a job: of those that have done something."""
    ladders = []
    for resource in ("memory", "disk", "cpu"):
        prefix = f"{STAT_GUARD}{resource}/"
        times = {rung.name.lower(): number(totals, prefix + rung.name.lower()) for rung in Rung}
        if climbed := {rung: count for rung, count in times.items() if count}:
            told = [event.text for event in events if event.kind == resource]
            ladders.append(LadderView(resource, text=(told or [""])[-1], climbed=climbed))
    return GuardView(ladders=ladders)


def _count(counts: dict[str, int], name: str) -> None:
    name = shown(name)
    if name not in counts and len(counts) >= _NAMES:
        name = _OTHER
    counts[name] = counts.get(name, 0) + 1
