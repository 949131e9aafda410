"""Real engines, without a crawl."""

from __future__ import annotations

from types import SimpleNamespace

from scrapy import Spider
from scrapy.utils.test import get_crawler


class Slot(SimpleNamespace):
    """An open spider's, as far as it is looked at."""

    def __init__(self, scheduler=None):
        schedule = SimpleNamespace(schedule=lambda: None)
        super().__init__(closing=None, inprogress=set(), nextcall=schedule, scheduler=scheduler)


def engine_of(settings=None, itemproc=None):
    """Return an engine whose spider is open, with pipelines of one's own or none."""
    crawler = get_crawler(Spider, settings)
    crawler.spider = crawler._create_spider("shop")
    engine = crawler._engine = crawler._create_engine()
    engine._slot, engine.spider = Slot(), crawler.spider
    if itemproc is not None:
        engine.scraper.itemproc = itemproc
        modern = hasattr(itemproc, "process_item_async")
        engine.scraper._itemproc_has_async = {"process_item": modern}
    return engine
