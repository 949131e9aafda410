"""A crawl that is told to stop ends in time, whatever hangs, and loses and doubles nothing."""

from __future__ import annotations

import signal
import sys
import time
from textwrap import dedent

import pytest
from crawls import wait_until

pytestmark = pytest.mark.integration

STUCK = """
    import asyncio, os, threading, time
    import scrapy
    from shop import Base
    class Shop(Base):
        async def start(self):
            async for request in super().start():
                yield request
            yield scrapy.Request(self.settings["SILENT"], errback=self.failed)
        def failed(self, failure):
            yield {"sku": "from the errback", "page": -1}
            if not os.path.exists("again"):
                yield scrapy.Request(self.start_urls[0] + "?from=errback")
    class Second(Shop):
        name = "second"
    def stuck(item):
        return item["page"] == 20 and not os.path.exists("again")
    class Slow:
        async def process_item(self, item):
            if stuck(item):
                open("stuck", "w").close()
                await asyncio.sleep(3600)
            return item
    class Blocking:
        def process_item(self, item):
            if stuck(item):
                open("stuck", "w").close()
                time.sleep(3600)
            return item
    class Thread:
        async def process_item(self, item):
            if stuck(item):
                open("stuck", "w").close()
                await asyncio.to_thread(time.sleep, 3600)
            return item
    class Stubborn:
        async def process_item(self, item):
            if stuck(item):
                open("stuck", "w").close()
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    pass
            return item
    class Closing:
        def process_item(self, item):
            open("stuck", "w").close()
            return item
        async def close_spider(self):
            if not os.path.exists("again"):
                await asyncio.sleep(3600)
"""


@pytest.fixture
def stuck(plain_crawl):
    """``stuck(pipeline)``: a crawl with a download and a pipeline that never end."""

    def make(pipeline="Slow", **settings):
        job = plain_crawl(STUCK, ITEM_PIPELINES={f"spider.{pipeline}": 1}, **settings)
        job.configure(SILENT=job.site.url("silent.test"), RESILIENCE_CHECKPOINT_INTERVAL=0.2)
        job.configure(RESILIENCE_SLOW_START=0)  # its first request hangs for long, too
        return job

    return make


def stop(job, *command, timeout=3, number=signal.SIGTERM, again=False, env=None):
    """Stop a crawl that would be stuck for an hour: that it ends shows that it was cut off."""
    job.configure(RESILIENCE_SHUTDOWN_TIMEOUT=timeout)
    with job.process(*command, env=env) as process:
        wait_until(lambda: job.path("stuck").exists())
        time.sleep(0.1)
        process.send_signal(number)
        if again:
            time.sleep(0.5)  # two signals at a time are one
            process.send_signal(number)
        return job.ended(process)


def check_resume(job, *command, table="items.csv", jsonl="items.jsonl", env=None):
    """The next run ends well, with every item exactly once and none of the errback."""
    job.write("again", "")
    job.configure(DOWNLOAD_TIMEOUT=1, RETRY_ENABLED=False)
    run = job.run(*command, env=env)
    assert run.code == 0, run
    items = [*job.site.expected_items(), {"sku": "from the errback"}]  # of this run
    job.check_items(items, jsonl=jsonl, table=table)


def test_a_download_and_a_pipeline_that_hang(stuck):
    """Both are cut off in the time that is set, and nobody is told of it."""
    job = stuck(spawn=True)

    run = stop(job)

    assert (run.code, run.reason, run.errors) == (75, "shutdown", [])
    assert run.stats["resilience/shutdown/cut"] >= 2
    assert "from the errback" not in job.path("items.jsonl").read_text()
    check_resume(job)


