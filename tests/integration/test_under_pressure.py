"""Real crawls under pressure: each rung of the ladder, and that they go on."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from crawls import BUSY, Crawl
from notifying import QUICK
from ports import free_port
from receivers import webhook
from web import serving

pytestmark = [pytest.mark.integration, pytest.mark.slow]

BASE = """
    import asyncio, json, os, resource, time
    from pathlib import Path
    import scrapy
    from scrapy_resilience import signals as ours
    from scrapy_resilience.guard.watchdog.watch import resource_watch_of
    from scrapy_resilience.watchdog import register_cache, register_freeable

    MB = 2**20

    class Base(scrapy.Spider):
        name = "shop"
        @classmethod
        def from_crawler(cls, crawler, *args, **kwargs):
            self = super().from_crawler(crawler, *args, **kwargs)
            self.events, self.number, self.kept = [], 0, []
            crawler.signals.connect(self.heard, ours.crawl_event)
            crawler.signals.connect(self.over, scrapy.signals.engine_stopped)
            self.begin(crawler)
            return self
        def begin(self, crawler):
            pass
        def heard(self, kind, text):
            self.events.append([kind, text])
        def over(self):
            with open("events.json", "a") as file:
                file.write(json.dumps(self.events) + "\\n")
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        def parse(self, response):
            self.number += 1
            self.page(response)
            yield dict(sku=response.url)
        def page(self, response):
            pass
"""
RSS = """
    import psutil
    USED = psutil.Process().memory_info().rss / 2**20
    RESILIENCE_MEMORY_LIMIT_MB = {limit}
"""


def settings(**more):
    """For crawls with a few pages a second."""
    return {
        **BUSY,
        "CONCURRENT_REQUESTS": 4,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 4,
        "DOWNLOAD_DELAY": 0.02,
        "RESILIENCE_WATCHDOG_INTERVAL": 0.5,
        "RESILIENCE_MEMORY_PATIENCE": 6.0,
        "RESILIENCE_SNAPSHOT_INTERVAL": 0,
        **more,
    }


@pytest.fixture
def under_pressure(tmp_path):
    """``crawl(source, pages, room, **settings)``: *room* MB above what a crawl needs."""
    with serving(lambda *_: 200) as web:

        def make(source, pages=40, room=100, **more):
            urls = web.urls("127.0.0.1", pages)
            crawl = Crawl(tmp_path, BASE + source, URLS=urls, **settings(**more))
            used = _needs(crawl)
            crawl.configure(RESILIENCE_MEMORY_LIMIT_MB=(used + room) / 0.85)
            return crawl

        yield make


def _needs(crawl):
    """MB that such a crawl has at its start: that of this process is no measure."""
    crawl.configure(RESILIENCE_MEMORY_LIMIT_MB=4_000)
    crawl.write("needs.py", NEEDS)
    run = crawl.run("runspider", "needs.py", "-s", "JOBDIR=needs", "-s", "ITEM_PIPELINES={}")
    assert run.code == 0, run
    return float(crawl.path("needs.txt").read_text())


NEEDS = """
import psutil, scrapy
from pathlib import Path
class Needs(scrapy.Spider):
    name = "needs"
    async def start(self):
        used = psutil.Process().memory_info().rss / 2**20
        Path("needs.txt").write_text(str(used))
        return
        yield
