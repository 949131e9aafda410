"""What the add-on does with Scrapy's own settings, and what the user's win."""

from __future__ import annotations

import sqlite3
import sys
from textwrap import dedent

import pytest
from crawls import SHOP, check_same, wait_until

pytestmark = pytest.mark.integration

SHOW = """
    import asyncio, time
    from twisted.internet.defer import Deferred
    from shop import Base
    class Shop(Base):
        async def start(self):
            for number in range(9):
                yield {"sku": number}
        def closed(self, reason):
            used = self.crawler.engine.scraper.concurrent_items
            print(self.name, used, self.crawler.stats.get_value("resilience/concurrent_items"))
    class Slow:
        def process_item(self, item):
            time.sleep(0.05)
            return item
    class NeverWaits:
        async def process_item(self, item):
            return item
    class Waits:
        async def process_item(self, item):
            await asyncio.sleep(0.01)
            return item
    class Deferreds:
        def process_item(self, item):
            return helper(item)
    def helper(item):
        deferred = Deferred()
        asyncio.get_running_loop().call_later(0.01, deferred.callback, item)
        return deferred
"""


CONCURRENT_ITEMS = [
    ({}, ["1", "1"]),
    ({"ITEM_PIPELINES": {"spider.Slow": 1}}, ["1", "1"]),
    ({"ITEM_PIPELINES": {"spider.NeverWaits": 1}}, ["1", "1"]),
    ({"ITEM_PIPELINES": {"spider.NeverWaits": 1, "spider.Waits": 2}}, ["100", "100"]),
    ({"ITEM_PIPELINES": {"spider.Deferreds": 1}}, ["100", "100"]),
    ({"ITEM_PIPELINES": {"spider.Waits": 1}, "CONCURRENT_ITEMS": 50}, ["50", "None"]),
    ({"RESILIENCE_CONCURRENT_ITEMS": 3}, ["3", "3"]),
]
SPIDERS = """
    for number, settings in enumerate({settings}):
        class Each(Shop):
            name = "shop" + str(number)
            custom_settings = settings
        globals()[Each.name] = Each
    del Each
"""
ALL = """
    from scrapy.crawler import AsyncCrawlerProcess
    from scrapy.utils.project import get_project_settings
    process = AsyncCrawlerProcess(get_project_settings())
    for name in process.spider_loader.list():
        if name != "shop":
            process.crawl(name)
    process.start()
"""


def test_concurrent_items(plain_crawl):
    """CONCURRENT_ITEMS is smaller until pipelines really wait; the user's value wins."""
    settings = [each for each, _ in CONCURRENT_ITEMS]
    job = plain_crawl(
        SHOW + SPIDERS.format(settings=settings),
        FEEDS={},
        JOBDIR="jobs/%(spider)s",
        FILES_STORE="files",
    )
    job.write("all.py", dedent(ALL))

    run = job.run(sys.executable, "all.py")

    found = {name: numbers for name, *numbers in map(str.split, run.out.splitlines())}
    expected = {f"shop{n}": items for n, (_, items) in enumerate(CONCURRENT_ITEMS)}
    assert found == expected, run


def test_a_dupefilter_that_filters_nothing(plain_crawl):
    """With BaseDupeFilter no request is filtered, and over kills each still runs once."""
    job = plain_crawl(
        """
        import scrapy
        from shop import Base, number
        class Shop(Base):
            async def start(self):
                for n in range(40):
                    for url in self.start_urls:
                        yield scrapy.Request(f"{url}?n={n // 2}")
            def parse(self, response):
                yield dict(sku=response.url)
        """,
        DUPEFILTER_CLASS="scrapy.dupefilters.BaseDupeFilter",
    )

    job.survive(kills=2, commits=1)

    urls = job.site.start_urls()
    job.check_items([{"sku": f"{url}?n={n // 2}"} for url in urls for n in range(40)])


