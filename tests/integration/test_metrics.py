"""Metrics of crawls that run: the user's own, pushed to a Pushgateway, written to a file."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from crawls import BUSY, PAGES, Crawl, wait_until
from ports import free_port
from prometheus_client.parser import text_string_to_metric_families
from web import serving

from scrapy_resilience import names

pytestmark = pytest.mark.integration

COUNTING = """
    import asyncio, scrapy
    from threading import Thread
    from scrapy_resilience.metrics import counter, gauge, histogram, timed, metrics_of
    PAGES = counter("shop_pages", "Pages.", labels=["by"])
    STOCK = gauge("shop_stock", "Items.")
    @timed("shop_parse_seconds", "Time of a page.")
    def plain(response):
        PAGES.inc(by="function")
        return dict(sku=response.url)
    class Count:
        @classmethod
        def from_crawler(cls, crawler):
            self = cls()
            self.items = metrics_of(crawler).counter("shop_items")
            return self
        def process_item(self, item):
            PAGES.inc(by="pipeline")
            self.items.inc()
            STOCK.inc()
            return item
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                PAGES.inc(by="start")
                yield scrapy.Request(url)
        async def parse(self, response):
            await asyncio.sleep(0.01)
            PAGES.inc(by="callback")
            await asyncio.to_thread(PAGES.inc, by="thread")
            yield plain(response)
    class Other(Shop):
        name = "other"
"""
TWO = """
    import sys
    from scrapy.crawler import AsyncCrawlerProcess
    from scrapy.utils.project import get_project_settings
    from spider import Other, Shop
    settings = get_project_settings()
    process = AsyncCrawlerProcess(settings)
    for spider, pages in ((Shop, 3), (Other, 7)):
        urls = settings.getlist("URLS")[:pages]
        spider.custom_settings = {"URLS": urls}
        process.crawl(spider)
    process.start()
"""
SNIPPETS = Path(__file__).parents[2] / "docs" / "snippets"
PIPELINE = {"ITEM_PIPELINES": {"spider.Count": 300}}


def read(text):
    """The samples of a text: {name: {labels as text: value}}."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def written(crawl, name="shop.prom"):
    """The samples of a textfile."""
    return read(crawl.path(name).read_text("utf-8"))


# --- the user's own -------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"TWISTED_REACTOR_ENABLED": False}, {"JOBDIR": None}])
def test_metrics_of_the_user(tmp_path, more):
    """What spider, pipeline, function and thread count is in the last textfile."""
    with serving(lambda *_: 200) as web:
        crawl = Crawl(
            tmp_path, COUNTING, URLS=web.urls("127.0.0.1", 5),
            RESILIENCE_METRICS_TEXTFILE="%(spider)s.prom", **{**BUSY, **PIPELINE, **more},
        )  # fmt: skip
        crawl.finish()

    found = written(crawl)
    by = ("callback", "function", "pipeline", "start", "thread")
    assert found["shop_pages_total"] == {f"by={name},spider=shop": 5 for name in by}
    assert found["shop_items_total"] == {"spider=shop": 5}
    assert found["shop_stock"] == {"spider=shop": 5}
    assert found["shop_parse_seconds_count"] == {"spider=shop": 5}
    assert found["scrapy_resilience_items_total"] == {"spider=shop": 5}
    assert found["scrapy_resilience_state"]["spider=shop,state=running"] == 0
    assert found["scrapy_resilience_domain_requests_total"]["domain=127.0.0.1,spider=shop"] == 5


def test_the_next_run_knows_the_domains(tmp_path):
    """Which domains have series is part of the job; counters begin anew with each run."""
    with serving(lambda *_: 200) as web:
        crawl = Crawl(
            tmp_path, PAGES, URLS=web.urls("a.test", 60), DOWNLOAD_DELAY=0.02,
            RESILIENCE_METRICS_TEXTFILE="shop.prom", RESILIENCE_METRICS_INTERVAL=0.1, **BUSY,
        )  # fmt: skip
        crawl.run_until(commits=3)
        known = crawl.state("resilience.metric_domains")
        crawl.survive(kills=0, at_least=1)

    assert known == ["a.test"]
    found = written(crawl)
    assert found["scrapy_resilience_job_pages"]["spider=shop"] >= 58  # a kill loses some counts
    assert 0 < found["scrapy_resilience_pages_total"]["spider=shop"] < 60


