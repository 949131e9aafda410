"""Logs of real crawls: one id through all that happens to a request."""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from textwrap import dedent

import pytest
from crawls import Crawl

from scrapy_resilience.testing import SiteConfig, running_site
from scrapy_resilience.testing.model import link_path, page_path

DOCS = Path(__file__).parents[2] / "docs" / "snippets"
pytestmark = pytest.mark.integration

SETTINGS = {
    "FEEDS": {"items.jsonl": {"format": "jsonlines"}},
    "LOG_LEVEL": "DEBUG",
    "RESILIENCE_LOG_DIR": "logs",
    "ITEM_PIPELINES": {"pipes.Sync": 300, "pipes.Async": 400},
}
PIPES = """
import asyncio, logging
class Sync:
    def process_item(self, item):
        logging.getLogger("pipes").info("sync", extra={"page": item["page"]})
        return item
class Async:
    async def process_item(self, item):
        await asyncio.sleep(0.01)
        logging.getLogger("pipes").info("async", extra={"page": item["page"]})
        return item
"""
SPIDER = """
    import asyncio, scrapy
    from scrapy_resilience.logs import set_request_context
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url, errback=self.failed)
        async def parse(self, response):
            page = response.url.partition("?")[0]
            set_request_context(user_id=page)
            self.logger.info("before", extra={"page": page})
            await asyncio.sleep(0.01)
            self.logger.info("after", extra={"page": page})
            yield {"page": page}
            if "from" not in response.url:
                address = "?from=" + response.url[-1]
                yield response.follow(address, self.child, meta=response.meta)
        def child(self, response):
            page = response.url.partition("?")[0]
            self.logger.info("child", extra={"page": page + "#child"})
            yield {"page": page + "#child"}
        def failed(self, failure):
            self.logger.info("errback", extra={"page": failure.request.url})
"""
KEYS = {
    "timestamp", "level", "logger_name", "module", "function_name", "line_number", "trace_id",
    "request_id", "user_id", "component", "url", "duration_ms", "message",
}  # fmt: skip


def reactorless(crawl):
    """Settings and environment of the mode without a reactor."""
    crawl.configure(TWISTED_REACTOR_ENABLED=False, TWISTED_DNS_RESOLVER=None)
    return {"http_proxy": f"http://127.0.0.1:{crawl.site.port}", "no_proxy": ""}


class LoggedCrawl(Crawl):
    """Its log is in a folder."""

    def __init__(self, folder, source=SPIDER, site=None, **settings):
        super().__init__(folder, source, site, **{**SETTINGS, **settings})
        self.write("pipes.py", PIPES)

    def lines(self, name="app.log", folder="logs"):
        """What was logged: each line is JSON and has all keys."""
        text = (self.folder / folder / name).read_text("utf-8")
        found = [json.loads(line) for line in text.splitlines()]
        assert all(set(line) >= KEYS for line in found)
        return found

    def pages(self, **kwargs):
        """The lines that name a page, by that page."""
        found = defaultdict(list)
        for line in self.lines(**kwargs):
            if "page" in line:
                found[line["page"]].append(line)
        return found


def one(values):
    """All are the same, and there is something."""
    (found,) = set(values)
    assert found
    return found


def pages_of(site, count):
    """Addresses of the first pages of all hosts."""
    hosts = [f"h{number}.test" for number in range(3)]
    return [site.url(host, page_path(page)) for host in hosts for page in range(count)]


@pytest.mark.parametrize("reactor", [True, False])
def test_one_id(plain, tmp_path, reactor):
    """A page's callback, errback and pipelines have it, its children one of their own."""
    urls = pages_of(plain, 3)
    nobody = [plain.url("h0.test", "/nothing"), *(["http://127.0.0.1:1/"] if reactor else [])]
    crawl = LoggedCrawl(tmp_path, site=plain, URLS=[*urls, *nobody], **NO_RETRY)
    crawl.run(env=None if reactor else reactorless(crawl)).check_finished()
    pages = crawl.pages()
    ids = {page: one(line["trace_id"] for line in lines) for page, lines in pages.items()}

    assert len(set(ids.values())) == len(ids) == 2 * len(urls) + len(nobody)
    for page in nobody:
        assert [(line["message"], line["component"]) for line in pages[page]] == [
            ("errback", "errback")
        ]
    for page in urls:
        said = [(line["message"], line["component"]) for line in pages[page]]
        assert said == BEFORE + PIPELINES
        assert one(line["user_id"] for line in pages[page]) == page
        assert one(line["url"] for line in pages[page]) == page
        assert one(line["request_id"] for line in pages[page])
        said = [(line["message"], line["component"]) for line in pages[page + "#child"]]
        assert said == [("child", "callback"), *PIPELINES]
    crawled = [line["trace_id"] for line in crawl.lines() if "Crawled (200)" in line["message"]]
    assert sorted(crawled) == sorted(set(ids.values()) - {ids[page] for page in nobody})


