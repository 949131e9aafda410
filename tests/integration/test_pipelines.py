"""Pipelines that normalize and weigh, in crawls that are killed."""

from __future__ import annotations

import gzip
import json

import pytest

pytestmark = pytest.mark.integration

KINDS = ["dict", "Item", "Data", "Attrs", "Model"]
TRUSTED = "scrapy_resilience.pipelines.confidence.TrustedItems"
DOUBTFUL = "scrapy_resilience.pipelines.confidence.DoubtfulItems"
FEEDS = {
    "items.jsonl": {"format": "jsonlines", "item_filter": TRUSTED},
    "review.jsonl": {"format": "jsonlines", "item_filter": DOUBTFUL},
    "review.json.gz": {
        "format": "json",
        "item_filter": DOUBTFUL,
        "postprocessing": ["scrapy.extensions.postprocessing.GzipPlugin"],
    },
}

SPIDER = """
import asyncio
from dataclasses import dataclass, field
from shop import Base
import attrs, pydantic, scrapy
from urllib.parse import urlsplit


class Item(scrapy.Item):
    sku = scrapy.Field()
    price = scrapy.Field(normalize={"type": "price", "currency": "EUR"})
    seen = scrapy.Field(normalize="date")
    confidence = scrapy.Field()

@dataclass
class Data:
    sku: str
    price: object = field(metadata={"normalize": {"type": "price", "currency": "EUR"}})
    seen: object = field(metadata={"normalize": "date"})
    confidence: object = None

@attrs.define
class Attrs:
    sku: str
    price: object = attrs.field(metadata={"normalize": {"type": "price", "currency": "EUR"}})
    seen: object = attrs.field(metadata={"normalize": "date"})
    confidence: object = None

class Model(pydantic.BaseModel):
    sku: str
    price: object = pydantic.Field(
        json_schema_extra={"normalize": {"type": "price", "currency": "EUR"}}
    )
    seen: object = pydantic.Field(json_schema_extra={"normalize": "date"})
    confidence: object = None

KINDS = [dict, Item, Data, Attrs, Model]


class Shop(Base):
    async def parse(self, response, **_):
        for number, item in enumerate(self.products(response)):
            await asyncio.sleep(0)  # the items of several responses are mixed
            wrong = int(item["sku"].rpartition("-")[0].rpartition("-")[2]) % 3 == 0
            price = "Add to cart" if wrong else item["price"]
            for kind in KINDS:
                sku = f"{item['sku']}-{kind.__name__}"
                yield kind(sku=sku, price=price, seen="3 days ago")
        for link in self.links(response):
            yield link
"""

SETTINGS = {
    "FEEDS": FEEDS,
    "RESILIENCE_CONFIDENCE_FIELD": "confidence",
    # on this machine nothing but the way of extraction tells one item from another
    "RESILIENCE_CONFIDENCE_WEIGHTS": {
        "content_length": 0, "speed": 0, "structured_data": 0, "extraction": 1,
    },
    "RESILIENCE_NORMALIZE": {"price": {"type": "price", "currency": "EUR"}, "seen": "date"},
}  # fmt: skip


def is_wrong(product):
    """Whether the spider gives the product a wrong price: on each third page."""
    return product["page"] % 3 == 0


def expected(job, *, wrong):
    """The keys of the items that the spider makes of right or wrong products."""
    products = [item for item in job.site.expected_items() if is_wrong(item) is wrong]
    return sorted(f"{item['sku']}-{kind}" for item in products for kind in KINDS)


def skus(items):
    """The keys of some items."""
    return sorted(item["sku"] for item in items)


def check(job):
    """Each item is in the feed that it belongs to, once, and typed."""
    trusted, review = job.items(), job.items("review.jsonl")
    with gzip.open(job.path("review.json.gz"), "rt") as file:
        spooled = json.load(file)

    assert skus(trusted) == expected(job, wrong=False)
    assert skus(review) == skus(spooled) == expected(job, wrong=True)
    for item in trusted:
        assert (item["price"]["currency"], item["confidence"]["doubtful"]) == ("EUR", False)
        assert item["seen"]["raw"] == "3 days ago"
    for item in review + spooled:
        assert (item["price"], item["confidence"]["doubtful"]) == ("Add to cart", True)


def test_each_class_of_items(plain_crawl):
    """Items of all five classes are normalized, weighed and routed."""
    job = plain_crawl(SPIDER, **SETTINGS)
    run = job.finish()

    check(job)
    wrong = len(expected(job, wrong=True))
    right = len(expected(job, wrong=False))
    assert run.stats["resilience/normalize/read/price"] == right
    assert run.stats["resilience/normalize/unread/price"] == wrong
    assert run.stats["resilience/confidence/doubtful"] == wrong
    assert run.stats["resilience/confidence/high"] == right


@pytest.mark.parametrize("timeout", [1, 0], ids=["aligned", "unaligned"])
def test_kills(plain_crawl, timeout):
    """The review feed too holds each of its items once after kills, as does one in a spool."""
    job = plain_crawl(SPIDER, **SETTINGS, RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT=timeout)
    job.survive(kills=2)

    check(job)


def test_drop(plain_crawl):
    """Doubtful items are dropped and counted, also when the crawl was killed."""
    feeds = {"items.jsonl": {"format": "jsonlines"}}
    job = plain_crawl(
        SPIDER, **{**SETTINGS, "FEEDS": feeds, "RESILIENCE_CONFIDENCE_ACTION": "drop"}
    )
    job.survive(kills=2, at_least=1)

    assert skus(job.items()) == expected(job, wrong=False)
    total = job.state("resilience.totals")
    assert total["resilience/confidence/dropped"] == total["item_dropped_count"]
    assert total["item_dropped_count"] >= len(expected(job, wrong=True))


def test_alone(plain_crawl):
    """Without the add-on, with Scrapy's scheduler and feeds, the pipelines do the same."""
    pipelines = {
        "scrapy_resilience.pipelines.normalize.NormalizePipeline": 100,
        "scrapy_resilience.pipelines.confidence.ConfidencePipeline": 900,
    }
    job = plain_crawl(SPIDER, **SETTINGS, ADDONS={}, ITEM_PIPELINES=pipelines, JOBDIR=None)
    job.settings["JOBDIR"] = "job"
    job.finish()

    check(job)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("RESILIENCE_NORMALIZE", {"price": "prize"}, "'prize' is not a type of values"),
        ("RESILIENCE_CONFIDENCE_WEIGHTS", {"luck": 1}, "no such factor of confidence: luck"),
    ],
)
def test_refusals(plain_crawl, name, value, words):
    """A setting that is wrong is refused in one line before the crawl begins."""
    plain_crawl(SPIDER, **{**SETTINGS, name: value}).run().check_refused(name, words)


def test_decimals(plain_crawl):
    """Decimals and other values of Python come through a spool as through a file."""
    rules = {"price": {"type": "price", "decimal": True}}
    feeds = {
        "items.jsonl": {"format": "jsonlines"},
        "items.xml": {"format": "xml"},
        "items.json": {"format": "json"},
    }
    job = plain_crawl(
        "from shop import Base\nclass Shop(Base): pass\n",
        FEEDS=feeds,
        RESILIENCE_NORMALIZE=rules,
    )
    job.finish()

    whole = json.loads(job.path("items.json").read_text("utf-8"))
    assert sorted(whole, key=str) == sorted(job.items(), key=str)
    prices = {item["sku"]: item["price"] for item in job.site.expected_items()}
    for item in whole:
        assert item["price"]["amount"] == item["price"]["raw"] == prices[item["sku"]]
