"""Every request and every item is accounted for, whoever has made it."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from crawls import BUSY, Crawl
from web import serving

pytestmark = pytest.mark.integration

INJECTING = """
    import scrapy
    from scrapy import Request, signals

    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield Request(url)
        def parse(self, response):
            yield {"sku": response.url}

    class Injector:
        def __init__(self, crawler):
            self.crawler = crawler
            connect = crawler.signals.connect
            when = crawler.settings["WHEN"]
            if when == "spider_idle":
                self.left = 3
                connect(self.idle, signals.spider_idle)
            elif when == "pipeline":
                self.process_item = self.item
            elif when == "middleware":
                self.process_response = self.answer
            elif when == "spider middleware":
                self.process_spider_output = self.output
            else:
                connect(getattr(self, when), getattr(signals, when))
        @classmethod
        def from_crawler(cls, crawler):
            return cls(crawler)
        def more(self, url):
            if "?" in url or "extra" in url:
                return
            for number in range(2):
                def parse(response, number=number):
                    yield {"sku": f"{response.url} {number}"}
                self.crawler.engine.crawl(Request(url + "?extra", parse, dont_filter=True))
        def response_received(self, request): self.more(request.url)
        def request_reached_downloader(self, request): self.more(request.url)
        def request_left_downloader(self, request): self.more(request.url)
        def response_downloaded(self, request): self.more(request.url)
        def headers_received(self, request): self.more(request.url)
        def item_scraped(self, item): self.more(item["sku"])
        def request_scheduled(self, request): self.more(request.url)
        def idle(self):
            if self.left:
                self.left -= 1
                self.more(f"{self.crawler.settings['URLS'][0]}{self.left}")
        def item(self, item):
            self.more(item["sku"])
            return item
        def answer(self, request, response):
            self.more(request.url)
            return response
        async def output(self, response, result):
            self.more(response.url)
            async for output in result:
                yield output
"""
EXTENSION = {"EXTENSIONS": {"spider.Injector": 500}}
PLACES = {
    "response_received": EXTENSION,
    "request_reached_downloader": EXTENSION,
    "request_left_downloader": EXTENSION,
    "response_downloaded": EXTENSION,
    "headers_received": EXTENSION,
    "item_scraped": EXTENSION,
    "request_scheduled": EXTENSION,
    "spider_idle": EXTENSION,
    "pipeline": {"ITEM_PIPELINES": {"spider.Injector": 300}},
    "middleware": {"DOWNLOADER_MIDDLEWARES": {"spider.Injector": 500}},
    "spider middleware": {"SPIDER_MIDDLEWARES": {"spider.Injector": 500}},
}


def answer_all(*_):
    """Pages only."""
    return 200


@pytest.mark.parametrize("when", PLACES)
def test_a_request_that_is_put_into_the_engine(tmp_path, when):
    """It replaces no other one, whatever was on its way at that moment: every item comes."""
    with serving(answer_all) as web:
        urls = web.urls("a.test", 8)
        crawl = Crawl(tmp_path, INJECTING, WHEN=when, URLS=urls, **PLACES[when], **BUSY)
        crawl.finish()

    pages = urls if when != "spider_idle" else [f"{urls[0]}{n}" for n in range(3)]
    extra = [f"{url}?extra {number}" for url in pages for number in range(2)]
    assert Counter(item["sku"] for item in crawl.items()) == Counter([*urls, *extra])
    assert crawl.state()["pending"] == 0


REDIRECTED = """
    import scrapy

    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for path in ("/home", "/self", "/refresh", "/loop", "/sent-again"):
                yield scrapy.Request(self.settings["ROOT"] + path)
        def parse(self, response):
            yield {"sku": response.url.rpartition("/")[2]}
            if response.url.endswith("/home"):
                url = self.settings["ROOT"] + "/login"
                yield scrapy.Request(url, self.logged_in, method="POST", body="me")
        def logged_in(self, response):
            yield {"sku": f"{response.request.method} {response.url.rpartition('/')[2]}"}

    class SendsAgain:
        def process_response(self, request, response):
            return request.copy() if request.url.endswith("/sent-again") else response
