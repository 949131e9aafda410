"""Nobody asks a host before the time that it gave: not in this run, nor in the next."""

from __future__ import annotations

import math
import signal
import time
from email.utils import formatdate

import pytest
from crawls import BUSY, KILLED, PAGES, Crawl, wait_until
from web import serving

pytestmark = pytest.mark.integration

THROTTLED, WELL = "busy.test", "well.test"
SETTINGS = {
    **BUSY,
    "RESILIENCE_RETRY_POLICIES": {"quick": {"attempts": 9, "base": 0.4, "max_delay": 1}},
    "RESILIENCE_RETRY_POLICY": "quick",
}


class Throttle:
    """Throttles a host for *seconds* from its request number *after* on."""

    def __init__(self, seconds, after=0, kind="seconds", host=THROTTLED):
        self.host = host
        self.seconds = seconds
        self.after = after
        self.kind = kind
        self.since = None

    def __call__(self, host, path, count):
        time.sleep(0.02)
        if host == self.host and count > self.after:
            self.since = self.since or time.monotonic()
            left = self.until - time.monotonic()
            if left > 0:
                value = self.header(left)
                return 429, {} if value is None else {"Retry-After": value}
        return 200

    @property
    def until(self):
        return self.since + self.seconds

    def header(self, left):
        return {
            "seconds": math.ceil(left),
            "date": formatdate(math.ceil(time.time() + left), usegmt=True),
            "absurd": 999_999_999,
            "huge": "9" * 4000,
            "negative": -5,
            "garbage": "in a while",
            "past": formatdate(time.time() - 3600, usegmt=True),
        }.get(self.kind)

    def early(self, web, slack=0.2):
        """Requests after the first refusal, before the host may be asked again."""
        return [
            at for at in web.times(self.host) if self.since + slack < at < self.until - 0.05
        ]

    def asked_again(self, web):
        """How often a page that was refused was asked for again before that."""
        early = [path for at, host, path in web.asked if host == self.host and at < self.until]
        return len(early) - len(set(early))


def crawl(folder, web, busy, well=0, **settings):
    """A project that asks so many pages of each host."""
    urls = web.urls(THROTTLED, busy) + web.urls(WELL, well)
    return Crawl(folder, PAGES, **{**SETTINGS, "URLS": urls, **settings})


def check_all(job):
    """Each URL came once."""
    assert sorted(item["sku"] for item in job.items()) == sorted(job.settings["URLS"])


def test_nobody_asks_before_it_ends(tmp_path):
    """A host that said 4 s is left alone for 4 s, and another one keeps its pace."""
    throttle = Throttle(4)
    with serving(throttle) as web:
        job = crawl(tmp_path, web, busy=4, well=60)

        run = job.finish()

    check_all(job)
    assert throttle.early(web) == []
    assert max(web.times(THROTTLED)) > throttle.until
    assert sum(throttle.since < at < throttle.until for at in web.times(WELL)) >= 30
    assert run.stats["resilience/holds"] == 1


def test_kinds_of_retry_after(tmp_path):
    """A date counts as seconds do; what can't be meant is as if it were not there."""
    kinds = ["date", "absurd", "huge", "negative", "garbage", "past", "none"]
    throttles = {f"{kind}.test": Throttle(2, 2, kind, f"{kind}.test") for kind in kinds}
    with serving(lambda host, *asked: throttles[host](host, *asked)) as web:
        urls = [url for host in throttles for url in web.urls(host, 12)]
        job = Crawl(tmp_path, PAGES, **{**SETTINGS, "URLS": urls, "CONCURRENT_REQUESTS": 56})

        job.finish()

    check_all(job)
    assert throttles.pop("date.test").asked_again(web) == 0
    early = {throttle.kind: len(throttle.early(web)) for throttle in throttles.values()}
    assert min(early.values()) > 0, early
    assert max(early.values()) <= 12, early  # and yet they are asked rarely


def test_requests_in_the_downloaders_queue_wait_as_well(tmp_path):
    """DOWNLOAD_DELAY keeps requests in the downloader: they don't go out during a hold."""
    throttle = Throttle(2, after=2)
    with serving(throttle) as web:
        # longer than that is the domain's, not the page's
        settings = {"DOWNLOAD_DELAY": 0.15, "RESILIENCE_RETRY_AFTER_MAX": 1}
        job = crawl(tmp_path, web, busy=12, **settings)

        run = job.finish()

    check_all(job)
    assert throttle.early(web) == []
    assert run.stats["resilience/failures/throttled"] == 1


def test_a_busy_host_that_answered_before(tmp_path):
    """What was under way may come too late; then few are sent, and no refused page is."""
    throttle = Throttle(2, after=10)
    with serving(throttle) as web:
        job = crawl(tmp_path, web, busy=30)

        run = job.finish()

    check_all(job)
    assert throttle.asked_again(web) == 0
    assert run.stats["resilience/failures/throttled"] <= 2 * 8


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stop_in_mid_wait(tmp_path, number):
    """A stop is not kept waiting, and the next run heeds what this one was told."""
    throttle = Throttle(250)
    with serving(throttle) as web:
        job = crawl(tmp_path, web, busy=12, well=5)
        with job.process() as process:
            wait_until(lambda: throttle.since)
            wait_until(lambda: job.states("resilience.gates"))
            process.send_signal(number)
            run = job.ended(process)
        assert run.code == (KILLED if number == signal.SIGKILL else 75)
        assert not (job.state() or {}).get("finished")
        job.configure(RESILIENCE_HOLD_TIMEOUT=1)

        run = job.run()

    assert (run.code, run.reason) == (75, "resilience_held")
    assert throttle.early(web) == []
    assert len(job.items()) == 5


def test_a_hold_is_written_at_once(tmp_path):
    """It is on disk soon after it was set, whatever the interval of commits."""
    throttle = Throttle(30)
    with serving(throttle) as web:
        job = crawl(tmp_path, web, busy=3, RESILIENCE_CHECKPOINT_INTERVAL=3600)
        with job.process():
            wait_until(lambda: throttle.since)

            assert wait_until(lambda: job.states("resilience.gates"))


@pytest.mark.parametrize("settings", [{"SCHEDULER": "scrapy.core.scheduler.Scheduler"}])
def test_another_scheduler_waits_in_the_process(tmp_path, settings):
    """With Scrapy's own scheduler the wait is the same, and a stop ends it."""
    throttle = Throttle(2, after=2)
    with serving(throttle) as web:
        job = crawl(tmp_path / "a", web, busy=12, well=40, JOBDIR=None, **settings)
        job.finish()
        check_all(job)
        assert throttle.early(web) == []

        throttle.since, throttle.seconds = None, 250
        web.counts.clear()
        job = crawl(tmp_path / "b", web, busy=12, JOBDIR=None, **settings)
        with job.process() as process:
            wait_until(lambda: throttle.since)
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            job.ended(process)
    assert throttle.early(web) == []
