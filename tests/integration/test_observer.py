"""The view of a crawl that runs: it says what the server and the feeds say."""

from __future__ import annotations

import json
import time
from textwrap import dedent, indent

import pytest
from crawls import BUSY, Crawl
from web import serving

pytestmark = pytest.mark.integration

WATCHED = """
    import json, scrapy
    from pathlib import Path
    import msgspec
    from scrapy import signals
    from scrapy_resilience.observe.observer import observer_of
    class Shop(scrapy.Spider):
        name = "shop"
        @classmethod
        def from_crawler(cls, crawler, *args, **kwargs):
            self = super().from_crawler(crawler, *args, **kwargs)
            crawler.signals.connect(self.look, signals.spider_closed)
            self.views = []
            return self
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        def parse(self, response):
            yield dict(sku=response.url)
        def look(self, name="view.json"):
            observer = observer_of(self.crawler)
            observer.renew()
            view = observer.view()
            Path(name).write_bytes(msgspec.json.encode(view))
            return view
"""


def watch(folder, urls, spider=WATCHED, **settings):
    """Run a crawl whose view is written when its spider closes, and return both."""
    crawl = Crawl(folder, spider, URLS=urls, **{**BUSY, **settings})
    run = crawl.run("crawl", "shop")
    return crawl, run, json.loads(crawl.path("view.json").read_text())


def looking(code):
    """The spider with another callback, or more."""
    return dedent(WATCHED) + indent(dedent(code), "    ")


def test_a_crawl_with_failures(tmp_path):
    """Counts of the view are those of the server."""
    failing = {("a.test", "/1"), ("b.test", "/2")}

    def answer(host, path, _):
        fails = (host, path) in failing
        failing.discard((host, path))
        return 503 if fails else 200

    with serving(answer) as web:
        urls = web.urls("a.test", 5) + web.urls("b.test", 3)
        crawl, run, view = watch(tmp_path, urls)

    run.check_finished()
    domains = {each["name"]: each for each in view["domains"]}
    assert domains["a.test"]["requests"] == web.counts["a.test"]
    assert domains["a.test"]["answers"] == 5
    assert domains["a.test"]["failures"] == web.counts["a.test"] - 5
    assert domains["b.test"]["requests"] == web.counts["b.test"] == 4
    assert domains["b.test"]["answers"] == 3
    assert view["progress"]["items"] == len(crawl.items()) == 8
    assert view["progress"]["pending"] == view["progress"]["under_way"] == 0
    assert view["progress"]["done"] == sum(web.counts.values())
    assert view["traffic"]["responses"] == sum(web.counts.values())
    assert sum(view["traffic"]["latency"]["counts"]) == sum(web.counts.values())
    assert view["checkpoint"]["enabled"]
    assert view["job"]["state"] == "closing"


def test_another_scheduler(tmp_path):
    """Domains are counted all the same; what is pending is not known."""
    with serving(lambda *_: 200) as web:
        _, run, view = watch(
            tmp_path, web.urls("a.test", 4), JOBDIR=None, RESILIENCE_SCHEDULER_ENABLED=False
        )

    run.check_finished()
    [domain] = view["domains"]
    assert (domain["name"], domain["answers"]) == ("a.test", 4)
    assert view["job"]["path"] is None
    assert view["progress"]["pending"] is None
    assert view["progress"]["held"] == view["progress"]["under_way"] == 0


OTHER = {"JOBDIR": None, "RESILIENCE_SCHEDULER_ENABLED": False}
CHILDREN = looking(
    """
    def parse(self, response):
        yield dict(sku=response.url)
        if response.url.endswith("/1"):
            yield response.follow("/child", self.parse, meta=response.meta)
    """
)


