"""Guards that act in a real crawl tell its owner of it."""

from __future__ import annotations

import pytest
from notifying import crawl_of
from receivers import webhook
from web import serving

pytestmark = pytest.mark.integration

TROUBLES = """
    import asyncio, os, time
    import scrapy
    import scrapy_resilience.guard.pressure as easing
    from scrapy_resilience.core.readings import Disk
    from scrapy_resilience.observe.health import resources

    MB = 2**20

    def read_disks(folders):
        free = 10 if os.path.exists("full") else 50_000
        return {"job": Disk("/job", free * MB, 100_000 * MB)}
    resources.read_disks = read_disks

    def spin(seconds):
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            sum(range(1000))

    def check(crawler):
        return not os.path.exists("away")

    def recover(crawler):
        os.unlink("away")

    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        async def parse(self, response):
            number = int(response.url.rpartition("/")[2])
            if number == 3:
                open("away", "w").close()
                while os.path.exists("away"):
                    await asyncio.sleep(0.05)
            elif number == 6:
                open("full", "w").close()
                await asyncio.sleep(2)
                os.unlink("full")
            elif number == 9:
                spin(2.0)
            yield dict(sku=response.url)
"""


def test_guards_that_act_are_told(tmp_path):
    """A disk, a component, callbacks that wait or compute, a budget: each in words."""
    with serving(lambda *_: 200) as web, webhook() as hook:
        crawl = crawl_of(
            tmp_path, web, hook.url, TROUBLES, pages=20,
            CONCURRENT_REQUESTS=2,
            DOWNLOAD_DELAY=0.05,
            RESILIENCE_WATCHDOG_INTERVAL=0.3,
            RESILIENCE_BLOCKED_AFTER=0.8,
            RESILIENCE_CALLBACK_TIMEOUT=0.4,
            RESILIENCE_COMPONENTS={
                "db": {"check": "spider.check", "recover": "spider.recover"}
            },
            RESILIENCE_RECOVER_DELAY=0.1,
            RESILIENCE_HEALTH_INTERVAL=0.1,
            RESILIENCE_BUDGETS=[
                {"resource": "requests", "limit": 16, "per": "hour", "action": "warn"}
            ],
        )  # fmt: skip
        crawl.finish()

    crawl.check_pages()
    told = {}
    for each in hook.notices():
        told[each["kind"]] = " ".join([told.get(each["kind"], ""), *each["texts"]])
    for kind, words in {
        "component": "db",
        "disk": "/job",
        "pause": "10 MB are free on the disk of /job",
        "stuck": "parse",
        "blocked": "stood still",
        "budget": "16 requests an hour",
        "finished": "20 items",
    }.items():
        assert words in told.get(kind, ""), (kind, told)
