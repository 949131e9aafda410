"""The watchdog in real crawls: what it reads, and what it says."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from crawls import BUSY, PAGES, Crawl, wait_until
from web import serving

from scrapy_resilience.observe.health.process_tree import TreeReader

pytestmark = pytest.mark.integration

SPIDER = """
    import asyncio, json, subprocess, sys, scrapy
    from pathlib import Path
    from scrapy import signals
    from scrapy_resilience import signals as ours
    from scrapy_resilience.guard.watchdog.watch import resource_watch_of
    from scrapy_resilience.watchdog import check_thresholds, current_metrics, on_breach

    class Shop(scrapy.Spider):
        name = "shop"
        held = []
        told = []

        @classmethod
        def from_crawler(cls, crawler, *args, **kwargs):
            self = super().from_crawler(crawler, *args, **kwargs)
            self.watch = resource_watch_of(crawler)
            self.readings = []
            self.watch.on_reading.append(lambda now, reading: self.readings.append(reading))
            crawler.signals.connect(self.breached, ours.guard_breached)
            crawler.signals.connect(self.recovered, ours.guard_recovered)
            crawler.signals.connect(self.over, signals.spider_closed)
            return self

        def breached(self, name, status, detail):
            self.told.append((name, status))

        def recovered(self, name, detail):
            self.told.append((name, "healthy"))

        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)

        def parse(self, response):
            return dict(sku=response.url)

        def over(self):
            reading = self.readings[-1]
            Path("seen.json").write_text(json.dumps(dict(
                told=self.told, complete=[each.complete for each in self.readings],
                memory=[each.memory for each in self.readings], limit=reading.memory_limit,
                disks=sorted(reading.disks), connections=reading.connections,
                children=max(each.children for each in self.readings),
            )))
"""


def spider(code):
    """The spider with another callback."""
    return f"{SPIDER}\n{code}"


def watch(folder, urls, source=SPIDER, **settings):
    """Run a crawl to its end, and return it, its run and what it has seen."""
    crawl = Crawl(folder, source, URLS=urls, **{**BUSY, **settings})
    run = crawl.run()
    run.check_finished()
    return crawl, run, json.loads(crawl.path("seen.json").read_text())


RELEASE = """
        async def parse(self, response):
            if response.url.endswith("/5"):
                self.held.append(b"x" * (300 << 20))
                await self.seen("unhealthy")
                self.held.clear()
                await self.seen("healthy")
            yield dict(sku=response.url)

        async def seen(self, status):
            while ("memory", status) not in self.told:
                await asyncio.sleep(0.01)
"""


@pytest.mark.parametrize("reactor", [True, False])
def test_memory_that_comes_and_goes(tmp_path, reactor):
    """It is noticed in between two checks, told once each, and the crawl ends as ever."""
    with serving(lambda *_: 200) as web:
        _, run, seen = watch(
            tmp_path,
            web.urls("127.0.0.1", 20),
            spider(RELEASE),
            RESILIENCE_MEMORY_LIMIT_MB=300,
            RESILIENCE_WATCHDOG_INTERVAL=3600,
            TWISTED_REACTOR_ENABLED=reactor,
        )
    assert [each for each in seen["told"] if each[0] == "memory"] == [
        ["memory", "unhealthy"],
        ["memory", "healthy"],
    ]
    assert seen["complete"] == [True] + [False] * (len(seen["complete"]) - 1)
    assert max(seen["memory"]) > 300 << 20
    assert len(re.findall(r"WARNING: Memory is unhealthy: \d+% of the memory", run.log)) == 1
    assert len(re.findall(r"INFO: Memory is healthy again: ", run.log)) == 1


CHILD = """
        async def parse(self, response):
            if response.url.endswith("/5"):
                child = subprocess.Popen([sys.executable, "-c", "input()"],
                                         stdin=subprocess.PIPE)
                while self.watch.reading is None or not self.watch.reading.children:
                    await asyncio.sleep(0.01)
                self.check = [*map(list, check_thresholds("strict", self.crawler))]
                Path("check.json").write_text(json.dumps(self.check))
                found = current_metrics(self.crawler)
                assert found.children == 1 and found.memory > 10 << 20, found
                child.communicate(b"")
            yield dict(sku=response.url)
