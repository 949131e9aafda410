"""Other ways to run a crawl: reactorless, scripts, components without the add-on."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent
from urllib.parse import unquote, urlsplit

import pytest
from crawls import SHOP, Crawl, check_same, wait_until

from scrapy_resilience.testing import SiteConfig, running_folder, running_site, walk_folder

pytestmark = pytest.mark.integration

SCRIPT = """
    from scrapy.crawler import {process}
    from scrapy.utils.project import get_project_settings
    from spider import *
    def main():
        process = {process}(get_project_settings())
        {crawls}
        process.start()
        return process
    if __name__ == "__main__":
        process = main()
        raise SystemExit(int(process.bootstrap_failed))
"""


def script(job, process, *crawls):
    """Write script.py, and give the command that runs it."""
    lines = "\n        ".join(crawls or ["process.crawl(Shop)"])
    job.write("script.py", dedent(SCRIPT.format(process=process, crawls=lines)))
    return (sys.executable, "script.py")


def reactorless(job):
    """Settings and environment of the mode without a reactor."""
    job.configure(TWISTED_REACTOR_ENABLED=False, TWISTED_DNS_RESOLVER=None)
    proxy = f"http://127.0.0.1:{job.site.port}"
    return {"http_proxy": proxy, "no_proxy": ""}


@pytest.mark.slow
def test_reactorless(crawl):
    """Without a reactor a crawl is killed, resumes and writes each item once."""
    job = crawl(SHOP, spawn=True)  # no import of ours may bring a reactor

    run = job.survive(kills=2, commits=1, env=reactorless(job))

    assert "TWISTED_REACTOR_ENABLED" in run.log
    job.check_items()


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_reactorless_stop(crawl, number):
    """Without a reactor a crawl is stopped by a signal and goes on later."""
    job = crawl(SHOP)
    env = reactorless(job)

    first = job.run_until(commits=2, number=getattr(signal, number), env=env)
    job.finish(env=env)

    assert (first.code, first.reason) == (75, "shutdown")
    job.check_items()


def test_reactorless_refusal(crawl):
    """Without a reactor a finished job is refused in one line."""
    job = crawl(SHOP)
    env = reactorless(job)
    job.finish(env=env)

    job.run(env=env).check_refused("has finished")


@pytest.mark.slow
@pytest.mark.parametrize("process", ["AsyncCrawlerProcess", "CrawlerProcess"])
def test_scripts(crawl, process):
    """A script with a crawler process is killed, resumes, and then is refused."""
    job = crawl(SHOP)
    command = script(job, process)

    job.survive(*command, kills=1, commits=1)
    refused = job.run(*command)

    job.check_items()
    refused.check_refused("has finished")


@pytest.mark.slow
@pytest.mark.parametrize("process", ["AsyncCrawlerProcess", "CrawlerProcess"])
def test_two_spiders_in_one_process(crawl, process):
    """Two spiders in one process have a job and feeds each, over a kill."""
    source = SHOP + "class Second(Base):\n    name = 'second'\n"
    job = crawl(
        source,
        JOBDIR="jobs/%(spider)s",
        FEEDS={"%(name)s.jsonl": {"format": "jsonlines"}},
    )
    command = script(job, process, "process.crawl(Shop)", "process.crawl(Second)")
    job.configure()

    with job.process(*command) as child:
        wait_until(
            lambda: (
                child.poll() is not None
                or all(
                    job.path(f"{name}.jsonl").is_file()
                    and job.path(f"{name}.jsonl").stat().st_size > 3000
                    for name in ("shop", "second")
                )
            )
        )
        child.kill()
    run = job.run(*command)

    assert run.code == 0, run
    for name in ("shop", "second"):
        job.check_items(jsonl=f"{name}.jsonl", table=None)


def test_two_spiders_on_one_jobdir(crawl):
    """A second spider in the process that wants the same JOBDIR is refused, the first runs."""
    job = crawl(SHOP + "class Second(Base):\n    name = 'second'\n", FEEDS={})
    command = script(job, "AsyncCrawlerProcess", "process.crawl(Shop)", "process.crawl(Second)")

    run = job.run(*command)

    assert run.code == 1
    assert len(run.errors) == 1, run
    assert run.stats.get("item_scraped_count") == 240


@pytest.mark.slow
def test_uvloop(crawl):
    """Scrapy crawl and runspider use uvloop when it is installed, scripts do not."""
    pytest.importorskip("uvloop")
    job = crawl(
        """
        import asyncio
        from shop import Base
        class Shop(Base):
            custom_settings = {"CLOSESPIDER_PAGECOUNT": 1}
            def parse(self, response):
                print(type(asyncio.get_running_loop()).__module__.split(".")[0])
        """,
        spawn=True,  # an event loop is chosen before anything else is done
        JOBDIR=None,
        FEEDS={},
    )

    assert job.run().out.split()[0] == "uvloop"
    assert job.run("runspider", "spider.py").out.split()[0] == "uvloop"
    assert job.run("crawl", "shop", "-s", "RESILIENCE_UVLOOP_ENABLED=0").out.split()[0] == (
        "asyncio"
    )
    for process in ("CrawlerProcess", "AsyncCrawlerProcess"):
        run = job.run(*script(job, process))
        assert (run.code, run.out.split()[:1]) == (0, ["asyncio"]), run


# Components without the add-on ---------------------------------------------------


PACKAGE = "scrapy_resilience"
SCHEDULER = {"ADDONS": {}, "SCHEDULER": f"{PACKAGE}.scheduler.ResilientScheduler"}
BY_HAND = {
    **SCHEDULER,
    "EXTENSIONS": {
        f"{PACKAGE}.extensions.checkpoint.Checkpoint": 0,
        f"{PACKAGE}.extensions.feedexport.ResilientFeedExporter": 0,
        f"{PACKAGE}.extensions.shutdown.Shutdown": 0,
        "scrapy.extensions.feedexport.FeedExporter": None,
        "scrapy.extensions.spiderstate.SpiderState": None,
    },
    "SPIDER_MIDDLEWARES": {f"{PACKAGE}.spidermiddlewares.start.StartMiddleware": 0},
    "DOWNLOADER_MIDDLEWARES": {
        f"{PACKAGE}.downloadermiddlewares.barrier.BarrierMiddleware": 1,
        f"{PACKAGE}.downloadermiddlewares.cookies.DurableCookiesMiddleware": 700,
        "scrapy.downloadermiddlewares.cookies.CookiesMiddleware": None,
    },
}


def test_everything_by_hand(crawl):
    """The components in Scrapy's own settings, without the add-on, do what the add-on does."""
    job = crawl(SHOP, **BY_HAND)

    job.survive(kills=2, commits=1)

    job.check_items()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"EXTENSIONS": {f"{PACKAGE}.extensions.feedexport.ResilientFeedExporter": 0}},
            ["EXTENSIONS", '"scrapy.extensions.feedexport.FeedExporter": None'],
        ),
        (
            {
                "DOWNLOADER_MIDDLEWARES": {
                    f"{PACKAGE}.downloadermiddlewares.cookies.DurableCookiesMiddleware": 700
                }
            },
            ['"scrapy.downloadermiddlewares.cookies.CookiesMiddleware": None'],
        ),
        (
            {
                "DOWNLOADER_MIDDLEWARES": {
                    f"{PACKAGE}.downloadermiddlewares.retry.ClassifiedRetryMiddleware": 550
                }
            },
            ['"scrapy.downloadermiddlewares.retry.RetryMiddleware": None'],
        ),
        (
            {
                "SCHEDULER": "scrapy.core.scheduler.Scheduler",
                "EXTENSIONS": {f"{PACKAGE}.extensions.checkpoint.Checkpoint": 0},
            },
            ["Checkpoint", 'SCHEDULER = "scrapy_resilience.ResilientScheduler"'],
        ),
        (
            {
                "SCHEDULER": None,
                "SPIDER_MIDDLEWARES": {f"{PACKAGE}.spidermiddlewares.start.StartMiddleware": 0},
            },
            ["StartMiddleware", 'SCHEDULER = "scrapy_resilience.ResilientScheduler"'],
        ),
    ],
    ids=["feeds", "cookies", "retry", "checkpoint", "start"],
)
def test_half_of_what_belongs_together(plain_crawl, settings, words):
    """A component that would do its work twice, or do nothing, is refused in one line."""
    job = plain_crawl(SHOP, **{**SCHEDULER, **settings})

    job.run().check_refused("Wrong configuration", *words)

    assert not job.path("items.jsonl").exists()


