"""Crawls that are paused as a whole: stopped, killed or closed meanwhile, they lose nothing."""

from __future__ import annotations

import signal
import time

import pytest
from crawls import wait_until

pytestmark = pytest.mark.integration

PAUSING = """
    import asyncio, os, time
    import scrapy
    from shop import Base
    from scrapy_resilience.gates.crawl_pauses import pauses_of

    class Shop(Base):
        @classmethod
        def from_crawler(cls, crawler, *args, **kwargs):
            self = super().from_crawler(crawler, *args, **kwargs)
            self.pauses, self.pages = pauses_of(crawler), 0
            if "start" in self.settings["PAUSES"]:
                self.pause()
            return self
        def pause(self):
            self.pauses.pause("test", "the test says so")
            open("paused", "w").close()
            asyncio.get_event_loop().call_later(self.settings.getfloat("RESUME"), self.resume)
        def resume(self):
            self.pauses.resume("test")
        def parse(self, response):
            yield from super().parse(response)
            self.pages += 1
            if self.pages % 15 == 0 and "pages" in self.settings["PAUSES"]:
                self.pause()
            if self.pages == 15 and "close" in self.settings["PAUSES"]:
                raise scrapy.exceptions.CloseSpider("enough")
"""


@pytest.fixture
def pausing(plain_crawl):
    """``pausing(pauses, resume, **settings)``: a crawl that pauses itself."""

    def make(pauses="pages", resume=0.3, **more):
        return plain_crawl(PAUSING, PAUSES=pauses, RESUME=resume, **more)

    return make


def test_pauses_lose_nothing(pausing):
    """Paused time and again: every item once."""
    job = pausing()

    job.finish()

    job.check_items()


def test_paused_before_it_begins(pausing):
    """A pause from before the engine: ``start()`` waits, and goes on."""
    job = pausing("start", 1.0)

    job.finish()

    job.check_items()


@pytest.mark.parametrize("more", [
    {}, {"JOBDIR": None}, {"JOBDIR": None, "SCHEDULER": "scrapy.core.scheduler.Scheduler"},
], ids=["job", "no job", "Scrapy's scheduler"])  # fmt: skip
def test_nothing_is_asked_for_while_paused(pausing, more):
    """Neither by the scheduler nor by ``start()``."""
    job = pausing("start", 3600, **more)

    with job.process() as process:
        wait_until(lambda: "Crawled 0 pages" in job.last().log)
        time.sleep(0.7)  # a signal before the engine has started ends the process as it is
        process.send_signal(signal.SIGINT)
        run = job.ended(process)

    assert run.reason == "shutdown"
    assert run.stats.get("downloader/request_count", 0) == 0
    assert run.stats.get("scheduler/enqueued", 0) == 0
    assert run.errors == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("pauses", ["start", "pages"])
def test_ended_while_paused(pausing, number, pauses):
    """Stopped or killed in a pause, at the start or later: the next run has the rest."""
    job = pausing(pauses, 3600)

    run = job.run_until(until=lambda: job.path("paused").exists(), spread=0.3, number=number)
    job.configure(PAUSES="", RESUME=0)
    job.finish()

    assert run.code == (-9 if number == signal.SIGKILL else 75), run
    job.check_items()


def test_closed_while_paused(pausing):
    """A close in a pause does not wait for its end."""
    job = pausing("pages close", 3600)

    run = job.run()
    job.configure(PAUSES="", RESUME=0)
    job.finish()

    assert (run.code, run.reason, run.errors) == (0, "enough", [])
    job.check_items()


def test_kills_and_pauses(pausing):
    """Pauses all the time, those of a budget among them, and some kills: every item once."""
    job = pausing("pages", 0.2)
    job.configure(RESILIENCE_BUDGETS=[{"resource": "requests", "limit": 8, "per": 0.5}])

    job.survive(kills=4, commits=2)

    job.check_items()
    told = "the budget of 8 requests in 0.5 s is used up"
    assert any(told in path.read_text("utf-8") for path in job.folder.glob("log.*"))


def test_scrapys_scheduler_goes_on(pausing):
    """With Scrapy's scheduler the engine is paused, and finishes."""
    job = pausing(JOBDIR=None, SCHEDULER="scrapy.core.scheduler.Scheduler")

    job.finish()

    job.check_items()


def test_without_a_reactor(pausing):
    """The same without one."""
    job = pausing(TWISTED_REACTOR_ENABLED=False, TWISTED_DNS_RESOLVER=None)

    job.finish(env={"http_proxy": f"http://127.0.0.1:{job.site.port}", "no_proxy": ""})

    job.check_items()