@pytest.mark.parametrize("gates", [True, False])
@pytest.mark.parametrize("scheduler", [{}, OTHER], ids=["ours", "other"])
def test_whoever_counts(tmp_path, scheduler, gates):
    """Answers, failures, retries and what is done, without gates and with another scheduler.

    The child of a page that was tried again is no retry, though it has all of its meta.
    """
    tried = set()

    def answer(_, path, __):
        first = path not in tried
        tried.add(path)
        return 503 if path == "/1" and first else 200

    with serving(answer) as web:
        urls = [*web.urls("a.test", 4), "http://127.0.0.1:9/"]
        settings = {"RESILIENCE_GATES_ENABLED": gates, "RETRY_TIMES": 1, **scheduler}
        _, _, view = watch(tmp_path, urls, CHILDREN, **settings)

    domains = {each["name"]: each for each in view["domains"]}
    counts = ("requests", "answers", "failures", "retries")
    assert [domains["a.test"][name] for name in counts] == [6, 5, 1, 1]
    assert [domains["127.0.0.1"][name] for name in counts] == [2, 0, 2, 1]
    assert view["progress"]["done"] == 8


def test_a_second_run(tmp_path):
    """Totals are of all runs of the job, and the number of the run is known."""
    with serving(lambda *_: 200) as web:
        urls = web.urls("a.test", 6)
        crawl, _, first = watch(tmp_path, urls, CLOSESPIDER_PAGECOUNT=2, CONCURRENT_REQUESTS=1)
        crawl.configure(CLOSESPIDER_PAGECOUNT=0)
        crawl.run("crawl", "shop").check_finished()
        second = json.loads(crawl.path("view.json").read_text())

    assert [first["job"]["run"], second["job"]["run"]] == [1, 2]
    assert second["progress"]["pages"] == second["progress"]["items"] == 6
    assert second["domains"][0]["answers"] < 6


DOWN = 8
"""Requests of the domain that is down."""
OWN_SLOTS = dedent(WATCHED).replace(
    "scrapy.Request(url)", 'scrapy.Request(url, meta=dict(download_slot=url.split("/")[2][:2]))'
)
BY_FUNCTION = dedent(WATCHED) + dedent(
    """
    def domain(request):
        return request.url.split("/")[2].partition(":")[0] + "-by-function"
    """
)


@pytest.mark.parametrize(
    ("spider", "domain"),
    [
        (WATCHED, "host"),
        (WATCHED, "registered"),
        (OWN_SLOTS, "host"),
        (BY_FUNCTION, "spider.domain"),
    ],
    ids=["host", "registered", "own slots", "function"],
)
def test_a_domain_that_is_down(tmp_path, spider, domain):
    """It comes first, with the state of its breaker, why it is not asked, and when it is."""
    with serving(lambda host, *_: 503 if host == "down.test" else 200) as web:
        urls = web.urls("up.test", 3) + web.urls("down.test", DOWN)
        settings = {"RESILIENCE_BREAKER_DOMAIN": domain, "RESILIENCE_HOLD_TIMEOUT": 1}
        _, _, view = watch(tmp_path, urls, spider, **settings)

    first = view["domains"][0]
    assert first["name"] == "down.test" + "-by-function" * (domain == "spider.domain")
    assert first["breaker"] in {"open", "half_open"}
    assert first["pending"] == view["progress"]["pending"] == DOWN
    assert "circuit breaker" in first["waits_for"]
    assert first["opened"] >= 1
    assert sum(view["breakers"].values()) == 1


def test_a_look_while_callbacks_run(tmp_path):
    """What is in a callback is under way and pending; what is through is done."""
    code = """
        custom_settings = dict(CONCURRENT_REQUESTS=9, CONCURRENT_REQUESTS_PER_DOMAIN=9)
        async def parse(self, response):
            import asyncio
            self.views.append(response.url)
            while len(self.views) < 6:
                await asyncio.sleep(0.01)
            if len(self.views) == 6:
                self.views.append("looked")
                self.look("during.json")
            yield dict(sku=response.url)
    """
    with serving(lambda *_: 200) as web:
        crawl, run, view = watch(tmp_path, web.urls("a.test", 6), looking(code), JOBDIR=None)
        during = json.loads(crawl.path("during.json").read_text())

    run.check_finished()
    progress = during["progress"]
    assert (progress["done"], progress["pending"], progress["under_way"]) == (0, 6, 6)
    assert during["domains"][0]["pending"] == during["domains"][0]["under_way"] == 6
    assert "6 requests to do" in during["job"]["sentence"]
    assert (view["progress"]["done"], view["progress"]["pending"]) == (6, 0)
    assert run.stats["resilience/requests/done"] == 6


