"""The Metrics extension: whose the user's metrics are, and when all are pushed or written."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from scrapy import signals
from scrapy.exceptions import NotConfigured

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.refusals import fail_quietly
from scrapy_resilience.checkpoint.state import OWN, checked
from scrapy_resilience.core.masking import reason
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.jobs.crawl_job import is_skipped, job_of
from scrapy_resilience.metrics import enter, leave
from scrapy_resilience.observe.metrics.exporter import exporter_of
from scrapy_resilience.observe.metrics.pushgateway import FAILURES, group_url, host_name, push
from scrapy_resilience.observe.metrics.textfile import (
    check_textfile,
    textfile_path,
    write_textfile,
)
from scrapy_resilience.observe.observer import observer_of
from scrapy_resilience.settings import PREFIX, Config
from scrapy_resilience.waits import in_thread, let_go

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread
    from typing import TypeAlias

    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience._clock import Timer

    _Send: TypeAlias = Callable[[bytes, float], None]
    _Done: TypeAlias = Callable[["_Way", BaseException | None], None]

__all__ = ["MetricsExport"]

logger = get_logger(__name__)

_TIMEOUT: Final = 5.0
"""Seconds that a push may take while the crawl runs."""
_LAST: Final = 1.5
"""The same at its end, which waits for it."""
_DOMAINS: Final = OWN + "metric_domains"


class MetricsExport:
    """Pushes to a Pushgateway, and writes a textfile, as the settings say.

    In threads, one at a time each: while one hangs, the next one is left out. What fails is
    counted, and told once in a row.
    """

    def __init__(self, crawler: Crawler, config: Config) -> None:
        self.crawler = crawler
        self._observer = observer_of(crawler)
        self._exporter = exporter_of(crawler)
        self._stats: Any = crawler.stats
        self._interval = config.metrics_interval
        self._ways = [*self._gateway(config), *self._textfile(config)]
        self._timer: Timer | None = None
        enter(crawler)
        crawler.signals.connect(self._stopped, signals.engine_stopped)
        crawler.signals.connect(self._started, signals.engine_started)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        config = Config.from_settings(crawler.settings)
        job = job_of(crawler)  # refuses itself what can't run
        if not config.observe_enabled or is_skipped(crawler):
            raise NotConfigured
        try:
            self = cls(crawler, config)
        except ConfigurationError as error:
            fail_quietly(crawler, error)
            raise
        if job is not None:
            job.state.register(_DOMAINS, self._exporter.save, self._restore)
        return self

    def _restore(self, value: Any) -> None:
        self._exporter.restore(checked(value, list[str], "the domains of metrics"))

    def _gateway(self, config: Config) -> list[_Way]:
        if not config.pushgateway_url:
            return []
        job = job_of(self.crawler)
        where = host_name() if job is None else f"{host_name()}:{job.path.resolve()}"
        groups = {
            "job": config.pushgateway_job,
            "instance": config.pushgateway_instance or where,
            "spider": self.crawler.spidercls.name,
        }
        url = group_url(config.pushgateway_url, groups)
        send = partial(push, url)
        return [
            _Way(f"{PREFIX}PUSHGATEWAY_URL", send, names.STAT_PUSH_ERRORS, names.STAT_PUSHES)
        ]

    def _textfile(self, config: Config) -> list[_Way]:
        if not config.metrics_textfile:
            return []
        setting = f"{PREFIX}METRICS_TEXTFILE"
        path = textfile_path(config.metrics_textfile, self.crawler.spidercls.name)
        check_textfile(path)
        try:
            write_textfile(path, b"")
        except OSError as error:
            raise ConfigurationError(
                f"{setting}={str(path)!r}: it can't be written: {reason(error)}."
            ) from None

        def write(text: bytes, _: float) -> None:
            write_textfile(path, text)

        return [_Way(f"{setting} ({path})", write, names.STAT_TEXTFILE_ERRORS)]

    # --- when ---

    def _started(self) -> None:
        self._observer.renew()
        self._exporter.begin(self._observer.view())
        if self._ways:
            self._tick()

    def _tick(self) -> None:
        self._timer = _clock.call_later(self._interval, self._tick)
        text = self._exporter.text(self._observer.view())
        for way in self._ways:
            if way.is_free():
                way.begin(text, _TIMEOUT, self._done)
            else:
                self._stats.inc_value(way.errors)

    async def _stopped(self) -> None:
        """The last time: what becomes of it is not counted any more, but told."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        leave(self.crawler)
        if not self._ways:
            return
        self._observer.renew()
        text = self._exporter.text(self._observer.view())
        begun = [way.begin(text, _LAST, self._done) for way in self._ways]
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.gather(*begun), _LAST)
        for way in self._ways:
            if not (way.is_free() or way.failed):
                logger.warning("Metrics do not get to %s: it takes too long", way.name)
            way.let_go()

    def _done(self, way: _Way, error: BaseException | None) -> None:
        if error is None:
            way.failed = False
            if way.well:
                self._stats.inc_value(way.well)
            return
        self._stats.inc_value(way.errors)
        if not way.failed:
            way.failed = True
            logger.warning(
                "Metrics do not get to %s: %s. It is tried again every %g s",
                way.name, reason(error), self._interval,
            )  # fmt: skip


class _Way:
    """One way out, and the thread that is under way."""

    def __init__(self, name: str, send: _Send, errors: str, well: str = "") -> None:
        self.name = name
        self.errors = errors
        self.well = well
        self.failed = False
        self._send = send
        self._lock = Lock()
        self._thread: Thread | None = None

    def is_free(self) -> bool:
        return self._thread is None or not self._thread.is_alive()

    def begin(self, text: bytes, timeout: float, done: _Done) -> asyncio.Future[None]:
        """Send in a thread; *done* is told what became of it."""
        self.let_go()
        work = partial(self._in_turn, text, timeout)
        sent, self._thread = in_thread(work, "resilience-metrics")
        self._task = asyncio.ensure_future(self._wait(sent, done))
        return self._task

    def _in_turn(self, text: bytes, timeout: float) -> None:
        """One that hangs must not come after the next."""
        with self._lock:
            self._send(text, timeout)

    async def _wait(self, sent: asyncio.Future[None], done: _Done) -> None:
        try:
            await sent
        except FAILURES as error:
            done(self, error)
        else:
            done(self, None)

    def let_go(self) -> None:
        if self._thread is not None:
            let_go(self._thread)