BEFORE = [("before", "callback"), ("after", "callback")]
PIPELINES = [("sync", "pipeline"), ("async", "pipeline")]
NO_RETRY = {"RESILIENCE_RETRY_ENABLED": False, "RETRY_ENABLED": False}


def test_retries_and_redirects(tmp_path):
    """All tries of a request have its id, and each has one of its own; so has its letter."""
    config = SiteConfig(hosts=1, pages=6, redirects=1.0, first_try_503=0.5)
    with running_site(config) as site:
        urls = [site.url("h0.test", link_path(config, "h0.test", n)) for n in range(6)]
        lost = "http://127.0.0.1:1/?token=hunter2"
        crawl = LoggedCrawl(
            tmp_path,
            site=site,
            URLS=[*urls, lost],
            RESILIENCE_BREAKER_ENABLED=False,
            RETRY_TIMES=2,
        )
        crawl.run()
    tries = defaultdict(set)
    for line in crawl.lines():
        if re.match(r"Crawled \(|Redirecting|Retrying|Gave up", line["message"]):
            tries[line["trace_id"]].add(line["request_id"])
    pages = crawl.pages()
    letters = json.loads(crawl.run("resilience", "deadletters", "job", "--json").out)

    assert None not in tries
    for page, lines in pages.items():
        trace_id = one(line["trace_id"] for line in lines)
        assert len(tries[trace_id]) >= (1 if "#" in page else 2), page
        assert {line["request_id"] for line in lines} <= tries[trace_id] | {None}
    (letter,) = letters
    failed = [
        line for line in crawl.lines()
        if line["message"].startswith(("Gave up", f"Retrying <GET {lost.partition('?')[0]}"))
    ]  # fmt: skip
    assert letter["trace_id"] == one(line["trace_id"] for line in failed)
    assert len(tries[letter["trace_id"]]) == len(failed) >= 3
    assert "hunter2" not in (tmp_path / "logs" / "app.log").read_text()


def test_kills(plain, tmp_path, rng):
    """A page that is asked for again after a kill has the id that it had before."""
    crawl = LoggedCrawl(
        tmp_path, site=plain, rng=rng, URLS=pages_of(plain, 12), DOWNLOAD_DELAY=0.05
    )
    crawl.survive(kills=2, commits=1)
    pages = crawl.pages()
    ids = [one(line["trace_id"] for line in lines) for lines in pages.values()]

    assert len(set(ids)) == len(ids) == 72
    tries = defaultdict(set)
    for line in crawl.lines():
        if line["message"].startswith("Crawled (200)"):
            tries[line["trace_id"]].add(line["request_id"])
    assert max(map(len, tries.values())) > 1  # what was under way at a kill


def test_two_crawls(plain, tmp_path):
    """Each has its own folder, and no line of the other's requests."""
    crawl = LoggedCrawl(tmp_path, site=plain, URLS=[], JOBDIR=None, FEEDS={})
    crawl.write(
        "script.py", dedent(TWO).format(pages=[pages_of(plain, 4)[n::2] for n in (0, 1)])
    )
    crawl.run(sys.executable, "script.py").check_finished()
    both = [crawl.pages(folder=f"logs{number}") for number in range(2)]

    assert [len(pages) for pages in both] == [12, 12]
    assert not both[0].keys() & both[1].keys()
    ids = [
        one(line["trace_id"] for line in lines) for pages in both for lines in pages.values()
    ]
    assert len(set(ids)) == 24
    for number in range(2):
        lines = crawl.lines(folder=f"logs{number}")
        assert sum(line["message"] == "Spider opened" for line in lines) == 1


TWO = """
    from scrapy.crawler import AsyncCrawlerProcess
    from scrapy.utils.project import get_project_settings
    from spider import Shop
    if __name__ == "__main__":
        process = AsyncCrawlerProcess(get_project_settings())
        for number, urls in enumerate({pages}):
            settings = {{"URLS": urls, "RESILIENCE_LOG_DIR": f"logs{{number}}"}}
            class Other(Shop):
                custom_settings = settings
            process.crawl(Other)
        process.start()
"""


# --- JSON in place of Scrapy's own log --------------------------------------------