DELTA = """
    import scrapy
    from shop import Base
    class Shop(Base): pass
    class Own(scrapy.core.scheduler.Scheduler): pass
"""


def test_a_scheduler_of_the_users_own(plain_crawl):
    """With another scheduler one line says that there are no checkpoints."""
    job = plain_crawl(DELTA, SCHEDULER="spider.Own")

    run = job.finish()

    assert run.log.count("makes no checkpoints") == 1
    assert "spider.Own" in run.log


def test_a_component_with_a_memory_of_its_own(plain_crawl):
    """One line at the start says what a component of others does not keep, and what to do."""
    job = plain_crawl(
        SHOP,
        SPIDER_MIDDLEWARES={"scrapy_deltafetch.DeltaFetch": 100},
        DELTAFETCH_ENABLED=True,
    )
    job.path("scrapy_deltafetch").mkdir()
    job.write("scrapy_deltafetch/__init__.py", "class DeltaFetch: pass\n")

    run = job.finish()

    assert run.log.count("is not part of the checkpoint") == 1
    assert "scrapy_deltafetch.DeltaFetch" in run.log
    assert "DELTAFETCH_ENABLED=False" in run.log


def test_scheduler_and_checkpoint_by_hand(crawl):
    """With the scheduler and Checkpoint alone a killed job resumes and ends."""
    job = crawl(
        SHOP,
        **SCHEDULER,
        EXTENSIONS={f"{PACKAGE}.extensions.checkpoint.Checkpoint": 0},
        FEEDS={"items.jsonl": {"format": "jsonlines"}},
    )

    run = job.survive(kills=2, commits=2)

    assert run.stats["resilience/resumed"]
    assert {item["sku"] for item in job.items()} <= {
        i["sku"] for i in job.site.expected_items()
    }


