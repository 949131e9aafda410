"""Crawls that are stopped on purpose and go on later: each item exactly once."""

from __future__ import annotations

import re
import signal
import time

import pytest
from crawls import SHOP, Crawl, wait_until

from scrapy_resilience.testing import SiteConfig, running_site

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal(crawl, number):
    """A crawl stopped by one signal ends cleanly with reason shutdown, and goes on later."""
    job = crawl(SHOP)

    first = job.run_until(commits=2, number=number)
    second = job.run_until(commits=2, number=number)
    last = job.finish()

    assert (first.reason, first.code, first.errors) == ("shutdown", 75, [])
    assert (second.reason, second.code) == ("shutdown", 75)
    left = r" has [1-9]\d* requests? left: the same command goes on"
    assert [bool(re.search(left, run.log)) for run in (first, second, last)] == [1, 1, 0]
    job.check_items()


@pytest.mark.parametrize("pause", [0.0, 0.05])
def test_two_signals(crawl, pause):
    """A crawl stopped by two signals goes on later."""
    job = crawl(SLOW_PIPELINE, ITEM_PIPELINES={"spider.Slow": 1})
    for _ in range(2):
        with job.process() as process:
            start = job.commits()
            wait_until(lambda start=start: job.commits() >= start + 2)
            process.send_signal(signal.SIGINT)
            time.sleep(pause)
            process.send_signal(signal.SIGINT)
            run = job.ended(process)
        assert run.code == 75, run

    job.finish()

    job.check_items()


SLOW_PIPELINE = """
    import asyncio
    from shop import Base
    class Shop(Base): pass
    class Slow:
        async def process_item(self, item):
            await asyncio.sleep(0.3)
            return item
"""


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("CLOSESPIDER_PAGECOUNT", "closespider_pagecount"),
        ("CLOSESPIDER_ITEMCOUNT", "closespider_itemcount"),
    ],
)
def test_close_spider_settings(crawl, setting, reason):
    """CLOSESPIDER_* count the run, and each resume goes on behind them."""
    job = crawl(SHOP, **{setting: 50})

    runs = [job.run(), job.run()]
    job.configure(**{setting: None})
    job.finish()

    assert [(run.reason, run.code) for run in runs] == [(reason, 0)] * 2
    assert all(run.stats["response_received_count"] >= 20 for run in runs)
    job.check_items()


def test_close_spider(crawl):
    """CloseSpider in a callback stops the job, and its other requests wait for a resume."""
    job = crawl(
        """
        import os
        from scrapy.exceptions import CloseSpider
        from shop import Base, number
        class Shop(Base):
            def parse(self, response):
                yield from super().parse(response)
                if number(response) == 7 and not os.path.exists("again"):
                    raise CloseSpider("enough")
        """
    )

    run = job.run()
    job.write("again", "")
    job.finish()

    assert (run.reason, run.code) == ("enough", 0)
    job.check_items()


def test_stop_while_a_download_hangs(crawl):
    """A stop while a host does not answer leaves that request to the next run."""
    job = crawl(SHOP, DOWNLOAD_TIMEOUT=3, RETRY_TIMES=1)
    job.configure(START=[*job.site.start_urls(), job.site.url("silent.test")])

    first = job.run_until(commits=3, number=signal.SIGTERM)
    second = job.run()

    assert first.code == 75
    assert second.code == 0
    job.check_items()


def test_a_spider_that_does_not_close(plain_crawl):
    """DontCloseSpider at spider_idle keeps the job open for requests that are found then."""
    job = plain_crawl(
        """
        import scrapy
        from scrapy.exceptions import DontCloseSpider
        from shop import Base
        class Shop(Base):
            waves = 0
            @classmethod
            def from_crawler(cls, crawler, *args, **kwargs):
                self = super().from_crawler(crawler, *args, **kwargs)
                crawler.signals.connect(self.idle, scrapy.signals.spider_idle)
                return self
            def idle(self):
                self.waves = self.state.get("waves", 0) + 1
                if self.waves <= 3:
                    self.state["waves"] = self.waves
                    for url in self.start_urls:
                        for n in range(20):
                            self.crawler.engine.crawl(
                                scrapy.Request(f"{url}?wave={self.waves}-{n}"))
                    raise DontCloseSpider
            def parse(self, response):
                yield dict(sku=response.url)
        """
    )

    job.survive(kills=2, commits=1)

    urls = job.site.start_urls()
    skus = [f"{url}?wave={wave}-{n}" for url in urls for wave in (1, 2, 3) for n in range(20)]
    job.check_items([{"sku": sku} for sku in skus + urls])


