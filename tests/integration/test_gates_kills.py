"""Exactly once, with holds, retries and dead letters in the mix, whatever is killed."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from crawls import KILLED, Crawl, check_same
from web import serving

from scrapy_resilience.testing import SiteConfig, running_site

pytestmark = pytest.mark.integration

SITE = SiteConfig(
    hosts=3,
    pages=40,
    latency=0.1,
    redirects=0.1,
    first_try_503=0.15,
    outage=1.5,
    throttle_requests=12,
    throttle_window=1.0,
)
HOSTS = ["h0.test", "h1.test", "h2.test", "outage.test", "throttled.test"]
SOURCE = """
    import scrapy
    from shop import Base
    class Shop(Base):
        async def start(self):
            for url in self.settings.getlist("SICK"):
                yield scrapy.Request(url, self.parse_sick)
            async for request in super().start():
                yield request
        def parse_sick(self, response):
            yield dict(sku=response.url)
"""


def make(folder, site, web, rng, **settings):
    """Healthy hosts, one that is down for a while, one that throttles, one that is lost."""
    return Crawl(
        folder,
        SOURCE,
        site,
        rng,
        **{
            "START": site.start_urls(*HOSTS),
            "SICK": web.urls("sick.test", 30),
            "FEEDS": {"items.jsonl": {"format": "jsonlines"}},
            "CONCURRENT_REQUESTS": 16,
            "CONCURRENT_REQUESTS_PER_DOMAIN": 4,
            "RESILIENCE_BREAKER_RECOVERY_TIMEOUT": 0.4,
            "RESILIENCE_BREAKER_DOMAINS": {
                "outage.test": {"recovery_timeout": 0.7, "max_recovery_timeout": 1.0}
            },
            "RESILIENCE_BREAKER_MAX_TRIPS": 3,
            "RESILIENCE_BREAKER_MAX_RECOVERY_TIMEOUT": 1.5,
            "RESILIENCE_ADAPTIVE_RATE": False,
            "RESILIENCE_RETRY_POLICIES": {
                "quick": {"attempts": 12, "base": 0.3, "max_delay": 1}
            },
            "RESILIENCE_RETRY_POLICY": "quick",
            **settings,
        },
    )


def letters(job):
    """What the command lists."""
    run = job.run("resilience", "deadletters", "job", "--json")
    assert run.code == 0, run
    return json.loads(run.out)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT": 0.02},
        {"DOWNLOAD_DELAY": 0.05, "CONCURRENT_REQUESTS_PER_DOMAIN": 8},
    ],
    ids=["aligned", "unaligned", "delayed"],
)
def test_each_url_is_accounted_for_once(tmp_path, rng, settings):
    """Items and letters hold each URL once; after a replay each item is there, no letter."""
    healed = False

    with running_site(SITE) as site, serving(lambda *_: 200 if healed else 503) as web:
        job = make(tmp_path, site, web, rng, **settings)
        for _ in range(2):
            run = job.run_until(commits=3, spread=0.4)
            assert run.code == KILLED, run
        run = job.run()
        sick = set(job.settings["SICK"])
        expected = [item["sku"] for item in site.expected_items(*HOSTS)]
        found = letters(job)

        assert (run.code, run.reason) == (0, "finished"), run
        check_same([item["sku"] for item in job.items()], expected)
        check_same([letter["url"] for letter in found], sick)
        assert Counter(letter["domain"] for letter in found) == {"sick.test": 30}
        assert run.stats["resilience/incomplete"] == 30
        assert len(web.times("sick.test")) < 40 + 3 * 8

        healed = True
        replay = job.run("resilience", "replay", "job", "--json")
        assert replay.code == 0, replay
        for _ in range(1):
            if job.run_until(commits=1).code != KILLED or job.state()["finished"]:
                break  # a kill may come after the last commit
        else:
            job.finish()
        check_same([item["sku"] for item in job.items()], [*expected, *sick])
        assert letters(job) == []
        status = json.loads(job.run("resilience", "status", "job", "--json").out)
        assert (status["state"], status["pending"], status["dead_letters"]) == (
            "finished",
            0,
            0,
        )