"""


def test_a_redirect_is_the_same_request_on_its_way(tmp_path):
    """It is fetched, though the page was seen, and no more often than Scrapy lets it."""
    seen = Counter()
    close = {"Connection": "close"}  # a POST on a connection that is gone is not repeated

    def answer(_, path, count):
        seen[path] += 1
        first = seen[path] == 1
        if path in {"/login", "/loop"} or (path == "/self" and first):
            to = "/home" if path == "/login" else path
            return 302, {"Location": to, "Set-Cookie": f"seen={count}", **close}
        if path == "/refresh" and first:
            body = b'<html><meta http-equiv="refresh" content="0; url=/refresh">'
            return 200, {"Content-Type": "text/html", **close}, body
        return 200, close

    with serving(answer) as web:
        middlewares = {"DOWNLOADER_MIDDLEWARES": {"spider.SendsAgain": 500}}
        crawl = Crawl(
            tmp_path,
            REDIRECTED,
            ROOT=web.url("a.test", ""),
            REDIRECT_MAX_TIMES=4,
            **middlewares,
            **BUSY,
        )
        run = crawl.run()
        letters = letters_of(crawl)

    assert run.reason == "finished"
    found = Counter(item["sku"] for item in crawl.items())
    assert found == Counter(["home", "self", "refresh", "GET home"])
    assert (seen["/loop"], seen["/sent-again"]) == (5, 1)
    reasons = {path: letters[web.url("a.test", path)] for path in ("/loop", "/sent-again")}
    assert reasons["/loop"][0]["reason"] == "max redirections reached"
    assert "dont_filter=True" in reasons["/sent-again"][0]["reason"]
    assert sum(map(len, letters.values())) == 2


def test_redirects_can_be_filtered_as_in_scrapy(tmp_path):
    """For a site whose many old addresses lead to pages that the crawl has anyhow."""
    with serving(
        lambda _, path, __: (302, {"Location": "/new"}) if "old" in path else 200
    ) as web:
        urls = [web.url("a.test", path) for path in ("/new", "/old/1", "/old/2")]
        source = """
            import scrapy
            class Shop(scrapy.Spider):
                name = "shop"
                async def start(self):
                    for url in self.settings.getlist("URLS"):
                        yield scrapy.Request(url, priority="new" in url)
                def parse(self, response):
                    yield {"sku": response.url}
        """
        crawl = Crawl(tmp_path, source, URLS=urls, RESILIENCE_FILTER_REDIRECTS=True, **BUSY)
        run = crawl.finish()

    assert [item["sku"] for item in crawl.items()] == urls[:1]
    assert run.stats["dupefilter/filtered"] == 2
    assert crawl.state()["dead_letters"] == 0


def letters_of(crawl):
    """What the job has given up, by URL."""
    found = {}
    for letter in json.loads(crawl.run("resilience", "deadletters", "job", "--json").out):
        found.setdefault(letter["url"], []).append(letter)
    return found


SHARED = """
    import asyncio, scrapy
    from shop import Base

    class Shop(Base):
        async def start(self):
            for number in range(10):
                yield scrapy.Request(self.start_urls[0] + f"?{number}", dont_filter=True)
        def parse(self, response):
            url = response.url.replace("?", "?of=")
            same = scrapy.Request(url, self.leaf, dont_filter=True)
            for number in range(4):
                yield {"sku": f"{response.url} {number}"}
                yield same
        def leaf(self, response):
            self.leaves = getattr(self, "leaves", 0) + 1
            yield {"sku": response.url}

    class Pipeline:
        crawler = None
        @classmethod
        def from_crawler(cls, crawler):
            pipeline = cls()
            pipeline.crawler = crawler
            return pipeline
        async def process_item(self, item):
            await asyncio.sleep(0.15)
            if item["sku"].endswith(" 3"):
                url = item["sku"].replace("?", "?piped=").partition(" ")[0]
                leaf = scrapy.Request(url, self.crawler.spider.leaf, dont_filter=True)
                self.crawler.engine.crawl(leaf)
                await asyncio.sleep(0.15)
            return item
