"""Nobody waits for himself: what a request under way downloads for its own sake."""

from __future__ import annotations

from collections import Counter
from itertools import count

import pytest
from crawls import PAGES
from test_flaky import SCALED, crawl
from web import serving

pytestmark = pytest.mark.integration

TOKENS = (
    PAGES
    + """
    class Token:
        def __init__(self, crawler):
            self.crawler = crawler
        @classmethod
        def from_crawler(cls, crawler):
            return cls(crawler)
        async def process_request(self, request):
            if "token" not in request.url:
                url = request.url.rpartition("/")[0] + "/token" + request.url.rpartition("/")[2]
                inner = scrapy.Request(url, dont_filter=True)
                answer = await self.crawler.engine.download_async(inner)
                request.headers["X-Token"] = answer.url
"""
)
WITH_TOKENS = {"DOWNLOADER_MIDDLEWARES": {"spider.Token": 450}}


@pytest.mark.parametrize("breaker", [True, False], ids=["breaker", "no breaker"])
def test_a_request_that_downloads_its_token(tmp_path, breaker):
    """The first answer of a new host is a failure, and it is that to the page's own token."""
    with serving(lambda _, __, number: 503 if number == 1 else 200) as web:
        job = crawl(tmp_path, web.urls("site.test", 1), TOKENS, **WITH_TOKENS)
        job.configure(RESILIENCE_BREAKER_ENABLED=breaker, RESILIENCE_BYPASS_TIMEOUT=3600)

        run = job.finish(limit=30)

    job.check_pages()
    assert "bypasses the scheduler, and has waited" not in run.log


def test_a_trial_that_downloads_its_token(tmp_path):
    """The token of a half-open domain's trial belongs to the trial."""
    pages = count(1)

    def answer(_host, path, _count):
        return 503 if "token" not in path and next(pages) in range(60, 74) else 200

    with serving(answer) as web:
        job = crawl(tmp_path, web.urls("site.test", 90), SCALED + TOKENS, **WITH_TOKENS)

        run = job.finish(limit=60)

    job.check_pages()
    assert run.stats["resilience/breaker/half_open"] >= 1
    assert "resilience/breaker/rejected" not in run.stats
    assert "resilience/incomplete" not in run.stats


INNER = (
    PAGES
    + """
    class Shop(Shop):
        async def parse(self, response):
            for host in ("slow.test", "hourly.test"):
                url = response.url.replace("site.test", host)
                try:
                    answer = await self.crawler.engine.download_async(scrapy.Request(url))
                    yield dict(host=host, answer=answer.status)
                except Exception as error:
                    yield dict(host=host, answer=type(error).__name__)
"""
)


def test_a_wait_in_a_callback_is_bounded_and_told(tmp_path):
    """Who bypasses the scheduler waits for a turn, and not for one that is far away."""
    limits = {"slow.test": "20/m", "hourly.test": "1/h"}
    with serving(lambda *_: 200) as web:
        job = crawl(tmp_path, web.urls("site.test", 3), SCALED + INNER)
        job.configure(RESILIENCE_RATE_LIMITS=limits, RESILIENCE_BYPASS_TIMEOUT=5)

        run = job.finish(limit=60)

    came = Counter((item["host"], item["answer"]) for item in job.items())
    assert came == {
        ("slow.test", 200): 3,
        ("hourly.test", 200): 1,
        ("hourly.test", "CircuitOpen"): 2,
    }
    assert "for slow.test: rate limit" in run.log


TICKETS = (
    PAGES
    + """
    from scrapy_resilience.gates.gatekeeper import gatekeeper_of
    class Shop(Shop):
        def parse(self, response):
            tickets = len(gatekeeper_of(self.crawler)._tickets)
            self.crawler.stats.max_value("tickets", tickets)
            yield dict(sku=response.url)
"""
)


def test_a_redirect_ends_its_ticket(tmp_path):
    """Redirected requests keep no ticket, and one that is a trial closes its breaker."""
    down = range(201, 215)

    def answer(_host, path, number):
        if number in down:
            return 503
        return (302, {"Location": path + "to"}) if path[-2:] != "to" else 200

    with serving(answer) as web:
        job = crawl(tmp_path, web.urls("site.test", 300), SCALED + TICKETS)

        run = job.finish()

    job.check_pages([f"{url}to" for url in job.settings["URLS"]])
    assert run.stats["tickets"] <= 16
    assert run.stats["resilience/breaker/closed"] >= 1
    assert "resilience/incomplete" not in run.stats
