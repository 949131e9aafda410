"""The Terminal extension: the progress of a crawl at the foot of its terminal."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Final, TextIO, cast

from scrapy import signals
from scrapy.exceptions import NotConfigured

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.running_command import owns_job
from scrapy_resilience.observe.observer import observer_of
from scrapy_resilience.observe.terminal.screen import Above, Screen, size_of
from scrapy_resilience.observe.terminal.streams import shows_lines
from scrapy_resilience.observe.terminal.terminal import lines_of
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience._clock import Timer

__all__ = ["Terminal"]

logger = get_logger(__name__)

_INTERVAL: Final = 1.0
"""Seconds between two redraws, which cost some milliseconds each."""


class Terminal:
    """One of a process has the terminal: that of the crawl that began first.

    While it is there, what goes to ``sys.stdout`` and what logging writes to the terminal is
    written above its lines.
    """

    _owner: ClassVar[Terminal | None] = None

    def __init__(self, crawler: Crawler, stream: TextIO) -> None:
        self._observer = observer_of(crawler)
        self._stream = stream
        self._screen = Screen(stream, lambda: size_of(stream).columns)
        self._timer: Timer | None = None
        self._handlers: list[logging.StreamHandler[TextIO]] = []
        self._stdout: TextIO | None = None
        crawler.signals.connect(self._begin, signals.engine_started)
        crawler.signals.connect(self._end, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        wanted = Config.from_settings(crawler.settings).terminal and owns_job()
        if not wanted or cls._owner is not None or not shows_lines(sys.stderr):
            raise NotConfigured
        return cls(crawler, sys.stderr)

    def _begin(self) -> None:
        if Terminal._owner is not None:
            return
        Terminal._owner = self
        above = Above(self._screen, self._stream, clean=True)
        for handler in logging.root.handlers:
            stream = getattr(handler, "stream", None)
            if isinstance(handler, logging.StreamHandler) and stream is self._stream:
                handler.setStream(cast("TextIO", above))
                self._handlers.append(handler)
        if shows_lines(sys.stdout):
            self._stdout = sys.stdout
            sys.stdout = cast("TextIO", Above(self._screen, self._stdout, clean=False))
        self._tick()

    def _tick(self) -> None:
        self._timer = None
        self._draw()
        if not self._screen.gone:
            self._timer = _clock.call_later(_INTERVAL, self._tick)

    def _draw(self) -> None:
        columns, lines = size_of(self._stream)
        try:
            self._screen.draw(*lines_of(self._observer.view(), columns, lines))
        except Exception:  # no crawl ends for what is shown of it
            self._screen.gone = True
            logger.exception("The terminal shows no progress any more")

    def _end(self) -> None:
        if Terminal._owner is not self:
            return
        Terminal._owner = None
        if self._timer is not None:
            self._timer.cancel()
        self._draw()
        self._screen.leave()
        for handler in self._handlers:
            with suppress(ValueError):  # closed meanwhile
                handler.setStream(self._stream)
        if self._stdout is not None:
            sys.stdout = self._stdout
