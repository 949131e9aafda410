"""Each way on which a request or an item leaves a crawl, and where it ends."""

from __future__ import annotations

import json
import signal
from collections import Counter
from urllib.parse import urlsplit

import pytest
from crawls import BUSY, Crawl, wait_until
from web import serving

pytestmark = pytest.mark.integration

WAYS = """
    import scrapy
    from scrapy import Request, signals
    from scrapy.exceptions import DropItem, IgnoreRequest
    from scrapy.utils.request import RequestFingerprinter

    class Shop(scrapy.Spider):
        name = "shop"
        allowed_domains = ["a.test"]

        async def start(self):
            yield {"sku": "start-item-fails"}
            root = self.settings["ROOT"]
            for page in self.settings.getlist("PAGES"):
                yield Request(f"{root}/{page}")
            for page in ("missing-for-errback", "refused-for-errback", "errback-raises"):
                yield Request(f"{root}/{page}", errback=self.errback)
            yield Request("http://a.test:1/unreachable")

        async def parse(self, response):
            page = response.url.rpartition("/")[2]
            yield {"sku": page}
            if page == "raises":
                raise RuntimeError("a callback")
            if page == "well":
                yield Request("http://off.test/offsite")
                yield response.follow("/long-" + 300 * "x")
                yield response.follow("/well")
                yield response.follow("/not-scheduled")
                yield response.follow("/left-out")
                yield response.follow("/to-offsite")
                yield response.follow("/deep")
            if page == "deep":
                yield response.follow("/deeper")
            if page == "items":
                yield {"sku": "dropped"}
                yield {"sku": "fails"}
            if page == "schedules":
                yield response.follow("/no-fingerprint")
                yield {"sku": "after"}
            if page == "files":
                yield {"sku": "with-files", "file_urls": [
                    response.urljoin(f"/file-{name}") for name in ("well", "missing", "refused")
                ]}
            if page == "waits-for-its-own":
                try:
                    own = Request(response.urljoin("/refused-own"))
                    await self.crawler.engine.download_async(own)
                except IgnoreRequest:
                    yield {"sku": "goes-on"}

        def errback(self, failure):
            if "raises" in failure.request.url:
                raise RuntimeError("an errback")
            yield {"sku": "errback"}

    class Fingerprinter(RequestFingerprinter):
        def fingerprint(self, request):
            if "/no-fingerprint" in request.url:
                raise RuntimeError("no fingerprint")
            return super().fingerprint(request)

    class Mw:
        def process_response(self, request, response):
            if "refused" in request.url or "errback-raises" in request.url:
                raise IgnoreRequest("of a middleware")
            if "not-schedulable-again" in request.url:
                return request.replace(url=response.urljoin("/no-fingerprint-2"))
            return response
    class SpiderMw:
        def process_spider_input(self, response):
            if "spider-middleware" in response.url:
                raise RuntimeError("a spider middleware")
        async def process_spider_output(self, response, result):
            async for output in result:
                if not (isinstance(output, Request) and "left-out" in output.url):
                    yield output
    class Pipeline:
        def process_item(self, item):
            if item["sku"] == "dropped":
                raise DropItem("on purpose")
            if "fails" in item["sku"]:
                raise RuntimeError("a pipeline")
            return item
    class Refuses:
        @classmethod
        def from_crawler(cls, crawler):
            self = cls()
            crawler.signals.connect(self.scheduled, signals.request_scheduled)
            return self
        def scheduled(self, request):
            if "/not-scheduled" in request.url:
                raise IgnoreRequest
"""
PAGES = [
    *("raises", "forbidden", "missing", "refused", "loop", "well", "items", "files"),
    *("spider-middleware", "not-schedulable-again", "waits-for-its-own", "schedules"),
]
LETTERS = {
    "": "pipeline",  # of start()
    "/raises": "callback",
    "/missing": "permanent",
    "/refused": "ignored",
    "/loop": "ignored",
    "/spider-middleware": "callback",
    "/not-schedulable-again": "ignored",
    "/errback-raises": "callback",
    "/unreachable": "exhausted",
    "/items": "pipeline",
    "/schedules": "callback",
    "/file-missing": "permanent",
    "/file-refused": "ignored",
    "/refused-own": "ignored",
}
COUNTED = {
    "robotstxt/forbidden": 1,
    "offsite/filtered": 2,
    "urllength/request_ignored_count": 1,
    "depth/request_ignored_count": 1,
    "dupefilter/filtered": 1,
    "resilience/requests/refused": 3,  # two of them offsite
    "item_dropped_count": 1,
    "resilience/incomplete": len(LETTERS),
}
ITEMS = {
    *("raises", "well", "deep", "items", "schedules", "after", "files", "with-files"),
    *("waits-for-its-own", "goes-on"),
}


def answer(_host, path, _count):
    """What each page is answered."""
    if path == "/robots.txt":
        return 200, {"Content-Type": "text/plain"}, b"User-agent: *\nDisallow: /forbidden"
    if "missing" in path:
        return 404
    if path == "/loop":
        return 302, {"Location": "/loop"}
    if path == "/to-offsite":
        return 302, {"Location": "http://off.test/"}
    return 200


def letters_of(crawl):
    """(path, kind) of each dead letter."""
    letters = json.loads(crawl.run("resilience", "deadletters", "job", "--json").out)
    return {urlsplit(letter["url"]).path: letter["kind"] for letter in letters}, len(letters)