def test_json_on_stderr(plain, tmp_path):
    """Each line of it is JSON, from the first one on, and nothing is written elsewhere."""
    crawl = LoggedCrawl(
        tmp_path,
        site=plain,
        URLS=pages_of(plain, 1),
        RESILIENCE_LOG_JSON=True,
        RESILIENCE_LOG_DIR=None,
        AWS_SECRET_ACCESS_KEY="hunter2",  # noqa: S106 - of nothing
    )
    run = crawl.run()
    lines = [json.loads(line) for line in run.log.splitlines()]

    assert run.code == 0
    assert "started" in lines[0]["message"]
    assert "Spider closed" in lines[-1]["message"]
    assert "hunter2" not in run.log
    assert "'AWS_SECRET_ACCESS_KEY': '***'" in run.log
    assert sum("page" in line for line in lines) == 3 * 7
    assert not (tmp_path / "logs").exists()


def test_json_in_scrapys_file(plain, tmp_path):
    """In an encoding that lacks letters, too."""
    crawl = LoggedCrawl(
        tmp_path,
        site=plain,
        URLS=[plain.url("h0.test") + "?é=ü"],
        RESILIENCE_LOG_JSON=True,
        RESILIENCE_LOG_DIR=None,
        LOG_FILE="scrapy.log",
        LOG_ENCODING="ascii",
        USER_AGENT="日本",
    )
    assert crawl.run().code == 0

    assert "日本" in "".join(line["message"] for line in crawl.lines("scrapy.log", folder="."))


def test_a_second_crawler_takes_no_format_away(plain, tmp_path):
    """Scrapy makes its handler anew for each; the lines of the first stay JSON."""
    crawl = LoggedCrawl(
        tmp_path, site=plain, URLS=pages_of(plain, 2), JOBDIR=None, FEEDS={},
        RESILIENCE_LOG_JSON=True, RESILIENCE_LOG_DIR=None,
    )  # fmt: skip
    crawl.write("script.py", dedent(LATER))
    run = crawl.run(sys.executable, "script.py")

    assert run.code == 0, run
    lines = [json.loads(line) for line in run.log.splitlines()]
    assert sum("page" in line for line in lines) == 6 * 7


LATER = """
    import asyncio
    from scrapy.crawler import AsyncCrawlerProcess, Crawler
    from scrapy.utils.project import get_project_settings
    from spider import Shop
    class First(Shop):
        async def parse(self, response):
            Crawler(Shop, get_project_settings())
            async for output in super().parse(response):
                yield output
    if __name__ == "__main__":
        process = AsyncCrawlerProcess(get_project_settings())
        process.crawl(First)
        process.start()
"""


# --- what is off costs nothing, what can't be written is said at the start --------


def test_off_by_default(plain, tmp_path):
    """Nothing is written, and nothing is done around callbacks."""
    source = (
        SPIDER
        + """
        def closed(self, reason):
            from scrapy_resilience._scrapy.hooks import hooks_of
            assert hooks_of(self.crawler.engine).context is None
            assert "resilience_request_id" not in self.meta
"""
    )
    source = source.replace("set_request_context(user_id=page)", "self.meta = response.meta")
    crawl = LoggedCrawl(
        tmp_path, source, plain, URLS=pages_of(plain, 1), RESILIENCE_LOG_DIR=None
    )
    crawl.run().check_finished()

    assert not (tmp_path / "logs").exists()


def test_an_unwritable_folder(plain, tmp_path):
    """The crawl is refused in one line, before it begins."""
    crawl = LoggedCrawl(tmp_path, site=plain, URLS=[])
    crawl.path("logs").touch()

    crawl.run().check_refused("The log folder", "logs' can't be written: File exists. Use")
    assert not crawl.job.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RESILIENCE_LOG_FILES", ["a/b"]),
        ("RESILIENCE_LOG_MAX_BYTES", 3),
        ("RESILIENCE_LOG_RETENTION", 0),
        ("RESILIENCE_LOG_JSON", "perhaps"),
    ],
)
def test_wrong_settings(plain, tmp_path, name, value):
    """Each is refused in one line that names it."""
    crawl = LoggedCrawl(tmp_path, site=plain, URLS=[], **{name: value})

    crawl.run().check_refused(name)


def test_a_disk_that_is_full(plain, tmp_path):
    """The crawl goes on to its end, and the loss is said once."""
    crawl = LoggedCrawl(tmp_path, site=plain, URLS=pages_of(plain, 2))
    crawl.write("sitecustomize.py", dedent(FULL))
    run = crawl.run(sys.executable, "-m", "scrapy", "crawl", "shop")

    assert (run.code, run.reason) == (0, "finished"), run
    assert run.log.count("can't be written, and its lines are lost until it can") == 1
    assert run.log.count("The log files lack") == 1
    assert len(crawl.items()) == 12


FULL = """
    import os, errno
    real = os.write
    def write(fd, data):
        if os.readlink(f"/proc/self/fd/{fd}").endswith("app.log"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data)
    os.write = write
"""