def test_a_dupefilter_that_says_what_is_the_same(plain_crawl):
    """A filter of the user's whose fingerprints are its own filters over kills as in stock."""
    job = plain_crawl(
        """
        import hashlib, scrapy
        from shop import Base
        from scrapy.dupefilters import RFPDupeFilter
        class Paths(RFPDupeFilter):
            def request_fingerprint(self, request):
                return hashlib.sha1(request.url.partition("?")[0].encode()).hexdigest()
            def log(self, request, spider):
                spider.crawler.stats.inc_value("filtered")
        class Shop(Base):
            async def start(self):
                for n in range(40):
                    for url in self.start_urls:
                        yield scrapy.Request(f"{url}{n // 2}?n={n}")
            def parse(self, response):
                yield dict(sku=response.url)
        """,
        DUPEFILTER_CLASS="spider.Paths",
        RETRY_HTTP_CODES=[],
        HTTPERROR_ALLOW_ALL=True,
    )

    job.survive(kills=2, commits=1)

    urls = job.site.start_urls()
    job.check_items([{"sku": f"{url}{n // 2}?n={n}"} for url in urls for n in range(0, 40, 2)])
    assert not job.path("job/requests.seen").exists()


def test_a_fingerprinter_of_the_user(plain_crawl):
    """REQUEST_FINGERPRINTER_CLASS says which requests are the same, over kills too."""
    job = plain_crawl(
        """
        import hashlib
        from shop import Base
        class Paths:
            def fingerprint(self, request):
                return hashlib.sha1(request.url.partition("?")[0].encode()).digest()
        class Shop(Base):
            turn = 0
            def links(self, response):
                for request in super().links(response):
                    self.turn += 1
                    yield request.replace(url=f"{request.url}?turn={self.turn}")
        """,
        REQUEST_FINGERPRINTER_CLASS="spider.Paths",
    )

    job.survive(kills=2, commits=1)

    job.check_items()


def test_a_reader_of_the_store(plain_crawl):
    """A process that reads the store for long neither stops commits nor the end of the job."""
    job = plain_crawl(SHOP)
    with job.process() as process:
        wait_until(job.commits)
        reader = sqlite3.connect(f"{(job.job / 'resilience.db').as_uri()}?mode=ro", uri=True)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM requests").fetchone()
        run = job.ended(process)
        reader.close()

    run.check_finished()
    job.check_items()


def test_missed_alignments_back_off(plain_crawl):
    """With slow pipelines few commits wait in vain: most do not try to align."""
    slow = """
        import asyncio
        from scrapy_resilience.checkpoint.barrier import Barrier
        from shop import Base
        class Shop(Base):
            def closed(self, reason):
                print(len(risen))
        class Slow:
            async def process_item(self, item):
                await asyncio.sleep(0.8)
                return item
        risen, rise = [], Barrier.rise
        def counted(self):
            risen.append(self)
            rise(self)
        Barrier.rise = counted
    """
    job = plain_crawl(
        slow, ITEM_PIPELINES={"spider.Slow": 1}, RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT=0.2,
        CONCURRENT_REQUESTS_PER_DOMAIN=1,
    )  # fmt: skip

    run = job.finish()

    commits = run.stats["resilience/checkpoint/commits"]
    assert commits >= 8
    assert int(run.out) <= commits / 2


def test_idle_comes_last(plain_crawl):
    """spider_idle is not sent while requests wait for their time."""
    job = plain_crawl(
        """
        import time, scrapy
        from shop import Base
        class Shop(Base):
            @classmethod
            def from_crawler(cls, crawler, *args, **kwargs):
                self = super().from_crawler(crawler, *args, **kwargs)
                crawler.signals.connect(self.idle, scrapy.signals.spider_idle)
                return self
            def idle(self):
                print("idle")
            async def start(self):
                yield scrapy.Request(self.start_urls[0], meta={"resilience_delay": 1})
            def parse(self, response):
                print("page")
        """
    )

    assert job.finish().out.split() == ["page", "idle"]


@pytest.mark.parametrize("slow", [0, 0.4])
def test_item_ids(plain_crawl, slow):
    """item_id() gives an item the same id in each run that sees it, and each item its own."""
    job = plain_crawl(
        f"""
        import asyncio, scrapy_resilience
        from shop import Base
        class Shop(Base): pass
        class Sink:
            async def process_item(self, item):
                with open("sink", "a") as file:
                    file.write(f"{{scrapy_resilience.item_id()}} {{item['sku']}}\\n")
                await asyncio.sleep({slow})
                return dict(item, id=scrapy_resilience.item_id())
        """,
        ITEM_PIPELINES={"spider.Sink": 1},
        RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT=0.02,
    )

    job.survive(kills=2, commits=2)

    job.check_items()
    ids = {item["id"]: item["sku"] for item in job.items()}
    assert len(ids) == 240
    assert None not in ids
    sink = [line.split() for line in job.path("sink").read_text().splitlines()]
    assert {(ident, sku) for ident, sku in sink} == set(ids.items())


