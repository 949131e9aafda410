"""The handler's driver and browsers: begun, told of their end, given up."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from scrapy import signals

from scrapy_resilience import names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import close_spider
from scrapy_resilience.browsers import processes
from scrapy_resilience.browsers.bounded import Background, within
from scrapy_resilience.browsers.contexts import Contexts
from scrapy_resilience.browsers.errors import BrowserLost, BrowserUnavailable
from scrapy_resilience.browsers.fleet import Fleet, first_line
from scrapy_resilience.browsers.logins import Logins
from scrapy_resilience.browsers.page_life import OpenPages
from scrapy_resilience.browsers.slots import PageSlots
from scrapy_resilience.jobs.crawl_job import job_of
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrapy.crawler import Crawler

    from scrapy_resilience.browsers.fleet import Running

__all__ = ["StartsBrowsers"]

logger = get_logger(__name__)

_CLOSE: Final = 5.0
"""Seconds for a driver to end by itself."""
_SIGNALS: Final = ("handle_sigint", "handle_sigterm", "handle_sighup")
"""Options by which Playwright ends a browser at a signal, in the midst of its pages."""


class StartsBrowsers:
    """The part of the handler that has browsers."""

    # what scrapy-playwright has set
    config: Any
    stats: Any
    browser: Any
    browser_provider: Any
    browser_provider_cls: Any
    browser_launch_lock: asyncio.Lock
    _maybe_future_from_coro: Callable[[Any], Any]
    context_wrappers: dict[str, Any]

    def __init__(self, crawler: Crawler) -> None:
        stock: Any = super()
        stock.__init__(crawler)
        self._of = ref(crawler)
        self.resilience = config = Config.from_settings(crawler.settings)
        if hasattr(self, "context_semaphore"):
            del self.context_semaphore  # which leaks when a request is cancelled
        self._environment = self.config.launch_options.get("env")
        self._is_remote = bool(self.config.cdp_url or self.config.connect_url)
        self._marks: dict[str, str] = {}
        self.background = Background()
        self.fleet = Fleet(config, self.stats, self._marks, self._end_crawl)
        self.logins = Logins(crawler, kept=config.cookies_enabled)
        crawler.signals.connect(self._note_logins, signals.spider_closed)
        maker: Any = self  # the next part of it
        self.contexts = Contexts(
            maker,
            self.fleet,
            config,
            self.stats,
            self.background,
            logins=self.logins,
            most=self.config.max_contexts,
        )
        self.pages = OpenPages(
            self.fleet,
            self.background,
            self.stats,
            self.contexts.leave,
            self.kill,
            looks=config.browser_screenshots and config.observe_enabled,
        )
        self.slots = PageSlots(self.config.max_pages_per_context)
        self._start_error: Exception | None = None
        self._restart: asyncio.Task[None] | None = None
        self._driver_runs = asyncio.Event()
        self._launched = asyncio.Event()
        self._tending: asyncio.Task[None] | None = None
        self._main_loop: asyncio.AbstractEventLoop | None = None
        self._own_loop: asyncio.AbstractEventLoop | None = None
        self._driver_failed = False
        self._closed = False

    # --- the beginning ---

    async def _maybe_launch_in_thread(self) -> None:
        stock: Any = super()
        self._main_loop = asyncio.get_running_loop()
        await stock._maybe_launch_in_thread()

    async def _launch(self) -> None:
        """The driver is started, and what a killed run has left behind is ended."""
        try:
            await asyncio.to_thread(self._end_orphans)
            await self._start()
        except Exception as error:  # noqa: BLE001 - a provider may raise anything
            self._start_error = error  # for who needs a browser
        self._launched.set()

    async def _start(self) -> None:
        """The driver, in so many seconds, and the contexts of the settings, each in its own."""
        contexts = await within(self._start_driver(), self.resilience.browser_launch_timeout)
        await contexts

    async def _start_driver(self) -> asyncio.Task[None]:
        """It runs. What is returned makes the contexts."""
        stock: Any = super()
        if hasattr(self, "browser_provider"):
            self.background.run(self.browser_provider.close())  # it was tried before
        launch: asyncio.Task[None] = asyncio.ensure_future(stock._launch())
        runs = asyncio.ensure_future(self._driver_runs.wait())
        try:
            await asyncio.wait({launch, runs}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            runs.cancel()
            if not self._driver_runs.is_set():
                launch.cancel()  # of no effect when it is done
        return launch

    def _end_orphans(self) -> None:
        crawler = self._of()
        job = None if crawler is None else job_of(crawler)
        if job is None:
            return
        mark = processes.job_mark(job.meta.ident, job.path)
        self._marks[processes.JOB] = mark
        found = processes.marked(processes.JOB, mark)
        if ended := processes.end([*found, *processes.drivers_of(found)]):
            self.stats.inc_value(names.STAT_BROWSER_ORPHANS, ended)
            text = "1 browser process" if ended == 1 else f"{ended} browser processes"
            logger.info("Ended %s that an earlier run of this job has left behind", text)

    async def started(self) -> None:
        """Wait until the driver runs. Raises :exc:`.BrowserUnavailableError` if it does not."""
        await self._launched.wait()
        if self._start_error is not None:
            if self._restart is None:
                self._restart = self.background.run(self._start_again())
            await asyncio.shield(self._restart)  # others wait for it, too
        self.fleet.check()

    async def _start_again(self) -> None:
        """Until it is started, or there will be no browser."""
        with suppress(BrowserUnavailable):  # who waits is told
            while self._start_error is not None and not self._closed:
                if self._driver_runs.is_set():
                    self.fleet.give_up(first_line(self._start_error))  # a context's
                else:
                    self.fleet.failed(self._start_error)
                await self.fleet.next_try()
                self._start_error = await self._failure_of_start()

    async def _failure_of_start(self) -> Exception | None:
        try:
            await self._start()
        except Exception as error:  # noqa: BLE001 - a provider may raise anything
            return error
        return None

    async def _note_logins(self) -> None:
        """The spider has closed: the last commit comes after it."""
        if not self._closed:
            with suppress(Exception):  # they are as they were some seconds ago
                await self._maybe_future_from_coro(within(self.contexts.note(), _CLOSE))

    # --- browsers ---

    async def _maybe_launch_browser(self) -> None:
        async with self.browser_launch_lock:
            if hasattr(self, "browser"):
                return
            if self._closed:
                raise BrowserLost("the crawl has ended")
            marks: dict[str, str] = {}

            async def launch() -> Any:
                marks.update(self.fleet.next_marks())
                if not self._is_remote:
                    self._prepare(self.config.launch_options, self._environment, marks)
                return await self._launch_with_new_driver()

            handle = await self.fleet.launch(launch)
            self._driver_failed = False
            running = self.fleet.add(marks, handle, is_remote=self._is_remote)
            self.browser = handle
            self.stats.inc_value("playwright/browser_count")
            handle.on("disconnected", lambda _: self._lost(running))

    async def _launch_with_new_driver(self) -> Any:
        """Start a browser; after a failure by another driver, which may have failed."""
        if self._driver_failed:
            with suppress(Exception):
                await within(self.browser_provider.close(), _CLOSE)
            self.browser_provider = self.browser_provider_cls(self.config)
            await self.browser_provider.start()
        self._driver_failed = True  # until it is known better
        return await self.browser_provider.launch_browser()

    def _prepare(
        self, options: dict[str, Any], own: Mapping[str, str] | None, marks: Mapping[str, str]
    ) -> None:
        """Let a browser say whose it is, and leave its end to us."""
        options["env"] = processes.environment(own, marks)
        for name in _SIGNALS:
            options.setdefault(name, False)
        options.setdefault("timeout", self.resilience.browser_launch_timeout * 1000)

    def _lost(self, running: Running) -> None:
        """A browser has ended, as it was told to or not."""
        crashed = self.fleet.lost(running)
        self.pages.lost(self.contexts.lost(running))
        if self._serves(running) and self.config.restart_disconnected_browser:
            del self.browser
        if crashed and not self._closed:
            logger.warning("A browser has ended: what was under way in it is tried again")

    def _serves(self, running: Running) -> bool:
        return running.handle is not None and getattr(self, "browser", None) is running.handle

    def kill(self, running: Running) -> None:
        """It gives no answer."""
        self.stats.inc_value(names.STAT_BROWSER_KILLED)
        logger.warning("A browser does not answer: it is killed")
        self.give_up(running)

    def give_up(self, running: Running) -> None:
        """It is of no more use, whatever it says itself."""
        self.fleet.kill(running)
        if running.handle is not None:
            self.background.run(running.handle.close())
        self._lost(running)

    def _end_crawl(self) -> None:
        crawler, loop = self._of(), self._main_loop
        if crawler is not None and loop is not None:
            loop.call_soon_threadsafe(close_spider, crawler, names.REASON_BROWSER)
