"""Components of others that no checkpoint can hold: who is named, and who is not."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from scrapy import Spider
from scrapy.settings import Settings

from scrapy_resilience.components import uncovered

PACKAGES = {
    "scrapy_deltafetch.middleware": "DeltaFetch",
    "scrapy_crawl_once.middlewares": "CrawlOnceMiddleware",
    "scrapy_redis.pipelines": "RedisPipeline",
    "scrapy_redis.spiders": "RedisSpider",
    "scrapyelasticsearch.scrapyelasticsearch": "ElasticSearchPipeline",
    "scrapy_mongodb": "MongoDBPipeline",
    "spidermon.contrib.scrapy.extensions": "Spidermon",
    "scrapy_deltafetcher": "DeltaFetch",
}
ON = {"DELTAFETCH_ENABLED": True, "SPIDERMON_ENABLED": True, "MONGODB_BUFFER_DATA": True}


@pytest.fixture(autouse=True)
def packages(monkeypatch):
    """Modules of these names, each with its class."""
    for name, attribute in PACKAGES.items():
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            package = ".".join(parts[:end])
            monkeypatch.setitem(sys.modules, package, ModuleType(package))
        cls = type(attribute, (Spider if "Spider" in attribute else object,), {})
        cls.__module__ = name
        setattr(sys.modules[name], attribute, cls)


def lines(setting="", *paths, spidercls=Spider, resumed=False, **settings):
    """What is said of a project with these components."""
    given = {setting: dict.fromkeys(paths, 100)} if setting else {}
    return list(uncovered(Settings({**given, **settings}), spidercls, resumed=resumed))


@pytest.mark.parametrize(
    ("setting", "path", "way_out"),
    [
        ("SPIDER_MIDDLEWARES", "scrapy_deltafetch.middleware.DeltaFetch", "DELTAFETCH_ENABLED"),
        (
            "DOWNLOADER_MIDDLEWARES",
            "scrapy_crawl_once.middlewares.CrawlOnceMiddleware",
            "CRAWL_ONCE_ENABLED=False",
        ),
        ("ITEM_PIPELINES", "scrapy_redis.pipelines.RedisPipeline", "item_id()"),
        (
            "ITEM_PIPELINES",
            "scrapyelasticsearch.scrapyelasticsearch.ElasticSearchPipeline",
            "ELASTICSEARCH_BUFFER_LENGTH=1",
        ),
        ("ITEM_PIPELINES", "scrapy_mongodb.MongoDBPipeline", "MONGODB_BUFFER_DATA=0"),
    ],
)
def test_a_known_component_is_named(setting, path, way_out):
    """One line names the component and what to do."""
    (line,) = lines(setting, path, **ON)

    assert line.startswith(f"{path} is not part of the checkpoint: ")
    assert way_out in line


def test_a_subclass_is_named_by_its_own_name():
    """What is made of a known component has its limits."""
    base = sys.modules["scrapy_deltafetch.middleware"].DeltaFetch
    own = type("Mine", (base,), {"__module__": "project.middlewares"})

    (line,) = lines(SPIDER_MIDDLEWARES={own: 1}, **ON)

    assert line.startswith("project.middlewares.Mine ")


def test_a_spider_that_pops():
    """A spider's class may be one of them."""
    (line,) = lines(spidercls=sys.modules["scrapy_redis.spiders"].RedisSpider)

    assert "checkpoint_committed" in line


def test_one_that_is_in_two_settings_is_named_once():
    """Crawl-once is both a spider and a downloader middleware."""
    orders = {"scrapy_crawl_once.middlewares.CrawlOnceMiddleware": 50}

    assert len(lines(SPIDER_MIDDLEWARES=orders, DOWNLOADER_MIDDLEWARES=orders)) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"SPIDER_MIDDLEWARES": {"scrapy_deltafetch.middleware.DeltaFetch": None}, **ON},
        {"SPIDER_MIDDLEWARES": {"scrapy_deltafetch.middleware.DeltaFetch": 100}},
        {"SPIDER_MIDDLEWARES": {"scrapy_deltafetcher.DeltaFetch": 100}, **ON},
        {"ITEM_PIPELINES": {"scrapy.pipelines.files.FilesPipeline": 1}},
        {"ITEM_PIPELINES": {"scrapy_mongodb.MongoDBPipeline": 1}},
        {"EXTENSIONS": {"spidermon.contrib.scrapy.extensions.Spidermon": 1}, **ON},
    ],
    ids=["none", "taken out", "turned off", "another", "Scrapy's", "no buffer", "first run"],
)
def test_nothing_is_said_where_there_is_nothing_to_do(settings):
    """Components that are off, ordinary ones, and what matters in later runs only."""
    assert lines(**settings) == []


def test_monitors_of_a_resumed_run():
    """Spidermon's monitors are told where the sums of all runs are."""
    orders = {"spidermon.contrib.scrapy.extensions.Spidermon": 500}

    (line,) = lines(EXTENSIONS=orders, resumed=True, **ON)

    assert "resilience/total/" in line
