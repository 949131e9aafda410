"""Each metric that is defined is moved by a crawl: none says nothing for ever."""

from __future__ import annotations

import json

import pytest
from crawls import BUSY, SICK, Crawl
from test_report import data_of
from web import serving

from scrapy_resilience.observe.metrics.browser_metrics import BROWSER_METRICS
from scrapy_resilience.observe.metrics.cache_metrics import CACHE_METRICS
from scrapy_resilience.observe.metrics.metric_names import LEFT_OUT, USER_FAILED, defined

pytestmark = [pytest.mark.integration, pytest.mark.slow]

OF_THE_MACHINE = {"memory_limit_bytes", "memory_pressure_share", "open_files"}
"""Not to be known everywhere."""
OF_BROWSERS = {metric.short for metric in BROWSER_METRICS}
"""That no crawl here has: their counts are in test_browsers.py."""
OF_THE_CACHE = {metric.short for metric in CACHE_METRICS}
"""Likewise: they are in test_cache_redis.py."""
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
GUARDED = (
    SPIDER
    + """
    import os, subprocess, sys
    from scrapy_resilience.gates.crawl_pauses import pauses_of

    class Hanging:
        '''A download handler that never comes back.'''
        lazy = False
        async def download_request(self, request):
            await asyncio.sleep(1000)
        async def close(self):
            pass

    answers, tries = iter([False, False, True]), count()

    def check(crawler):
        return next(answers, True)

    def recover(crawler):
        if not next(tries):
            raise OSError("not yet")

    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            os.symlink(sys.executable, "chromium")
            sleep = ["-c", "import time; time.sleep(60)"]
            self.children = [
                subprocess.Popen([os.path.abspath(name), *sleep])
                for name in (sys.executable, "chromium")
            ]
            self.stalled = asyncio.Event()
            self.crawler.signals.connect(self.told, ours.crawl_event)
            self.pauses = pauses_of(self.crawler)
            self.pauses.pause("mine", "for a moment", time.monotonic() + 0.3)
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        async def parse(self, response):
            if response.url.endswith("/2"):
                time.sleep(1.5)
            if response.url.endswith("/3"):
                await asyncio.wait_for(self.stalled.wait(), 60)
            await asyncio.sleep(0.2)
            yield Product(sku=response.url, name="Oak", price="EUR 1")
        def told(self, kind):
            if kind == "stall":
                self.stalled.set()
        def closed(self, reason):
            for child in self.children:
                child.kill()
                child.wait()
"""
)
"""Its page 2 blocks the event loop, its page 3 waits until the crawl has stalled."""
GUARDS = {
    "DOWNLOAD_HANDLERS": {"hang": "spider.Hanging"},
    "DOWNLOAD_TIMEOUT": 0.5,
    "RETRY_TIMES": 1,
    "HTTPERROR_ALLOW_ALL": False,
    "RESILIENCE_WATCHDOG_INTERVAL": 0.2,
    "RESILIENCE_THRESHOLDS": {"default": {"memory": [0.01, 0.99]}},
    "RESILIENCE_COMPONENTS": {"mine": {"check": "spider.check", "recover": "spider.recover"}},
    "RESILIENCE_RECOVER_DELAY": 0.1,
    "RESILIENCE_STUCK_TIMEOUT": 0.5,
    "RESILIENCE_CALLBACK_TIMEOUT": 0.5,
    "RESILIENCE_BLOCKED_AFTER": 0.4,
    "RESILIENCE_STALL_TIMEOUT": 1,
    "RESILIENCE_ABORT_POLICY": "mine",
    "RESILIENCE_ABORT_POLICIES": {"mine": {"dead_letters": 1, "actions": ["notify"]}},
    "RESILIENCE_ABORT_AFTER": 1,
    "RESILIENCE_ABORT_INTERVAL": 0.2,
    "RESILIENCE_PRICES": {"requests": 0.01},
    "RESILIENCE_BUDGETS": [{"resource": "usd", "limit": 1, "action": "warn"}],
    "RESILIENCE_NOTIFY_GROUP": 0.1,
    "RESILIENCE_NOTIFY_PER_HOUR": 1000,
    "RESILIENCE_NOTIFY_TIMEOUT": 1,
}
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
    return noted(crawl)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A crawl in which every guard has something to do, when it has ended."""

    def answer(_, path, number):
        return 400 if path == "/wrong" else 500 if number < 4 else 202

    with (
        serving(answer) as gateway,
        serving(lambda _, path, __: 404 if path == "/4" else 200) as web,
    ):
        url = f"http://127.0.0.1:{gateway.port}"
        channels = [{"url": f"{url}/{name}", "name": name} for name in ("mine", "wrong")]
        crawl = Crawl(
            tmp_path_factory.mktemp("guarded"), GUARDED, RESILIENCE_NOTIFY=channels,
            URLS=[*web.urls("a.test", 6), "hang://a.test/"], RESILIENCE_REPORT="report.html",
            EXTENSIONS={"spider.Watch": 900}, **{**BUSY, **GUARDS},
        )  # fmt: skip
        crawl.run()
    return crawl


def noted(crawl):
    """What the extension has noted."""
    found = json.loads(crawl.path("moved.json").read_text())
    return {name.removesuffix("_bucket").removeprefix("scrapy_resilience_") for name in found}


def test_every_metric_moves(tmp_path, guarded):
    """Three crawls, one whose snapshots fail, one with guards, move all that are defined."""
    found = noted(guarded)
    with serving(lambda _, __, number: 500 if number < 3 else 202) as gateway:
        url = f"http://127.0.0.1:{gateway.port}"
        found |= moved(tmp_path / "one", url)
        more = {
            "RESILIENCE_SNAPSHOT_DIR": "spider.py",
            "RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT": 1,
        }
        found |= moved(tmp_path / "two", url, **more)
    names = {metric.short for metric in defined()}

    assert sorted(names - found - OF_THE_MACHINE - OF_BROWSERS - OF_THE_CACHE) == [], (
        "these are not moved"
    )
    assert {LEFT_OUT.short, USER_FAILED.short} <= found


def test_the_report_has_what_guards_did(guarded):
    """What has got worse and what it cost; what was so only while it ran is over."""
    view = data_of(guarded.path("report.html"))["view"]

    guard = view["guard"]
    assert {"mine", "blocked", "stall", "memory"} <= guard["breaches"].keys()
    assert {"mine", "blocked", "stall"} <= guard["recoveries"].keys()
    assert {ladder["resource"]: ladder["rung"] for ladder in guard["ladders"]}["memory"] != (
        "healthy"
    )
    assert view["cost"]["total"] > 0
    assert [each["name"] for each in view["abort"]["conditions"] if each["met"]] == [
        "dead_letters"
    ]
    assert guard["stuck"] == []
    assert guard["sentence"] == ""
