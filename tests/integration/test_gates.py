"""The gates in real crawls: sick domains, holds, limits, and what bypasses the scheduler."""

from __future__ import annotations

import json
import time

import pytest
from crawls import PAGES, SICK, Crawl, wait_until

from scrapy_resilience.testing import SiteConfig, running_site

pytestmark = pytest.mark.integration

SITE = SiteConfig(hosts=2, pages=60, latency=0.02, outage=2.0, throttle_window=3.0)


@pytest.fixture(scope="module")
def sick_process():
    """A site of its own, whose outages are short."""
    with running_site(SITE) as site:
        yield site


@pytest.fixture
def sick(sick_process):
    """The site, as if just started."""
    sick_process.reset()
    return sick_process


@pytest.fixture
def pages(tmp_path, sick, rng):
    """``pages({host: count}, **settings)``: a project that asks for these pages."""

    def make(counts, source=PAGES, **settings):
        urls = [
            sick.url(host, f"/page/{number + 1}")
            for host, count in counts.items()
            for number in range(count)
        ]
        return Crawl(
            tmp_path / "project",
            source,
            sick,
            rng,
            **{"URLS": urls, **SICK, **settings},
        )

    return make


def skus(job):
    """The pages that came, sorted."""
    return sorted(item["sku"] for item in job.items())


def asked(site, host):
    """How many requests a host has got."""
    return site.stats()["hosts"].get(host, {"requests": 0})["requests"]


def test_a_dead_domain_costs_little(pages, sick):
    """A domain that does not recover is given up; a healthy one loses nothing."""
    job = pages({"error.test": 40, "h0.test": 40}, RESILIENCE_BREAKER_MAX_TRIPS=1)

    run = job.finish()

    assert skus(job) == sorted(url for url in job.settings["URLS"] if "h0" in url)
    assert run.stats["resilience/incomplete"] == 40
    assert run.stats["resilience/deadletters/server_error"] == 40
    assert asked(sick, "error.test") <= 12


def test_a_short_outage_loses_nothing(pages, sick):
    """What a domain could not answer while it was down comes when it is back."""
    job = pages({"outage.test": 40})

    run = job.finish()

    assert skus(job) == sorted(job.settings["URLS"])
    assert run.stats["resilience/breaker/closed"] >= 1
    assert asked(sick, "outage.test") <= 40 + 20


def test_breakers_survive_a_kill(pages, sick):
    """An open breaker is open in the next run: nobody is asked, and the log says why."""
    job = pages(
        {"error.test": 40},
        RESILIENCE_BREAKER_RECOVERY_TIMEOUT=60,
        RESILIENCE_BREAKER_FIRST_TRIAL=0,
    )
    job.run_until(
        until=lambda: any(gate["state"] == "open" for _, gate in job.states("resilience.gates"))
    )
    before = asked(sick, "error.test")
    with job.process():
        wait_until(lambda: "(error.test: circuit breaker is open)" in job.last().log)

    assert before >= 5
    assert asked(sick, "error.test") == before


def breakers(job, *args):
    """What ``scrapy resilience breakers`` says of a job."""
    run = job.run("resilience", "breakers", "job", *args, "--json")
    assert run.code == 0, run
    return json.loads(run.out)


def test_breakers_by_hand(pages, sick):
    """A stopped job's open breaker is listed; reset, its domain is asked at once."""
    job = pages(
        {"outage.test": 20},
        RESILIENCE_BREAKER_FAILURE_THRESHOLD=2,
        RESILIENCE_BREAKER_RECOVERY_TIMEOUT=300,
        RESILIENCE_BREAKER_FIRST_TRIAL=0,
        RESILIENCE_BREAKER_GIVE_UP_AFTER=3600,
        RESILIENCE_HOLD_TIMEOUT=1,
        RESILIENCE_RETRY_POLICIES={"soon": {"base": 0.1}},
        RESILIENCE_RETRY_POLICY="soon",
    )
    began = time.time()
    assert job.run().reason == "resilience_held"
    (row,) = breakers(job)
    assert (row["domain"], row["state"]) == ("outage.test", "open")
    latest = time.time() + 330
    assert began + 200 < row["until"] <= latest
    assert row["last_failure"] == "HTTP 503"

    time.sleep(SITE.outage)  # the site is well again, and nobody knows
    before = asked(sick, "outage.test")
    assert job.run().reason == "resilience_held"
    assert asked(sick, "outage.test") == before
    assert breakers(job, "reset", "outage.test") == []
    job.finish()

    assert skus(job) == sorted(job.settings["URLS"])


