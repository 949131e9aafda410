"""The durable filter of duplicates: what it has seen goes back with its items."""

from __future__ import annotations

import signal

import pytest
from crawls import KILLED, check_same
from web import serving

from scrapy_resilience.failpoints import STEPS

pytestmark = pytest.mark.integration

SHOP = """
    import os
    import random
    import signal
    from asyncio import sleep
    from pathlib import Path

    from scrapy_resilience.failpoints import reached
    from shop import Base, number

    step, _, times = os.environ.get("KILL_AT", "").partition(":")
    left = int(times or 1)

    def kill(name):
        global left
        if name == step:
            left -= 1
            if not left:
                Path("killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)

    reached.append(kill)

    class Slow:
        '''Holds items between the filter and the feeds, as a database does.'''

        async def process_item(self, item):
            await sleep(random.uniform(0, 0.05))
            return item

    class Shop(Base):
        '''Each third page of the three shops has the same things.'''

        custom_settings = {"ITEM_PIPELINES": {"spider.Slow": 300}}

        async def start(self):
            yield {"sku": "start", "thing": "start"}
            async for request in super().start():
                yield request

        def parse(self, response, **_):
            for place, item in enumerate(self.products(response)):
                yield {**item, "thing": f"{number(response) % 13}-{place}"}
            yield from self.links(response)

"""
FEEDS = {"items.jsonl": {"format": "jsonlines"}, "items.json": {"format": "json"}}
SETTINGS = {"FEEDS": FEEDS, "RESILIENCE_UNIQUE": ["thing"]}


def things(job, name="items.jsonl"):
    """What the items of a feed are known by."""
    return [item["thing"] for item in job.items(name)]


def expected(job):
    """Each thing of the shops once."""
    found = {f"{item['page'] % 13}-{place}" for item, place in placed(job)}
    return [*found, "start"]


def placed(job):
    """Items with their places on their pages."""
    places = {}
    for item in job.site.expected_items():
        key = item["host"], item["page"]
        places[key] = places.get(key, -1) + 1
        yield item, places[key]


@pytest.mark.parametrize("step", [each for each in STEPS if each != "job/created"])
def test_a_kill_at_each_step(crawl, rng, step):
    """Whatever step a kill comes at, each thing is in the feed once after the resume."""
    timeout = rng.choice([1, 0])  # aligned or not
    job = crawl(SHOP, **SETTINGS, RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT=timeout)
    if step in {"feed/tail-kept", "feed/cut"}:  # there must be something to cut
        job.run(env={"KILL_AT": "commit/sealed:3"})
        with job.path("items.jsonl").open("ab") as feed:
            feed.write(b"never committed")

    times = job.rng.choice([2, 3, 5]) if step.startswith("commit") else 1
    run = job.run(env={"KILL_AT": f"{step}:{times}"})

    assert run.code == KILLED, run
    job.finish()
    check_same(things(job), expected(job))


@pytest.mark.parametrize("timeout", [1, 0], ids=["aligned", "unaligned"])
def test_kills_at_random(crawl, timeout):
    """After three kills at random and a SIGINT it is as without any."""
    job = crawl(SHOP, **SETTINGS, RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT=timeout)
    for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGKILL):
        job.run_until(commits=1, number=number)
    run = job.finish()

    check_same(things(job), expected(job))
    assert run.stats.get("item_dropped_reasons_count/DropItem") == run.stats.get(
        "item_dropped_count"
    )


def test_without_a_stop(crawl):
    """Scrapy's own counters count the duplicates."""
    job = crawl(SHOP, **SETTINGS)
    run = job.finish()

    wanted = expected(job)
    check_same(things(job), wanted)
    duplicates = len(job.site.expected_items()) + 1 - len(wanted)
    assert run.stats["item_dropped_reasons_count/DropItem"] == duplicates
    assert run.stats["item_scraped_count"] == len(wanted)


def test_in_memory(crawl):
    """Without a JOBDIR, and with Scrapy's scheduler, a run filters all the same."""
    for settings in ({}, {"RESILIENCE_SCHEDULER_ENABLED": False}):
        job = crawl(SHOP, **SETTINGS, **settings, JOBDIR=None)
        job.settings["JOBDIR"] = "job"
        job.run()
        check_same(things(job), expected(job))
        job.path("items.jsonl").unlink()
        job.site.reset()


