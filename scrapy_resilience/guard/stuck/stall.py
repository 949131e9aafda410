"""A crawl in which nothing ends: what it waits for, and what can be done about it.

Whether it has stalled is decided by :mod:`scrapy_resilience.core.stall`. Here is seen what it
has to do, and what excuses it: a pause, a domain that may not be asked now, a download or a
callback within its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import (
    close_spider,
    engine_of,
    is_closing,
    our_scheduler,
    under_way,
    wake,
)
from scrapy_resilience._scrapy.slot_use import slot_use
from scrapy_resilience.core.masking import counted
from scrapy_resilience.core.stall import Situation, StallWatch, Step
from scrapy_resilience.gates.crawl_pauses import pauses_of
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.observe.view import StuckView
from scrapy_resilience.signals import crawl_event, guard_breached, guard_recovered

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.core.engine import ExecutionEngine
    from scrapy.crawler import Crawler

    from scrapy_resilience.guard.stuck.downloads import StuckDownloads
    from scrapy_resilience.guard.stuck.sweep import Sweep
    from scrapy_resilience.guard.stuck.user_work import UserWork
    from scrapy_resilience.settings import Config

__all__ = ["Stall"]

logger = get_logger(__name__)

_NAME: Final = "stall"
_PROGRESS: Final = (
    "response_received_count", "downloader/request_count", "downloader/exception_count",
    "item_scraped_count", "item_dropped_count", "scheduler/enqueued", "scheduler/dequeued",
    "spider_exceptions/count", "httpcache/hit", "dupefilter/filtered",
)  # fmt: skip
"""Scrapy's stats: each grows with something that begins or ends."""
_GRACE: Final = 30.0
"""Seconds beyond its time-out that a download may take where nobody ends it."""


class Stall:
    """Of one crawl."""

    def __init__(
        self,
        crawler: Crawler,
        config: Config,
        sweep: Sweep,
        downloads: StuckDownloads,
        work: UserWork,
    ) -> None:
        self._crawler = crawler
        self._sweep = sweep
        self._downloads = downloads
        self._work = work
        self._watch = StallWatch(config.stall_timeout, closes=config.stall_close)
        self._grace = config.stuck_timeout or _GRACE
        self._stats: Any = crawler.stats
        self._keeper = gatekeeper_of(crawler)
        self._pauses = pauses_of(crawler)
        self._told = ""
        self._wall = 0.0
        self._gave_up = self._over = False
        self.heals: list[Callable[[], object]] = []
        """Called when the crawl has stalled: what each can do that it goes on."""
        self.cut: Callable[[], object] = lambda: None
        """Called when it is closed: what does not end by itself is ended."""
        if config.stall_timeout:
            sweep.looks.append(self._look)

    def view(self) -> list[StuckView]:
        """What is told, while it lasts."""
        if not self._watch.stalled or self._over:
            return []
        return [StuckView(kind=_NAME, text=self._told, since=self._wall)]

    def close(self) -> None:
        """The spider has closed: a crawl that has come to its end goes on, or has."""
        if self._watch.stalled and not self._gave_up:
            self._over = True
            self._end()

    def _look(self, now: float) -> None:
        engine = engine_of(self._crawler)
        if engine is None or is_closing(engine):
            return
        seen = self._situation(engine, now)
        waited = self._watch.waited(now)
        step = self._watch.look(now, seen)
        if step is Step.STALLED:
            self._begin(seen.waits_for, waited)
        if step in {Step.STALLED, Step.AGAIN}:
            self._heal(engine)
        elif step is Step.OVER:
            self._end()
        elif step is Step.CLOSE:
            logger.error("%s: nothing has helped, and the crawl is closed", self._told)
            self._gave_up = True
            close_spider(self._crawler, names.REASON_STALLED)
            self.cut()

    # --- what is done ---

    def _begin(self, waits_for: str, waited: float) -> None:
        self._told = f"Nothing has ended for {waited:.0f} s: the crawl waits for {waits_for}"
        self._wall = _clock.wall() - waited
        logger.warning("%s", self._told)
        self._stats.inc_value(names.STAT_STALLS)
        self._event(self._told, "error")
        self._crawler.signals.send_catch_log(
            guard_breached, name=_NAME, status="unhealthy", detail=self._told
        )

    def _end(self) -> None:
        logger.info("The crawl goes on")
        self._event("The crawl goes on after a stall", "info")
        self._crawler.signals.send_catch_log(guard_recovered, name=_NAME, detail="it goes on")

    def _heal(self, engine: ExecutionEngine) -> None:
        self._stats.inc_value(names.STAT_STALL_HEALS)
        scheduler = our_scheduler(engine)
        for heal in (*([] if scheduler is None else [scheduler.heal]), *self.heals):
            try:
                heal()
            except Exception:  # noqa: PERF203 - each on its own
                logger.exception("What was to help a crawl that has stalled has failed")
        wake(engine)

    def _event(self, text: str, severity: str) -> None:
        self._crawler.signals.send_catch_log(
            crawl_event, kind=_NAME, text=text, severity=severity, domain=""
        )

    # --- what is seen ---

    def _situation(self, engine: ExecutionEngine, now: float) -> Situation:
        stats = self._stats.get_stats()
        progress = sum(int(stats.get(name) or 0) for name in _PROGRESS)
        excuse = self._excuse(engine, now) if progress else "nothing has begun"
        waits_for = "" if excuse else ", ".join(self._waits(engine, now))
        return Situation(progress, waits_for, excuse)

    def _excuse(self, engine: ExecutionEngine, now: float) -> str:
        scheduler = our_scheduler(engine)
        committer = None if scheduler is None else scheduler.committer
        if self._pauses.up or engine.paused:
            return "it is paused"
        if committer is not None and committer.intake.up:
            return "nothing can be written"  # which ends by itself, or ends the crawl
        if self._keeper.waits.requests or slot_use(engine).delayed:
            return "a domain may not be asked"
        if self._downloads.overdue(now, self._grace)[1]:
            return "downloads are under way"
        if self._work.waits(now)[1]:
            return "callbacks are under way"
        return ""

    def _waits(self, engine: ExecutionEngine, now: float) -> list[str]:
        """What ought to end or begin, in words; empty where there is nothing to do."""
        found, _ = self._work.waits(now)
        late, _ = self._downloads.overdue(now, self._grace)
        if late:
            found.append(f"{counted(late, 'download')} long after the time-out")
        if others := len(slot_use(engine).others):
            found.append(f"downloader middlewares, of {counted(others, 'request')}")
        if not found and (busy := len(under_way(engine))):
            found.append(f"{counted(busy, 'request')} under way of which nothing is known")
        if waiting := self._ready(engine):
            found.append(f"{counted(waiting, 'request')} that may be asked for")
        return found

    def _ready(self, engine: ExecutionEngine) -> int:
        """Requests that wait for no time, or for one that has passed."""
        scheduler = our_scheduler(engine)
        if scheduler is None:
            other: Any = engine.scheduler
            return int(other is not None and bool(other.has_pending_requests()))
        frontier = scheduler.frontier
        due = frontier.next_due()
        if due is not None and due > _clock.monotonic():
            return int(len(frontier) - frontier.held)
        return len(frontier)
