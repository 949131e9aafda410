"""State of components, whenever they ask for the job."""

from __future__ import annotations

import pytest
from crawls import PAGES, Crawl

pytestmark = pytest.mark.integration

EARLY = """
    import scrapy
    from scrapy_resilience import register_state

    class Shop(scrapy.Spider):
        name = "shop"

        @classmethod
        def from_crawler(cls, crawler, *args, **kwargs):
            spider = super().from_crawler(crawler, *args, **kwargs)
            spider.runs = [0]
            spider.kept = register_state(crawler, "runs", lambda: spider.runs, spider.restore)
            return spider
        def restore(self, value):
            self.runs = value
        async def start(self):
            print("RUN", self.runs, self.kept)
            self.runs[0] += 1
            yield {"sku": self.runs[0]}
            raise RuntimeError("the job goes on")

    class Early:
        def __init__(self, crawler):
            print("EXTENSION", register_state(crawler, "mine", dict))
        @classmethod
        def from_crawler(cls, crawler):
            return cls(crawler)
"""


def test_a_spider_registers_while_it_is_made(tmp_path):
    """Its state is restored before start() runs."""
    crawl = Crawl(tmp_path, EARLY)

    outputs = [crawl.run().out for _ in range(2)]

    assert outputs == ["RUN [0] True\n", "RUN [1] True\n"]


def test_without_a_job_nothing_is_kept(tmp_path):
    """And register_state() says so, to a spider too."""
    crawl = Crawl(tmp_path, EARLY, JOBDIR=None)

    assert crawl.run().out == "RUN [0] False\n"


@pytest.mark.parametrize(
    "settings",
    [
        {"SCHEDULER": "scrapy.core.scheduler.Scheduler"},
        {"RESILIENCE_SCHEDULER_ENABLED": False},
        {"RESILIENCE_ENABLED": False},
    ],
)
def test_with_another_scheduler_nothing_is_kept(tmp_path, settings):
    """A spider is told so, though the job would be opened later."""
    crawl = Crawl(tmp_path, EARLY, FEEDS={}, **settings)

    assert crawl.run().out == "RUN [0] False\n"


def test_a_wrong_setting_before_the_job_is_open(tmp_path):
    """It is the add-on that refuses it, in one line."""
    crawl = Crawl(tmp_path, EARLY, RESILIENCE_ALLOW_PICKLE="maybe")

    crawl.run().check_refused("RESILIENCE_ALLOW_PICKLE='maybe'")


def test_a_component_asks_before_anybody_else(tmp_path):
    """The job is where it will be, also when it was put together by hand."""
    crawl = Crawl(
        tmp_path,
        EARLY,
        ADDONS={},
        SCHEDULER="scrapy_resilience.ResilientScheduler",
        JOBDIR="crawls/%(spider)s",
        EXTENSIONS={
            "spider.Early": -1,
            "scrapy_resilience.extensions.checkpoint.Checkpoint": 0,
            "scrapy.extensions.spiderstate.SpiderState": None,
        },
        FEEDS={},
    )

    outputs = [crawl.run().out.splitlines() for _ in range(2)]

    assert [path.name for path in crawl.path("crawls").iterdir()] == ["shop"]
    assert outputs == [[f"RUN [{number}] True", "EXTENSION True"][::-1] for number in range(2)]


def test_a_value_that_can_not_be_kept_is_counted(plain_crawl):
    """The crawl goes on without it."""
    source = (
        PAGES
        + """
        @classmethod
        def from_crawler(cls, crawler):
            from scrapy_resilience import register_state
            spider = super().from_crawler(crawler)
            register_state(crawler, "lock", lambda: __import__("threading").Lock())
            return spider
    """
    )
    crawl = plain_crawl(source)
    crawl.configure(URLS=crawl.settings["START"])

    run = crawl.run()

    assert run.reason == "finished"
    assert run.stats["resilience/checkpoint/state_errors"] > 0
    assert sum("can't hold lock" in line for line in run.errors) == 1