def test_another_night(crawl):
    """A finished job that runs again brings only what it has not had."""
    job = crawl(SHOP, **SETTINGS, FEED_STORE_EMPTY=True)
    job.finish()
    new = {"FEEDS": {"new.jsonl": {"format": "jsonlines"}}, "FEED_STORE_EMPTY": True}
    job.configure(**new, RESILIENCE_RERUN_START=True)
    job.finish()

    assert things(job, "new.jsonl") == []


OWN = SHOP.replace(
    "    class Slow:\n",
    """    from scrapy.exceptions import DropItem

    class Own:
        def process_item(self, item):
            path = Path("seen." + item["thing"])
            if path.exists():
                raise DropItem("known")
            path.touch()
            return item

    class Slow:
""",
    1,
).replace('"spider.Slow": 300', '"spider.Own": 200, "spider.Slow": 300')


def test_a_filter_of_ones_own_drops_too_much(crawl):
    """A memory ahead of the commits drops items for duplicates of themselves."""
    job = crawl(OWN, FEEDS=FEEDS, RESILIENCE_CHECKPOINT_INTERVAL=0.5)
    job.run(env={"KILL_AT": "commit/sealed:1"})
    assert job.path("killed").exists()
    job.finish()

    assert len(things(job)) == len(set(things(job))) < len(expected(job))


FAILING = SHOP.replace(
    "            return item\n",
    """            if item["thing"] == "1-0" and Path("failing").exists():
                raise ZeroDivisionError
            return item
""",
    1,
)


def test_an_item_that_fails_is_not_seen(crawl):
    """What a later pipeline fails on was not written: a replay brings it."""
    job = crawl(FAILING, **SETTINGS)
    job.path("failing").touch()
    job.run()
    assert "1-0" not in things(job)

    job.path("failing").unlink()
    job.run("resilience", "replay", "job")
    job.finish()
    check_same(things(job), expected(job))


def test_an_item_that_is_dropped_is_not_seen(crawl):
    """What a later pipeline drops was not written: the next one like it may be."""
    source = SHOP.replace(
        "            return item\n",
        """            from scrapy.exceptions import DropItem
            if item["thing"] == "1-0" and not Path("dropped").exists():
                Path("dropped").touch()
                raise DropItem("not this one")
            return item
""",
        1,
    )
    job = crawl(source, **SETTINGS, CONCURRENT_REQUESTS=1)
    job.finish()

    check_same(things(job), expected(job))


def test_by_a_function(crawl):
    """A function of the user's own says what tells items apart; None lets one through."""
    source = (
        SHOP
        + """
    def thing(item):
        return None if item["thing"] == "start" else item["thing"]
"""
    )
    job = crawl(source, FEEDS=FEEDS, RESILIENCE_UNIQUE="spider.thing")
    job.survive(kills=1)

    check_same(things(job), expected(job))


ALIKE = """
    import asyncio, os, scrapy
    from scrapy.exceptions import DropItem

    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        def parse(self, response):
            self.answered = getattr(self, "answered", 0) + 1
            yield {"thing": "same", "sku": response.url}

    class Later:
        crawler = None
        first = True
        @classmethod
        def from_crawler(cls, crawler):
            pipeline = cls()
            pipeline.crawler = crawler
            return pipeline
        async def process_item(self, item):
            if self.first:
                self.first = False
                spider = self.crawler.spider
                while spider.answered < len(spider.settings.getlist("URLS")):
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.1)
                raise eval(os.environ["RAISES"])
            return item
"""


@pytest.mark.parametrize("raised", ["DropItem('no price')", "ValueError('a bug')"])
def test_items_alike_at_the_same_time(plain_crawl, raised):
    """While the first is in later pipelines the others wait: one goes on in its place."""
    with serving(lambda *_: 200) as web:
        urls = web.urls("a.test", 4)
        job = plain_crawl(
            ALIKE,
            URLS=urls,
            RESILIENCE_UNIQUE=["thing"],
            ITEM_PIPELINES={"spider.Later": 300},
            CONCURRENT_REQUESTS=4,
            CONCURRENT_REQUESTS_PER_DOMAIN=4,
        )
        run = job.run(env={"RAISES": raised})

    assert run.reason == "finished"
    assert things(job) == ["same"]