def test_an_image_of_an_item(plain, tmp_path):
    """What bypasses the scheduler has an id of its own, in its dead letter too."""
    source = SPIDER.replace(
        'yield {"page": page}\n            if',
        'await self.crawler.engine.download_async(scrapy.Request("http://127.0.0.1:1/"))\n'
        "            if",
    )
    crawl = LoggedCrawl(
        tmp_path, source, plain, URLS=pages_of(plain, 1)[:1],
        RESILIENCE_BREAKER_ENABLED=False, **NO_RETRY,
    )  # fmt: skip
    crawl.run()
    letters = json.loads(crawl.run("resilience", "deadletters", "job", "--json").out)
    page = one(line["trace_id"] for lines in crawl.pages().values() for line in lines)

    ids = {letter["kind"]: letter["trace_id"] for letter in letters}
    assert ids["callback"] == page
    assert re.fullmatch("[0-9a-f]{32}", ids["permanent"])
    assert ids["permanent"] != page


def test_a_replay(plain, tmp_path):
    """A request that is put back has the id that its letter had."""
    crawl = LoggedCrawl(tmp_path, site=plain, URLS=["http://127.0.0.1:1/"], **NO_RETRY)
    crawl.run()
    crawl.run("resilience", "replay", "job")
    crawl.run()

    lines = [line for line in crawl.lines() if line["message"] == "errback"]
    assert len(lines) == 2
    assert one(line["trace_id"] for line in lines)


def test_another_scheduler(plain, tmp_path):
    """Ids are given at random, and follow a request all the same."""
    crawl = LoggedCrawl(
        tmp_path, site=plain, URLS=pages_of(plain, 1), JOBDIR=None,
        RESILIENCE_SCHEDULER_ENABLED=False,
    )  # fmt: skip
    crawl.run().check_finished()
    pages = crawl.pages()
    ids = {page: one(line["trace_id"] for line in lines) for page, lines in pages.items()}

    assert len(set(ids.values())) == len(ids) == 6


AGAIN = """
    import scrapy
    class Shop(scrapy.Spider):
        name = "shop"
        custom_settings = {"RESILIENCE_RETRY_ENABLED": False}
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url, dont_filter=True)
        def parse(self, response):
            self.logger.info("first", extra={"page": response.url})
            yield {"page": response.url}
            if "again" not in response.meta:
                response.meta["again"] = True
                yield response.request
                yield {"page": response.url}
"""


@pytest.mark.parametrize("settings", [
    {}, {"JOBDIR": None}, {"JOBDIR": None, "RESILIENCE_SCHEDULER_ENABLED": False},
])  # fmt: skip
def test_a_page_that_is_yielded_again(plain, tmp_path, settings):
    """Its request is the same one, and what still runs of it keeps the id."""
    crawl = LoggedCrawl(tmp_path, AGAIN, plain, URLS=pages_of(plain, 1), **settings)
    run = crawl.run()
    if "RESILIENCE_SCHEDULER_ENABLED" in settings:  # Scrapy's slots hold an object once
        assert (run.code, run.reason) == (0, "finished"), run
    else:
        run.check_finished()

    for lines in crawl.pages().values():
        assert one(line["trace_id"] for line in lines)
        assert len(lines) == 2 + 3 * 2


def test_what_an_errback_adds(plain, tmp_path):
    """Its items have it, whether a download has failed or a response was refused."""
    source = SPIDER.replace(
        'self.logger.info("errback", extra={"page": failure.request.url})',
        'set_request_context(user_id=7)\n            return [{"page": failure.request.url}]',
    )
    urls = [plain.url("h0.test", "/nothing"), "http://127.0.0.1:1/"]
    crawl = LoggedCrawl(tmp_path, source, plain, URLS=urls, **NO_RETRY)
    crawl.run()

    pages = crawl.pages()
    assert set(pages) == set(urls)
    for lines in pages.values():
        assert [(line["message"], line["user_id"]) for line in lines] == [
            ("sync", 7), ("async", 7),
        ]  # fmt: skip


def test_the_spider_of_the_guide(plain, tmp_path):
    """The fields that it sets are in its lines, as the guide says."""
    source = (DOCS / "logs_spider.py").read_text("utf-8")
    crawl = LoggedCrawl(
        tmp_path, source, plain, START=plain.url("h0.test"), ITEM_PIPELINES={},
        RESILIENCE_LOG_FILES=["books"],
    )  # fmt: skip
    crawl.finish("crawl", "books")
    told = [
        (line["message"].partition(" took ")[0], line["user_id"], line["component"])
        for line in crawl.lines("books.log") + crawl.lines("app.log")
        if line["logger_name"] in {"books", "spider"}
    ]

    assert told[-2:] == [
        ("Reading a page", "shop-7", "callback"), ("Books.parse", "shop-7", "callback"),
    ]  # fmt: skip
    (line,) = crawl.lines("books.log")
    assert line["shelf"] == "summer"
    assert line["size"] > 0