"""


def test_everything_is_read(tmp_path):
    """Child processes, limits, disks and sockets, each interval; and by name from code."""
    with serving(lambda *_: 200) as web:
        crawl, _, seen = watch(
            tmp_path,
            web.urls("a.test", 20),
            spider(CHILD),
            RESILIENCE_WATCHDOG_INTERVAL=0.1,
            RESILIENCE_THRESHOLDS={"strict": {"memory_mb": [1, 2], "disk": 0.999}},
        )
    assert seen["children"] == 1
    assert "job" in seen["disks"]
    assert seen["connections"] > 0
    assert 0 < seen["limit"] <= 2048 << 20
    (memory, *_), disk = json.loads(crawl.path("check.json").read_text())
    assert memory == "memory_mb"
    assert disk[0] == "disk"


EVERYTHING = """
    import time
    from scrapy_resilience.observe.health import loop_lag
    loop_lag._SLICE, loop_lag._EACH = 0.2, 0.02
    class Shop(Shop):
        async def parse(self, response):
            names = {"memory", "disk", "cpu", "open_files", "connections", "loop_lag"}
            while not names <= {name for name, _ in self.told}:
                time.sleep(0.05)
                await asyncio.sleep(0.01)
            yield dict(sku=response.url)
"""


def test_each_resource_is_told(tmp_path):
    """By the levels of the default set, which a setting may change: once each, in words."""
    low = dict.fromkeys(["memory", "disk", "cpu", "open_files", "loop_lag"], 1e-9)
    with serving(lambda *_: 200) as web:
        _, run, _ = watch(
            tmp_path,
            web.urls("a.test", 2),
            spider(EVERYTHING),
            RESILIENCE_WATCHDOG_INTERVAL=0.1,
            RESILIENCE_THRESHOLDS={"default": {**low, "connections": 1}},
            RESILIENCE_WATCHDOG_HEALS=False,
        )
    told = re.findall(r": (\w[\w ]+) (?:is|are) unhealthy: ", run.log)
    assert sorted(told) == [
        "Connections", "Disk", "Loop lag", "Memory", "Open files", "Processor",
    ]  # fmt: skip


def test_another_scheduler_and_no_observer(tmp_path):
    """It watches all the same."""
    with serving(lambda *_: 200) as web:
        _, _, seen = watch(
            tmp_path,
            web.urls("a.test", 5),
            JOBDIR=None,
            SCHEDULER="scrapy.core.scheduler.Scheduler",
            RESILIENCE_OBSERVE_ENABLED=False,
        )
    assert seen["complete"][0]
    assert seen["memory"][0] > 0
    assert "work" in seen["disks"]


def test_it_can_be_turned_off(tmp_path):
    """Nothing is read then; Scrapy's own memusage works beside it otherwise."""
    source = spider("        def over(self): Path('seen.json').write_text('{}')")
    with serving(lambda *_: 200) as web:
        watch(
            tmp_path / "off", web.urls("a.test", 3), source, RESILIENCE_WATCHDOG_ENABLED=False
        )
        _, run, _ = watch(
            tmp_path / "on",
            web.urls("b.test", 3),
            MEMUSAGE_ENABLED=True,
            MEMUSAGE_LIMIT_MB=9000,
        )
    assert run.stats["memusage/startup"] > 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"RESILIENCE_MEMORY_LIMIT_MB": 5}, ["=5: the process uses", "MB already"]),
        ({"RESILIENCE_MEMORY_LIMIT_MB": -1}, ["RESILIENCE_MEMORY_LIMIT_MB=-1"]),
        ({"RESILIENCE_CPU_LIMIT_PERCENT": 120}, ["from 1 to 100"]),
        ({"RESILIENCE_WATCHDOG_INTERVAL": 0}, ["of at least 0.1"]),
        ({"RESILIENCE_THRESHOLDS": {"a": {"cpu": [0.9, 0.7]}}}, ["['a']['cpu']=[0.9, 0.7]"]),
        ({"RESILIENCE_THRESHOLDS": {"default": {"mem": 1}}}, ["did you mean 'memory'?"]),
    ],
)
def test_wrong_settings(tmp_path, settings, words):
    """One line before anything is opened says what is wrong."""
    crawl = Crawl(tmp_path, PAGES, URLS=[], **settings)
    crawl.run().check_refused(*words)
    assert not crawl.job.exists()


