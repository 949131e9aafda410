"""Reasons for which a crawl as a whole asks for nothing new: memory, a budget, an abort.

While there is one, our scheduler hands out nothing, and ``start()`` waits
(:mod:`scrapy_resilience.spidermiddlewares.pause`); what is under way comes to its end, and
nothing is lost. With another scheduler the engine is paused instead. A crawl that ends is not
paused any more, and can't be paused again: what closes it must not wait.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final
from weakref import ref

import msgspec
from scrapy.signals import engine_started, spider_closed

from scrapy_resilience import _clock, signals
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import engine_of, our_scheduler, wake
from scrapy_resilience._scrapy.of_crawlers import WeakOfCrawlers
from scrapy_resilience.checkpoint.barrier import Barrier

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

__all__ = ["Pause", "Pauses", "pauses_of"]

logger = get_logger(__name__)

_EVENT: Final = "pause"


class Pause(msgspec.Struct, frozen=True):
    """Why nothing new is asked for."""

    reason: str
    """One or two words: ``memory``, ``disk``, ``budget``."""
    text: str
    """One sentence for the crawl's owner."""
    since: float
    """On the monotonic clock, as :attr:`until`."""
    until: float = inf
    """When it ends by itself; inf: when whoever began it says so."""
    quietly: bool = False
    """Whether nothing is told of its beginning and its end: it was told not long ago."""


class Pauses:
    """Of one crawl, from :func:`pauses_of`. The loop must run."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = ref(crawler)
        self._pauses: dict[str, Pause] = {}
        self._timer: _clock.Timer | None = None
        self._closed = False
        self._has_paused = False
        """The engine: who else pauses it goes on pausing it."""
        self.barrier = Barrier()
        self.ended_at = -inf
        """When the last reason has gone, on the monotonic clock."""
        crawler.signals.connect(self._started, engine_started)
        crawler.signals.connect(self.close, spider_closed)

    @property
    def up(self) -> bool:
        """Whether there is a reason."""
        return self.barrier.up

    def all(self) -> list[Pause]:
        """The reasons, the oldest first."""
        return [*self._pauses.values()]

    def pause(
        self, reason: str, text: str, until: float = inf, *, quietly: bool = False
    ) -> None:
        """Ask for nothing new, until that time or :meth:`resume`; once more changes its end.

        Of no effect in a crawl that ends.
        """
        if self._closed:
            return
        before = self._pauses.get(reason)
        since = _clock.monotonic() if before is None else before.since
        quietly = quietly if before is None else before.quietly
        self._pauses[reason] = Pause(reason, text, since, until, quietly)
        if before is None and not quietly:
            self._tell("warning", f"The crawl is paused: {text}")
        self._set()

    def resume(self, reason: str) -> None:
        """The reason is gone; of no effect where it was not there."""
        if (pause := self._pauses.pop(reason, None)) is not None:
            seconds = _clock.monotonic() - pause.since
            more = " (it stays paused for other reasons)" if self._pauses else ""
            if not pause.quietly:
                text = f"The pause for {reason} has ended after {seconds:.1f} s{more}"
                self._tell("info", text)
            self._set()

    def close(self) -> None:
        """The crawl ends: nobody is to wait."""
        self._closed = True
        self._pauses.clear()
        self._cancel()
        self.barrier.lift()

    def _started(self) -> None:
        """There is an engine: a pause may be older than that."""
        if self.up:
            self._engine(paused=True)

    def _set(self) -> None:
        """Be up while there is a reason; come again when the first one ends."""
        self._cancel()
        if (end := min((each.until for each in self._pauses.values()), default=inf)) < inf:
            delay = max(end - _clock.monotonic(), 0.0)
            self._timer = _clock.call_later(delay, self._expire)
        if self._pauses and not self.barrier.up:
            self.barrier.rise()
            self._engine(paused=True)
        elif self.barrier.up and not self._pauses:
            self.ended_at = _clock.monotonic()
            self.barrier.lift()
            self._engine(paused=False)

    def _expire(self) -> None:
        self._timer = None
        now = _clock.monotonic()
        for pause in [each for each in self._pauses.values() if each.until <= now]:
            self.resume(pause.reason)
        if self._timer is None:
            self._set()  # the timer was early

    def _engine(self, *, paused: bool) -> None:
        crawler = self._crawler()
        engine = None if crawler is None else engine_of(crawler)
        if engine is None:
            return
        if paused and not engine.paused and our_scheduler(engine) is None:
            engine.pause()
            self._has_paused = True
        elif not paused:
            if self._has_paused:
                engine.unpause()
                self._has_paused = False
            wake(engine)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self, severity: str, text: str) -> None:
        (logger.info if severity == "info" else logger.warning)("%s", text)
        if (crawler := self._crawler()) is not None:
            crawler.signals.send_catch_log(
                signals.crawl_event, kind=_EVENT, text=text, severity=severity, domain=""
            )


_all: Final = WeakOfCrawlers(Pauses)


def pauses_of(crawler: Crawler) -> Pauses:
    """The pauses of a crawler, made by whoever asks first, and kept by those who ask."""
    return _all.of(crawler)
