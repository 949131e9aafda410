"""The end of a job of which a part fails: the job is free, and nothing is lost."""

from __future__ import annotations

import json

import pytest
from crawls import KILLED, SHOP

pytestmark = pytest.mark.integration

FAILING = """
    from scrapy import signals
    from shop import Base
    from scrapy_resilience.checkpoint.parts import Part
    from scrapy_resilience.jobs.crawl_job import job_of

    class Failing(Part):
        async def closing(self):
            self.fail("closing")
        async def ended(self):
            self.fail("ended")
        def closed(self):
            self.fail("closed")
        def fail(self, when):
            if when == self.when:
                raise RuntimeError(f"failed while {when}")

    class Shop(Base):
        @classmethod
        def from_crawler(cls, crawler, *args, **kwargs):
            spider = super().from_crawler(crawler, *args, **kwargs)
            crawler.signals.connect(spider.add_part, signals.engine_started)
            return spider
        def add_part(self):
            part = Failing()
            part.when = self.settings["WHEN"]
            job_of(self.crawler).parts.insert(0, part)
"""


@pytest.mark.parametrize("when", ["closing", "ended", "closed"])
def test_a_part_that_fails(crawl, when):
    """The next run goes on, or finds a job that has finished."""
    job = crawl(FAILING, WHEN=when)

    failed = job.run()
    job.write("spider.py", SHOP)
    again = job.run()

    assert failed.code == 1, failed
    assert f"failed while {when}" in failed.log
    if when == "closing":
        again.check_finished()
    else:
        again.check_refused("has finished")
    job.check_items()


NIGHTS = """
    import os, scrapy
    from scrapy_resilience.failpoints import reached
    def kill(step):
        if step == os.environ.get("KILL_AT"):
            os.kill(os.getpid(), 9)
    reached.append(kill)
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for number in self.settings.getlist("NUMBERS"):
                yield {"sku": int(number)}
"""


@pytest.mark.parametrize("kill_at", ["", "spool/exported", "spool/stored", "spool/published"])
def test_a_document_of_a_job_that_had_finished(plain_crawl, kill_at):
    """A run that goes on with it makes a new one, and leaves the old one under another name."""
    feeds = {"items.json": {"format": "json", "overwrite": True}}
    job = plain_crawl(NIGHTS, FEEDS=feeds, NUMBERS="1,2,3")
    job.finish()
    before = job.path("items.json").read_text()
    job.configure(NUMBERS="4", RESILIENCE_RERUN_START=True)

    if kill_at:
        assert job.run(env={"KILL_AT": kill_at}).code == KILLED
        job.configure(RESILIENCE_RERUN_START=False)  # or its items come once more
    run = job.finish()

    assert json.loads(job.path("items.json").read_text()) == [{"sku": 4}]
    old = [*job.path("items.json").parent.glob("items.json.*Z")]
    assert before in [path.read_text() for path in old]
    assert kill_at or f"those of the finished job are in {old[0].name}" in run.log
