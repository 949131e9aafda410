"""The Stuck extension: looks for what does not end, of a crawl as a whole and of its parts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from scrapy import signals
from scrapy.exceptions import IgnoreRequest, NotConfigured

from scrapy_resilience import names
from scrapy_resilience._scrapy.engine import go_on_closing
from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience._scrapy.refusals import Refusing
from scrapy_resilience.guard.components import Components
from scrapy_resilience.guard.stuck.downloads import StuckDownloads
from scrapy_resilience.guard.stuck.loop_watch import Listener, loop_watch
from scrapy_resilience.guard.stuck.stall import Stall
from scrapy_resilience.guard.stuck.sweep import Sweep
from scrapy_resilience.guard.stuck.user_work import UserWork
from scrapy_resilience.observe.observer import observer_of
from scrapy_resilience.settings import Config
from scrapy_resilience.signals import crawl_event, guard_breached, guard_recovered
from scrapy_resilience.waits import waits_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request
    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience.observe.view import View
    from scrapy_resilience.waits import Wait

__all__ = ["Stuck"]

_BLOCKED: Final = "blocked"


class Stuck(Refusing):
    """Requests, callbacks, pipelines, the event loop, components, and the crawl as a whole."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self._config = config = Config.from_settings(crawler.settings)
        timeouts = (config.stuck_timeout, config.callback_timeout, config.stall_timeout)
        self._sweep = Sweep(timeouts)
        self._downloads = StuckDownloads(crawler, self._sweep, config.stuck_timeout)
        cancels = config.callback_timeout_action == "cancel"
        self._work = UserWork(crawler, self._sweep, config.callback_timeout, cancels=cancels)
        self._stall = Stall(crawler, config, self._sweep, self._downloads, self._work)
        self._stall.cut = self._cut
        self._components = Components(crawler, config)
        self._stall.heals.append(self._components.heal)
        self._observer = observer_of(crawler)
        self._observer.fill.append(self._fill)
        self._end_watch: Callable[[], None] | None = None
        crawler.signals.connect(self._opened, signals.spider_opened)
        crawler.signals.connect(self._started, signals.engine_started)
        crawler.signals.connect(self._stall.close, signals.spider_closed)
        crawler.signals.connect(self._stopped, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        if not Config.from_settings(crawler.settings).watchdog_enabled:
            raise NotConfigured
        return super().from_crawler(crawler)

    def _opened(self) -> None:
        self._hooks = hooks = hooks_of(self.crawler.engine)
        if hooks.instead is None and self._config.stall_close:
            hooks.instead = _refuse  # what waits is cut off then; with a job it is kept
        if self._config.stuck_timeout or self._config.stall_timeout:
            hooks.handling = self._downloads.handling
        if self._config.callback_timeout or self._config.stall_timeout:
            hooks.user_work = self._work.begin
            hooks.bypasses_begin = self._work.download_begins

    def _started(self) -> None:
        self._sweep.start()
        self._components.start()
        if after := self._config.blocked_after:
            self._end_watch = loop_watch(after, _Blocked(self.crawler))

    def _stopped(self) -> None:
        self._sweep.stop()
        self._downloads.close()
        self._components.close()
        if self._end_watch is not None:
            self._end_watch()
            self._end_watch = None

    def _fill(self, view: View) -> None:
        view.guard.stuck = [*self._stall.view(), *self._work.view()]

    def _cut(self) -> None:
        """The crawl is closed while things are under way that do not end."""
        if self._hooks.shutting_down is not None:
            self._hooks.shutting_down()  # which commits, and cuts them off when it is time
            return
        self._work.cancel_all("the crawl has stalled, and is closed")
        self._hooks.canceller.cut()
        asyncio.ensure_future(go_on_closing(self.crawler.engine))  # noqa: RUF006


def _refuse(request: Request) -> Request:
    raise IgnoreRequest(f"the crawl has stalled, and is closed without {request}")


class _Blocked(Listener):
    """Tells that the loop stands still: the file for ``status`` at once, others in the loop."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._wait: Wait | None = None

    def stands(self, place: str) -> None:
        waits = waits_of(self._crawler)
        self._wait = waits.begin(f"the event loop, which stands still in {place}")

    def stood(self, place: str) -> None:
        stats: Any = self._crawler.stats
        stats.inc_value(names.STAT_BLOCKED)
        self._send(guard_breached, name=_BLOCKED, status="unhealthy", detail=place)

    def over(self, place: str, seconds: float) -> None:
        if self._wait is not None:
            waits_of(self._crawler).end(self._wait)
            self._wait = None
        stats: Any = self._crawler.stats
        stats.inc_value(names.STAT_BLOCKED_SECONDS, round(seconds, 1))
        stats.max_value(names.STAT_BLOCKED_MAX, round(seconds, 1))
        told = f"The event loop has stood still for {seconds:.1f} s in {place}"
        self._send(crawl_event, kind=_BLOCKED, text=told, severity="error", domain="")
        self._send(guard_recovered, name=_BLOCKED, detail=told)

    def _send(self, signal: object, **arguments: object) -> None:
        self._crawler.signals.send_catch_log(signal, **arguments)
