"""Whose failure it is: of the domain, of a proxy, or none, because somebody expects it."""

from __future__ import annotations

import socket
from collections import Counter
from textwrap import dedent

import pytest
from crawls import PAGES, check_same
from test_flaky import SCALED, crawl, letters
from web import failing, serving

pytestmark = pytest.mark.integration

ERRBACK = (
    PAGES
    + """
    class Shop(Shop):
        async def start(self):
            async for request in super().start():
                yield request.replace(errback=self.failed)
"""
)
STATUSES = (
    ERRBACK
    + """
        def parse(self, response):
            yield dict(sku=response.url, status=response.status)
        def failed(self, failure):
            response = failure.value.response
            yield dict(sku=response.url, status=response.status)
"""
)


@pytest.mark.parametrize(
    "settings",
    [
        {"META": {"handle_httpstatus_list": [500]}},
        {"META": {"dont_retry": True}},
        {"RETRY_ENABLED": False},
        {"RETRY_HTTP_CODES": [503]},
        {"HTTPERROR_ALLOW_ALL": True},
    ],
    ids=lambda settings: "-".join(settings.get("META", settings)),
)
def test_a_status_that_is_an_answer(tmp_path, settings):
    """What the spider or the settings declare opens no breaker: each page is told of once."""
    with serving(lambda *_: 500) as web:
        job = crawl(tmp_path, web.urls("sick.test", 40), STATUSES, **settings)

        run = job.run()

    assert (run.code, run.reason) == (0, "finished")
    assert Counter((item["sku"], item["status"]) for item in job.items()) == Counter(
        (url, 500) for url in job.settings["URLS"]
    )
    assert "resilience/breaker/opened" not in run.stats
    told = "META" in settings and "dont_retry" not in settings["META"]
    if told or "HTTPERROR_ALLOW_ALL" in settings:
        assert letters(job) == []


PROXIES = """
    import random
    class Proxies:
        def __init__(self, crawler):
            self.proxies = crawler.settings.getlist("PROXIES")
            self.random = random.Random(5)
        @classmethod
        def from_crawler(cls, crawler):
            return cls(crawler)
        def process_request(self, request):
            request.meta.setdefault("proxy", self.random.choice(self.proxies))
"""


def test_proxies_that_are_dead(tmp_path):
    """Seven dead proxies of ten cost no page, and open no breaker of the site."""
    with serving(lambda *_: 200) as web:
        dead = [socket.socket() for _ in range(7)]  # bound, and nobody listens
        for each in dead:
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in dead]
        job = crawl(
            tmp_path,
            [f"http://site.test/{number}" for number in range(100)],
            PROXIES=[f"http://127.0.0.1:{port}" for port in [*ports, *3 * [web.port]]],
            RETRY_TIMES=10,
            DOWNLOADER_MIDDLEWARES={"proxies.Proxies": 350},
        )
        job.write("proxies.py", dedent(PROXIES))

        run = job.finish()
        for each in dead:
            each.close()

    job.check_pages()
    assert "resilience/incomplete" not in run.stats
    assert "breaker of site.test" not in run.log
    assert run.stats["resilience/proxy/failures"] <= 7 * 10


HOLDING = """
from scrapy_resilience.handlers import hold
def on_ban(request, verdict, attempts, spider):
    return hold(0.5)
"""


def test_a_handler_that_holds(tmp_path):
    """What a handler decides about a ban is what happens, whatever is in flight."""
    banned = range(20, 30)
    page = b"<html><head><title>Just a moment...</title></head><body>captcha</body></html>"

    def answer(_host, _path, count):
        return (403, {"Content-Type": "text/html"}, page) if count in banned else 200

    with serving(answer) as web:
        job = crawl(tmp_path, web.urls("site.test", 60))
        job.configure(RESILIENCE_FAILURE_HANDLERS={"blocked": "on_bans.on_ban"})
        job.write("on_bans.py", HOLDING)

        run = job.finish()

    job.check_pages()
    assert run.stats["resilience/failures/blocked"] == len(banned)
    assert "resilience/breaker/opened" not in run.stats


@pytest.mark.parametrize("others", [0, 30], ids=["alone", "one of two"])
def test_a_dead_host_is_given_up(tmp_path, others):
    """A host that never answered ends as dead letters by itself, alone or beside another."""
    with serving(failing("dead.test")) as web:
        dead = web.urls("dead.test", 20)
        job = crawl(tmp_path, dead + web.urls("well.test", others), SCALED + PAGES)

        run = job.finish()

        assert len(web.times("dead.test")) <= 40
    job.check_pages(job.settings["URLS"][len(dead) :])
    check_same(letters(job), dead)
    assert run.stats["resilience/breaker/given_up"] == len(dead)


def test_a_hand_out_is_counted_once(tmp_path):
    """What is put back before it was sent was not handed out, and is not done."""
    down = range(8, 22)
    with serving(lambda _, __, count: 503 if count in down else 200) as web:
        job = crawl(tmp_path, web.urls("site.test", 40), SCALED + PAGES, DOWNLOAD_DELAY=0.05)

        run = job.finish()

    checks = run.stats.get("resilience/breaker/checks", 0)
    sent = run.stats["downloader/request_count"] - checks
    assert len(job.items()) == 40
    assert run.stats["resilience/requests/done"] == sent
    assert run.stats["scheduler/dequeued"] == sent


def test_a_delay_longer_than_the_hold_timeout(tmp_path):
    """A spider's own delay is not a hold: the crawl stays open for it, without a JOBDIR too."""
    late = {"META": {"resilience_delay": 40}, "RESILIENCE_HOLD_TIMEOUT": 10}
    with serving(lambda *_: 200) as web:
        for jobdir in ("job", None):
            folder, urls = tmp_path / str(jobdir), web.urls("a.test", 1)
            job = crawl(folder, urls, SCALED + PAGES, JOBDIR=jobdir, **late)

            job.finish()

            assert len(job.items()) == 1


TIMES = (
    ERRBACK
    + """
        def failed(self, failure):
            yield dict(sku="timeout")
"""
)


def test_many_silent_hosts_before_a_healthy_one(tmp_path):
    """The pages of a healthy host come before hosts that never answer have timed out."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=200)
    port = listening.getsockname()[1]
    with serving(lambda *_: 200) as web:
        silent = [f"http://silent{number}.test:{port}/" for number in range(20)]
        well = web.urls("well.test", 40)
        job = crawl(tmp_path, [*silent, *well], TIMES, DOWNLOAD_TIMEOUT=4, RETRY_TIMES=0)
        run = job.run()
        listening.close()

    assert run.reason == "finished"
    order = [item["sku"] for item in job.items()]
    first_late = next((i for i, sku in enumerate(order) if sku == "timeout"), len(order))
    assert sorted(order[:first_late]) == sorted(well)