def test_no_thread_keeps_the_process(tmp_path):
    """A disk that never answers: the crawl goes on, says so, and its process ends."""
    source = spider("""
    import threading
    from scrapy_resilience.observe.health import disks, resources
    resources._HANGS = 0.2
    def hang(folders):
        threading.Event().wait()
    resources.read_disks = hang
    class Shop(Shop):
        async def parse(self, response):
            while not any(each.complete for each in self.readings[2:]):
                await asyncio.sleep(0.01)
            yield dict(sku=response.url)
""")
    with serving(lambda *_: 200) as web:
        _, run, seen = watch(
            tmp_path, web.urls("a.test", 2), source, RESILIENCE_WATCHDOG_INTERVAL=0.1
        )
    assert seen["disks"] == []
    assert seen["memory"][-1] > 0
    assert "A disk does not answer for" in run.log


def test_several_crawls_in_one_process(tmp_path):
    """Each has its watch, and none is left behind."""
    with serving(lambda *_: 200) as web:
        crawl = Crawl(tmp_path, SPIDER, URLS=web.urls("a.test", 3), JOBDIR=None, **BUSY)
        crawl.write("script.py", SCRIPT)
        run = crawl.run(*SCRIPT_COMMAND)
    assert run.code == 0, run
    assert "watches 2 threads 0" in run.out


SCRIPT = """
import asyncio, threading
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.utils.project import get_project_settings
from spider import Shop
process = AsyncCrawlerProcess(get_project_settings())
crawlers = [process.create_crawler(Shop) for _ in range(2)]
for crawler in crawlers:
    process.crawl(crawler)
process.start()
for thread in threading.enumerate():
    if thread.name.startswith(("resilience-processes", "resilience-disks")):
        thread.join(20)
left = [each.name for each in threading.enumerate() if "resilience-" in each.name]
print("watches", len({id(each.spider.watch) for each in crawlers if each.spider}), end=" ")
print("threads", len(left))
"""

SCRIPT_COMMAND = (sys.executable, "script.py")


@pytest.mark.usefixtures("chromium")
def test_a_real_browser():
    """Its processes are told apart, and what they share counts once."""
    reader = TreeReader(Path("/"))
    tree = reader.read()
    processes = [each for each in reader._processes() if each.is_browser]
    assert tree.browsers >= 3
    assert 10 << 20 < tree.browser_memory < sum(each.resident for each in processes)


SNIPPETS = Path(__file__).parents[2] / "docs" / "snippets"


def test_the_spider_of_the_guide(tmp_path):
    """It hears of its thresholds, and asks for them."""
    source = (SNIPPETS / "resources_spider.py").read_text("utf-8")
    heard = "memory_mb is unhealthy: "

    def answer(_host, path, _count):
        if path == "/4":
            wait_until(lambda: heard in crawl.last().log)
        return 200

    with serving(answer) as web:
        crawl = Crawl(tmp_path, source, URLS=web.urls("a.test", 5), **BUSY)
        crawl.configure(DOWNLOAD_TIMEOUT=60, RESILIENCE_WATCHDOG_INTERVAL=0.1)
        crawl.configure(RESILIENCE_THRESHOLDS={"strict": {"memory_mb": 1}})
        run = crawl.run()
    run.check_finished()
    assert [item["wrong"] for item in crawl.items()] == [["memory_mb"]] * 5
    assert min(item["memory"] for item in crawl.items()) > 1 << 20


def test_the_script_of_the_guide(tmp_path):
    """It tells what this process uses."""
    script = str(SNIPPETS / "resources_script.py")
    run = Crawl(tmp_path, PAGES).run(sys.executable, script)
    assert run.code == 0, run
    assert re.search(r"^\d+ of \d+ MB$", run.out, re.MULTILINE)
    assert "open_files healthy" in run.out
