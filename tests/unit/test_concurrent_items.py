"""How many items of a response are in the pipelines at once: decided by what they do."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from types import SimpleNamespace

import pytest
import pytest_twisted
from engines import engine_of
from scrapy.settings import Settings
from scrapy.statscollectors import MemoryStatsCollector
from scrapy.utils.defer import deferred_from_coro
from scrapy.utils.test import get_crawler

from scrapy_resilience.scheduling import concurrent_items
from scrapy_resilience.scheduling.concurrent_items import ConcurrentItems

LATER = "resilience/concurrent_items"


class Itemproc:
    """Pipelines as an engine has them: each item says how they treat it."""

    async def process_item_async(self, item):
        """Wait, or only compute."""
        if item == "waits":
            await asyncio.sleep(0)
        elif item == "waits and fails":
            await asyncio.sleep(0)
            raise ValueError
        elif item == "fails":
            raise ValueError
        elif item == "never waits":
            await done()
        return item


async def done():
    """A coroutine that has what it awaits."""
    future = asyncio.get_running_loop().create_future()
    future.set_result(1)
    return await future


async def number_after(*items, priority="addon"):
    """CONCURRENT_ITEMS after such items, and what the stats say."""
    settings = Settings()
    settings.set("CONCURRENT_ITEMS", 8, priority=priority)
    engine = engine_of(itemproc=Itemproc())
    engine.scraper.concurrent_items = 8
    crawler = SimpleNamespace(
        settings=settings,
        engine=engine,
        stats=MemoryStatsCollector(get_crawler()),
    )

    async def crawl():
        ConcurrentItems(crawler)
        for item in items:
            with suppress(ValueError):
                await engine.scraper.itemproc.process_item_async(item)

    await deferred_from_coro(crawl())
    return engine.scraper.concurrent_items, crawler.stats.get_value(LATER)


@pytest.mark.parametrize("items", [["waits"] * 3, ["fails", *["waits and fails"] * 3]])
@pytest_twisted.ensureDeferred
async def test_pipelines_that_wait(items):
    """Three items in a row that wait get Scrapy's number, and it stays."""
    assert await number_after(*items) == (100, 100)
    assert await number_after(*items, *["never waits"] * 9) == (100, 100)


def test_items_that_were_under_way(caplog):
    """It is decided, and told, once."""
    caplog.set_level(logging.INFO)
    hooks = SimpleNamespace(item_left=None)
    crawler = SimpleNamespace(
        settings=Settings(),
        stats=MemoryStatsCollector(get_crawler()),
        engine=SimpleNamespace(scraper=SimpleNamespace()),
    )
    crawler.settings.set("CONCURRENT_ITEMS", 8, "addon")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(concurrent_items, "hooks_of", lambda _: hooks)
        ConcurrentItems(crawler)
    left = hooks.item_left
    for _ in range(9):
        left(True)  # noqa: FBT003 - as hooks call it

    assert [text for text in caplog.messages if "CONCURRENT_ITEMS" in text] == [
        "Item pipelines wait for something: CONCURRENT_ITEMS is 100 now"
    ]


@pytest.mark.parametrize(
    "items",
    [
        ["computes"] * 50,
        ["never waits"] * 50,
        ["fails"] * 50,
        ["waits", "waits", "computes"] * 20,  # a connection, a batch
    ],
)
@pytest_twisted.ensureDeferred
async def test_pipelines_that_compute(items):
    """A coroutine that never waits gains nothing from more, however long it takes."""
    assert await number_after(*items) == (8, 8)


@pytest.mark.parametrize("priority", ["default", "project", "spider", "cmdline"])
@pytest_twisted.ensureDeferred
async def test_the_users_number(priority):
    """What the add-on has not set is left alone."""
    assert await number_after(*["waits"] * 9, priority=priority) == (8, None)