def test_rerun_start_of_a_finished_job(plain_crawl):
    """RESILIENCE_RERUN_START runs a finished job's start() and fetches only what is new."""
    job = plain_crawl(
        """
        import scrapy
        from shop import Base
        class Shop(Base):
            async def start(self):
                yield scrapy.Request(self.start_urls[0], dont_filter=True)
                for line in open("urls.txt"):
                    yield scrapy.Request(line.strip())
            def parse(self, response):
                yield dict(sku=response.url)
        """,
        RESILIENCE_RERUN_START=True,
    )
    front = job.site.start_urls()[0]
    urls = [f"{front}?n={n}" for n in range(20)]

    job.write("urls.txt", "\n".join(urls[:10]))
    job.finish()
    job.write("urls.txt", "\n".join(urls))
    job.finish()

    job.check_items([{"sku": url} for url in [front, front, *urls]])


def test_rerun_start_of_a_stopped_job(plain_crawl):
    """RESILIENCE_RERUN_START on a stopped job does what was left and start() once more."""
    job = plain_crawl(SHOP, RESILIENCE_RERUN_START=True)

    job.run_until(commits=2, number=signal.SIGTERM)
    job.finish()

    job.check_items()


def test_the_addon_switched_off(plain_crawl):
    """RESILIENCE_ENABLED=False is stock Scrapy: its queue, its feeds, no store."""
    job = plain_crawl(SHOP, RESILIENCE_ENABLED=False)

    run = job.finish()

    job.check_items()
    assert not [key for key in run.stats if key.startswith("resilience/")]
    assert not list(job.job.glob("resilience*"))


# State ------------------------------------------------------------------------


STATE = """
    import scrapy
    from scrapy_resilience import register_state
    from shop import Base
    class Shop(Base):
        def parse(self, response):
            self.state["pages"] = self.state.get("pages", 0) + 1
            self.state.setdefault("seen", set()).add((response.url, 1))
            yield from super().parse(response)
        def closed(self, reason):
            print("PAGES", self.state["pages"], len(self.state["seen"]))
    class Counts:
        def __init__(self, crawler):
            self.items = {"count": 0}
            self.kept = register_state(
                crawler, "counts", lambda: self.items, self.restore)
            crawler.signals.connect(self.item_scraped, scrapy.signals.item_scraped)
            crawler.signals.connect(self.closed, scrapy.signals.spider_closed)
        @classmethod
        def from_crawler(cls, crawler):
            return cls(crawler)
        def restore(self, value):
            self.items = value
        def item_scraped(self):
            self.items["count"] += 1
        def closed(self):
            print("ITEMS", self.items["count"], self.kept)
"""


def test_state_and_totals(plain_crawl):
    """spider.state, a component's state and the totals agree with the feeds after kills."""
    job = plain_crawl(STATE, EXTENSIONS={"spider.Counts": 0})

    run = job.survive(kills=2, commits=2)

    pages, items = 120, 240
    assert run.out.split() == f"ITEMS {items} True PAGES {pages} {pages}".split() or (
        run.out.split() == f"PAGES {pages} {pages} ITEMS {items} True".split()
    ), run.out
    stats = run.stats
    assert stats["resilience/total/item_scraped_count"] == items
    assert stats["resilience/total/resilience/requests/done"] == pages
    assert stats["resilience/total/request_depth_max"] >= stats["request_depth_max"]
    job.check_items()


