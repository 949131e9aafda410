"""Hosts that fail now and then, and are not down: with default settings every item comes."""

from __future__ import annotations

import json
from collections import Counter
from urllib.parse import urlsplit

import pytest
from crawls import PAGES, SHOP, Crawl, check_same
from web import serving

from scrapy_resilience.testing import SiteConfig, running_site

pytestmark = pytest.mark.integration

DEFAULTS = {
    "FEEDS": {"items.jsonl": {"format": "jsonlines"}},
    "CONCURRENT_REQUESTS": None,
    "CONCURRENT_REQUESTS_PER_DOMAIN": None,
    "RESILIENCE_RETRY_POLICIES": None,
}
SCALED = """
    from scrapy_resilience.testing import ScaledClock, use_clock
    use_clock(ScaledClock(20))
"""
"""Before a spider: what waits for a domain waits a twentieth of the time."""
TREE = """
    from scrapy.linkextractors import LinkExtractor
    from scrapy.spiders import CrawlSpider, Rule
    class Shop(CrawlSpider):
        name = "shop"
        rules = [Rule(LinkExtractor(), callback="page", follow=True)]
        @classmethod
        def from_crawler(cls, crawler, *args, **kwargs):
            self = super().from_crawler(crawler, *args, **kwargs)
            self.start_urls = crawler.settings.getlist("URLS")
            return self
        def parse_start_url(self, response):
            return self.page(response)
        def page(self, response):
            yield dict(sku=response.url)
"""


def crawl(folder, urls, source=PAGES, **settings):
    """A project that has set nothing about gates, retries and concurrency."""
    return Crawl(folder, source, URLS=urls, **{**DEFAULTS, **settings})


def letters(job):
    """The URLs of the dead letters."""
    run = job.run("resilience", "deadletters", "job", "--json")
    assert run.code == 0, run
    return [letter["url"] for letter in json.loads(run.out)]


class Site:
    """Answers ``faults[host](page, visit)``, pages and visits counted from 0.

    Each page links to two others: a tree of *size* pages for each host.
    """

    def __init__(self, size, **faults):
        self.size = size
        self.faults = {f"{name}.test": fault for name, fault in faults.items()}
        self.visits = Counter()

    def __call__(self, host, path, _count):
        page = int(path[1:])
        visit = self.visits[host, page]
        self.visits[host, page] += 1
        status, *headers = self.faults[host](page, visit) or (200,)
        links = range(2 * page + 1, min(2 * page + 3, self.size))
        body = "".join(f'<a href="/{link}">next</a>' for link in links)
        return status, dict(headers), f"<html><body>{body}</body></html>".encode()


def first_try(percent, *answer):
    """This share of the pages, spread evenly, fails once."""
    return lambda page, visit: answer if visit == 0 and page * 37 % 100 < percent else None


def test_hosts_that_fail_at_first(tmp_path):
    """Whatever share of pages fails once, and with whatever, all items come and no letter."""
    site = Site(
        40,
        few=first_try(15, 503),
        some=first_try(30, 503),
        half=first_try(50, 503),
        all=first_try(100, 503),
        busy=first_try(30, 429),
        polite=first_try(30, 429, ("Retry-After", 1)),
        # the first of them at the end of the crawl
        late=lambda page, visit: (503,) if visit == 0 and 28 <= page < 36 else None,
    )
    with serving(site) as web:
        job = crawl(tmp_path, [web.url(host, "/0") for host in site.faults], TREE)

        run = job.finish()

        expected = [url for host in site.faults for url in web.urls(host, site.size)]
    check_same([item["sku"] for item in job.items()], expected)
    assert "resilience/incomplete" not in run.stats
    assert "resilience/breaker/opened" not in run.stats


