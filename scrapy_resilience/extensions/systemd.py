"""The Systemd extension: tells systemd that the crawl runs, how it is, and that it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrapy import signals
from scrapy.exceptions import NotConfigured

from scrapy_resilience import _clock
from scrapy_resilience._scrapy.running_command import running_command
from scrapy_resilience.observe.health.systemd import Notifier
from scrapy_resilience.observe.observer import observer_of

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience._clock import Timer

__all__ = ["Systemd"]

_EACH: Final = 30.0
"""Seconds between two lines of ``systemctl status``."""


class Systemd:
    """Does nothing but where systemd has asked for it (``NOTIFY_SOCKET``).

    The watchdog is told by the event loop: one that is blocked is not alive.
    """

    def __init__(self, crawler: Crawler, notifier: Notifier) -> None:
        self._observer = observer_of(crawler)
        self._notifier = notifier
        self._timers: dict[str, Timer] = {}
        crawler.signals.connect(self._started, signals.engine_started)
        crawler.signals.connect(self._closing, signals.spider_closed)
        crawler.signals.connect(self._stopped, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        notifier = Notifier.of()
        if notifier is None:
            raise NotConfigured
        return cls(crawler, notifier)

    def _started(self) -> None:
        self._notifier.send("READY=1")
        self._alive()
        self._tell()

    def _alive(self) -> None:
        if self._notifier.watchdog is not None:
            self._notifier.send("WATCHDOG=1")
            self._timers["alive"] = _clock.call_later(self._notifier.watchdog / 2, self._alive)

    def _tell(self) -> None:
        self._notifier.status(self._observer.view().job.sentence)
        self._timers["tell"] = _clock.call_later(_EACH, self._tell)

    def _closing(self) -> None:
        """A script may go on with another crawl: that it stops is for it to say."""
        if running_command() is not None:
            self._notifier.send("STOPPING=1")

    def _stopped(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._notifier.close()
