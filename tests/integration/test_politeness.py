"""What the servers see: who is asked when, and by how many at a time."""

from __future__ import annotations

import signal
import time
from textwrap import dedent

import pytest
from crawls import BUSY, PAGES, SHOP, Crawl, wait_until
from web import serving

from scrapy_resilience.testing import SiteConfig, running_site

pytestmark = pytest.mark.integration


def parallel(site):
    """The most requests at a time that each host has seen."""
    return {host: stats["parallel"] for host, stats in site.stats()["hosts"].items()}


@pytest.mark.parametrize("jobdir", ["job", None])
def test_requests_per_domain(crawl, jobdir):
    """No server sees more requests at a time than CONCURRENT_REQUESTS_PER_DOMAIN."""
    job = crawl(SHOP, JOBDIR=jobdir, CONCURRENT_REQUESTS=16, CONCURRENT_REQUESTS_PER_DOMAIN=3)

    job.finish()

    assert parallel(job.site) == {"h0.test": 3, "h1.test": 3, "h2.test": 3}
    job.check_items()


@pytest.mark.parametrize("jobdir", ["job", None])
def test_slow_pipelines_take_no_share(plain_crawl, jobdir):
    """A domain's share is free when its response is there, not when its items are."""
    job = plain_crawl(
        """
        import asyncio
        from shop import Base
        class Shop(Base):
            waiting = []
        class Slow:
            @classmethod
            def from_crawler(cls, crawler):
                self = cls()
                self.crawler = crawler
                return self
            async def process_item(self, item):
                waiting = self.crawler.spider.waiting
                waiting.append((item["host"], item["page"]))
                pages = {page for host, page in waiting if host == item["host"]}
                self.crawler.stats.max_value("pages of one host", len(pages))
                await asyncio.sleep(0.3)
                waiting.remove((item["host"], item["page"]))
                return item
        """,
        JOBDIR=jobdir,
        ITEM_PIPELINES={"spider.Slow": 1},
        CONCURRENT_REQUESTS_PER_DOMAIN=1,
        RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT=0,
    )

    run = job.finish()

    assert set(parallel(job.site).values()) == {1}
    assert run.stats["pages of one host"] > 1


def test_download_slots(crawl):
    """DOWNLOAD_SLOTS limits the hosts that it names."""
    job = crawl(
        SHOP,
        CONCURRENT_REQUESTS=16,
        CONCURRENT_REQUESTS_PER_DOMAIN=4,
        DOWNLOAD_SLOTS={"h0.test": {"concurrency": 1, "delay": 0}},
    )

    job.survive(kills=1, commits=2, at_least=1)

    # a kill leaves requests behind that the server still answers
    assert parallel(job.site)["h0.test"] <= 1 + 1
    assert max(parallel(job.site).values()) <= 4 + 4
    job.check_items()


def test_download_delay(tmp_path):
    """DOWNLOAD_DELAY keeps its meaning, and other hosts go on meanwhile."""
    slow = {"concurrency": 1, "delay": 0.1, "randomize_delay": False}
    with serving(lambda *_: 200) as web:
        urls = web.urls("slow.test", 20) + web.urls("quick.test", 20)
        job = Crawl(tmp_path, PAGES, **BUSY, URLS=urls, DOWNLOAD_SLOTS={"slow.test": slow})

        job.finish()

    first, *_, last = web.times("slow.test")
    assert last - first >= 18 * 0.1
    assert max(web.times("quick.test")) < last
    assert sorted(item["sku"] for item in job.items()) == sorted(urls)


@pytest.mark.parametrize("jobdir", ["job", None])
def test_a_middleware_that_changes_the_slot(plain_crawl, jobdir):
    """A request whose download_slot a middleware changes counts where it went.

    The first request of each host goes out before the frontier can know; stock Scrapy
    shows 13 at a time here.
    """
    job = plain_crawl(
        """
        from shop import Base
        class Shop(Base): pass
        class Together:
            def process_request(self, request):
                request.meta["download_slot"] = "all"
        """,
        JOBDIR=jobdir,
        DOWNLOADER_MIDDLEWARES={"spider.Together": 50},
        CONCURRENT_REQUESTS=16,
        CONCURRENT_REQUESTS_PER_DOMAIN=2,
    )

    job.finish()

    assert job.site.stats()["total"]["parallel"] <= 2 + len(job.site.start_urls())
    job.check_items()


