"""Scrapy's own log handler, in another format.

There is one in a process, and each new ``Crawler`` puts another in its place, while other
crawls run. So the format is not set once: whoever takes part looks at each line whether the
handler is still the one that has it.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from scrapy.utils.log import get_scrapy_root_handler

from scrapy_resilience.observe.jsonlog import JsonFormatter
from scrapy_resilience.observe.prettylog import PrettyFormatter

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from scrapy.crawler import Crawler

    Make: TypeAlias = Callable[[logging.Handler], logging.Formatter | None]

__all__ = [
    "expect_format", "json_for", "keep_format", "keep_scrapys_format", "leave_format",
    "pretty_for",
]  # fmt: skip


def json_for(handler: logging.Handler) -> logging.Formatter:
    """Lines of JSON that *handler* can encode."""
    stream = getattr(handler, "stream", None)
    found = getattr(handler, "encoding", None) or getattr(stream, "encoding", None) or "utf-8"
    return JsonFormatter(ascii_only=str(found).lower().replace("-", "") != "utf8")


def pretty_for(handler: logging.Handler, *, anywhere: bool = False) -> logging.Formatter | None:
    """None for what is no terminal, unless *anywhere*: a file is for programs."""
    terminal = _is_terminal(getattr(handler, "stream", None))
    if not (terminal or anywhere):
        return None
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return PrettyFormatter(colours=terminal and not plain)


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError, OSError):
        return False


class _Keeper(logging.Handler):
    """Writes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.users: WeakSet[Crawler] = WeakSet()
        self.make: Make = json_for
        self._known: logging.Handler | None = None
        self._scrapys: logging.Formatter | None = None

    def handle(self, record: logging.LogRecord) -> bool:
        handler = get_scrapy_root_handler()
        if handler is not self._known:
            self.adopt(handler)
        return True

    def adopt(self, handler: logging.Handler | None) -> None:
        if handler is None:
            return
        if handler is not self._known:
            self._known, self._scrapys = handler, handler.formatter
        if (formatter := self.make(handler)) is not None:
            handler.setFormatter(formatter)

    def give_back(self) -> None:
        if self._known is not None:
            self._known.setFormatter(self._scrapys)


_keeper = _Keeper()


def expect_format(make: Make) -> None:
    """Have the handler that Scrapy is about to make write in a format, until a crawl begins."""
    _keeper.make = make
    logging.root.addHandler(_keeper)  # of no effect when it is there


def keep_format(crawler: Crawler, make: Make) -> bool:
    """Have Scrapy's handler write what ``make(handler)`` formats, until *crawler* leaves.

    False where there is no handler of Scrapy's.
    """
    handler = get_scrapy_root_handler()
    if handler is None:
        return False
    _keeper.users.add(crawler)
    _keeper.make = make
    _keeper.adopt(handler)
    logging.root.addHandler(_keeper)
    return True


def keep_scrapys_format() -> None:
    """A crawl wants no other one: what was expected is not so, unless others want it."""
    if _keeper in logging.root.handlers and not _keeper.users:
        logging.root.removeHandler(_keeper)
        _keeper.give_back()


def leave_format(crawler: Crawler) -> None:
    """The handler keeps its format; a new one of Scrapy's has Scrapy's."""
    if crawler in _keeper.users:
        _keeper.users.discard(crawler)
        if not _keeper.users:
            logging.root.removeHandler(_keeper)
