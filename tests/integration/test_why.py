"""Crawls that are slow for one reason, and what the crawl says that it is.

The benchmark ``why`` has the shares beside the truth; here each crawl names its cause, whatever
else the machine does.
"""

from __future__ import annotations

import json

import pytest
from crawls import Crawl

from scrapy_resilience.testing import SiteConfig, running_site

pytestmark = pytest.mark.integration

SITE = SiteConfig(hosts=1, pages=60, slow=0.4)
SPIDER = """
    import asyncio, json, time, msgspec, scrapy
    from scrapy_resilience.observe.observer import observer_of
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        def parse(self, response):
            used = time.thread_time()
            while time.thread_time() - used < self.settings.getfloat("BUSY"):
                pass
            yield dict(sku=response.url)
        def closed(self, reason):
            found = observer_of(self.crawler).view().accounting
            with open("why.json", "wb") as file:
                file.write(msgspec.json.encode(found))
    class Wait:
        connections = asyncio.Semaphore(2)
        async def process_item(self, item):
            async with self.connections:
                await asyncio.sleep(0.5)
            return item
"""
SETTINGS = {
    "CONCURRENT_REQUESTS": 8,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 8,
    "RESILIENCE_SLOW_START": 0,
    "FEEDS": {},
}


@pytest.fixture(scope="module")
def slow_process():
    """A site with one host that is well, and all that are not."""
    with running_site(SITE) as site:
        yield site


@pytest.fixture
def why(tmp_path, slow_process):
    """``why(host, pages, **settings)``: the accounting of a crawl that has ended."""
    slow_process.reset()

    def run(host, pages, **settings):
        urls = [slow_process.url(host, f"/page/{page}") for page in range(1, pages)]
        job = Crawl(tmp_path, SPIDER, slow_process, **{**SETTINGS, "URLS": urls, **settings})
        assert job.run().code == 0
        return json.loads(job.path("why.json").read_text("utf-8"))

    return run


def first(found):
    """The cause that has the largest share of the job, and what of it."""
    largest = found["job"]["shares"][0]
    assert sum(each["share"] for each in found["job"]["shares"]) == pytest.approx(1)
    return largest["cause"], largest.get("detail", "")


def test_callbacks_that_compute(why):
    """The processor is the cause."""
    assert first(why("h0.test", 60, BUSY=0.1))[0] == "processor"


def test_a_slow_host(why):
    """Its answers are waited for."""
    found = why("slow.test", 60)
    assert first(found)[0] == "servers"
    assert found["job"]["shares"][0]["domains"] == ["slow.test"]


def test_a_rate_limit(why):
    """It is named with its domain."""
    found = why("h0.test", 30, RESILIENCE_RATE_LIMITS={"h0.test": 5})
    assert first(found) == ("gate", "rate limit")
    assert "the rate limit of h0.test, 5/s: RESILIENCE_RATE_LIMITS" in found["sentence"]


def test_an_open_breaker(why):
    """It is named with its domain, too."""
    found = why(
        "error.test",
        20,
        RESILIENCE_BREAKER_FIRST_TRIAL=0,
        RESILIENCE_BREAKER_RECOVERY_TIMEOUT=5,
        RESILIENCE_BREAKER_MAX_TRIPS=1,
    )
    assert first(found) == ("gate", "circuit breaker is open")
    assert found["job"]["shares"][0]["domains"] == ["error.test"]


def test_a_slow_pipeline(why):
    """All responses are there, and their items wait."""
    found = why("h0.test", 24, ITEM_PIPELINES={"spider.Wait": 1})
    assert first(found)[0] == "callbacks"


def test_a_slow_pipeline_that_stops_downloads(why):
    """The scraper has as much as it may hold."""
    found = why(
        "h0.test", 24, ITEM_PIPELINES={"spider.Wait": 1}, SCRAPER_SLOT_MAX_ACTIVE_SIZE=10_000
    )
    assert first(found)[0] == "callbacks"


@pytest.mark.slow
def test_the_job_survives_a_kill(tmp_path, slow_process):
    """The second run goes on with the sum of the first."""
    slow_process.reset()
    urls = [slow_process.url("h0.test", f"/page/{page}") for page in range(1, 30)]
    limits = {"h0.test": 5}
    settings = {**SETTINGS, "URLS": urls, "RESILIENCE_RATE_LIMITS": limits}
    job = Crawl(tmp_path, SPIDER, slow_process, **settings)
    seconds = lambda: (job.state("resilience.accounting") or {"seconds": 0.0})["seconds"]  # noqa: E731
    job.run_until(until=lambda: seconds() > 2, spread=0)
    before = seconds()

    assert job.run().code == 0

    found = json.loads(job.path("why.json").read_text("utf-8"))
    assert found["job"]["seconds"] > found["hour"]["seconds"]
    assert found["job"]["seconds"] == pytest.approx(before + found["hour"]["seconds"], abs=0.01)
