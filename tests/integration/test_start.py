"""``start()`` on a resume: only what earlier runs have not done."""

from __future__ import annotations

import signal

import pytest
from crawls import wait_until

pytestmark = pytest.mark.integration

LAZY = """
    import scrapy
    from scrapy import signals
    class Shop(scrapy.Spider):
        name = "shop"
        def page(self, number):
            url = self.settings.getlist("START")[0]
            return scrapy.Request(f"{url}?n={number}", cb_kwargs={"number": number})
        async def start(self):
            for number in (1, 2, 4, 6):
                if self.crawler.engine.needs_backout():
                    await self.crawler.signals.wait_for(signals.scheduler_empty)
                yield self.page(number)
        def parse(self, response, number):
            yield dict(sku=number)
            if number in {1, 4}:
                yield self.page({1: 3, 4: 5}[number])
"""


@pytest.mark.parametrize("jobdir", [None, "job"])
def test_a_lazy_start_keeps_its_order(plain_crawl, jobdir):
    """A start() that waits for an empty scheduler goes before the callback that emptied it."""
    job = plain_crawl(
        LAZY,
        JOBDIR=jobdir,
        CONCURRENT_REQUESTS=1,
        FEEDS={"items.jsonl": {"format": "jsonlines"}},
        RESILIENCE_CHECKPOINT_INTERVAL=60,
    )

    job.finish()

    assert [item["sku"] for item in job.items()] == [1, 2, 3, 4, 6, 5]


SET = """
    import scrapy
    from shop import Base
    class Shop(Base):
        async def start(self):
            urls = {{f"{{url}}?n={{n}}" for url in self.start_urls for n in range(60)}}
            for url in urls:  # another order in each process
                yield scrapy.Request(url, dont_filter={dont_filter})
        def parse(self, response):
            yield dict(sku=response.url)
"""


