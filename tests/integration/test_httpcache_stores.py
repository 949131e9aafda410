"""The HTTP cache in SQLite and Redis, in crawls: kills of the crawl, and of Redis."""

from __future__ import annotations

import pytest
from crawls import SHOP, Crawl, check_same
from redis_process import running_redis
from web import serving

pytestmark = pytest.mark.integration

URL = "RESILIENCE_HTTPCACHE_REDIS_URL"
CHAIN = """
    import scrapy
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            yield scrapy.Request(self.settings["FIRST"])
        def parse(self, response):
            yield {"sku": response.url}
            yield from response.follow_all(css="a")
"""
READ, STORE = "The HTTP cache can't read pages", "The HTTP cache can't store pages"


def cached(kind, **settings):
    """Settings of a crawl with its pages in a store."""
    storage = f"scrapy_resilience.httpcache.{kind}CacheStorage"
    patient = {"RESILIENCE_HTTPCACHE_REDIS_TIMEOUT": 10}  # a busy machine is no slow Redis
    return {"HTTPCACHE_ENABLED": True, "HTTPCACHE_STORAGE": storage, **patient, **settings}


@pytest.fixture
def server(redis_program, tmp_path):
    """A Redis that a test may kill."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with running_redis(redis_program, folder) as server:
        yield server


@pytest.mark.parametrize("kind", ["SQLite", "Redis"])
def test_a_crawl_that_is_killed(crawl, kind, request):
    """What the next job finds is whole; what a kill took is asked for again.

    Failures that were stored, the first answers of 503, are no answer to a retry.
    """
    settings = {URL: request.getfixturevalue("server").url} if kind == "Redis" else {}
    job = crawl(SHOP, **cached(kind, HTTPCACHE_DIR="cache", **settings))
    job.survive(kills=1, commits=2)
    job.check_items()
    asked = job.site.stats()["total"]["requests"]
    job.site.reset()

    job.configure(JOBDIR="second", FEEDS={"again.jsonl": {"format": "jsonlines"}})
    run = job.finish()

    job.check_items(jsonl="again.jsonl", table=None)
    assert job.site.stats()["total"]["requests"] < asked / 2
    assert run.stats["httpcache/hit"] > asked / 2
    assert "resilience/httpcache/unread" not in run.stats


def test_a_redis_that_is_killed(tmp_path, server):
    """Pages go on without it, one line says so, and it is used again when it is back."""
    asked = []

    def answer(_host, path, count):
        asked.append(path)
        if count == 10:
            server.kill()
        elif count == 20:
            server.start()
        is_back = count > 20 and server.client.dbsize()
        link = "" if is_back else f'<a href="/{count}">on</a>'
        return 200, {"Content-Type": "text/html"}, link.encode() + b"<p>page</p>"

    with serving(answer) as web:
        settings = cached("Redis", **{URL: server.url}, FIRST=web.url("shop.test", "/0"))
        job = Crawl(tmp_path / "crawl", CHAIN, **settings)
        run = job.finish()
        check_same(
            [item["sku"] for item in job.items()], [web.url("shop.test", p) for p in asked]
        )

    assert (run.log.count(READ), run.log.count(STORE)) == (1, 1)
    assert "The HTTP cache can store pages again" in run.log
    assert run.stats["resilience/httpcache/unread"] > 0
    assert run.stats["resilience/httpcache/unstored"] > 0


def test_a_redis_that_is_not_named(tmp_path):
    """The crawl is refused in one line, before it begins."""
    job = Crawl(tmp_path, CHAIN, **cached("Redis"))

    job.run().check_refused("RedisCacheStorage needs", URL)
    assert not job.job.exists()
