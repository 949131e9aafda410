"""Each metric that is defined is moved by a crawl: none says nothing for ever."""

from __future__ import annotations

import json

import pytest
from crawls import SICK, Crawl
from web import serving

from scrapy_resilience.observe.metrics.metric_names import LEFT_OUT, USER_FAILED, defined

pytestmark = [pytest.mark.integration, pytest.mark.slow]

OF_THE_MACHINE = {"memory_limit_bytes", "open_files"}
"""Not to be known everywhere."""
SPIDER = """
    import asyncio, shutil, sqlite3, time
    import scrapy
    from itertools import count
    from pathlib import Path
    from scrapy import signals
    from scrapy.exceptions import DropItem
    from prometheus_client import CollectorRegistry
    from prometheus_client.parser import text_string_to_metric_families
    from scrapy_resilience import signals as ours
    from scrapy_resilience.core.drift import Alarm
    from scrapy_resilience.frontier.sqlite import SQLiteStore
    from scrapy_resilience.metrics import metrics_of
    from scrapy_resilience.observe import rates
    from scrapy_resilience.observe.metrics.exporter import exporter_of
    from scrapy_resilience.observe.observer import observer_of
    from scrapy_resilience.waits import Waits, waits_of
    from scrapy_resilience import waits
    import json

    waits._TELL = 0.1
    rates._LEAST, rates._KEPT, rates._MINUTE = 0.5, 1.5, 1.5
    written, numbers = SQLiteStore.commit, count()

    def commit(self, *args, **kwargs):
        if next(numbers) in {3, 4, 5}:
            time.sleep(0.05)
            raise sqlite3.OperationalError("database or disk is full")
        return written(self, *args, **kwargs)

    SQLiteStore.commit = commit

    class Product(scrapy.Item):
        sku = scrapy.Field()
        name = scrapy.Field()
        price = scrapy.Field(normalize={"type": "price", "currency": "EUR"})
        confidence = scrapy.Field()

    class Failing:
        def collect(self):
            raise RuntimeError

    class Pipeline:
        async def process_item(self, item):
            await asyncio.sleep(0.05)
            if item["sku"].endswith("/1"):
                raise DropItem("not wanted")
            return item

    class Watch:
        '''Notes each metric that has another value than 0.'''

        @classmethod
        def from_crawler(cls, crawler):
            self = cls()
            self.crawler, self.moved = crawler, set()
            crawler.signals.connect(self.begin, signals.engine_started)
            crawler.signals.connect(self.end, signals.engine_stopped)
            return self

        def begin(self):
            crawler = self.crawler
            metrics_of(crawler).registry.register(Failing())
            for at in range(1_200):
                crawler.stats.inc_value(f"shop/{at}")
            alarm = Alarm("product", "1", "price", "a.test", "fill", 0.1, 0.9, 50, 0)
            crawler.signals.send_catch_log(ours.selector_drift, alarm=alarm)
            never = asyncio.get_running_loop().create_future()
            self.waits = asyncio.ensure_future(waits_of(crawler).bounded(never, "a test", 2))
            self.task = asyncio.ensure_future(self.look())

        async def look(self):
            for turn in count():
                self.note()
                await asyncio.sleep(0.02)
                if turn == 30:
                    shutil.rmtree("gone", ignore_errors=True)

        def note(self):
            observer = observer_of(self.crawler)
            observer.renew()
            text = exporter_of(self.crawler).text(observer.view()).decode()
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    if sample.value:
                        self.moved.add(sample.name)

        def end(self):
            self.task.cancel()
            self.waits.cancel()
            self.note()
            Path("moved.json").write_text(json.dumps(sorted(self.moved)))

    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        async def parse(self, response):
            await asyncio.sleep(0.05)
            if response.url.endswith("/2"):
                raise ValueError("this page is odd")
            low = not response.url.endswith("/3")
            yield Product(sku=response.url, name="Oak", price="ask us" if low else "EUR 1")
"""
SETTINGS = {
    **SICK,
    "EXTENSIONS": {"spider.Watch": 900},
    "ITEM_PIPELINES": {"spider.Pipeline": 50},
    "HTTPERROR_ALLOW_ALL": False,
    "RETRY_TIMES": 1,
    "CONCURRENT_ITEMS": 4,
    "RESILIENCE_CRITICAL_DOMAINS": ["down.test"],
    "RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT": 0,
    "RESILIENCE_CONFIDENCE_FIELD": "confidence",
    "RESILIENCE_CONFIDENCE_ACTION": "drop",
    "RESILIENCE_CONFIDENCE_MINIMUM": 0.95,
    "RESILIENCE_RATE_LIMITS": {"limited.test": "10/s"},
    "RESILIENCE_METRICS_INTERVAL": 0.1,
    "RESILIENCE_SNAPSHOT_INTERVAL": 0.2,
}


def moved(folder, gateway, **settings):
    """The names of the metrics that a crawl with everything on has moved."""
    throttled = {"Retry-After": "1"}

    def answer(host, path, number):
        if host == "down.test" and number < 15:
            return 503
        if host == "busy.test" and number == 1:
            return 429, throttled
        return 404 if path == "/4" else 200

    with serving(answer) as web:
        hosts = {"good.test": 20, "busy.test": 2, "down.test": 8, "limited.test": 40}
        urls = [url for host, pages in hosts.items() for url in web.urls(host, pages)]
        urls += [urls[0], "http://127.0.0.1:1/"]
        (folder / "gone").mkdir(parents=True)
        crawl = Crawl(
            folder, SPIDER, URLS=urls, RESILIENCE_PUSHGATEWAY_URL=gateway,
            RESILIENCE_METRICS_TEXTFILE="gone/a.prom", **{**SETTINGS, **settings},
        )  # fmt: skip
        crawl.run()
    found = json.loads(crawl.path("moved.json").read_text())
    return {name.removesuffix("_bucket").removeprefix("scrapy_resilience_") for name in found}


def test_every_metric_moves(tmp_path):
    """Two crawls, one whose snapshots and textfile fail, move all that are defined."""
    with serving(lambda _, __, number: 500 if number < 3 else 202) as gateway:
        url = f"http://127.0.0.1:{gateway.port}"
        found = moved(tmp_path / "one", url)
        more = {
            "RESILIENCE_SNAPSHOT_DIR": "spider.py",
            "RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT": 1,
        }
        found |= moved(tmp_path / "two", url, **more)
    names = {metric.short for metric in defined()}

    assert sorted(names - found - OF_THE_MACHINE) == [], "these are not moved"
    assert {LEFT_OUT.short, USER_FAILED.short} <= found
