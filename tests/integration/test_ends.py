"""The end of a job of which a part fails: the job is free, and nothing is lost."""

from __future__ import annotations

import pytest
from crawls import SHOP

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
