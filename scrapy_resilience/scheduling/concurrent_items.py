"""``CONCURRENT_ITEMS``: few, until item pipelines are seen to wait.

Scrapy starts so many tasks for each response, 100 by default: 40 % of the time that a small
page costs. Pipelines that only compute run one after the other anyhow, and gain nothing.
Those that wait, for a database or a download, do: several items of one response can wait at
once. Which of them a project has, is seen: whether the event loop turns while an item is in
its pipelines. How long that takes says nothing; on a busy machine everything takes long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrapy.settings import SETTINGS_PRIORITIES, default_settings

from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience.names import STAT_CONCURRENT_ITEMS

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

    from scrapy_resilience.settings import Config

__all__ = ["ConcurrentItems", "lower_concurrent_items"]

logger = get_logger(__name__)

_IN_A_ROW: Final = 3
"""Items that wait: one alone may have opened a connection, or flushed a batch."""
_ENOUGH: Final = 1000
"""Items after which pipelines that have not waited are taken to compute only."""


def lower_concurrent_items(settings: BaseSettings, config: Config) -> None:
    """Begin with few; the user's own number stays."""
    settings.set("CONCURRENT_ITEMS", config.concurrent_items, priority="addon")


class ConcurrentItems:
    """Gives Scrapy's number back when the items of a crawl wait in their pipelines."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._stats: Any = crawler.stats
        self._waited = 0
        self._seen = 0
        settings = crawler.settings
        if settings.getpriority("CONCURRENT_ITEMS") == SETTINGS_PRIORITIES["addon"]:
            self._stats.set_value(STAT_CONCURRENT_ITEMS, settings.getint("CONCURRENT_ITEMS"))
            self._hooks = hooks_of(crawler.engine)
            self._hooks.item_left = self._item_left

    def _item_left(self, waited: bool) -> None:  # noqa: FBT001 - a callback
        if self._hooks.item_left is None:  # it is decided, and this one was under way
            return
        self._waited = self._waited + 1 if waited else 0
        self._seen += 1
        if self._waited < _IN_A_ROW:
            if self._seen >= _ENOUGH:
                self._hooks.item_left = None
            return
        self._hooks.item_left = None
        number = default_settings.CONCURRENT_ITEMS
        self._crawler.engine.scraper.concurrent_items = number
        self._stats.set_value(STAT_CONCURRENT_ITEMS, number)
        logger.info("Item pipelines wait for something: CONCURRENT_ITEMS is %d now", number)
