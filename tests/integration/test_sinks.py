"""Pipelines that buffer and spiders that read a queue: the examples of the documentation."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from threading import Event

import pytest
from crawls import SHOP, TIME_LIMIT, Crawl, check_same, wait_until
from web import serving

pytestmark = pytest.mark.integration

SNIPPETS = Path(__file__).parents[2] / "docs" / "snippets"


def skus(items):
    """What tells the items apart."""
    return [item["sku"] for item in items]


@pytest.fixture
def batching(crawl):
    """A crawl with the batching pipeline."""
    job = crawl(SHOP, ITEM_PIPELINES={"batching.BatchingPipeline": 300})
    job.write("batching.py", (SNIPPETS / "batching.py").read_text())
    return job


def rows(job):
    """The items in the database."""
    with sqlite3.connect(job.path("batches.sqlite")) as database:
        return [json.loads(item) for (item,) in database.execute("SELECT item FROM items")]


def test_a_pipeline_that_buffers(batching):
    """Rows that a pipeline collects are in the database with the commit that covers them."""
    batching.survive(kills=2, commits=2)

    check_same(skus(rows(batching)), skus(batching.site.expected_items()))
    batching.check_items()


def test_without_the_signal_rows_are_lost(batching):
    """The same pipeline without checkpoint_prepare loses what it had collected."""
    text = batching.path("batching.py").read_text()
    connect = "crawler.signals.connect(self.flush, signals.checkpoint_prepare)"
    assert connect in text
    batching.write("batching.py", text.replace(connect, "pass"))

    batching.survive(kills=2, commits=2)

    assert len(rows(batching)) < len(batching.site.expected_items())


FAILING = """
    from pathlib import Path

    from scrapy_resilience import signals
    from shop import Base

    class Shop(Base):
        @classmethod
        def from_crawler(cls, crawler, *args, **kwargs):
            self = super().from_crawler(crawler, *args, **kwargs)
            crawler.signals.connect(self.prepare, signals.checkpoint_prepare)
            self.failures = 3
            return self

        async def prepare(self):
            if self.failures:
                self.failures -= 1
                raise ConnectionError("the database is away")
"""


def test_a_sink_that_is_away(crawl):
    """A commit waits for a sink that fails, and says so once for each try."""
    job = crawl(FAILING)

    run = job.run()

    assert (run.code, run.reason) == (0, "finished"), run
    assert run.stats["resilience/checkpoint/prepare_errors"] == 3
    assert run.log.count("the database is away") >= 3
    job.check_items()


def test_a_sink_that_stays_away(crawl):
    """A sink that fails for too long closes the crawl; the job stays at its last commit."""
    job = crawl(FAILING.replace("self.failures -= 1", "pass"), RESILIENCE_STORAGE_TIMEOUT=1)

    run = job.run()

    assert (run.code, run.reason) == (1, "resilience_storage"), run
    assert job.commits() == 0


def test_a_spider_that_reads_a_queue(tmp_path, plain, rng):
    """Each message of a queue is crawled once, and gone from the queue when it is durable."""
    job = Crawl(
        tmp_path,
        (SNIPPETS / "queue_spider.py").read_text(),
        plain,
        rng,
        FEEDS={},
        JOBDIR="queue-job",
    )
    urls = [url for host in range(3) for url in plain.page_urls(f"h{host}.test")]
    with sqlite3.connect(job.path("queue.sqlite")) as queue:
        queue.execute("CREATE TABLE queue (number INTEGER PRIMARY KEY, url TEXT)")
        queue.executemany("INSERT INTO queue (url) VALUES (?)", [(url,) for url in urls])

    job.survive("crawl", "queue", kills=2, commits=1)

    check_same([page["url"] for page in job.items("pages.jsonl")], urls)
    with sqlite3.connect(job.path("queue.sqlite")) as queue:
        assert queue.execute("SELECT count(*) FROM queue").fetchone() == (0,)


STORING = """
from scrapy.extensions.feedexport import BlockingFeedStorage

class Storage(BlockingFeedStorage):
    def __init__(self, uri, *, feed_options=None):
        self.path = uri.partition("://")[2]

    def _store_in_thread(self, file):
        file.seek(0)
        with open(self.path, "ab") as stored:
            stored.write(file.read())