def test_the_scheduler_alone(crawl):
    """The scheduler alone, without JOBDIR and with a job that is stopped cleanly, works."""
    job = crawl(SHOP, **SCHEDULER, JOBDIR=None)
    job.finish()
    job.check_items()
    job.configure(JOBDIR="job", FEEDS={"more.jsonl": {"format": "jsonlines"}})
    with job.process() as process:
        wait_until(job.path("more.jsonl").exists)
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        run = job.ended(process)
    assert (run.code, run.reason) == (0, "shutdown")

    job.finish()

    job.check_items(jsonl="more.jsonl", table=None)


def test_the_middlewares_alone(crawl):
    """Middlewares and extensions beside another scheduler do no harm."""
    job = crawl(SHOP, **{**BY_HAND, "SCHEDULER": "scrapy.core.scheduler.Scheduler"})
    job.configure(JOBDIR=None)

    job.finish()

    job.check_items()


def test_another_scheduler_of_the_user(crawl):
    """With the add-on, a SCHEDULER of the user stays, and nothing of ours is plugged in."""
    job = crawl(
        """
        from scrapy.core.scheduler import Scheduler
        from shop import Base
        class Mine(Scheduler): pass
        class Shop(Base):
            def closed(self, reason):
                print(type(self.crawler.engine.scheduler).__name__)
        """,
        SCHEDULER="spider.Mine",
    )

    run = job.finish()

    assert run.out.split() == ["Mine"]
    job.check_items()


def test_spider_settings(crawl, tmp_path):
    """The add-on, JOBDIR and feeds in custom_settings work as in the project's settings."""
    job = Crawl(
        tmp_path,
        """
        from shop import Base
        class Shop(Base):
            custom_settings = {
                "ADDONS": {"scrapy_resilience.ResilienceAddon": 500}, "JOBDIR": "job",
                "FEEDS": {"items.jsonl": {"format": "jsonlines"}},
                "RESILIENCE_CHECKPOINT_INTERVAL": 0.1,
            }
        """,
        crawl(SHOP).site,
        crawl(SHOP).rng,
        ADDONS={},
    )
    job.settings.update(FEEDS=None, RESILIENCE_CHECKPOINT_INTERVAL=None)
    job.settings["JOBDIR"] = "elsewhere"
    job.configure()
    job.settings["JOBDIR"] = "job"

    job.survive(kills=2, commits=1)

    job.check_items(table=None)


# The example project ----------------------------------------------------------


def example(folder, site=None):
    """The example project, copied to *folder*."""
    source = Path(__file__).parents[2] / "example_project"
    shutil.copytree(
        source, folder, ignore=shutil.ignore_patterns("crawls", "items", "__pycache__")
    )
    job = Crawl.__new__(Crawl)
    job.begin(folder, site)
    job.settings = {"JOBDIR": "crawls/shop"}
    return job


def test_the_example_on_a_port_that_is_taken(tmp_path):
    """There is no job, and the exit code is 1."""
    job = example(tmp_path / "example")
    job.settings = {"JOBDIR": "crawls/shop"}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = job.run("crawl", "shop", "-a", f"port={port}")

    assert run.code == 1
    assert "give another port" in run.log
    assert not job.job.exists()


