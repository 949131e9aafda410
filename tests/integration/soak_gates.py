"""Hosts that are down, throttle or fail now and then, while crawls are killed."""

from __future__ import annotations

import json
import time

import pytest
from crawls import SHOP, Crawl, check_same
from msgspec.structs import replace
from soaking import LIMIT
from test_gates_kills import HOSTS, SITE, letters, make
from web import serving

from scrapy_resilience.testing import SiteConfig, running_site


def test_held(tmp_path, rng, killer):
    """Items and letters hold each URL once; after a replay each item is there, no letter."""
    config = replace(SITE, pages=rng.randint(20, 60), latency=rng.choice([0.02, 0.1]))
    settings = {
        "RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT": rng.choice([0.02, 1]),
        "CONCURRENT_REQUESTS_PER_DOMAIN": rng.choice([2, 4, 8]),
        "DOWNLOAD_DELAY": rng.choice([0, 0.05]),
    }
    healed = False
    with running_site(config) as site, serving(lambda *_: 200 if healed else 503) as web:
        job = make(tmp_path, site, web, rng, **settings)
        sick = job.settings["SICK"]
        expected = [item["sku"] for item in site.expected_items(*HOSTS)]

        killer.survive(job)

        check_same([item["sku"] for item in job.items()], expected)
        check_same([letter["url"] for letter in letters(job)], sick)

        healed = True
        replay = job.run("resilience", "replay", "job", "--json", limit=LIMIT)
        assert replay.code == 0, replay
        killer.survive(job)

        check_same([item["sku"] for item in job.items()], [*expected, *sick])
        assert letters(job) == []
        status = json.loads(job.run("resilience", "status", "job", "--json").out)
        assert (status["state"], status["pending"]) == ("finished", 0)


@pytest.mark.parametrize("share", [0.15, 0.3], ids=["flaky-15", "flaky-30"])
def test_503(tmp_path, rng, killer, share):
    """Pages that fail at their first request come once, with default settings."""
    hosts = rng.choice([1, 5])
    config = SiteConfig(
        hosts=hosts, pages=200 // hosts, first_try_503=share, latency=0.1 * hosts
    )
    with running_site(config) as site:
        job = Crawl(tmp_path, SHOP, site, rng, CONCURRENT_REQUESTS=16)
        job.configure(CONCURRENT_REQUESTS_PER_DOMAIN=None)

        survive_flaky(job, killer)

        job.check_items()


def test_flaky_429(tmp_path, rng, killer):
    """Pages that answer 429 at their first request come once, with default settings."""
    seen = set()

    def answer(_host, path, _count):
        time.sleep(0.1)
        first = path not in seen and int(path[1:]) % 10 < 3
        seen.add(path)
        return 429 if first else 200

    with serving(answer) as web:
        urls = web.urls("flaky.test", 200)
        job = Crawl(tmp_path, SHOP.replace("pass", PAGE), rng=rng, START=urls)

        survive_flaky(job, killer)

        job.check_items([{"sku": url} for url in urls])


PAGE = "\n    def parse(self, response): yield dict(sku=response.url)"


def survive_flaky(job, killer):
    """Come to the end, and without a dead letter."""
    killer.survive(job)
    assert letters(job) == []
