"""What the rungs of a ladder do to a crawl, and undo."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from scrapy_resilience import _clock, names, signals
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import close_spider, engine_of, is_closing, under_way
from scrapy_resilience.core.pressure_ladder import Rung
from scrapy_resilience.extensions.snapshots import Snapshots
from scrapy_resilience.gates.crawl_pauses import pauses_of
from scrapy_resilience.guard.caches import caches_of
from scrapy_resilience.guard.concurrency import concurrency_limit_of
from scrapy_resilience.guard.freeables import free_all
from scrapy_resilience.waits import waits_of

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from scrapy_resilience.core.pressure_ladder import Ladder, Move
    from scrapy_resilience.guard.caches import Cleaned

__all__ = ["Rungs"]

logger = get_logger(__name__)

_SNAPSHOT_WAIT: Final = 30.0
"""Seconds that a close waits for its snapshot: what is committed is safe without it."""
_AGAIN: Final = 60.0
"""Seconds within which the same step is told once."""


class Rungs:
    """Of one resource of a crawl: *kind* is ``memory``, ``disk`` or ``cpu``."""

    def __init__(self, crawler: Crawler, kind: str, close_reason: str) -> None:
        self.kind = kind
        self._crawler = ref(crawler)
        self._reason = close_reason
        self._stats: Any = crawler.stats
        self._pauses = pauses_of(crawler)
        self._limit = concurrency_limit_of(crawler)
        self._caches = caches_of(crawler)
        self._told: dict[str, tuple[float, int]] = {}
        self._task: asyncio.Task[None] | None = None
        self.text = ""
        """What was done last."""
        self.climbed: dict[str, int] = {}
        """How often each rung was."""

    def enter(self, move: Move, ladder: Ladder, why: str) -> None:
        """Do what the rung asks for that a ladder has come to; *why* is what was read."""
        rung = move.after
        if rung > move.before:
            name = rung.name.lower()
            self.climbed[name] = self.climbed.get(name, 0) + 1
            self._stats.inc_value(f"{names.STAT_GUARD}{self.kind}/{name}")
        self._cap(ladder)
        if rung >= Rung.PAUSE:
            self._pauses.pause(self.kind, why)
        else:
            self._pauses.resume(self.kind)
        if rung < move.before:
            self._down(move, why)
        elif rung is Rung.CLEAN:
            self._clean(why)
        elif rung is Rung.FEWER:
            self._tell("warning", "fewer", f"{why}: {self._at_a_time()}")
        elif rung is Rung.PAUSE:
            self._tell("warning", "pause", f"{why}: nothing new is asked for", log=False)
        elif rung is Rung.FREE:
            self._tell("warning", "free", f"{why}: components free what they can")
            self._begin(self._free())
        elif rung is Rung.CLOSE:
            self._tell(
                "error", "close", f"{why}, and nothing more can be done: the crawl is closed"
            )
            self._begin(self._close())

    def stop(self) -> None:
        """The crawl has ended."""
        if self._task is not None:
            self._task.cancel()

    # --- rungs ---

    def _clean(self, why: str) -> None:
        if (cleaned := self._cleaned()) is not None:
            failed = f", {len(cleaned.failed)} failed" if cleaned.failed else ""
            self._tell(
                "info", "clean",
                f"{why}: {cleaned.caches} caches cleared{failed}, {cleaned.garbage} objects "
                f"collected, in {cleaned.seconds:.2f} s",
            )  # fmt: skip

    def _cleaned(self) -> Cleaned | None:
        crawler = self._crawler()
        if crawler is None:
            return None
        cleaned = self._caches.clean(crawler)
        self._stats.max_value(names.STAT_GUARD_CLEAN_MAX, round(cleaned.seconds, 3))
        return cleaned

    def _cap(self, ladder: Ladder) -> None:
        if not ladder.depth:
            self._limit.uncap(self.kind)
            return
        most = self._limit.most or self._busy()
        self._limit.cap(self.kind, most >> ladder.depth)

    def _busy(self) -> int:
        """Where the settings have no limit: what is under way now."""
        crawler = self._crawler()
        engine = None if crawler is None else engine_of(crawler)
        return 0 if engine is None else len(under_way(engine))

    def _at_a_time(self) -> str:
        now, most = self._limit.now, self._limit.most
        return f"{now} requests at a time instead of {most or 'any number'}"

    async def _free(self) -> None:
        crawler = self._crawler()
        if crawler is not None:
            await free_all(crawler)
            self._cleaned()

    async def _close(self) -> None:
        crawler = self._crawler()
        if crawler is None:
            return
        snapshots = crawler.get_extension(Snapshots)
        if snapshots is not None:
            try:
                work, who = snapshots.emergency(), "the snapshot before the close"
                await waits_of(crawler).bounded(work, who, _SNAPSHOT_WAIT)
            except Exception as error:  # noqa: BLE001 - the crawl is closed all the same
                logger.warning("No snapshot is made before the close: %r", error)
        engine = engine_of(crawler)
        if engine is not None and not is_closing(engine):
            close_spider(crawler, self._reason)

    def _begin(self, work: Any) -> None:
        self.stop()
        self._task = asyncio.ensure_future(work)

    def _down(self, move: Move, why: str) -> None:
        rung = move.after
        self.stop()  # what was being freed
        if rung is Rung.HEALTHY:
            self._tell("info", "healthy", f"{why}: the crawl goes on as before")
        elif rung is Rung.FEWER:
            self._tell("info", "down", f"{why}: it goes on, {self._at_a_time()}")
        else:
            self._tell("info", "down", f"{why}: it goes on with all its requests at a time")

    # --- what is told ---

    def _tell(self, severity: str, what: str, text: str, *, log: bool = True) -> None:
        """Once a minute for each step: caches may be cleared each second."""
        self.text = text
        now = _clock.monotonic()
        told, more = self._told.get(what, (-_AGAIN, 0))
        if now - told < _AGAIN and what in {"clean", "healthy"}:
            self._told[what] = told, more + 1
            logger.debug("%s", text)
            return
        self._told[what] = now, 0
        if more:
            text = f"{text} (and {more} times more since it was told last)"
        if log:
            level = {"info": logger.info, "warning": logger.warning}.get(severity, logger.error)
            level("%s", text)
        if (crawler := self._crawler()) is not None:
            crawler.signals.send_catch_log(
                signals.crawl_event, kind=self.kind, text=text, severity=severity, domain=""
            )