def numbered(site, count):
    """One item for each start URL and number."""
    return [{"sku": f"{url}?n={n}"} for url in site.start_urls() for n in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("dont_filter", [True, False])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_set(plain_crawl, dont_filter, number):
    """start() over a set, which has another order in each run, runs each request once."""
    job = plain_crawl(SET.format(dont_filter=dont_filter))

    for _ in range(2):
        job.run_until(commits=1, number=number)
    job.finish()

    job.check_items(numbered(job.site, 60))


def test_a_set_taken_late(plain_crawl):
    """start() that is stopped in its middle goes on with what it had not put out."""
    job = plain_crawl(
        """
        import asyncio, scrapy
        from shop import Base
        class Shop(Base):
            async def start(self):
                for url in {f"{url}?n={n}" for url in self.start_urls for n in range(60)}:
                    await asyncio.sleep(0.005)
                    yield scrapy.Request(url, dont_filter=True)
            def parse(self, response):
                yield dict(sku=response.url)
        """
    )

    job.survive(kills=2, commits=2)

    job.check_items(numbered(job.site, 60))


TOLD_APART = """
    import asyncio, random, scrapy
    from shop import Base
    class Shop(Base):
        async def start(self):
            for n in random.sample(range(30), 30):
                await asyncio.sleep(0.02)
                told = dict(cb_kwargs=dict(n=n), meta=dict(n=n), headers=dict(n=str(n)))
                told = {HOW: told.get(HOW)} if HOW in told else {HOW: {"n": str(n)}}
                told.update(method="POST", body=b"x", dont_filter=True)
                yield scrapy.Request(self.start_urls[0], **told)
        def parse(self, response, n=None):
            request = response.request
            n = n if n is not None else request.meta.get("n", request.headers.get("n"))
            n = request.cookies.get("n") if n is None else n
            yield dict(sku=f"{int(n)}")
"""


@pytest.mark.parametrize("how", ["cb_kwargs", "meta", "headers", "cookies"])
def test_requests_that_ask_for_the_same(plain_crawl, how):
    """start() in another order: what tells unfiltered requests apart is what they carry."""
    job = plain_crawl(TOLD_APART.replace("HOW", repr(how)), CONCURRENT_REQUESTS=2)

    job.survive(kills=3, commits=1)

    job.check_items([{"sku": str(n)} for n in range(30)])


def test_a_file_that_grows(plain_crawl):
    """start() over a file that grows between the runs puts out the new lines too."""
    job = plain_crawl(
        """
        import scrapy
        from shop import Base
        class Shop(Base):
            async def start(self):
                for line in open("urls.txt"):
                    yield scrapy.Request(line.strip(), dont_filter=True)
            def parse(self, response):
                yield dict(sku=response.url)
        """
    )
    expected = numbered(job.site, 60)
    urls = [item["sku"] + "\n" for item in expected]
    for taken in (60, 90, 120):
        job.write("urls.txt", "".join(urls[-taken:]))  # at the front, too
        job.run_until(commits=1)
    job.write("urls.txt", "".join(urls))
    job.finish()

    job.check_items(expected)


@pytest.mark.parametrize("slow", [False, True])
def test_items(plain_crawl, slow):
    """Items that start() yields, alike ones among them, are written once each."""
    job = plain_crawl(
        f"""
        import asyncio, scrapy
        from shop import Base
        class Shop(Base):
            async def start(self):
                for n in range(100):
                    yield dict(sku=f"item {{n // 2}}")
                    if n % 2:
                        yield scrapy.Request(f"{{self.start_urls[0]}}?n={{n}}")
                    await asyncio.sleep(0.005)
            def parse(self, response):
                yield dict(sku=response.url)
        class Wait:
            async def process_item(self, item):
                await asyncio.sleep({0.4 if slow else 0})
                return item
        """,
        ITEM_PIPELINES={"spider.Wait": 1},
        RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT=0.02,
    )

    job.survive(kills=2, commits=4)

    front = job.site.start_urls()[0]
    skus = [f"item {n // 2}" for n in range(100)] + [f"{front}?n={n}" for n in range(1, 100, 2)]
    job.check_items([{"sku": sku} for sku in skus])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_items_that_hold_a_set(plain_crawl, number):
    """Items of a class of yours, with texts in a set: the set has another order in each run."""
    job = plain_crawl(
        """
        import asyncio
        from dataclasses import dataclass
        from shop import Base
        @dataclass
        class Product:
            sku: str
            tags: set[str]
        class Shop(Base):
            async def start(self):
                for n in range(30):
                    yield Product(f"item {n}", {f"tag {n + m}" for m in range(8)})
                    await asyncio.sleep(0.02)
        class Plain:
            def process_item(self, item):
                return dict(sku=item.sku)
        """,
        ITEM_PIPELINES={"spider.Plain": 1},
    )

    first = job.run_until(commits=2, number=number)
    last = job.finish()

    assert first is not last, "make the crawl longer"
    job.check_items([{"sku": f"item {n}"} for n in range(30)])


def test_the_same_request_twice(plain_crawl):
    """start() that yields the same unfiltered request twice has it run twice."""
    job = plain_crawl(
        """
        import scrapy
        from shop import Base
        class Shop(Base):
            async def start(self):
                for n in range(40):
                    for url in self.start_urls:
                        yield scrapy.Request(f"{url}?n={n}", dont_filter=True)
                        yield scrapy.Request(f"{url}?n={n}", dont_filter=True)
            def parse(self, response):
                yield dict(sku=response.url)
        """
    )

    job.survive(kills=2, commits=1)

    job.check_items(2 * numbered(job.site, 40))


def test_many_start_requests(plain_crawl):
    """Commits are made while a long start() runs."""
    job = plain_crawl(
        """
        import scrapy, time
        from shop import Base
        class Shop(Base):
            async def start(self):
                for n in range(20_000):
                    yield scrapy.Request(f"{self.start_urls[n % 3]}?n={n}", dont_filter=True)
            def parse(self, response):
                yield dict(sku=response.url)
        """,
        LOG_LEVEL="ERROR",
    )

    with job.process() as process:
        wait_until(lambda: job.commits() >= 2)
        pending = job.state()["pending"]
        process.kill()

    assert 0 < pending <= 20_000


def test_start_that_raises(plain_crawl):
    """When start() raises, the requests before it are done, and a resume does the rest."""
    job = plain_crawl(
        """
        import os, scrapy
        from shop import Base
        class Shop(Base):
            async def start(self):
                for n in range(40):
                    for url in self.start_urls:
                        yield scrapy.Request(f"{url}?n={n}", dont_filter=True)
                    if n == 20 and not os.path.exists("again"):
                        raise RuntimeError("no more")
            def parse(self, response):
                yield dict(sku=response.url)
        """
    )

    first = job.run()
    job.write("again", "")
    second = job.run()

    assert "no more" in first.log
    assert (first.code, first.reason) == (1, "start_error")  # crawl && upload must not upload
    second.check_finished()
    job.check_items(numbered(job.site, 40))


def test_known_start_requests_stay_out_of_the_engine(plain_crawl):
    """A resume drops filtered start requests of earlier runs before the engine sees them."""
    job = plain_crawl(
        """
        import scrapy
        from scrapy import signals
        from shop import Base
        class Shop(Base):
            async def start(self):
                self.crawler.signals.connect(self.note, signals.request_scheduled)
                for n in range(40):
                    for url in self.start_urls:
                        yield scrapy.Request(f"{url}?n={n}")
            def note(self, request):
                self.crawler.stats.inc_value("seen_by_engine")
            def parse(self, response):
                yield dict(sku=response.url)
        """,
        DOWNLOAD_DELAY=0.02,
    )

    job.run_until(commits=2)
    last = job.finish()

    assert last.stats.get("seen_by_engine", 0) < 40 * len(job.site.start_urls())
    job.check_items(numbered(job.site, 40))