@pytest.mark.parametrize("reactor", [True, False])
def test_two_crawls_in_one_process(tmp_path, reactor):
    """Each has its own numbers of the same metrics."""
    with serving(lambda *_: 200) as web:
        crawl = Crawl(
            tmp_path, COUNTING, URLS=web.urls("127.0.0.1", 7), TWISTED_REACTOR_ENABLED=reactor,
            RESILIENCE_METRICS_TEXTFILE="%(spider)s.prom",
            **{**BUSY, **PIPELINE, "JOBDIR": None, "FEEDS": None},
        )  # fmt: skip
        crawl.write("two.py", "\n".join(line[4:] for line in TWO.splitlines()))
        run = crawl.run(sys.executable, "two.py")

    assert (run.code, run.errors) == (0, [])
    for name, pages in (("shop", 3), ("other", 7)):
        found = written(crawl, f"{name}.prom")
        assert found["shop_pages_total"][f"by=callback,spider={name}"] == pages
        assert found["shop_pages_total"][f"by=pipeline,spider={name}"] == pages
        assert found["shop_items_total"] == {f"spider={name}": pages}


def test_the_endpoint_of_a_crawl(tmp_path):
    """What is at /metrics while it runs, in the format that a client asks for."""
    with serving(lambda *_: 200) as web:
        crawl = Crawl(
            tmp_path, COUNTING, URLS=web.urls("a.test", 100), DOWNLOAD_DELAY=0.05,
            **{**BUSY, **PIPELINE},
        )  # fmt: skip
        with crawl.process() as process:
            url = wait_until(lambda: re.search(r"live page: (http\S+)", crawl.last().log))[1]
            count = 'shop_pages_total{spider="shop",by="callback"} '
            wait_until(lambda: count in fetched(f"{url}metrics"))
            openmetrics = fetched(f"{url}metrics", Accept="application/openmetrics-text")
            process.terminate()
            crawl.ended(process)

    assert openmetrics.endswith("# EOF\n")
    assert count in openmetrics


def test_the_metrics_of_the_guide(tmp_path):
    """The guide's spider, function and pipeline count."""
    source = (SNIPPETS / "own_metrics.py").read_text("utf-8")
    with serving(lambda *_: 200) as web:
        urls = f"    start_urls = {web.urls('a.test', 3)}\n"
        source = source.replace('    name = "shop"\n', f'    name = "shop"\n{urls}')
        crawl = Crawl(
            tmp_path, source, RESILIENCE_METRICS_TEXTFILE="shop.prom",
            **{**BUSY, "ITEM_PIPELINES": {"spider.CountPrices": 300}},
        )  # fmt: skip
        crawl.finish()

    found = written(crawl)
    assert found["shop_prices_total"] == {"currency=EUR,spider=shop": 3}
    assert found["shop_parse_seconds_count"] == {"spider=shop": 3}
    assert found["shop_css_seconds_count"] == {"spider=shop": 3}
    assert found["shop_reviews_sum"] == {"spider=shop": 0}


# --- the textfile -----------------------------------------------------------------------


def test_the_textfile_is_always_whole(tmp_path):
    """Whoever reads it while the crawl runs finds all of it, or nothing before the first."""
    with serving(lambda *_: 200) as web:
        crawl = Crawl(
            tmp_path, PAGES, URLS=web.urls("a.test", 60), DOWNLOAD_DELAY=0.02,
            RESILIENCE_METRICS_TEXTFILE="a.prom", RESILIENCE_METRICS_INTERVAL=0.1, **BUSY,
        )  # fmt: skip
        seen = set()
        with crawl.process() as process:
            while process.poll() is None:
                if crawl.path("a.prom").exists():
                    text = crawl.path("a.prom").read_text("utf-8")
                    assert not text or "scrapy_resilience_metrics_left_out" in text
                    pages = read(text).get("scrapy_resilience_pages_total", {})
                    seen.update(pages.values())
            crawl.ended(process).check_finished()

    assert len(seen) > 2
    assert written(crawl, "a.prom")["scrapy_resilience_pages_total"] == {"spider=shop": 60}
    assert list(tmp_path.glob("*.tmp")) + list(tmp_path.glob(".*.tmp")) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"METRICS_TEXTFILE": "nowhere/a.prom"}, "no folder"),
        ({"METRICS_TEXTFILE": "a.txt"}, "ends with .prom"),
        ({"METRICS_TEXTFILE": "folder.prom"}, "can't be written"),
        ({"PUSHGATEWAY_URL": "gateway:9091"}, "no address of a Pushgateway"),
        ({"PUSHGATEWAY_URL": "http://me:hunter2@gateway:x/"}, "no address of a Pushgateway"),
        ({"METRICS_LABELS": {"a b": "c"}}, "the label 'a b'"),
        ({"METRICS_LABELS": {"spider": "c"}}, "the label 'spider'"),
    ],
)
def test_what_can_not_work_is_refused(tmp_path, settings, words):
    """It is said at the start, before the job is opened; without a job, too."""
    (tmp_path / "folder.prom").mkdir()
    values = {f"RESILIENCE_{name}": value for name, value in settings.items()}
    crawl = Crawl(tmp_path, PAGES, URLS=[], **values)

    run = crawl.run()
    run.check_refused(words)
    assert "hunter2" not in run.log
    assert not crawl.job.exists()
    crawl.configure(JOBDIR=None)
    crawl.run().check_refused(words)


