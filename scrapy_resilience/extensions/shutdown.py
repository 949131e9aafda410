"""The Shutdown extension: a crawl that is told to stop ends in time, with everything kept."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, Final, cast

from scrapy import Request, signals
from scrapy.exceptions import IgnoreRequest
from scrapy.utils.defer import deferred_from_coro
from scrapy.utils.reactor import is_reactor_installed

from scrapy_resilience import names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import being_scraped, forget_queued, go_on_closing
from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience._scrapy.running_command import running_command, set_exit_code
from scrapy_resilience.checkpoint.commit import TROUBLES
from scrapy_resilience.checkpoint.exit_watchdog import exit_watchdog
from scrapy_resilience.core.masking import counted
from scrapy_resilience.core.shutdown import Deadlines
from scrapy_resilience.exceptions import StorageError
from scrapy_resilience.exit_codes import exit_code
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.jobs.crawl_job import JobComponent

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from twisted.internet.defer import Deferred

    from scrapy_resilience.jobs.job import Job
    from scrapy_resilience.scheduler import ResilientScheduler

__all__ = ["Shutdown"]

logger = get_logger(__name__)

_LINGER: Final = 5.0
"""Seconds that a thread may keep the process which nobody waits for any more."""


_LOOK: Final = 0.2
_TURNS: Final = 10
"""Of the loop, until a crawl that has stopped is known to have: some three."""
_STUCK: Final = 5
"""Looks after which requests that only wait are cut off: nothing else would come of them."""


class Shutdown(JobComponent):
    """Bounds a stop by SIGINT, SIGTERM or ``crawler.stop_async()``.

    Until some seconds before ``RESILIENCE_SHUTDOWN_TIMEOUT`` downloads and pipelines may
    come to their end. Then everything is committed, nothing counts as done any more, and
    what still runs is cancelled: its requests are pending in the job.
    """

    def __init__(self, crawler: Crawler, job: Job) -> None:
        super().__init__(crawler, job)
        self.deadlines = Deadlines.of(job.config.shutdown_timeout)
        self._task: asyncio.Task[None] | None = None
        self._trigger: Any = None
        self._reason = ""
        self._begun = False
        crawler.signals.connect(self._engine_started, signals.engine_started)
        crawler.signals.connect(self._spider_closed, signals.spider_closed)
        crawler.signals.connect(self._engine_stopped, signals.engine_stopped)

    # --- life ---

    def opened(self, scheduler: ResilientScheduler) -> None:
        self._begun = True
        self._scheduler = scheduler
        self._keeper = gatekeeper_of(self.crawler)
        self._hooks = hooks_of(self.crawler.engine)
        self._hooks.instead = self._instead
        self._hooks.shutting_down = self._stopping
        # until it is known how the crawl ends: a signal that comes before the engine has
        # started ends the process without a close
        set_exit_code(self.crawler, names.EXIT_RESUMABLE if running_command() else 0)

    def _engine_started(self) -> None:
        exit_watchdog.watch(id(self), self.deadlines)
        if is_reactor_installed():  # a script with a CrawlerRunner has nobody else for it
            from twisted.internet import reactor  # noqa: PLC0415 - it would install one

            self._reactor = cast("Any", reactor)
            self._trigger = self._reactor.addSystemEventTrigger(
                "before", "shutdown", self._reactor_stops
            )

    def _reactor_stops(self) -> Deferred[None]:
        return deferred_from_coro(self._stop_first())

    async def _stop_first(self) -> None:
        """Before the reactor: so is what the script is told of the end of the crawl."""
        await self.crawler.stop_async()
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    def _spider_closed(self, reason: str) -> None:
        self._reason = reason

    def _engine_stopped(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self._trigger is not None:
            with contextlib.suppress(KeyError, ValueError, TypeError):  # it has been fired
                self._reactor.removeSystemEventTrigger(self._trigger)
        job = self.job
        complete = job.all_done and not job.meta.dead_letters
        code = exit_code(self._reason, job.config, complete=complete)
        set_exit_code(self.crawler, code)
        if not self._begun:
            self.closed()  # nobody closes the job

    def closed(self) -> None:
        """Not before that: a last snapshot may take long."""
        alone = running_command() is not None
        if alone and self.job.waits.given_up:
            exit_watchdog.leave_in(_LINGER)
        exit_watchdog.unwatch(id(self), lingers=alone)

    # --- the stop ---

    def _stopping(self) -> None:
        if self._task is None:
            self._keeper.waits.stopping = True
            self._task = asyncio.ensure_future(self._cut_later())

    async def _cut_later(self) -> None:
        passed = 0.0 if (at := exit_watchdog.signalled) is None else time.monotonic() - at
        end = time.monotonic() + self.deadlines.cut - passed
        stuck = 0
        while (left := end - time.monotonic()) > 0 and stuck < _STUCK:
            await asyncio.sleep(min(left, _LOOK))
            active, waiting = self.crawler.engine.downloader.active, self._keeper.waits.requests
            stuck = stuck + 1 if active and active <= waiting else 0
        await self._cut()

    async def _cut(self) -> None:
        engine, committer = self.crawler.engine, self._scheduler.committer
        assert committer is not None
        async with committer.lock:
            written = None
            if not committer.broken:
                try:
                    written = committer.seal()
                except TROUBLES as error:  # of a feed: nothing was sealed
                    logger.warning("A feed can't be written (%s): the last commit tries", error)
                except Exception:
                    committer.abandoned = True
                    logger.exception("The commit of a stop failed: the one before it counts")
            self._scheduler.in_flight.freeze()  # in one step with what was sealed
            forget_queued(engine)
            self._hooks.canceller.cut()
            if written is not None:
                with contextlib.suppress(StorageError):  # the last commit says it
                    await written
        if count := len(self._scheduler.in_flight.under_way):
            self.crawler.stats.inc_value(names.STAT_CUT, count)
            cut = counted(count, "request")
            logger.info("Cut off %s under way: to be done again by the next run", cut)
        await go_on_closing(engine)

    def _instead(self, request: Request) -> Request:
        """What a download that is cut comes to."""
        ours = request in self._scheduler.in_flight.under_way
        if ours and request not in being_scraped(self.crawler.engine):
            return request  # the engine schedules it again, and no errback runs
        raise IgnoreRequest("the crawl is being stopped")
