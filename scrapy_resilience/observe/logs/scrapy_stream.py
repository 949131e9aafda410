"""Scrapy's own log handler, in another format.

There is one in a process, and each new ``Crawler`` puts another in its place, while other
crawls run. So the format is not set once: whoever takes part looks at each line whether the
handler is still the one that has it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from weakref import WeakSet

from scrapy.utils.log import get_scrapy_root_handler

from scrapy_resilience.observe.logs.log_formats import json_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from scrapy.crawler import Crawler

    Make: TypeAlias = Callable[[logging.Handler], logging.Formatter | None]

__all__ = ["expect_format", "keep_format", "keep_scrapys_format", "leave_format"]


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