PARTS = ("tutorial", "howto", "faq")
SOON = ("-s", 'RESILIENCE_RETRY_POLICIES={"exponential_backoff": {"base": 0.05}}')
SHOPS = SiteConfig(hosts=2, pages=80, latency=0.02, redirects=0.2, first_try_503=0.1)


@pytest.fixture(scope="module")
def shops():
    """What the example's spider crawls."""
    with running_site(SHOPS) as site:
        yield site


@pytest.fixture
def example_shop(tmp_path, shops):
    """``example_shop(*words)`` crawls the shop of the example project, or is killed in it."""
    shops.reset()
    job = example(tmp_path / "example", shops)
    site = f"site=http://127.0.0.1:{shops.port}"

    def crawl(*words, kills=0):
        command = (
            "crawl",
            "shop",
            "-a",
            site,
            "-a",
            "hosts=2",
            "-a",
            "pages=80",
            *SOON,
            *words,
        )
        return job.survive(*command, kills=kills) if kills else job.finish(*command)

    crawl.job = job
    return crawl


def check_example(job):
    """Each item is there once, with its price; those sold out are in the review too."""
    items, review = job.items("items/shop.jsonl"), job.items("items/shop-review.jsonl")
    check_same(
        [item["sku"] for item in items], [item["sku"] for item in job.site.expected_items()]
    )
    sold_out = [item for item in items if item["price"] == "EUR sold out"]
    assert len(sold_out) > 0
    check_same([item["sku"] for item in sold_out], [item["sku"] for item in review])
    assert all(item["confidence"]["doubtful"] for item in review)
    prices = {item["sku"]: float(item["price"]) for item in job.site.expected_items()}
    for item in items:
        if item not in sold_out:
            assert item["price"]["amount"] == prices[item["sku"]]


def test_the_example_shop(example_shop):
    """The shop is redesigned in the middle: the alarm fires and the fallback carries on."""
    run = example_shop()

    status = example_shop.job.run("resilience", "status", "crawls/shop", "--json")
    assert '"state": "finished"' in status.out
    check_example(example_shop.job)
    for host in ("h0.test", "h1.test"):
        assert f"Selector drift: shelf 1.1.0, price on {host}: from its usual" in run.log
    assert run.stats["resilience/drift/alarms"] == 2
    assert run.stats["resilience/coverage/dict/price"] == 1


def test_the_example_shop_is_killed(example_shop):
    """Under kills both feeds of the example hold each item once."""
    example_shop("-s", "RESILIENCE_CHECKPOINT_INTERVAL=0.2", kills=2)

    check_example(example_shop.job)


def test_the_example_rolls_back(example_shop):
    """By hand or by itself the set goes back to the version that knows the new look."""
    job = example_shop.job
    run = example_shop("-s", "RESILIENCE_DRIFT_ACTION=rollback")
    assert "Selector drift: shelf 1.0.0 is active now" in run.log
    assert job.path("selectors/shelf/active").read_text().split()[0] == "1.0.0"

    assert job.run("resilience", "selectors", "rollback", "shelf", "1.1.0").code == 0
    assert job.run("resilience", "selectors", "test", "shelf").code == 0
    assert (
        "shelf 1.0.0 is active" in job.run("resilience", "selectors", "rollback", "shelf").out
    )


def test_the_example_kills_itself(tmp_path):
    """``./run example`` kills its crawl twice, and its table says that nothing is lost."""
    folder = tmp_path / "example"
    example(folder)
    run = subprocess.run(
        [sys.executable, "kill.py"], cwd=folder, capture_output=True, text=True, check=False
    )

    assert run.returncode == 0, run
    assert run.stdout.count("killed with SIGKILL") == 2
    table = [line.split() for line in run.stdout.splitlines()[-4:-2]]
    assert table == [
        ["pages", "items", "kills", "lost", "twice"],
        ["800", "1600", "2", "0", "0"],
    ], run.stdout


@pytest.mark.parametrize("option", [[], ["-s", "TWISTED_REACTOR_ENABLED=False"]])
def test_the_example_without_its_port(tmp_path, option):
    """A port that is taken is said, with the way out, and the exit code is 1."""
    job = example(tmp_path / "example")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = job.run("crawl", "shop", "-a", f"port={port}", *option)

    assert run.code == 1, run
    (line,) = [line for line in run.log.splitlines() if line.startswith("There is nothing")]
    assert "ddress already in use" in line  # of this port, or of the one behind it
    assert "-a port=NUMBER" in line
    assert not job.path("crawls").exists()