def test_a_disk_that_is_lost(tmp_path):
    """A folder that goes away is told once, and the crawl ends well."""
    folder = tmp_path / "metrics"
    folder.mkdir()

    def answer(_, path, __):
        if path == "/5" and folder.exists():
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
        return 200

    with serving(answer) as web:
        crawl = Crawl(
            tmp_path, PAGES, URLS=web.urls("a.test", 40), DOWNLOAD_DELAY=0.02,
            RESILIENCE_METRICS_TEXTFILE="metrics/a.prom", RESILIENCE_METRICS_INTERVAL=0.1,
            **{**BUSY, "CONCURRENT_REQUESTS": 1},
        )  # fmt: skip
        run = crawl.finish()

    assert run.log.count("Metrics do not get to RESILIENCE_METRICS_TEXTFILE") == 1
    assert run.stats[names.STAT_TEXTFILE_ERRORS] >= 1


# --- the Pushgateway ----------------------------------------------------------------------


def fetched(url, **headers):
    """What is at a URL; empty while nobody answers."""
    try:
        with urlopen(Request(url, headers=headers), timeout=10) as answer:  # noqa: S310 - of this test
            return answer.read().decode()
    except (URLError, OSError):
        return ""


@pytest.fixture
def gateway(pushgateway_program, tmp_path):
    """The address of a real Pushgateway, which ends with the test."""
    address = f"127.0.0.1:{free_port()}"
    command = [pushgateway_program, f"--web.listen-address={address}"]
    with (tmp_path / "gateway.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_until(lambda: fetched(f"http://{address}/-/ready"))
            yield f"http://{address}"
        finally:
            process.kill()
            process.wait()


def pushing(folder, url, web, **settings):
    """A crawl of some seconds that pushes often."""
    return Crawl(
        folder, PAGES, URLS=web.urls("a.test", 30), DOWNLOAD_DELAY=0.02,
        RESILIENCE_PUSHGATEWAY_URL=url, RESILIENCE_METRICS_INTERVAL=0.1, **BUSY, **settings,
    )  # fmt: skip


def test_a_real_pushgateway(tmp_path, gateway):
    """It has the last numbers of the crawl, in a group of its own."""
    with serving(lambda *_: 200) as web:
        crawl = pushing(tmp_path / "crawl", gateway, web, RESILIENCE_PUSHGATEWAY_INSTANCE="one")
        run = crawl.finish()

    text = fetched(f"{gateway}/metrics")
    labels = "instance=one,job=scrapy,spider=shop"
    assert read(text)["scrapy_resilience_pages_total"] == {labels: 30}
    assert read(text)["push_time_seconds"][labels] > 0
    assert run.stats[names.STAT_PUSHES] >= 1
    assert names.STAT_PUSH_ERRORS not in run.stats


def test_two_jobs_do_not_replace_each_other(tmp_path, gateway):
    """By default the instance is the host and the JOBDIR."""
    with serving(lambda *_: 200) as web:
        for name in ("one", "two"):
            pushing(tmp_path / name, gateway, web).finish()

    found = read(fetched(f"{gateway}/metrics"))["scrapy_resilience_pages_total"]
    assert sorted(found.values()) == [30, 30]
    assert sum(str(tmp_path / "one" / "job") in labels for labels in found) == 1


@contextmanager
def silent_server():
    """A server that takes connections and says nothing; its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        over, taken = Event(), []

        def take():
            while not over.is_set():
                connection, _ = server.accept()
                taken.append(connection)

        thread = Thread(target=take)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        over.set()
        socket.create_connection(server.getsockname()).close()
        thread.join()
        for connection in taken:
            connection.close()


@contextmanager
def refusing_server():
    """A port where nobody is; its URL."""
    yield f"http://127.0.0.1:{free_port()}"


@contextmanager
def failing_server():
    """A server that answers with 500; its URL."""
    with serving(lambda *_: 500) as web:
        yield f"http://127.0.0.1:{web.port}"


@pytest.mark.parametrize("server", [silent_server, refusing_server, failing_server])
def test_a_gateway_that_is_down(tmp_path, server):
    """The crawl does not need it: it is told once, and each push that fails is counted."""
    with server() as url, serving(lambda *_: 200) as web:
        run = pushing(tmp_path, url.replace("//", "//me:hunter2@"), web).finish()

    assert run.stats["item_scraped_count"] == 30
    assert run.log.count("Metrics do not get to RESILIENCE_PUSHGATEWAY_URL") == 1
    assert run.stats[names.STAT_PUSH_ERRORS] >= 2
    assert names.STAT_PUSHES not in run.stats
    assert "hunter2" not in run.log