def test_a_domain_is_shut_by_hand(pages, sick):
    """Forced open on a stopped job, it is not asked until it is reset."""
    job = pages(
        {"h0.test": 40, "h1.test": 40},
        RESILIENCE_HOLD_TIMEOUT=1,
        RESILIENCE_RATE_LIMITS={"h0.test": "2/s"},  # it is not done when the kill comes
    )
    job.run_until(commits=1)
    breakers(job, "open", "h0.test")
    job.configure(RESILIENCE_RATE_LIMITS=None)
    before = asked(sick, "h0.test")

    run = job.run()

    assert (run.code, run.reason) == (75, "resilience_held")
    assert asked(sick, "h0.test") == before
    assert sum("h1.test" in sku for sku in skus(job)) == 40
    (row,) = breakers(job)
    assert (row["state"], row["until"]) == ("forced_open", None)
    assert breakers(job, "reset", "h0.test") == []
    job.finish()
    assert skus(job) == sorted(job.settings["URLS"])


def test_without_a_job_what_is_held_is_lost(pages):
    """It is said, listed and counted: there is no next run that goes on with it."""
    job = pages(
        {"error.test": 20, "h0.test": 20},
        JOBDIR=None,
        RESILIENCE_BREAKER_RECOVERY_TIMEOUT=300,
        RESILIENCE_BREAKER_FIRST_TRIAL=0,
        RESILIENCE_HOLD_TIMEOUT=1,
        RESILIENCE_RETRY_POLICIES={"exponential_backoff": {"attempts": 9, "base": 0.05}},
    )

    run = job.run()

    assert run.reason == "resilience_held"
    assert "without a JOBDIR they are lost" in run.log
    assert "the next run" not in run.log
    assert run.stats["resilience/incomplete"] == 20 == run.stats["resilience/held"]


def test_only_held_requests_are_left(pages):
    """The crawl waits for them, and closes resumable when that takes too long."""
    job = pages(
        {"error.test": 20, "h0.test": 20},
        RESILIENCE_BREAKER_RECOVERY_TIMEOUT=300,
        RESILIENCE_BREAKER_FIRST_TRIAL=0,
        RESILIENCE_HOLD_TIMEOUT=2,
    )

    run = job.run()

    assert (run.code, run.reason) == (75, "resilience_held")
    assert len(job.items()) == 20
    assert run.stats["resilience/held"] >= 15
    assert job.state()["held"] >= 15
    assert not job.state()["finished"]


def test_fail_fast(pages):
    """With "fail" the errback gets CircuitOpenError at once, and nothing waits."""
    source = """
        import scrapy
        from scrapy_resilience.exceptions import CircuitOpenError
        class Shop(scrapy.Spider):
            name = "shop"
            async def start(self):
                for url in self.settings.getlist("URLS"):
                    yield scrapy.Request(url, errback=self.failed)
            def parse(self, response):
                yield dict(sku=response.url)
            def failed(self, failure):
                if failure.check(CircuitOpenError):
                    yield dict(sku="open", retry_after=failure.value.retry_after)
    """
    job = pages(
        {"error.test": 40},
        source,
        RESILIENCE_BREAKER_RECOVERY_TIMEOUT=300,
        RESILIENCE_BREAKER_FIRST_TRIAL=0,
        RESILIENCE_BREAKER_OPEN_ACTION="fail",
        RETRY_TIMES=0,
    )

    run = job.run()  # an error is logged for each request that is given up

    assert (run.code, run.reason) == (0, "finished")
    refused = [item for item in job.items() if item["sku"] == "open"]
    assert len(refused) >= 25
    assert all(0 < item["retry_after"] <= 331 for item in refused)
    assert run.stats["resilience/breaker/rejected"] == len(refused)


def test_fail_fast_for_one_request(pages):
    """The meta key decides for one request; others of its domain are held."""
    source = """
        import scrapy
        class Shop(scrapy.Spider):
            name = "shop"
            async def start(self):
                for number, url in enumerate(self.settings.getlist("URLS")):
                    meta = {"resilience_open_action": "fail"} if number % 2 else {}
                    yield scrapy.Request(url, errback=self.failed, meta=meta)
            def parse(self, response):
                yield dict(sku=response.url)
            def failed(self, failure):
                self.crawler.stats.inc_value("failed/" + type(failure.value).__name__)
    """
    job = pages(
        {"error.test": 40},
        source,
        RESILIENCE_BREAKER_RECOVERY_TIMEOUT=300,
        RESILIENCE_BREAKER_FIRST_TRIAL=0,
        RESILIENCE_HOLD_TIMEOUT=1,
        RETRY_TIMES=0,
    )

    run = job.run()

    assert run.reason == "resilience_held"
    assert run.stats["failed/CircuitOpen"] >= 10
    assert run.stats["resilience/held"] >= 10


def test_a_breaker_for_a_slot_of_several_hosts(pages, sick):
    """Limits belong to slots, gates to domains: one sick host does not stop its slot."""
    job = pages(
        {"error.test": 20, "h0.test": 20, "h1.test": 20},
        META={"download_slot": "one"},
        RESILIENCE_BREAKER_MAX_TRIPS=0,
    )

    run = job.finish()

    assert len(job.items()) == 40
    assert run.stats["resilience/incomplete"] == 20
    assert sick.stats()["total"]["parallel"] <= 8