@pytest.mark.slow
def test_real_pages(tmp_path, python_docs, rng):
    """Under kills the crawl of real pages finds exactly those that links lead to."""
    root = tmp_path / "html"
    for part in PARTS:  # a tenth of all pages
        shutil.copytree(python_docs / part, root / part)
    shutil.copy(python_docs / "index.html", root)
    with running_folder(root) as folder:
        job = example(tmp_path / "example")
        job.rng, job.settings = rng, {"JOBDIR": "crawls/site"}
        job.survive(
            "crawl", "site", "-a", f"root={folder.url('index.html')}",
            "-s", "RESILIENCE_CHECKPOINT_INTERVAL=0.3",
            kills=2, commits=1,
        )  # fmt: skip

    paths = [unquote(urlsplit(item["url"]).path) for item in job.items("items/site.jsonl")]
    check_same(paths, walk_folder(root))


POOL = """
    import asyncio, multiprocessing, os
    from concurrent.futures import ProcessPoolExecutor
    from pathlib import Path
    from shop import Base

    class Shop(Base):
        async def parse(self, response):
            if not hasattr(self, "pool"):
                self.pool = ProcessPoolExecutor(1, multiprocessing.get_context("fork"))
                loop = asyncio.get_running_loop()
                pid = await loop.run_in_executor(self.pool, os.getpid)
                Path("workers").write_text(str(pid))
            for output in super().parse(response):
                yield output

        def closed(self, reason):
            self.pool.shutdown()
"""


def test_a_pool_of_forked_processes(crawl):
    """Processes of a pool, which a kill leaves behind, hold neither the job nor its feeds."""
    job = crawl(POOL)
    job.run_until()
    assert job.kills == 1
    workers = {int(line) for line in job.path("workers").read_text().split()}
    try:
        for worker in workers:
            os.kill(worker, 0)  # they are there
        job.finish()
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGKILL)

    job.check_items()


FREED = """
import asyncio, gc, heapq, json, sys, weakref
from scrapy.crawler import AsyncCrawlerRunner
from scrapy.utils.project import get_project_settings
from scrapy.utils.reactor import install_reactor
from spider import Shop
install_reactor("twisted.internet.asyncioreactor.AsyncioSelectorReactor")
from twisted.internet import reactor
settings = get_project_settings()
async def main():
    known = []
    for number in range(3):
        settings.set("JOBDIR", sys.argv[1] and f"job{number}")
        runner = AsyncCrawlerRunner(settings)
        crawler = runner.create_crawler(Shop)
        known.append(weakref.ref(crawler))
        await runner.crawl(crawler)
    del runner, crawler
    loop = asyncio.get_running_loop()  # its timers that were cancelled keep contexts
    loop._scheduled[:] = [timer for timer in loop._scheduled if not timer.cancelled()]
    heapq.heapify(loop._scheduled)
    loop._timer_cancelled_count = 0
    gc.collect()
    print("left", sum(each() is not None for each in known[:-1]))  # Twisted has a last timer
def begin():
    task = asyncio.ensure_future(main())
    task.add_done_callback(lambda _: reactor.stop())
reactor.callWhenRunning(begin)
reactor.run()
"""


@pytest.mark.parametrize("jobdir", ["job", ""])
def test_a_crawl_that_has_ended_is_forgotten(crawl, jobdir):
    """A process that runs one after the other has the memory of none of them."""
    job = crawl(
        """
        import scrapy
        from scrapy_resilience.handlers import register_failure_handler
        from scrapy_resilience.watchdog import on_breach, register_component
        class Shop(scrapy.Spider):
            name = "shop"
            start_urls = ["data:,"]
            @classmethod
            def from_crawler(cls, crawler):
                spider = super().from_crawler(crawler)
                register_component(crawler, "mine", spider.check)
                register_failure_handler(crawler, "transient", spider.check)
                on_breach(crawler, "default", spider.check)
                return spider
            def check(self, *args):
                pass
            def parse(self, response):
                yield {"sku": response.url}
        """,
        spawn=True,
        RESILIENCE_METRICS_TEXTFILE="metrics.prom",
    )
    job.write("freed.py", FREED)

    run = job.run(sys.executable, "freed.py", jobdir)

    assert run.code == 0, run
    assert "left 0" in run.out, run