def test_callbacks_that_fail(plain_crawl):
    """What a callback put out before it raised stays, and it does not run again."""
    job = plain_crawl(
        """
        from shop import Base, number
        class Shop(Base):
            def parse(self, response):
                yield from super().parse(response)
                if number(response) % 5 == 0:
                    raise RuntimeError("a bad page")
        """
    )

    for _ in range(3):
        if job.run_until(commits=1).code == 0:
            break
    else:
        assert job.run().code == 0

    job.check_items()


def test_pipelines_that_fail(plain_crawl):
    """An item at which a pipeline raises is logged and lost, and its request is done."""
    job = plain_crawl(
        """
        from shop import Base
        class Shop(Base): pass
        class Picky:
            def process_item(self, item):
                if item["page"] % 5 == 0:
                    raise RuntimeError("a bad item")
                return item
        """,
        ITEM_PIPELINES={"spider.Picky": 1},
    )
    job.run_until(commits=1)

    run = job.run()

    assert (run.code, run.reason) == (0, "finished")
    assert "a bad item" in run.log
    job.check_items([item for item in job.site.expected_items() if item["page"] % 5])


def test_requests_that_fail(plain_crawl):
    """A host that refuses connections is given up after its retries, over kills too."""
    job = plain_crawl(
        """
        import scrapy
        from shop import Base
        class Shop(Base):
            async def start(self):
                async for request in super().start():
                    yield request
                for n in range(10):
                    url = self.settings["REFUSED"]
                    yield scrapy.Request(f"{url}?n={n}", errback=self.failed)
            def failed(self, failure):
                yield dict(sku=failure.request.url)
        """,
        RETRY_TIMES=1,
        RESILIENCE_BREAKER_ENABLED=False,
    )
    refused = job.site.url("refused.test")
    job.configure(REFUSED=refused)

    for _ in range(2):
        job.run_until(commits=1)
    run = job.run()

    assert (run.code, run.reason) == (0, "finished")
    assert all("Gave up retrying" in line for line in run.errors)
    failed = [f"{refused}?n={n}" for n in range(10)]
    expected = [item["sku"] for item in job.site.expected_items()] + failed
    check_same([item["sku"] for item in job.items()], expected)


def test_one_response_for_many_requests(plain_crawl):
    """A middleware that answers many requests with one Response object loses no item."""
    job = plain_crawl(
        """
        import asyncio, scrapy
        from scrapy.http import HtmlResponse
        from shop import Base
        class Same:
            response = HtmlResponse("http://h0.test/same", body=b"same")
            def process_request(self, request):
                return self.response
        class Slow:
            async def process_item(self, item):
                await asyncio.sleep(0.02)
                return item
        class Shop(Base):
            async def start(self):
                for n in range(100):
                    yield scrapy.Request(f"{self.start_urls[0]}?n={n}")
            async def parse(self, response):
                await asyncio.sleep(0.02)
                yield dict(sku="first")
                yield dict(sku="second")
        """,
        DOWNLOADER_MIDDLEWARES={"spider.Same": 500},
        ITEM_PIPELINES={"spider.Slow": 1},
    )

    job.finish()

    job.check_items([{"sku": sku} for sku in ("first", "second") for _ in range(100)])


@pytest.mark.parametrize(("value", "frozen"), [("True", True), ("False", False)])
def test_gc_freeze(plain_crawl, value, frozen):
    """What exists at the start is left out of garbage collections, unless told otherwise."""
    job = plain_crawl(
        """
        import gc
        from shop import Base
        class Shop(Base):
            def parse(self, response):
                yield {"sku": gc.get_freeze_count() > 0}
        """,
        RESILIENCE_GC_FREEZE=value,
        spawn=True,  # a garbage collector of its own
    )

    job.run()

    assert {item["sku"] for item in job.items()} == {frozen}