def test_a_few_pages_of_which_many_fail_once(tmp_path):
    """Eight failures at the end of twenty pages are no outage."""
    site = Site(20, late=lambda page, visit: (503,) if visit == 0 and page >= 12 else None)
    with serving(site) as web:
        job = crawl(tmp_path, web.urls("late.test", 20))

        run = job.finish()

    check_same([item["sku"] for item in job.items()], job.settings["URLS"])
    assert "resilience/incomplete" not in run.stats


def test_sections_of_bad_pages(tmp_path):
    """Pages that always answer 500 are dead letters, and cost no other page of their host."""
    site = Site(
        100,
        amid=lambda page, _: (500,) if 20 <= page < 60 else None,
        end=lambda page, _: (500,) if page >= 60 else None,
    )
    with serving(site) as web:
        job = crawl(tmp_path, web.urls("amid.test", 100) + web.urls("end.test", 100))

        run = job.run()  # Scrapy logs an error for each page that is given up

    bad = [
        url
        for url in job.settings["URLS"]
        if site.faults[urlsplit(url).hostname](int(urlsplit(url).path[1:]), 0)
    ]
    good = set(job.settings["URLS"]) - set(bad)
    check_same([item["sku"] for item in job.items()], list(good))
    check_same(letters(job), bad)
    assert run.reason == "finished"
    assert len(bad) == 80


def test_an_outage_amid_a_crawl(tmp_path):
    """A host that is down for a while costs no page, and few requests."""
    down = range(30, 48)

    with serving(lambda _, __, count: 503 if count in down else 200) as web:
        job = crawl(tmp_path, web.urls("outage.test", 100), SCALED + PAGES)

        run = job.finish()

    check_same([item["sku"] for item in job.items()], job.settings["URLS"])
    assert "resilience/incomplete" not in run.stats
    assert run.stats["resilience/breaker/closed"] >= 1
    assert len(web.asked) <= 100 + len(down) + 5


def test_a_replay_gives_a_fresh_breaker(tmp_path):
    """A single failure after a replay does not bring the trips of the last run back."""
    sick = True

    def answer(*_):
        return 503 if sick or next(left, False) else 200

    left = iter([True])
    with serving(answer) as web:
        job = crawl(tmp_path, web.urls("sick.test", 16))
        job.configure(RESILIENCE_BREAKER_RECOVERY_TIMEOUT=0.3, RESILIENCE_BREAKER_MAX_TRIPS=1)
        job.finish()
        assert len(letters(job)) == 16
        sick = False
        replayed = job.run("resilience", "replay", "job", "--json")
        assert replayed.code == 0, replayed

        job.finish()

    check_same([item["sku"] for item in job.items()], job.settings["URLS"])
    assert letters(job) == []


def test_no_failure_is_taken_from_the_cache(tmp_path):
    """Retries and replays ask the site, whatever the HTTP cache has kept."""
    sick = True

    def bad(page, _visit):
        return (500,) if sick and page < 3 else None

    site = Site(20, once=first_try(30, 503), bad=bad)
    with serving(site) as web:
        urls = web.urls("once.test", 20) + web.urls("bad.test", 20)
        job = crawl(tmp_path, urls, HTTPCACHE_ENABLED=True)
        job.run()
        check_same(letters(job), web.urls("bad.test", 3))
        sick = False
        job.run("resilience", "replay", "job", "--json")

        job.finish()

    check_same([item["sku"] for item in job.items()], urls)
    assert letters(job) == []


def test_the_commands_of_the_tutorial(tmp_path, rng):
    """A site that forgets what has failed once, a kill amid the crawl: each item once."""
    config = SiteConfig(hosts=2, pages=100, latency=0.02, first_try_503=0.3)
    with running_site(config) as site:
        job = Crawl(tmp_path, SHOP, site, rng, **DEFAULTS)
        job.configure(RESILIENCE_CHECKPOINT_INTERVAL=0.1)
        job.run_until(commits=2)
        assert job.kills == 1
        site.reset()

        job.finish()

        job.check_items(table=None)
    assert letters(job) == []
