"""What is so in a crawl, as far as abort conditions are about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrapy.http.request import NO_CALLBACK

from scrapy_resilience import _clock, names
from scrapy_resilience._scrapy.engine import engine_of, is_idle, our_scheduler
from scrapy_resilience.core.abort import COVERAGE, Facts
from scrapy_resilience.extensions.coverage import FieldCoverage
from scrapy_resilience.gates.crawl_pauses import pauses_of
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.observe.from_stats import number
from scrapy_resilience.pipelines.weighed import weighed_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy import Request
    from scrapy.crawler import Crawler

    from scrapy_resilience.core.abort_tally import Tally
    from scrapy_resilience.observe.view import View

__all__ = ["AbortFacts"]

_PAGES: Final = "response_received_count"
_ITEMS: Final = "item_scraped_count"
"""Scrapy's stats."""


class AbortFacts:
    """Of one crawl: *least* is how many a share has to be of."""

    def __init__(
        self, crawler: Crawler, tally: Tally, fields: Iterable[str], least: int
    ) -> None:
        self._crawler = crawler
        self._tally = tally
        self._fields = list(fields)
        self._least = least
        self._stats: Any = crawler.stats
        self._keeper = gatekeeper_of(crawler)
        self._pauses = pauses_of(crawler)
        self._drift = 0
        """Alarms of this run that are counted."""

    # --- each second ---

    def look(self) -> None:
        """Note what has changed in what others count."""
        stats, tally = self._stats.get_stats(), self._tally
        tally.look(
            _clock.monotonic(),
            items=number(stats, _ITEMS),
            pages=number(stats, _PAGES),
            busy=self._is_busy(),
            paused=self._is_paused(),
        )
        alarms = number(stats, names.STAT_DRIFT_ALARMS)
        tally.drift += max(alarms - self._drift, 0)
        self._drift = alarms
        if engine_of(self._crawler) is not None:
            self._look_at_items()

    def _look_at_items(self) -> None:
        if self._crawler in weighed_in:
            weighed = weighed_in[self._crawler]
            self._tally.window("confidence").put(weighed.count, weighed.sum)
        extension = self._crawler.get_extension(FieldCoverage)
        if extension is None:
            return
        for name in self._fields:
            kind, _, path = name.rpartition("/")
            count, filled = extension.coverage.counts(path, kind)
            self._tally.window(f"{COVERAGE}.{name}").put(count, filled)

    def _is_busy(self) -> bool:
        """Whether a page is under way, or could be asked for."""
        engine = engine_of(self._crawler)
        if engine is None:
            return False
        active = engine.downloader.active
        if not is_idle(engine) or not active <= self._keeper.waits.requests:
            return True
        scheduler = our_scheduler(engine)
        return scheduler is not None and bool(scheduler.frontier.has_ready)

    def _is_paused(self) -> bool:
        engine = engine_of(self._crawler)
        scheduler = None if engine is None else our_scheduler(engine)
        committer = None if scheduler is None else scheduler.committer
        return self._pauses.up or (committer is not None and committer.intake.up)

    # --- on demand ---

    def is_scheduled(self, request: Request) -> bool:
        """Whether a callback is to get it, unlike an image, and what callbacks download."""
        engine = engine_of(self._crawler)
        scheduler = None if engine is None else our_scheduler(engine)
        if scheduler is None:
            return request.callback is not NO_CALLBACK
        return request in scheduler.in_flight.under_way

    def of(self, view: View, *, asked: bool, function: str | None) -> Facts:
        """All of it, as *view* and the tally have it."""
        tally, least = self._tally, self._least
        tally.domains = max(tally.domains, view.domains_known)
        closed_not = sum(view.breakers.values())
        values: dict[str, float | None] = {
            "failure_rate": tally.window().mean(),
            "failures_in_a_row": tally.row,
            "no_item_for": round(tally.idle, 3),
            "cost": getattr(view.cost, "total", None),
            "open_domains": closed_not / tally.domains if tally.domains else None,
            "confidence": tally.window("confidence").mean(least),
            "drift_alarms": tally.drift,
            "dead_letters": view.progress.dead_letters,
        }
        coverage = {
            name: tally.window(f"{COVERAGE}.{name}").mean(least) for name in self._fields
        }
        return Facts(values, coverage, function=function, asked=asked)