"""


def test_a_sink_that_is_away_at_the_end(crawl):
    """A feed that may be stored once only is not, when the commit before it failed."""
    job = crawl(
        FAILING.replace("self.failures:", 'Path("away").exists():'),
        RESILIENCE_STORAGE_TIMEOUT=1,
        RESILIENCE_CHECKPOINT_INTERVAL=60,
        FEEDS={"mine://items.jsonl": {"format": "jsonlines"}},
        FEED_STORAGES={"mine": "storage.Storage"},
    )
    job.write("storage.py", STORING)
    job.write("away", "")

    assert job.run().code == 1
    job.path("away").unlink()
    job.finish()

    job.check_items(table=None)


def test_a_last_commit_that_fails(crawl):
    """A crawl whose last commit can't be written exits with 1: the job is not finished."""
    job = crawl(
        """
        from pathlib import Path
        from scrapy import signals
        from shop import Base

        class Shop(Base):
            @classmethod
            def from_crawler(cls, crawler, *args, **kwargs):
                self = super().from_crawler(crawler, *args, **kwargs)
                crawler.signals.connect(self.break_feed, signals.feed_exporter_closed)
                return self

            def break_feed(self):
                feed = Path("items.jsonl")
                feed.rename("moved.jsonl")
                feed.mkdir()
        """,
        RESILIENCE_STORAGE_TIMEOUT=1,
    )

    run = job.run()

    assert run.code == 1, run
    assert "stays at its last commit" in run.log
    assert job.state()["finished"] is False


STUCK = """
    import asyncio
    from scrapy_resilience import signals
    from shop import Base

    class Shop(Base):
        @classmethod
        def from_crawler(cls, crawler, *args, **kwargs):
            self = super().from_crawler(crawler, *args, **kwargs)
            crawler.signals.connect(self.acknowledge, signals.checkpoint_committed)
            return self

        async def acknowledge(self):
            await asyncio.Event().wait()
"""


def test_a_source_that_does_not_come_back(plain_crawl):
    """Commits and the close go on, and the log says whom they have waited for."""
    job = plain_crawl(STUCK, RESILIENCE_PREPARE_TIMEOUT=0.3)

    run = job.run()

    assert (run.code, run.reason) == (0, "finished"), run
    assert run.stats["resilience/checkpoint/committed_errors"] > 1
    assert "Shop.acknowledge" in run.errors[0]
    assert all("goes on without an answer" in line for line in run.errors)
    job.check_items()


def test_status_says_what_is_waited_for(plain_crawl):
    """Beside the run that waits, and no more when it has ended."""
    job = plain_crawl(STUCK, RESILIENCE_PREPARE_TIMEOUT=100_000)
    fast = (
        "from scrapy_resilience.testing import ScaledClock, use_clock\n"
        "use_clock(ScaledClock(200))\n"
    )
    job.write("settings.py", job.path("settings.py").read_text() + fast)

    def status(*form):
        run = job.run("resilience", "status", "job", *form)
        assert run.code == 0, run
        return run.out

    with job.process() as process:
        wait_until((job.job / "resilience.waiting").exists)
        (found,) = json.loads(status("--json"))["waiting_for"]
        text = status()
        process.kill()

    assert "checkpoint_committed of <bound method Shop.acknowledge" in found["for"]
    assert found["since"] > 0
    assert f"{found['for']} since 20" in text
    assert json.loads(status("--json"))["waiting_for"] == []


GONE = """
    import scrapy

    from scrapy_resilience import item_id

    class Pipeline:
        def process_item(self, item):
            return {**item, "id": item_id()}

    class Shop(scrapy.Spider):
        name = "shop"

        async def start(self):
            for url in self.settings["URLS"]:
                yield scrapy.Request(url, meta={"sku": url})

        def parse(self, response):
            yield {"sku": response.meta["sku"]}
            if response.meta.get("redirect_urls") and "again" not in response.url:
                yield response.follow("/again", meta=response.meta)
"""


def test_ids_of_pages_that_many_addresses_lead_to(tmp_path, rng):
    """Each item has one of its own, over a kill as well."""
    killed = Event()

    def answer(_host, path, count):
        if count > 40:  # the others wait for the kill
            killed.wait(TIME_LIMIT)
        if path in {"/gone", "/again"}:
            return 200, {"Content-Type": "text/html"}, b"<html>"
        return 302, {"Location": "/gone"}, b""

    with serving(answer) as web:
        urls = web.urls("shop.test", 40)
        job = Crawl(
            tmp_path / "project", GONE, rng=rng, URLS=urls,
            ITEM_PIPELINES={"spider.Pipeline": 300},
        )  # fmt: skip
        job.run_until(commits=1)
        killed.set()
        job.finish()

    items = job.items()
    assert {item["sku"] for item in items} == set(urls)
    assert len({item["id"] for item in items}) == len(items) == len(urls) + 1
