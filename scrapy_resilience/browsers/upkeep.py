"""The handler's browsers while the crawl runs, and at its end: what nobody uses, what hangs."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import engine_of, under_way
from scrapy_resilience._scrapy.running_command import set_exit_code
from scrapy_resilience.browsers import processes
from scrapy_resilience.browsers.bounded import within
from scrapy_resilience.browsers.keeping import KeepsContexts
from scrapy_resilience.browsers.showing import show_browsers
from scrapy_resilience.gates.domains import host
from scrapy_resilience.guard.cost.crawl_costs import costs_of
from scrapy_resilience.observe.health.resources import meter_of

if TYPE_CHECKING:
    from scrapy import Request

__all__ = ["TendsBrowsers"]

logger = get_logger(__name__)

_TEND: Final = 0.5
"""Seconds between two looks at what nobody uses."""
_MEMORY_EACH: Final = 10
"""Of these looks, one at the memory."""
_STOPPED: Final = 4
"""Looks at which a browser with pages is found stopped, before it is killed."""
_RESOURCE: Final = "browser_minutes"
_CLOSE: Final = 5.0
"""Seconds for browsers and their driver to end by themselves."""


class TendsBrowsers(KeepsContexts):
    """The part of the handler that looks after browsers; the next one is about requests."""

    async def _maybe_launch_in_thread(self) -> None:
        await super()._maybe_launch_in_thread()
        crawler, loop = self._of(), self._own_loop
        if crawler is not None and loop is not None and self.resilience.observe_enabled:
            show_browsers(crawler, self, loop)

    async def _launch(self) -> None:
        self._own_loop = asyncio.get_running_loop()
        await super()._launch()
        self._tending = asyncio.ensure_future(self._tend())

    # --- what nobody uses ---

    async def _tend(self) -> None:
        looks = 0
        while not self._closed:
            await _clock.sleep(_TEND)
            looks += 1
            try:
                if len(self.pages):
                    self.pages.tend(self._busy())
                    self._kill_stopped()
                if not looks % _MEMORY_EACH:
                    self.background.run(self.contexts.note())
                    self._retire_worn()
                    await self.contexts.tend(self._memory_share())
                self._end_unused()
            except Exception:
                logger.exception("Browsers can't be looked after")

    def _kill_stopped(self) -> None:
        """One that was stopped by a signal answers nobody, however long its pages may take."""
        for running in list(self.fleet.running):
            pids = processes.leaders(running.pids())
            is_stopped = bool(pids) and processes.are_at_rest(pids)
            running.stopped = running.stopped + 1 if is_stopped else 0
            if running.stopped >= _STOPPED:
                self.kill(running)

    def _busy(self) -> set[Request]:
        crawler = self._of()
        engine = None if crawler is None else engine_of(crawler)
        return set() if engine is None else under_way(engine)

    def _memory_share(self) -> float | None:
        crawler = self._of()
        meter = None if crawler is None else meter_of(crawler)
        is_known = meter is not None and meter.is_running
        return meter.reading().memory_share if meter is not None and is_known else None

    def _retire_worn(self) -> None:
        running = self.fleet.of(getattr(self, "browser", None))
        if running is not None and self.fleet.is_worn(running):
            self.stats.inc_value(names.STAT_BROWSER_REPLACED)
            running.worn = True
            del self.browser

    def _end_unused(self) -> None:
        for running in self.fleet.running:
            if running.worn and not running.ending and running.open <= 0:
                running.ending = True
                self.background.run(self.fleet.end(running))

    def charge(self, request: Request, seconds: float) -> None:
        """A page was open for so long for *request*."""
        crawler, loop = self._of(), self._main_loop
        if crawler is not None and loop is not None:
            track = partial(costs_of(crawler).tracker.track, domain=host(request) or None)
            loop.call_soon_threadsafe(track, _RESOURCE, seconds / 60)

    # --- the end ---

    async def close(self) -> None:
        """Scrapy closes it once for each scheme."""
        if not self._closed:
            stock: Any = super()
            await stock.close()
            crawler = self._of()
            if self.fleet.failure and crawler is not None:
                set_exit_code(crawler, names.EXIT_FAILURE)

    async def _close(self) -> None:
        """Everything ends within some seconds, whatever hangs."""
        if self._closed:
            return
        stock: Any = super()
        self._closed = True
        if self._tending is not None:
            self._tending.cancel()
        running = list(self.fleet.running)
        for each in running:
            each.ending = True
        pids = [pid for each in running for pid in await asyncio.to_thread(each.pids)]
        drivers = processes.drivers_of(pids)
        try:
            await within(stock._close(), _CLOSE)
        except Exception:
            logger.debug("Browsers did not end by themselves", exc_info=True)
            processes.end(drivers)
        for each in running:
            if not each.gone:
                await self.fleet.end(each)
            self.fleet.kill(each)
        await self.background.finish(1.0)