def test_a_first_request_that_hangs(tmp_path):
    """Its domain is there, with all that waits for the answer."""
    code = """
        custom_settings = dict(RESILIENCE_SLOW_START=60)
        async def start(self):
            import asyncio
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
            while self.crawler.engine.scheduler.frontier.held < 39:
                await asyncio.sleep(0.01)
            self.look("during.json")
            Path("looked").touch()
    """

    def answer(*_):
        end = time.monotonic() + 30
        while not (tmp_path / "looked").exists() and time.monotonic() < end:
            time.sleep(0.01)
        return 200

    with serving(answer) as web:
        urls = web.urls("slow.test", 40)
        crawl, run, _ = watch(tmp_path, urls, looking(code), DOWNLOAD_TIMEOUT=60)
        during = json.loads(crawl.path("during.json").read_text())

    run.check_finished()
    [domain] = during["domains"]
    assert (domain["name"], domain["pending"], domain["under_way"]) == ("slow.test", 40, 1)
    assert (domain["requests"], domain["answers"]) == (1, 0)
    assert domain["waits_for"] == "no answer yet"
    assert "slow.test (no answer yet" in during["job"]["sentence"]


def test_without_gates(tmp_path):
    """Our own frontier is seen all the same: what waits, and for which domain."""
    code = """
        custom_settings = dict(CONCURRENT_REQUESTS=1)
        def parse(self, response):
            if not self.views:
                self.views.append(self.look("during.json"))
            yield dict(sku=response.url)
    """
    with serving(lambda *_: 200) as web:
        crawl, run, view = watch(
            tmp_path, web.urls("a.test", 5), looking(code), RESILIENCE_GATES_ENABLED=False
        )
        during = json.loads(crawl.path("during.json").read_text())

    run.check_finished()
    assert during["progress"]["pending"] == 5
    [domain] = during["domains"]
    assert (domain["name"], domain["pending"]) == ("a.test", 5)
    assert domain["under_way"] == during["progress"]["under_way"] in {1, 2}
    assert view["progress"]["done"] == view["domains"][0]["requests"] == 5


def test_what_was_not_sent(tmp_path):
    """What is refused by a breaker or by robots.txt is no request of the domain."""

    def answer(host, path, _):
        if path == "/robots.txt":
            return 200, {}, b"User-agent: *\nDisallow: /" if host == "closed.test" else b""
        return 503

    with serving(answer) as web:
        urls = web.urls("down.test", 30) + web.urls("closed.test", 3)
        _, _, view = watch(
            tmp_path,
            urls,
            ROBOTSTXT_OBEY=True,
            RESILIENCE_BREAKER_OPEN_ACTION="fail",
            RETRY_TIMES=0,
        )

    requests = {each["name"]: each["requests"] for each in view["domains"]}
    assert requests == dict(web.counts)
    assert requests["closed.test"] == 1
    assert requests["down.test"] < 30


def test_a_cache(tmp_path):
    """Pages of a second run that a cache gives are answers, and took no time."""
    settings = {"HTTPCACHE_ENABLED": True, "JOBDIR": None}
    with serving(lambda *_: 200) as web:
        crawl, _, first = watch(tmp_path, web.urls("a.test", 4), **settings)
        crawl.run("crawl", "shop").check_finished()
        second = json.loads(crawl.path("view.json").read_text())

    counts = [view["domains"][0] for view in (first, second)]
    assert [each["requests"] for each in counts] == [4, 0]
    assert [each["answers"] for each in counts] == [4, 4]
    assert counts[0]["latency"] > 0
    assert counts[1]["latency"] is None
    assert sum(second["traffic"]["latency"]["counts"]) == 0


def test_children_of_a_page_that_was_retried(tmp_path):
    """They are made with its meta, and are no retries."""
    code = """
        def parse(self, response):
            for number in range(3):
                if response.url.endswith("/0"):
                    yield response.follow(f"/child/{number}", meta=response.meta)
    """
    with serving(lambda _, path, count: 503 if (path, count) == ("/0", 1) else 200) as web:
        _, run, view = watch(tmp_path, web.urls("a.test", 1), looking(code))

    run.check_finished()
    [domain] = view["domains"]
    assert (domain["requests"], domain["answers"], domain["retries"]) == (5, 4, 1)