"""


def events(crawl, kind):
    """The texts of a kind, of all runs."""
    lines = crawl.path("events.json").read_text().splitlines()
    return [text for line in lines for each, text in json.loads(line) if each == kind]


def guard(run, kind="memory"):
    """How often each rung was climbed."""
    prefix = f"resilience/guard/{kind}/"
    rungs = ("clean", "fewer", "pause", "free", "close")
    return {rung: run.stats[prefix + rung] for rung in rungs if prefix + rung in run.stats}


def test_cleaning_is_enough(under_pressure):
    """A cache that a spider has registered: cleared time and again, and nothing pauses."""
    crawl = under_pressure(
        """
    class Shop(Base):
        def begin(self, crawler):
            register_cache(crawler, "pages", self.kept.clear)
        def page(self, response):
            self.kept.append(b"x" * 10 * MB)
        """,
        pages=60,
    )

    run = crawl.finish()

    crawl.check_pages()
    assert [*guard(run)] == ["clean"]
    assert run.stats["resilience/guard/memory/clean"] >= 3
    assert "caches cleared" in events(crawl, "memory")[0]


def test_a_cache_that_a_setting_names(under_pressure):
    """The same for a dict of a module, without a line of code for it."""
    crawl = under_pressure(
        """
    kept = {}
    class Shop(Base):
        def page(self, response):
            kept[response.url] = b"x" * 10 * MB
        """,
        RESILIENCE_MEMORY_CACHES=["spider.kept"],
    )

    run = crawl.finish()

    crawl.check_pages()
    assert [*guard(run)] == ["clean"]


def test_a_spike_is_a_pause(under_pressure):
    """Far more than the limit for a second: paused, and on with all items when it is over."""
    crawl = under_pressure(
        """
    class Shop(Base):
        def page(self, response):
            if self.number == 10:
                self.kept = [b"x" * 400 * MB]
                asyncio.get_running_loop().call_later(1.5, self.kept.clear)
        """
    )

    run = crawl.finish()

    crawl.check_pages()
    assert guard(run) == {"clean": 1, "pause": 1}
    pause, end = events(crawl, "pause")
    assert "MB of memory are used" in pause
    assert "has ended" in end
    assert events(crawl, "memory")[-1].endswith("the crawl goes on as before")


def test_high_memory_lowers_the_requests(under_pressure):
    """Memory that is high and does not grow: fewer requests at a time, and it finishes."""
    crawl = under_pressure(
        """
    class Shop(Base):
        def page(self, response):
            if self.number == 5:
                self.kept = [b"x" * 110 * MB]
        """,
        pages=150,
    )

    run = crawl.finish()

    crawl.check_pages()
    assert guard(run).keys() <= {"clean", "fewer", "pause"}
    assert any("2 requests at a time instead of 4" in text for text in events(crawl, "memory"))


FREED = """
    class Shop(Base):
        def begin(self, crawler):
            register_freeable(crawler, "broken", lambda: 1 / 0)
            register_freeable(crawler, "pages", self.free)
        async def free(self):
            await asyncio.sleep(0.1)
            self.kept.clear()
        def page(self, response):
            self.kept.append(b"x" * 10 * MB)
"""


def test_components_free(under_pressure):
    """What only a component can free: it is asked in a pause, told, and the crawl goes on."""
    with webhook() as hook:
        crawl = under_pressure(FREED, pages=40, RESILIENCE_NOTIFY=[hook.url], **QUICK)
        run = crawl.run()

    assert {"memory", "pause", "finished"} <= {each["kind"] for each in hook.notices()}
    assert (run.code, run.reason) == (0, "finished"), run
    crawl.check_pages()
    assert guard(run)["free"] >= 1
    assert "close" not in guard(run)
    assert any("broken can't free its memory" in line for line in run.errors)


LEAK = """
    class Shop(Base):
        def page(self, response):
            self.kept.append(b"x" * 10 * MB)
            used = Path("/proc/self/statm").read_text().split()[1]
            with open("used.txt", "a") as file:
                file.write(f"{int(used) * resource.getpagesize() / MB}\\n")
"""


def test_a_leak_closes_before_the_limit(under_pressure):
    """A leak that nothing clears: run until exit code 0, it has every item once."""
    crawl = under_pressure(LEAK, pages=25, DOWNLOAD_DELAY=0.15)
    limit = crawl.settings["RESILIENCE_MEMORY_LIMIT_MB"]

    runs = []
    while not runs or runs[-1].code == 75:
        runs.append(crawl.run())
        assert len(runs) < 15, runs

    assert runs[-1].code == 0, runs[-1]
    assert {(run.code, run.reason) for run in runs[:-1]} == {(75, "resilience_memory")}
    assert [run.errors for run in runs[:-1]] == [[each] for run in runs for each in run.errors]
    assert runs[0].stats["resilience/snapshots/emergency"] == 1
    used = [float(line) for line in crawl.path("used.txt").read_text().split()]
    under_way = 10 * crawl.settings["CONCURRENT_REQUESTS"]  # may still come on a busy machine
    assert max(used) < limit + under_way
    crawl.check_pages()


def test_it_only_tells_where_that_is_asked(under_pressure):
    """RESILIENCE_WATCHDOG_HEALS=False: nothing is done, and the pressure is told."""
    crawl = under_pressure(LEAK, pages=15, DOWNLOAD_DELAY=0.15, RESILIENCE_WATCHDOG_HEALS=False)

    run = crawl.finish()

    assert guard(run) == {}
    assert any("Memory is" in text for text in events(crawl, "resource"))


@pytest.mark.parametrize("more", [
    {"JOBDIR": None},
    {"JOBDIR": None, "SCHEDULER": "scrapy.core.scheduler.Scheduler"},
    {"TWISTED_REACTOR_ENABLED": False, "TWISTED_DNS_RESOLVER": None},
], ids=["no job", "Scrapy's scheduler", "no reactor"])  # fmt: skip
def test_a_spike_elsewhere(under_pressure, more):
    """The same without a job, with Scrapy's scheduler, and without a reactor."""
    crawl = under_pressure(
        """
    class Shop(Base):
        def page(self, response):
            if self.number == 10:
                self.kept = [b"x" * 400 * MB]
                asyncio.get_running_loop().call_later(1.0, self.kept.clear)
        """,
        **more,
    )

    run = crawl.finish()

    crawl.check_pages()
    assert guard(run) == {"clean": 1, "pause": 1}