def test_a_rate_limit(pages):
    """A domain is asked as often as the settings say, another one as fast as it can."""
    job = pages(
        {"h0.test": 10, "h1.test": 40},
        RESILIENCE_RATE_LIMITS={"h0.test": "6/s"},
    )

    job.finish()

    when = {host: [] for host in ("h0", "h1")}
    for item in job.items():
        when["h0" if "h0.test" in item["sku"] else "h1"].append(item["at"])
    assert max(when["h0"]) - min(when["h0"]) >= 9 / 6 - 0.1
    assert max(when["h1"]) < max(when["h0"])


def test_robots_crawl_delay(pages):
    """Crawl-delay of robots.txt is a rate limit, where robots.txt is obeyed."""
    job = pages(
        {"h0.test": 6},
        ROBOTSTXT_OBEY=True,
        ROBOTSTXT_PARSER="slow.Slow",
    )
    job.write(
        "slow.py",
        "from scrapy.robotstxt import ProtegoRobotParser\n"
        "class Slow(ProtegoRobotParser):\n"
        "    def crawl_delay(self, user_agent): return 0.2\n",
    )

    job.finish()

    times = sorted(item["at"] for item in job.items())
    assert len(times) == 6
    assert times[-1] - times[0] >= 5 * 0.2 - 0.1


IMAGES = """
    import scrapy
    from scrapy.pipelines.files import FilesPipeline
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        def parse(self, response):
            sick = response.urljoin("//error.test:%d/page/1?%s" % (
                self.settings.getint("PORT"), response.url[-6:]))
            well = response.urljoin("//h1.test:%d/page/2?%s" % (
                self.settings.getint("PORT"), response.url[-6:]))
            yield dict(sku=response.url, file_urls=[sick, well])
"""


def test_what_bypasses_the_scheduler(pages, sick, tmp_path):
    """Files of a sick domain fail fast once its breaker is open, those of others come."""
    job = pages(
        {"h0.test": 40},
        IMAGES,
        PORT=sick.port,
        FILES_STORE=str(tmp_path / "files"),
        ITEM_PIPELINES={"scrapy.pipelines.files.FilesPipeline": 1},
        RESILIENCE_BREAKER_RECOVERY_TIMEOUT=300,
        RESILIENCE_BREAKER_FIRST_TRIAL=0,
        RETRY_TIMES=0,
    )

    run = job.run()  # the pipeline logs an error for each file that does not come

    items = job.items()
    assert (run.reason, len(items)) == ("finished", 40)
    assert all(len(item["files"]) == 1 for item in items)
    assert run.stats["resilience/breaker/rejected"] >= 25
    assert asked(sick, "error.test") <= 15


def test_another_scheduler_fails_fast(pages, sick):
    """With Scrapy's own scheduler an open breaker fails requests instead of holding them."""
    job = pages(
        {"error.test": 40, "h0.test": 40},
        SCHEDULER="scrapy.core.scheduler.Scheduler",
        ADDONS={},
        JOBDIR=None,
        DOWNLOADER_MIDDLEWARES={
            "scrapy_resilience.downloadermiddlewares.breaker.CircuitBreakerMiddleware": 585
        },
        RETRY_TIMES=0,
        RESILIENCE_BREAKER_RECOVERY_TIMEOUT=300,
        RESILIENCE_BREAKER_FIRST_TRIAL=0,
    )

    run = job.run()  # an error is logged for each request that is given up

    assert (run.code, run.reason) == (0, "finished")
    assert len(job.items()) == 40
    assert run.stats["resilience/breaker/rejected"] >= 20
    assert asked(sick, "error.test") <= 20


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("RESILIENCE_BREAKER_RECOVERY_TIMEOUT", -1, "RECOVERY_TIMEOUT=-1"),
        ("RESILIENCE_BREAKER_FAILURE_RATE", 2, "FAILURE_RATE=2"),
        ("RESILIENCE_BREAKER_MAX_RECOVERY_TIMEOUT", 0.1, "raise it"),
        ("RESILIENCE_BREAKER_OPEN_ACTION", "wait", "hold, fail"),
        ("RESILIENCE_BREAKER_DOMAIN", "no.such", "import path"),
        ("RESILIENCE_BREAKER_DOMAINS", {"a": {"open_action": "x"}}, "hold or fail"),
        ("RESILIENCE_BREAKER_DOMAINS", {"a": {"treshold": 1}}, "treshold"),
        ("RESILIENCE_BREAKER_DOMAINS", {"a": 1}, "use a table"),
        ("RESILIENCE_RATE_LIMITS", {"a": "fast"}, "is not a rate"),
        ("RESILIENCE_RATE_LIMITS", "[1]", "use a dict"),
    ],
)
def test_bad_configuration(pages, setting, value, words):
    """It is refused in one line, which names the setting, and exits with 1."""
    job = pages({"h0.test": 1}, **{setting: value})

    job.run().check_refused(setting[:20], words)
