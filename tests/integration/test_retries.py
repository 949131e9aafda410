"""Retries, bans, handlers and injected failures in real crawls."""

from __future__ import annotations

import pytest
from crawls import SHOP, Crawl

from scrapy_resilience.testing import SiteConfig, running_site

pytestmark = pytest.mark.integration

PATIENT = {
    "RESILIENCE_RETRY_POLICIES": {"quick": {"attempts": 9, "base": 0.1, "max_delay": 2}},
    "RESILIENCE_RETRY_POLICY": "quick",
    "RESILIENCE_BREAKER_RECOVERY_TIMEOUT": 0.5,
}


EACH = """
    import scrapy

    class Each(scrapy.Spider):
        name = "shop"

        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(
                    url,
                    self.parse,
                    method=self.settings["METHOD"] or "GET",
                    errback=self.failed,
                    dont_filter=True,
                )

        def parse(self, response):
            yield {"url": response.url, "tries": response.meta.get("retry_times", 0)}

        def failed(self, failure):
            yield {"url": failure.request.url, "error": type(failure.value).__name__}
"""


def retries(run):
    """The stats of retries, as Scrapy names them."""
    return {key: value for key, value in run.stats.items() if key.startswith("retry/")}


def by_url(job):
    """The items of a crawl of EACH, by URL."""
    return {item["url"]: item for item in job.items()}


def waits_again(job):
    """A condition: this run has committed twice, and a request waits."""
    enough = job.commits() + 2
    return lambda: job.commits() >= enough and job.state()["held"] == 1


@pytest.mark.parametrize(
    "settings",
    [{}, {"RESILIENCE_SCHEDULER_ENABLED": False, "JOBDIR": None}],
    ids=["in the frontier", "in the process"],
)
def test_stats_are_those_of_scrapy(tmp_path, site, settings):
    """With either scheduler all items come, and retries are counted as by stock Scrapy."""
    feed = {"items.jsonl": {"format": "jsonlines", "overwrite": True}}
    job = Crawl(tmp_path / "a", SHOP, site, FEEDS=feed, **PATIENT, **settings)
    run = job.finish()
    job.check_items(table=None)
    site.reset()
    stock = Crawl(tmp_path / "b", SHOP, site, FEEDS=feed, ADDONS={}, JOBDIR=None)

    expected = retries(stock.finish())

    assert expected["retry/count"] >= 5
    assert retries(run) == expected
    assert run.stats["resilience/failures/server_error"] == expected["retry/count"]


def test_without_a_reactor(tmp_path, site):
    """Retries wait in the process also where no reactor runs."""
    job = Crawl(tmp_path, SHOP, site, RESILIENCE_SCHEDULER_ENABLED=False, **PATIENT)
    job.configure(TWISTED_REACTOR_ENABLED=False, TWISTED_DNS_RESOLVER=None, JOBDIR=None)
    env = {"http_proxy": f"http://127.0.0.1:{site.port}", "no_proxy": ""}

    run = job.finish(env=env)

    assert run.stats["retry/count"] >= 5
    job.check_items()


def test_a_ban_page_never_reaches_the_spider(tmp_path):
    """A captcha with HTTP 200 and gzip is retried until the page comes."""
    config = SiteConfig(pages=25, ban_after=10, ban_window=0.5, ban_gzip=True)
    with running_site(config) as site:
        urls = [site.url("banned.test", f"/page/{n}") for n in range(1, 25)]
        job = Crawl(tmp_path, EACH, site, URLS=urls, **PATIENT)
        job.configure(CONCURRENT_REQUESTS_PER_DOMAIN=20, CONCURRENT_REQUESTS=20)

        run = job.finish()

        captchas = sum(
            path.get("captcha", 0)
            for path in site.stats()["hosts"]["banned.test"]["paths"].values()
        )
    assert captchas > 0
    assert run.stats["resilience/failures/blocked"] == captchas
    assert {item.get("error") for item in job.items()} == {None}
    assert sorted(by_url(job)) == sorted(urls)


def test_a_ban_that_stays_is_given_up(tmp_path):
    """When all tries have met the captcha the errback is told, and no callback."""
    with running_site(SiteConfig(pages=5, ban_after=1, ban_window=60)) as site:
        urls = [site.url("banned.test", f"/page/{n}") for n in range(1, 4)]
        job = Crawl(tmp_path, EACH, site, URLS=urls, RETRY_TIMES=1, **PATIENT)

        run = job.run()

    assert run.reason == "finished"
    assert sorted(str(item.get("error")) for item in job.items()) == [
        "BannedError",
        "BannedError",
        "None",
    ]


@pytest.mark.parametrize(("method", "asked"), [("POST", 1), ("PUT", 3)])
def test_post_is_sent_once(tmp_path, plain, method, asked):
    """A POST that got a 503 is not sent again; a PUT is."""
    urls = [plain.url("error.test", "/order")]
    job = Crawl(tmp_path, EACH, plain, URLS=urls, METHOD=method, RETRY_TIMES=2, **PATIENT)

    run = job.run()

    assert plain.stats()["hosts"]["error.test"]["requests"] == asked
    assert run.stats.get("retry/count", 0) == asked - 1
    assert job.items() == [{"url": urls[0], "error": "HttpError"}]


