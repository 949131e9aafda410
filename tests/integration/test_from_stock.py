"""A job that stock Scrapy began and stopped goes on with the add-on."""

from __future__ import annotations

import signal

import pytest
from crawls import KILLED, SHOP

pytestmark = pytest.mark.integration

DEFAULT_START = """
    import scrapy
    from shop import Base
    class Shop(Base):
        start = scrapy.Spider.start
        def parse(self, response):
            self.state["pages"] = self.state.get("pages", 0) + 1
            yield from super().parse(response)
        def closed(self, reason):
            print("PAGES", self.state["pages"])
"""
KILL_AT_COMMIT = """
    import os, signal
    from scrapy_resilience.frontier.sqlite import SQLiteStore
    from shop import Base
    class Shop(Base): pass
    commit = SQLiteStore.commit
    def dies(self, changes):
        if os.environ.get("DIES") == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        commit(self, changes)
        if os.environ.get("DIES") == "behind":
            os.kill(os.getpid(), signal.SIGKILL)
    SQLiteStore.commit = dies
"""


@pytest.fixture
def stopped(plain_crawl):
    """``stopped(source)``: a job that stock Scrapy has begun and stopped."""

    def make(source=SHOP, **settings):
        job = plain_crawl(
            source,
            FEEDS={"items.jsonl": {"format": "jsonlines"}},
            RESILIENCE_ENABLED=False,
            CLOSESPIDER_PAGECOUNT=40,
            **settings,
        )
        run = job.run()
        assert run.reason == "closespider_pagecount", run
        job.configure(RESILIENCE_ENABLED=None, CLOSESPIDER_PAGECOUNT=None)
        return job

    return make


def check_imported(job, run):
    """One line says what was imported, and the files are kept aside."""
    lines = [line for line in run.log.splitlines() if "Imported" in line]
    assert len(lines) == 1, run
    assert not (job.job / "requests.queue").exists()
    assert (job.job / "stock" / "requests.queue" / "active.json").is_file()
    assert (job.job / "stock" / "requests.seen").is_file()


@pytest.mark.parametrize("start", [None, "scrapy.squeues.PickleFifoDiskQueue"])
def test_a_stopped_job(stopped, start):
    """A stopped job of stock Scrapy is imported, and every item comes exactly once."""
    job = stopped(SCHEDULER_START_DISK_QUEUE=start)

    run = job.finish()

    check_imported(job, run)
    job.check_items(table=None)


def test_kills_after_the_import(stopped):
    """An imported job survives kills as any other."""
    job = stopped()

    job.survive(kills=2, commits=2)

    job.check_items(table=None)


@pytest.mark.parametrize("moment", ["before", "behind"])
def test_a_kill_while_it_is_imported(stopped, moment):
    """A kill leaves the files untouched, or the import whole: it is never done by halves."""
    job = stopped(KILL_AT_COMMIT)

    run = job.run(env={"DIES": moment})
    assert run.code == KILLED
    assert (job.job / "requests.queue" / "active.json").is_file()
    assert not (job.job / "stock").exists()
    run = job.finish()

    assert ("Imported" in run.log) == (moment == "before")
    assert (job.job / "stock" / "requests.queue" / "active.json").is_file()
    job.check_items(table=None)


def test_start_urls_and_state(stopped):
    """Scrapy's own start() does not fetch start pages again, and spider.state goes on."""
    job = stopped(DEFAULT_START)

    first = job.run_until(commits=2, number=signal.SIGTERM)
    second = job.finish()

    assert first.reason == "shutdown", first
    pages = 120 + 3  # the links back to the start pages are new to the filter
    assert second.out.split()[-1] == str(pages)
    assert (job.job / "stock" / "spider.state").is_file()
    assert len(job.items()) == 240 + 6


def test_a_finished_job(plain_crawl):
    """A job that stock Scrapy has finished goes on as stock's would: only what is new."""
    job = plain_crawl(
        SHOP, FEEDS={"items.jsonl": {"format": "jsonlines"}}, RESILIENCE_ENABLED=False
    )
    job.finish()
    job.configure(RESILIENCE_ENABLED=None)

    run = job.finish()

    check_imported(job, run)
    assert "Imported 0 requests and 120 fingerprints" in run.log
    job.check_items(table=None)


def test_rerun_start(stopped):
    """RESILIENCE_RERUN_START runs all of start(), start_urls too."""
    job = stopped(DEFAULT_START)
    job.configure(RESILIENCE_RERUN_START=True)

    run = job.finish()

    assert run.out.split()[-1] == str(120 + 3 + 3)