def test_a_slot_of_the_spider(plain_crawl):
    """download_slot in meta is honoured, and kept over a kill."""
    job = plain_crawl(
        """
        import scrapy
        from shop import Base, number
        class Shop(Base):
            def links(self, response):
                for request in super().links(response):
                    request.meta["download_slot"] = "one"
                    yield request
        """,
        DOWNLOAD_SLOTS={"one": {"concurrency": 1}},
        CONCURRENT_REQUESTS_PER_DOMAIN=4,
    )

    job.survive(kills=1, commits=2, at_least=1)

    assert job.site.stats()["total"]["parallel"] <= 3 + 1
    job.check_items()


def test_httpcache(crawl):
    """With HTTPCACHE_ENABLED a crawl ends, and a second job asks the servers nothing."""
    job = crawl(SHOP, HTTPCACHE_ENABLED=True, HTTPCACHE_IGNORE_HTTP_CODES=[503])
    job.survive(kills=2, commits=2, at_least=1)
    job.check_items()
    job.site.reset()

    job.configure(JOBDIR="second", FEEDS={"again.jsonl": {"format": "jsonlines"}})
    job.survive(kills=1, commits=1, at_least=0)

    job.check_items(jsonl="again.jsonl", table=None)
    assert job.site.stats()["total"]["requests"] == 0


def test_robots(crawl):
    """ROBOTSTXT_OBEY works: robots.txt is asked for once a run and host, commits align."""
    job = crawl(SHOP, ROBOTSTXT_OBEY=True)

    run = job.survive(kills=2, commits=2)

    for stats in job.site.stats()["hosts"].values():
        assert sum(stats["paths"]["/robots.txt"].values()) == job.runs
    assert run.stats.get("resilience/checkpoint/unaligned", 0) <= 1
    job.check_items()


def test_robots_that_forbid(plain_crawl):
    """What robots.txt forbids is done, not asked for, and never comes back."""
    job = plain_crawl(
        """
        import scrapy
        from shop import Base
        class Shop(Base):
            def links(self, response):
                yield from super().links(response)
                yield scrapy.Request(response.url + "?secret")
        class Robots:
            def process_request(self, request):
                from scrapy.http import TextResponse
                if request.url.endswith("/robots.txt"):
                    body = b"User-agent: *\\nDisallow: /*?secret"
                    return TextResponse(request.url, body=body, encoding="utf-8")
        """,
        ROBOTSTXT_OBEY=True,
        DOWNLOADER_MIDDLEWARES={"spider.Robots": 500},
    )

    run = job.survive(kills=2, commits=2)

    assert run.stats["resilience/total/robotstxt/forbidden"] >= 120
    job.check_items()


# Not before -------------------------------------------------------------------


DELAYED = """
    import scrapy, time
    from scrapy.core.engine import ExecutionEngine
    from shop import Base
    ExecutionEngine._SLOT_HEARTBEAT_INTERVAL = 3600  # it may not look by itself
    class Shop(Base):
        def parse(self, response):
            yield from super().parse(response)
            if response.url.endswith("test:%d/" % self.settings.getint("PORT")):
                for n in range(5):
                    yield response.follow(
                        f"/?delayed={n}", callback=self.late,
                        meta={"resilience_delay": self.settings.getfloat("DELAY")},
                        cb_kwargs={"since": time.time()})
        def late(self, response, since):
            yield dict(sku=response.url, waited=time.time() - since)
"""


MARK = """
    async def start(self):
        yield scrapy.Request(
            self.start_urls[0] + "?mark", self.late, meta={"resilience_delay": 2.5},
            cb_kwargs={"since": time.time()})
"""


@pytest.mark.parametrize("jobdir", ["job", None])
def test_a_delay(plain_crawl, jobdir):
    """A delayed request runs not before its time, and then without a look at the clock."""
    job = plain_crawl(DELAYED, JOBDIR=jobdir, DELAY=1)
    job.configure(PORT=job.site.port)

    job.finish()

    waited = [item["waited"] for item in job.items() if "waited" in item]
    assert len(waited) == 15
    assert min(waited) >= 1
    undelayed = [item for item in job.items() if "waited" not in item]
    assert len(undelayed) == 240


def test_a_delay_over_a_kill(plain_crawl):
    """A delay survives a kill in its middle: it neither ends early nor starts anew.

    If it did, it would be over after a shorter one that begins with the second run.
    """
    job = plain_crawl(DELAYED, DELAY=3)
    job.configure(PORT=job.site.port)

    job.run_until(until=lambda: (job.state() or {}).get("held") == 15)
    assert job.kills == 1
    time.sleep(2)
    job.write("spider.py", dedent(DELAYED) + MARK)
    job.finish()

    late = [item for item in job.items() if "waited" in item]
    marks = [item["sku"].endswith("mark") for item in late]
    assert (len(marks), sum(marks)) == (15 + 1, 1)
    assert not marks[0], "it began anew"
    assert min(item["waited"] for item in late if not item["sku"].endswith("mark")) >= 3


