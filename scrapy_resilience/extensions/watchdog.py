"""The Watchdog extension: when the crawl's resources are read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from scrapy import signals
from scrapy.exceptions import NotConfigured

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.refusals import Refusing
from scrapy_resilience.guard.watchdog.watch import resource_watch_of
from scrapy_resilience.observe.health.resources import meter_of
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience._clock import Timer
    from scrapy_resilience.core.readings import Reading

__all__ = ["Watchdog"]

logger = get_logger(__name__)

_WAIT: Final = 1.0
"""Seconds that a check waits for what threads look at: what comes later is of the last one."""
_PAGES: Final = 50
_SLOWEST, _QUICKEST = 0.5, 0.05
"""Seconds between two looks at the memory."""
_MOVED: Final = 0.01
"""Share of the limit by which the memory must have changed to be told of."""
_RECEIVED: Final = "response_received_count"
"""Scrapy's stat."""


class Watchdog(Refusing):
    """Reads all each ``RESILIENCE_WATCHDOG_INTERVAL`` seconds, and memory in between.

    Memory is looked at twice a second, and up to twenty times while it changes or fifty pages
    have come meanwhile: a look takes 10 µs, and a signal for each page would cost more. It is
    told of when it has changed.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.watch = resource_watch_of(crawler)
        self.watch.start()
        self.meter = meter_of(crawler)
        self._interval = Config.from_settings(crawler.settings).watchdog_interval
        self._stats: Any = crawler.stats
        self._timers: dict[str, Timer] = {}
        self._check: asyncio.Task[None] | None = None
        self._delay = _SLOWEST
        self._pages = 0
        self._told = 0
        self.watch.read_memory = self._memory_now
        crawler.signals.connect(self._started, signals.engine_started)
        crawler.signals.connect(self._stopped, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        if not Config.from_settings(crawler.settings).watchdog_enabled:
            raise NotConfigured
        return super().from_crawler(crawler)

    def _started(self) -> None:
        self.meter.start()
        self._look()
        self._look_at_memory()

    # --- everything ---

    def _look(self) -> None:
        self._timers["all"] = _clock.call_later(self._interval, self._look)
        if self._check is None or self._check.done():
            self._check = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        try:
            self._take(await self.meter.refresh(_WAIT))
        except Exception:
            logger.exception("The watchdog could not look at the resources")

    # --- memory ---

    def _look_at_memory(self) -> None:
        moved = self._moved()
        pages = self._stats.get_value(_RECEIVED, 0)
        busy = moved is not None or pages - self._pages > _PAGES
        self._pages = pages
        self._delay = (
            max(self._delay / 2, _QUICKEST) if busy else min(self._delay * 2, _SLOWEST)
        )
        self._timers["memory"] = _clock.call_later(self._delay, self._look_at_memory)
        if moved is not None:
            self._take(moved)

    def _memory_now(self) -> Reading | None:
        last = self.watch.reading
        return None if last is None else self.meter.with_memory(last)

    def _moved(self) -> Reading | None:
        """The memory, where it has changed since it was told of."""
        last, reading = self.watch.reading, self._memory_now()
        if last is None or reading is None or not last.memory_limit or reading.used is None:
            return None
        moved = abs(reading.used - self._told)
        return reading if moved >= last.memory_limit * _MOVED else None

    def _take(self, reading: Reading) -> None:
        self._told = reading.used or 0
        self.watch.take(_clock.monotonic(), reading)

    def _stopped(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._check is not None:
            self._check.cancel()
        self.meter.stop()
        self.watch.close()
