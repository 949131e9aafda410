"""A spider that does nothing but fill a table."""

from __future__ import annotations

import inspect
import time
from hashlib import sha1
from typing import TYPE_CHECKING, Any

from scrapy import Spider

from scrapy_resilience.pipelines.sql import SqlPipeline
from scrapy_resilience.scheduling.item_context import as_item, item_written
from scrapy_resilience.signals import checkpoint_prepare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def item_of(number: int) -> dict[str, Any]:
    """One of the items that are written: as those of the fault site."""
    return {
        "host": f"h{number % 10}.test",
        "page": str(number // 2),
        "sku": f"h{number % 10}-{number}",
        "name": f"A chair of some kind, number {number}",
        "price": f"{number % 1000}.{number % 100:02}",
    }


def ident(number: int) -> str:
    """What tells an item apart: as long as the ids of a crawl."""
    return f"{sha1(str(number).encode(), usedforsecurity=False).hexdigest()}:0"


class Rows(Spider):
    """Gives items to the database sink of its own crawl, one after the other."""

    name = "rows"

    def __init__(self, count: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = int(count)

    async def start(self) -> AsyncIterator[Any]:
        assert self.crawler.engine is not None
        assert self.crawler.stats is not None
        parts = self.crawler.engine.scraper.itemproc.middlewares
        (sink,) = (part for part in parts if isinstance(part, SqlPipeline))
        items = [(ident(number), item_of(number)) for number in range(self.count)]
        started = time.perf_counter()
        for name, item in items:
            with as_item(name):
                if inspect.isawaitable(given := sink.process_item(item)):
                    await given
                item_written()
        for _, flushed in self.crawler.signals.send_catch_log(checkpoint_prepare):
            if inspect.isawaitable(flushed):
                await flushed
        seconds = time.perf_counter() - started
        self.crawler.stats.set_value("bench/rows_seconds", seconds)
        for nothing in ():
            yield nothing