"""


@pytest.mark.parametrize("job", ["job", None])
def test_one_object_that_can_not_be_stored(plain_crawl, job):
    """Many hand-outs of it at once are requests of their own, as far as the engine goes."""
    source = """
        import scrapy
        from shop import Base
        class Shop(Base):
            def parse(self, response):
                leaf = lambda response: {"sku": 1}
                same = scrapy.Request(response.url, leaf, dont_filter=True)
                yield from [same] * 12
    """
    crawl = plain_crawl(source, JOBDIR=job)
    crawl.configure(START=crawl.settings["START"][:1])

    crawl.run().check_finished()

    assert len(crawl.items()) == 12


def test_priorities_that_scrapy_does_not_look_at(plain_crawl):
    """A number of another kind counts as a whole one; what is none fails its callback."""
    source = """
        import scrapy
        from shop import Base
        class Of(int):
            pass
        class Shop(Base):
            def parse(self, response):
                for number, priority in enumerate([1.5, -3.0, Of(7), True, 10**30, "none"]):
                    leaf = scrapy.Request(f"{response.url}?{number}", self.leaf)
                    leaf.priority = priority
                    yield leaf
            def leaf(self, response):
                yield {"sku": response.url}
    """
    crawl = plain_crawl(source)
    crawl.configure(START=crawl.settings["START"][:1])

    run = crawl.run()

    assert (run.code, run.reason) == (0, "finished"), run
    assert len(crawl.items()) == 5
    assert run.stats["resilience/deadletters/callback"] == 1


def test_one_request_that_is_put_out_many_times(plain_crawl):
    """Each time is one of its own, also where a slow pipeline lies between two commits."""
    crawl = plain_crawl(
        SHARED,
        ITEM_PIPELINES={"spider.Pipeline": 300},
        RESILIENCE_CHECKPOINT_INTERVAL=0.05,
        RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT=0.01,
    )
    crawl.survive(kills=4, commits=6, at_least=2)

    url = crawl.settings["START"][0]
    expected = Counter()
    for number in range(10):
        expected.update(f"{url}?{number} {place}" for place in range(4))
        expected[f"{url}?of={number}"] += 4
        expected[f"{url}?piped={number}"] += 1
    assert Counter(item["sku"] for item in crawl.items()) == expected


CANCELLED = """
    import asyncio, scrapy
    from asyncio import CancelledError
    class Odd(BaseException):
        pass

    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            root = self.settings["ROOT"]
            for name in ("sync", "generator", "coroutine", "async_generator", "waits"):
                yield scrapy.Request(f"{root}/{name}", getattr(self, name))
            for name in ("spidermw", "asks", "answers", "item", "after", "well"):
                yield scrapy.Request(f"{root}/{name}")
            yield scrapy.Request("cancel://handler")
            yield scrapy.Request(f"{root}/asks2", errback=self.errback)
        def parse(self, response):
            for number in range(3):
                yield {"sku": response.url.rpartition("/")[2], "n": number}
        def sync(self, response):
            raise CancelledError
        def generator(self, response):
            yield {"sku": "generator", "n": 0}
            raise CancelledError
        async def coroutine(self, response):
            raise CancelledError
        async def async_generator(self, response):
            yield {"sku": "async_generator", "n": 0}
            raise CancelledError
        async def waits(self, response):
            task = asyncio.ensure_future(asyncio.sleep(10))
            asyncio.get_running_loop().call_soon(task.cancel)
            await task
        def errback(self, failure):
            raise CancelledError

    class Mw:
        def process_request(self, request):
            if "/asks" in request.url:
                raise CancelledError
        def process_response(self, request, response):
            if "/answers" in request.url:
                raise CancelledError
            return response
    class SpiderMw:
        async def process_spider_output(self, response, result):
            async for output in result:
                yield output
            if "/spidermw" in response.url:
                raise CancelledError
    class Handler:
        lazy = True
        def __init__(self, crawler): pass
        @classmethod
        def from_crawler(cls, crawler):
            return cls(crawler)
        async def download_request(self, request):
            raise CancelledError
        async def close(self): pass
    class Pipeline:
        async def process_item(self, item):
            if item["n"] == 1 and item["sku"] == "item":
                raise CancelledError
            if item["n"] == 1 and item["sku"] == "after":
                asyncio.current_task().cancel()
            return item
"""


@pytest.mark.parametrize("raised", ["CancelledError", "Odd"])
@pytest.mark.parametrize("items", [1, 8])
def test_what_is_cancelled_is_a_dead_letter(tmp_path, items, raised):
    """Not by a stop, but by anybody else: no item is gone without a word, no crawl hangs."""
    with serving(answer_all) as web:
        crawl = Crawl(
            tmp_path,
            CANCELLED.replace("raise CancelledError", f"raise {raised}"),
            ROOT=web.url("a.test", ""),
            CONCURRENT_ITEMS=items,
            DOWNLOADER_MIDDLEWARES={"spider.Mw": 500},
            SPIDER_MIDDLEWARES={"spider.SpiderMw": 500},
            DOWNLOAD_HANDLERS={"cancel": "spider.Handler"},
            ITEM_PIPELINES={"spider.Pipeline": 300},
            **BUSY,
        )
        run = crawl.run()
        letters = letters_of(crawl)

    assert run.reason == "finished"
    kinds = {
        url.rpartition("/")[2]: " ".join(letter["kind"] for letter in found)
        for url, found in letters.items()
    }
    callbacks = ("sync", "generator", "coroutine", "async_generator", "waits", "spidermw")
    expected = dict.fromkeys(callbacks, "callback")
    expected |= dict.fromkeys(("asks", "asks2", "answers", "handler"), "permanent")
    expected |= dict.fromkeys(("item", "after"), "pipeline")
    assert kinds == expected
    found = Counter(item["sku"] for item in crawl.items())
    one = {"generator": 1, "async_generator": 1}
    # "after" is cancelled behind its last pipeline: its item is in the feed by then
    assert found == {"spidermw": 3, "well": 3, "item": 2, "after": 3, **one}


@pytest.mark.parametrize("raised", ["asyncio.CancelledError", "Odd"])
def test_a_start_that_is_cancelled_has_failed(tmp_path, raised):
    """It is no end of start(): the crawl says so, and the next run begins it again."""
    source = """
        import asyncio, scrapy
        class Odd(BaseException): pass
        class Shop(scrapy.Spider):
            name = "shop"
            async def start(self):
                yield {"sku": 1}
                raise asyncio.CancelledError
    """
    source = source.replace("raise asyncio.CancelledError", f"raise {raised}")
    crawl = Crawl(tmp_path, source, **BUSY)

    assert crawl.run().reason == "start_error"
    assert [item["sku"] for item in crawl.items()] == [1]
