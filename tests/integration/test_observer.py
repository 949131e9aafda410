"""The view of a crawl that runs: it says what the server and the feeds say."""

from __future__ import annotations

import json

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
            return self
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        def parse(self, response):
            yield dict(sku=response.url)
        def look(self):
            observer = observer_of(self.crawler)
            observer.renew()
            view = observer.view()
            Path("view.json").write_bytes(msgspec.json.encode(view))
"""


def watch(folder, urls, **settings):
    """Run a crawl whose view is written when its spider closes, and return both."""
    crawl = Crawl(folder, WATCHED, URLS=urls, **{**BUSY, **settings})
    run = crawl.run("crawl", "shop")
    return crawl, run, json.loads(crawl.path("view.json").read_text())


def test_a_crawl_with_failures(tmp_path):
    """Counts of the view are those of the server."""

    def answer(_, path, count):
        return 503 if (path, count) == ("/1", 2) or (path == "/2" and count < 2) else 200

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
    assert view["progress"]["pending"] == 0
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


def test_a_domain_that_is_down(tmp_path):
    """It comes first, with the state of its breaker, why it is not asked, and when it is."""
    with serving(lambda host, *_: 503 if host == "down.test" else 200) as web:
        urls = web.urls("up.test", 3) + web.urls("down.test", 8)
        _, _, view = watch(tmp_path, urls, RESILIENCE_HOLD_TIMEOUT=1)

    first = view["domains"][0]
    assert first["name"] == "down.test"
    assert first["breaker"] in {"open", "half_open"}
    assert first["pending"] == 8
    assert "circuit breaker" in first["waits_for"]
    assert first["opened"] >= 1
    assert sum(view["breakers"].values()) == 1