def test_stats_of_this_run(plain_crawl):
    """Scrapy's own stats keys count this run only."""
    job = plain_crawl(SHOP)

    first = job.run_until(commits=3, number=signal.SIGTERM)
    second = job.finish()

    counts = [run.stats["item_scraped_count"] for run in (first, second)]
    assert sum(counts) == 240
    assert second.stats["resilience/total/start_time"] == first.stats["start_time"]
    for run, total in zip((first, second), (counts[0], 240), strict=True):
        assert run.stats["resilience/total/item_scraped_count"] == total


def test_memory_is_not_added_up(plain_crawl):
    """Totals of gauges, such as memusage/startup, are not sums."""
    job = plain_crawl(SHOP, spawn=True)  # memory of its own

    job.run_until(commits=2, number=signal.SIGTERM)
    run = job.finish()

    total = run.stats["resilience/total/memusage/startup"]
    assert total < 1.5 * run.stats["memusage/startup"]


def test_state_that_cannot_be_kept(plain_crawl):
    """A value that can't be written is named once, and the job goes on."""
    job = plain_crawl(
        """
        from shop import Base
        class Shop(Base):
            def parse(self, response):
                self.state["bad"] = lambda: None
                yield from super().parse(response)
        """
    )

    job.run_until(commits=2)
    run = job.run()

    assert run.code == 0
    assert len(run.errors) == 1, run
    assert "spider_state" in run.errors[0]
    job.check_items()


def test_cookies(tmp_path, rng):
    """Sessions, those of cookiejar keys too, go on after kills: no host gives new ones."""
    config = SiteConfig(hosts=3, pages=40, latency=0.02, cookies=True)
    with running_site(config) as site:
        job = Crawl(
            tmp_path,
            """
            import scrapy
            from shop import Base
            class Shop(Base):
                async def start(self):
                    for url in self.start_urls:
                        for jar in (None, 7, "text", ("tuple", 1)):
                            yield scrapy.Request(f"{url}?jar={jar}", meta={"cookiejar": jar},
                                                 callback=self.first)
                def first(self, response):
                    for n in range(20):
                        yield response.follow(f"{response.url}&n={n}",
                                              meta={"cookiejar": response.meta["cookiejar"]})
                def parse(self, response):
                    sent = response.request.headers.get("Cookie", b"").decode()
                    yield dict(sku=response.url, sent=sent)
            """,
            site,
            rng,
        )
        job.survive(kills=2, commits=1)
        sessions = {host: s["sessions"] for host, s in site.stats()["hosts"].items()}

    items = job.items()
    assert len(items) == 3 * 4 * 20
    assert all(item["sent"].count("session=") == 1 for item in items)
    by_jar = {}
    for item in items:
        by_jar.setdefault(item["sku"].rpartition("&")[0], set()).add(item["sent"])
    assert {len(found) for found in by_jar.values()} == {1}, by_jar
    # a first page that a kill caught before its commit is asked for again
    assert all(count <= 4 + job.kills * 4 for count in sessions.values())


def test_a_signal_before_the_engine_has_started(tmp_path):
    """Scrapy ends without closing the spider: the exit code says that there is more to do."""
    source = """
        import asyncio, os, signal, scrapy
        from scrapy import signals
        class Shop(scrapy.Spider):
            name = "shop"
            start_urls = ["data:,x"]
            @classmethod
            def from_crawler(cls, crawler, *args, **kwargs):
                self = super().from_crawler(crawler, *args, **kwargs)
                crawler.signals.connect(self.opened, signals.spider_opened)
                return self
            async def opened(self):
                if self.settings.getbool("STOP"):
                    os.kill(os.getpid(), signal.SIGINT)
                    await asyncio.sleep(0.2)
            def parse(self, response):
                yield dict(sku=response.url)
    """
    crawl = Crawl(tmp_path, source, STOP=True)
    assert crawl.run("crawl", "shop").code == 75
    crawl.configure(STOP=False)

    crawl.run("crawl", "shop").check_finished()
    assert [item["sku"] for item in crawl.items()] == ["data:,x"]