@pytest.mark.parametrize("pipeline", ["Slow", "Thread", "Stubborn"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_time(stuck, pipeline, number):
    """What waits is cut off, also by Ctrl-C, in a thread, and what does not want to end."""
    job = stuck(pipeline, CONCURRENT_ITEMS=1 if pipeline == "Slow" else 16)

    run = stop(job, number=number)

    assert (run.code, run.reason) == (75, "shutdown"), run
    assert "Task was destroyed" not in run.log
    check_resume(job)


@pytest.mark.parametrize("pipeline", ["Blocking", "Closing"])
def test_what_cannot_be_cut(stuck, pipeline):
    """A pipeline that blocks the process, or its own close, ends with the process in time."""
    job = stuck(pipeline)

    run = stop(job)

    assert run.code == 75, run
    assert "Something still runs" in run.log
    check_resume(job)


def test_at_once(stuck):
    """With a timeout of 0 everything is committed and cut off at once."""
    job = stuck()

    run = stop(job, timeout=0)

    assert (run.code, run.reason) == (75, "shutdown"), run
    check_resume(job)


@pytest.mark.parametrize("pipeline", ["Slow", "Blocking", "Thread"])
def test_a_second_signal(stuck, pipeline):
    """A second Ctrl-C ends at once, and the next run goes on at the last commit."""
    job = stuck(pipeline)

    run = stop(job, timeout=3600, number=signal.SIGINT, again=True)

    assert run.code == 75, run
    check_resume(job)


def test_reactorless(stuck):
    """Without a reactor a stop takes as long, and ends with the same code."""
    job = stuck(spawn=True)
    job.configure(TWISTED_REACTOR_ENABLED=False, TWISTED_DNS_RESOLVER=None)
    env = {"http_proxy": f"http://127.0.0.1:{job.site.port}", "no_proxy": ""}

    run = stop(job, env=env)

    assert (run.code, run.reason) == (75, "shutdown"), run
    check_resume(job, env=env)


def test_runspider(stuck):
    """``scrapy runspider`` stops as ``scrapy crawl`` does."""
    job = stuck()
    source = job.path("spider.py").read_text("utf-8").replace("class Second", "class _Second")
    job.write("one.py", source.replace('class _Second(Shop):\n    name = "second"\n', ""))

    run = stop(job, "runspider", "one.py")

    assert (run.code, run.reason) == (75, "shutdown"), run
    check_resume(job, "runspider", "one.py")


PROCESS = """
    from scrapy.crawler import {process}
    from scrapy.utils.project import get_project_settings
    from spider import Second, Shop
    if __name__ == "__main__":
        process = {process}(get_project_settings())
        process.crawl(Shop)
        process.crawl(Second)
        process.start()
        raise SystemExit(int(process.bootstrap_failed))
"""
RUNNER = """
    from scrapy.utils.log import configure_logging
    from scrapy.utils.project import get_project_settings
    from scrapy.utils.reactor import install_reactor
    install_reactor("twisted.internet.asyncioreactor.AsyncioSelectorReactor")
    from scrapy.crawler import {process}
    from spider import Second, Shop
    from twisted.internet import reactor
    def ended(_):
        if reactor.running:
            reactor.callLater(0, lambda: reactor._stopped or reactor.stop())
    if __name__ == "__main__":
        settings = get_project_settings()
        configure_logging(settings)
        from scrapy_resilience.testing import LoopbackResolver
        LoopbackResolver(reactor, 100, 5).install_on_reactor()
        runner = {process}(settings)
        runner.crawl(Shop)
        runner.crawl(Second)
        runner.join().addBoth(ended)
        reactor.run()
        raise SystemExit(int(runner.bootstrap_failed))
"""


def test_a_script_with_a_runner(stuck):
    """The reactor does not end before the script can know how the crawl has."""
    job = stuck()
    script = RUNNER.format(process="CrawlerRunner").replace("runner.crawl(Second)", "")
    job.write("script.py", dedent(script))

    run = stop(job, sys.executable, "script.py")

    assert run.code == 1, run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("process", "script"),
    [("CrawlerProcess", PROCESS), ("AsyncCrawlerProcess", PROCESS), ("CrawlerRunner", RUNNER)],
)
def test_two_spiders_in_a_script(stuck, process, script):
    """Two spiders in one process end in time, and each goes on exactly once."""
    job = stuck(JOBDIR="jobs/%(spider)s", FEEDS={"%(name)s.jsonl": {"format": "jsonlines"}})
    job.write("script.py", dedent(script.format(process=process)))
    command = (sys.executable, "script.py")

    run = stop(job, *command)

    assert run.code == 1, run
    assert run.log.count("Closing spider (shutdown)") == 2
    check_resume(job, *command, jsonl="shop.jsonl", table=None)
    job.check_items(
        [*job.site.expected_items(), {"sku": "from the errback"}],
        jsonl="second.jsonl",
        table=None,
    )


def test_a_second_signal_in_a_script(stuck):
    """A script that is stopped twice is told that the crawl did not get through."""
    job = stuck()
    script = PROCESS.format(process="AsyncCrawlerProcess").replace("process.crawl(Second)", "")
    job.write("script.py", dedent(script))

    run = stop(job, sys.executable, "script.py", again=True, timeout=3600)

    assert run.code == 1, run


HANGING = """
    import time
    from scrapy_resilience.snapshots.store import SnapshotStore
    from shop import Base
    class Shop(Base):
        pass
    create = SnapshotStore.create
    def hanging(self, *args, kind, **kwargs):
        if kind == "close":
            open("stuck", "w").close()
            time.sleep(3600)
        return create(self, *args, kind=kind, **kwargs)
    SnapshotStore.create = hanging
"""


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(
    "command", [(), (sys.executable, "script.py")], ids=["crawl", "script"]
)
def test_a_last_snapshot_that_hangs(plain_crawl, command, again):
    """A signal bounds the snapshot of a crawl that has ended, whose items are all there."""
    job = plain_crawl(HANGING)
    script = PROCESS.format(process="AsyncCrawlerProcess").replace("process.crawl(Second)", "")
    job.write("script.py", dedent(script.replace("Second, ", "")))

    run = stop(job, *command, again=again, timeout=3600 if again else 3)

    assert run.code == 75, run
    assert "the process ends now" in run.log
    job.check_items()
