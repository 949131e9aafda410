"""What a crawl that is refused leaves behind."""

from __future__ import annotations

import gc

import pytest
from scrapy import Spider
from scrapy.crawler import Crawler

from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.jobs.crawl_job import job_of


class Refuser:
    """Somebody's extension, which does not like the settings."""

    @classmethod
    def from_crawler(cls, _):
        """Come after all of ours."""
        raise ConfigurationError("not so")


class Shop(Spider):
    """Any spider."""

    name = "shop"


def made(tmp_path, **settings):
    """A crawler as far as it is made before its engine."""
    crawler = Crawler(
        Shop,
        {
            "ADDONS": {"scrapy_resilience.ResilienceAddon": 300},
            "JOBDIR": str(tmp_path / "job"),
            "TWISTED_REACTOR_ENABLED": True,
            **settings,
        },
    )
    crawler._apply_settings()
    return crawler


def test_its_job_is_free_for_the_next_crawl(tmp_path):
    """In the same process, in which nothing keeps the crawler."""
    with pytest.raises(ConfigurationError, match="not so"):
        made(tmp_path, EXTENSIONS={Refuser: 900})
    gc.collect()

    crawler = made(tmp_path)

    assert job_of(crawler).path == tmp_path / "job"
    job_of(crawler).close()
