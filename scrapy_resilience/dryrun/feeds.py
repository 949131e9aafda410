"""Feeds in a dry run: items go through filters and exporters, and are forgotten."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from scrapy.extensions.feedexport import FeedExporter
from scrapy.utils.misc import load_object

from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.refusals import fail_quietly
from scrapy_resilience.core.masking import error_text, mask_uri, shown
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.feeds.checks import CheckedFeeds
from scrapy_resilience.feeds.dry_run import Trial

if TYPE_CHECKING:
    from scrapy import Spider
    from scrapy.crawler import Crawler
    from scrapy.extensions.feedexport import FeedSlot
    from scrapy.settings import BaseSettings
    from typing_extensions import Self

__all__ = ["DryFeeds", "use_dry_feeds"]

logger = get_logger(__name__)

_SETTING: Final = "EXTENSIONS"


class DryFeeds(CheckedFeeds):
    """In the place of all feed exporters."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._trials: dict[FeedSlot, Trial] = {}
        self.items: Counter[str] = Counter()
        """That a feed would have, by its URI."""
        self.refused: dict[str, str] = {}
        """By URI: why the first item could not be written."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        try:
            return super().from_crawler(crawler)
        except ConfigurationError as error:
            fail_quietly(crawler, error)
            raise

    def open_spider(self, spider: Spider) -> None:
        """Scrapy makes storages here, which open nothing yet."""
        try:
            super().open_spider(spider)
        except Exception as error:
            self.refused[", ".join(map(mask_uri, self.feeds))] = _told(error)
            raise

    def item_scraped(self, item: Any, spider: Spider) -> None:
        for slot in self.slots:
            if not slot.filter.accepts(item):
                continue
            uri = mask_uri(slot.uri)
            try:
                self._trial(slot).check(item)
                self.items[uri] += 1
            except Exception as error:  # noqa: BLE001 - of an exporter, of whatever kind
                if self.refused.setdefault(uri, _told(error)) == _told(error):
                    logger.error("The feed %s can't have an item: %s", uri, _told(error))  # noqa: TRY400

    def _trial(self, slot: FeedSlot) -> Trial:
        if slot not in self._trials:
            self._trials[slot] = Trial(slot)
        return self._trials[slot]

    async def close_spider(self, spider: Spider) -> None:
        for trial in self._trials.values():
            trial.close()
        self.slots = []


def _told(error: Exception) -> str:
    return shown(error_text(error))


def use_dry_feeds(settings: BaseSettings) -> None:
    """Take all feed exporters out, and :class:`DryFeeds` in where there was one."""
    enabled = map(load_object, settings.get_component_priority_dict_with_base(_SETTING))
    exporters = [
        each for each in enabled if isinstance(each, type) and issubclass(each, FeedExporter)
    ]
    for each in exporters:
        settings.set_in_component_priority_dict(_SETTING, each, None)
    if exporters and (settings["FEEDS"] or settings["FEED_URI"]):
        settings.set_in_component_priority_dict(_SETTING, DryFeeds, 0)