HANDLERS = """
from scrapy_resilience.handlers import abort, drop, retry

async def on_error(request, verdict, attempts, spider):
    return retry(0.1) if attempts < 5 else drop(f"{verdict.reason}, {attempts} times")

def on_gone(request, verdict, attempts, spider):
    return abort("the shop is gone") if "last" in request.url else None

def on_broken(request, verdict, attempts, spider):
    raise ZeroDivisionError
"""


def with_handlers(folder, site, urls, **handlers):
    """A crawl whose project has handlers."""
    paths = {name: f"shop_handlers.{function}" for name, function in handlers.items()}
    job = Crawl(folder, EACH, site, URLS=urls, RESILIENCE_FAILURE_HANDLERS=paths, **PATIENT)
    job.write("shop_handlers.py", HANDLERS)
    return job


def test_handlers_decide(tmp_path, plain):
    """An asynchronous handler retries four times and then drops, with its reason."""
    urls = [plain.url("error.test", "/a"), plain.url("h0.test", "/")]
    job = with_handlers(tmp_path, plain, urls, server_error="on_error")

    run = job.finish()

    assert plain.stats()["hosts"]["error.test"]["requests"] == 5
    assert by_url(job)[urls[0]]["error"] == "DroppedError"
    assert run.stats["resilience/failures/server_error"] == 5


def test_a_handler_aborts(tmp_path, plain):
    """abort() closes the spider and leaves the request to the next run."""
    urls = [plain.url("h0.test", "/"), plain.url("h0.test", "/nowhere/last")]
    job = with_handlers(tmp_path, plain, urls, permanent="on_gone")

    run = job.run()

    assert (run.code, run.reason) == (75, "resilience_abort_handler")
    assert "A failure handler closes the spider: the shop is gone" in run.log
    job.configure(RESILIENCE_FAILURE_HANDLERS={})
    job.finish()
    assert by_url(job)[urls[1]]["error"] == "HttpError"


def test_a_broken_handler_changes_nothing(tmp_path, plain):
    """A handler that fails is logged, and the request goes its usual way."""
    urls = [plain.url("error.test", "/a")]
    job = with_handlers(tmp_path, plain, urls, server_error="on_broken")
    job.configure(RETRY_TIMES=1)

    run = job.run()

    assert by_url(job)[urls[0]]["error"] == "HttpError"
    assert run.log.count("The failure handler of server_error failed") == 2
    assert run.stats["resilience/handlers/errors"] == 2


def test_a_bad_setting_refuses_the_crawl(tmp_path, plain):
    """An unknown policy stops the crawl in one line, before any request."""
    job = Crawl(tmp_path, SHOP, plain, RESILIENCE_RETRY_POLICY="fast")

    job.run().check_refused("RESILIENCE_RETRY_POLICY='fast'", "conservative")

    assert plain.stats()["total"]["requests"] == 0


@pytest.mark.slow
def test_one_seed_hits_the_same_urls(tmp_path, plain):
    """Two runs of one seed hit the same URLs, whatever their order; another seed others."""
    urls = [plain.url("h0.test", f"/page/{n}") for n in range(1, 40)]
    found = []
    for number, (seed, concurrency) in enumerate([(7, 1), (7, 16), (8, 16)]):
        rules = [
            {"pattern": "/page/", "probability": 0.3, "status": 503, "seed": seed},
            {"probability": 0.1, "exception": "scrapy.exceptions.DownloadTimeoutError"},
        ]
        job = Crawl(
            tmp_path / str(number), EACH, plain, URLS=urls, RESILIENCE_INJECT=rules, **PATIENT
        )
        job.configure(
            CONCURRENT_REQUESTS_PER_DOMAIN=concurrency,
            CONCURRENT_REQUESTS=concurrency,
            RESILIENCE_BREAKER_ENABLED=False,  # tries of a sick domain don't count
            RETRY_TIMES=40,  # some page fails nine times in a row
        )

        run = job.finish()

        assert run.stats["resilience/injected"] == run.stats["retry/count"]
        found.append({url: item["tries"] for url, item in by_url(job).items()})
    assert sum(found[0].values()) >= 8
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_a_retry_waits_on_disk(tmp_path, plain):
    """A kill while a retry waits loses nothing, and the next run does not ask at once."""
    urls = [plain.url("error.test", "/a")]
    slow = {"slow": {"base": 60, "max_delay": 60, "jitter": 0}}
    job = Crawl(tmp_path, EACH, plain, URLS=urls, RESILIENCE_RETRY_POLICIES=slow)
    job.configure(RESILIENCE_RETRY_POLICY="slow")

    for _ in range(2):
        job.run_until(commits=3, until=waits_again(job))

    assert job.kills == 2
    assert plain.stats()["hosts"]["error.test"]["requests"] == 1
    assert job.state()["held"] == 1