def test_a_delay_over_a_stop(plain_crawl):
    """A crawl that is stopped while all its requests wait for an hour stops at once."""
    job = plain_crawl(DELAYED, DELAY=3600)
    job.configure(PORT=job.site.port, START=job.site.start_urls()[:1])
    with job.process() as process:
        wait_until(lambda: (job.state() or {}).get("held") == 5 and job.state()["pending"] == 5)
        process.send_signal(signal.SIGTERM)
        run = job.ended(process)

    assert run.reason == "shutdown"
    assert (job.state()["held"], job.state()["pending"]) == (5, 5)


# Order ------------------------------------------------------------------------


ORDER = """
    import scrapy
    from shop import Base, number
    class Shop(Base):
        async def start(self):
            for n in range(3):
                yield scrapy.Request(f"{self.start_urls[0]}?start={n}")
        def parse(self, response):
            self.visited.append(response.url)
            for request in super().parse(response):
                if isinstance(request, scrapy.Request):
                    if self.settings.getbool("PRIORITIES"):
                        request = request.replace(priority=len(request.url) * 7 % 4 - 1)
                    yield request
        visited = []
        def closed(self, reason):
            print("\\n".join(self.visited))
"""

FIFO = {
    "DEPTH_PRIORITY": 1,
    "SCHEDULER_DISK_QUEUE": "scrapy.squeues.PickleFifoDiskQueue",
    "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.FifoMemoryQueue",
}


@pytest.mark.parametrize(
    ("settings", "jobdir"),
    [
        pytest.param({}, "job", id="default, job"),
        pytest.param({}, None, id="default"),
        pytest.param({"PRIORITIES": True}, "job", id="priorities, job"),
        pytest.param({"PRIORITIES": True}, None, id="priorities"),
        pytest.param(FIFO, "job", id="fifo, job"),
        pytest.param(FIFO, None, id="fifo"),
        pytest.param({"DEPTH_PRIORITY": 1}, None, id="depth"),
        pytest.param({"SCHEDULER_START_MEMORY_QUEUE": ""}, None, id="no start queue"),
        pytest.param(
            {"SCHEDULER_START_DISK_QUEUE": "scrapy.squeues.PickleLifoDiskQueue"},
            "job",
            id="start lifo, job",
        ),
    ],
)
def test_the_order_is_scrapys(plain_crawl, settings, jobdir):
    """One domain with CONCURRENT_REQUESTS=1 is visited in the order of stock Scrapy."""
    visited = {}
    for name, addons in (("stock", {}), ("ours", None)):
        job = plain_crawl(ORDER, CONCURRENT_REQUESTS=1, **settings)
        job.configure(FEEDS={}, JOBDIR=jobdir and f"{name}-job", LOG_LEVEL="ERROR")
        if addons is not None:
            job.configure(ADDONS=addons)
        run = job.run()
        assert run.code == 0, run
        visited[name] = run.out.split()

    assert len(visited["ours"]) == 43
    assert visited["ours"] == visited["stock"]


def test_without_jobdir(plain_crawl):
    """Without a JOBDIR callbacks get the same Request object: shared meta, lambdas."""
    job = plain_crawl(
        """
        import scrapy
        from shop import Base
        class Shop(Base):
            shared = []
            made = {}
            def parse(self, response):
                yield from self.products(response)
                for request in self.links(response, callback=lambda r: self.visit(r)):
                    request.meta["shared"] = self.shared
                    self.made[request.url] = self.made.get(request.url, request)
                    yield request
            def visit(self, response):
                assert response.request is self.made[response.url]
                assert response.meta["shared"] is self.shared
                self.shared.append(response.url)
                yield from self.parse(response)
        """,
        JOBDIR=None,
    )

    run = job.finish()

    job.check_items()
    assert not [key for key in run.stats if "checkpoint" in key]
    assert not list(job.folder.rglob("resilience*"))


def test_many_hosts_share(tmp_path, rng):
    """The others are crawled to their end while one host does not answer."""
    config = SiteConfig(hosts=3, pages=30, latency=0.01, slow=60.0)
    with running_site(config) as site:
        job = Crawl(tmp_path, SHOP, site, rng, CONCURRENT_REQUESTS=4)
        job.configure(START=[site.url("slow.test"), *site.start_urls()])
        with job.process() as process:
            wait_until(
                lambda: (
                    sum(
                        stats["pages"]
                        for host, stats in site.stats()["hosts"].items()
                        if host != "slow.test"
                    )
                    == 90
                ),
            )
            process.kill()