DISK = """
    import scrapy_resilience.guard.pressure as easing
    from scrapy_resilience.core.readings import Disk
    from scrapy_resilience.observe.health import resources

    def read_disks(folders):
        free = 10 if os.path.exists("full") else 50_000
        return {"job": Disk("/job", 50_000 * MB, 100_000 * MB),
                "feeds": Disk("/feeds", free * MB, 100_000 * MB)}
    resources.read_disks = read_disks

    class Shop(Base):
        def page(self, response):
            if self.number == 10:
                open("full", "w").close()
                asyncio.get_running_loop().call_later(
                    self.settings.getfloat("ROOM_AFTER"), os.unlink, "full")
"""


def test_a_full_disk_pauses(under_pressure):
    """One of two disks is full: paused, and on when there is room again."""
    crawl = under_pressure(DISK, ROOM_AFTER=2.0)

    run = crawl.finish()

    crawl.check_pages()
    assert guard(run, "disk") == {"pause": 1}
    assert events(crawl, "pause")[0] == (
        "The crawl is paused: 10 MB are free on the disk of /feeds"
    )


def test_a_disk_that_stays_full_closes(under_pressure):
    """After its time it closes, can be resumed, and the next run has the rest."""
    crawl = under_pressure(DISK, ROOM_AFTER=600, RESILIENCE_DISK_PATIENCE=2)

    run = crawl.run()
    crawl.path("full").unlink()
    crawl.write("spider.py", crawl.path("spider.py").read_text().replace("== 10", "== -1"))
    crawl.finish()

    assert (run.code, run.reason) == (75, "resilience_disk"), run
    crawl.check_pages()


LATE = """
    from scrapy_resilience.testing import ScaledClock, use_clock
    use_clock(ScaledClock(20))

    class Shop(Base):
        def page(self, response):
            began = time.thread_time()
            while self.number <= self.settings.getint("BUSY_PAGES") and (
                time.thread_time() - began < 0.2
            ):
                pass
"""


def test_a_late_loop_lowers_the_requests(under_pressure):
    """Callbacks that compute for long: fewer requests at a time, told, and never a close."""
    with webhook() as hook:
        # of the scaled clock: half a second is short for a machine that is busy
        told = {"RESILIENCE_NOTIFY": [hook.url], **QUICK, "RESILIENCE_NOTIFY_TIMEOUT": 600}
        crawl = under_pressure(LATE, pages=60, BUSY_PAGES=60, CONCURRENT_ITEMS=100, **told)
        run = crawl.finish()

    assert "cpu" in {each["kind"] for each in hook.notices()}
    crawl.check_pages()
    assert [*guard(run, "cpu")] == ["fewer"]
    assert guard(run) == {}


def test_a_late_loop_closes_where_that_is_asked(under_pressure):
    """RESILIENCE_CPU_CLOSE_AFTER: the reason is resilience_cpu, and a resume has the rest."""
    crawl = under_pressure(LATE, pages=150, BUSY_PAGES=150, RESILIENCE_CPU_CLOSE_AFTER=1)

    run = crawl.run()
    crawl.configure(BUSY_PAGES=0)
    crawl.finish()

    assert (run.code, run.reason) == (75, "resilience_cpu"), run
    crawl.check_pages()


def test_the_example(tmp_path):
    """The leaking shop of the guide: paused, healed, finished with all items.

    With some fewer pages: each relapse has a longer pause, and too few are done before one.
    """
    root = Path(__file__).parents[2]
    folder = tmp_path / "example_project"
    ignored = shutil.ignore_patterns("crawls", "items", "active", "__pycache__")
    shutil.copytree(root / "example_project", folder, ignore=ignored)
    guide = (root / "docs" / "how-to" / "pressure.rst").read_text("utf-8")
    command = re.search(r"^    \$ scrapy (crawl shop .*)$", guide, re.MULTILINE)[1].split()
    port = free_port(in_a_row=2)  # the site's, and the one that refuses

    run = subprocess.run(
        [sys.executable, "-m", "scrapy", *command, "-a", "pages=80", "-a", f"port={port}"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip

    assert run.returncode == 0, run.stderr
    assert "The crawl is paused" in run.stderr
    assert "components free what they can" in run.stderr
    assert "'finish_reason': 'finished'" in run.stderr
    assert re.search(r"'resilience/guard/memory/pause': [1-9]", run.stderr)
    lines = (folder / "items" / "shop.jsonl").read_text("utf-8").splitlines()
    assert len({json.loads(line)["sku"] for line in lines}) == len(lines) == 2 * 80 * 2