def test_each_way_out(tmp_path):
    """Done, left out on purpose and counted, or a dead letter: nothing goes another way."""
    with serving(answer) as web:
        crawl = Crawl(
            tmp_path,
            WAYS,
            ROOT=web.url("a.test", ""),
            PAGES=PAGES,
            ROBOTSTXT_OBEY=True,
            URLLENGTH_LIMIT=250,
            DEPTH_LIMIT=1,
            REDIRECT_MAX_TIMES=3,
            RETRY_TIMES=1,
            FILES_STORE=str(tmp_path / "files"),
            REQUEST_FINGERPRINTER_CLASS="spider.Fingerprinter",
            DOWNLOADER_MIDDLEWARES={"spider.Mw": 500},
            SPIDER_MIDDLEWARES={"spider.SpiderMw": 500},
            ITEM_PIPELINES={"scrapy.pipelines.files.FilesPipeline": 1, "spider.Pipeline": 300},
            EXTENSIONS={"spider.Refuses": 0},
            **BUSY,
        )
        run = crawl.run()
        letters, count = letters_of(crawl)

    assert run.reason == "finished"
    assert letters == LETTERS
    assert count == len(LETTERS)
    items = Counter(item["sku"] for item in crawl.items())
    assert items == Counter([*ITEMS, "errback", "errback"])
    assert {name: run.stats.get(name) for name in COUNTED} == COUNTED
    state = crawl.state()
    assert (state["pending"], state["finished"]) == (0, True)
    assert state["dead_letters"] == len(LETTERS)
    assert state["done"] == run.stats["scheduler/enqueued"]


IMAGES = """
    import scrapy
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        def parse(self, response):
            url = response.url.replace("well", "files")
            yield {"sku": response.url, "file_urls": [url, url.rpartition("/")[0] + "/shared"]}
"""


@pytest.mark.parametrize("why", ["rate", "retry"])
def test_a_stop_while_files_wait(tmp_path, why):
    """Their items are not written without them: the next run does their pages again."""
    sick = why == "retry"

    def answer(host, _path, _count):
        return (503, {"Retry-After": 5}) if sick and host == "files.test" else 200

    with serving(answer) as web:
        crawl = Crawl(
            tmp_path,
            IMAGES,
            URLS=web.urls("well.test", 8),
            FILES_STORE=str(tmp_path / "files"),
            ITEM_PIPELINES={"scrapy.pipelines.files.FilesPipeline": 1},
            RESILIENCE_RATE_LIMITS={} if sick else {"files.test": "1/h"},
            RESILIENCE_BYPASS_TIMEOUT=3600,
            RESILIENCE_RETRY_AFTER_MAX=3600,
            **BUSY,
        )
        with crawl.process() as process:
            wait_until(lambda: len(web.times("well.test")) == 8 and web.times("files.test"))
            process.send_signal(signal.SIGINT)
            stopped = crawl.ended(process)
        waiting = crawl.state()["pending"]
        sick = False
        crawl.configure(RESILIENCE_RATE_LIMITS={})
        crawl.finish()
        urls = crawl.settings["URLS"]

    assert waiting > 0
    assert (stopped.code, stopped.stats.get("resilience/incomplete")) == (75, waiting)
    assert not any(stat.startswith("resilience/deadletters/") for stat in stopped.stats)
    crawl.check_items([{"sku": url} for url in urls], table=None)
    assert all(len(item["files"]) == 2 for item in crawl.items())


HELD = """
    import scrapy
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            url = self.settings["URL"]
            yield scrapy.Request(url)
            yield scrapy.Request(url + "?later", meta={"resilience_delay": 3600})
        def parse(self, response):
            yield {"sku": response.url}
"""


def test_what_waits_is_pending(tmp_path):
    """For longer than the crawl: the next run has it."""
    with serving(answer) as web:
        crawl = Crawl(tmp_path, HELD, URL=web.url("a.test"), CLOSESPIDER_ITEMCOUNT=1, **BUSY)
        run = crawl.run()

    assert (run.code, run.reason) == (0, "closespider_itemcount")
    state = crawl.state()
    assert [state[name] for name in ("pending", "held", "finished")] == [1, 1, False]


def test_what_a_cache_has_not_is_left_out_on_purpose(tmp_path):
    """It is counted by Scrapy, and is no dead letter."""
    crawl = Crawl(
        tmp_path,
        HELD.replace("3600", "0"),
        URL="http://a.test/",
        HTTPCACHE_ENABLED=True,
        HTTPCACHE_IGNORE_MISSING=True,
        **BUSY,
    )

    run = crawl.run()

    assert (run.reason, run.stats["httpcache/ignore"]) == ("finished", 2)
    assert "resilience/incomplete" not in run.stats


ERRBACKS = """
    import scrapy
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url, errback=self.errback)
        def parse(self, response):
            yield {"sku": "a page"}
        def errback(self, failure):
            yield {"sku": failure.request.url}
    class Fails:
        def process_request(self, request):
            if "request" in request.url:
                raise ValueError("on the way there")
        def process_response(self, request, response):
            if "response" in request.url:
                raise ValueError("on the way back")
            return response
"""


@pytest.mark.parametrize("retries", [True, False])
def test_a_download_that_fails_with_an_errback(tmp_path, retries):
    """It is a dead letter whoever made it fail, also without any middleware for retries."""
    with serving(answer) as web:
        urls = [web.url("a.test", path) for path in ("/request", "/response")]
        urls += ["http://a.test:1/unreachable", "nothing://a.test/of-the-kind"]
        crawl = Crawl(
            tmp_path,
            ERRBACKS,
            URLS=urls,
            RETRY_ENABLED=retries,
            RETRY_TIMES=1,
            DOWNLOADER_MIDDLEWARES={"spider.Fails": 600},
            **BUSY,
        )
        run = crawl.run()
        letters, count = letters_of(crawl)

    assert run.reason == "finished"
    crawl.check_items([{"sku": url} for url in urls], table=None)
    assert set(letters) == {urlsplit(url).path for url in urls}
    assert (count, run.stats["resilience/incomplete"]) == (len(urls), len(urls))
