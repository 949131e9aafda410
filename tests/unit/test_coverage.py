"""Field coverage: how many items have what."""

from __future__ import annotations

from dataclasses import dataclass, field

from engines import engine_of
from hypothesis import given
from hypothesis import strategies as st
from scrapy import signals

from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience.core.coverage import Coverage
from scrapy_resilience.extensions.coverage import FieldCoverage


def mapping(value):
    """Return a dict as it is, and None for anything else."""
    return value if isinstance(value, dict) else None


def shares(*items):
    """Return the shares of dict items by path."""
    coverage = Coverage(mapping)
    for item in items:
        coverage.add("dict", item)
    return {path: share for _, path, share in coverage.shares()}


def test_empty_is_not_filled():
    """None, and an empty text or collection, are not filled; 0 and False are."""
    item = {"a": None, "b": "", "c": [], "d": {}, "e": 0, "f": False, "g": "x", "h": b""}

    assert shares(item) == dict(zip("abcdefgh", (0, 0, 0, 0, 1, 1, 1, 0), strict=True))


def test_a_field_that_an_item_lacks():
    """The share is of all items of the type."""
    assert shares({"a": 1}, {"b": 1}, {"a": None, "b": 2}) == {"a": 0.3333, "b": 0.6667}


def test_nested_fields():
    """Paths lead into dicts, and into lists, where one element is enough."""
    item = {"offer": {"price": 1, "note": ""}, "sizes": [{"name": "S"}, {"name": ""}, 5]}

    assert shares(item, {"offer": None}) == {
        "offer": 0.5,
        "offer.price": 0.5,
        "offer.note": 0,
        "sizes": 0.5,
        "sizes[].name": 0.5,
    }


def test_memory_is_bounded():
    """Keys that are data end at a thousand paths, and known ones are counted on."""
    coverage = Coverage(mapping)
    for number in range(5000):
        coverage.add("dict", {"known": 1, f"key{number}": 1})

    found = {path: share for _, path, share in coverage.shares()}
    assert len(found) == 1000
    assert found["known"] == 1


def test_a_circle():
    """An item that holds itself comes to an end."""
    item = {}
    item["self"] = item

    assert len(shares(item)) == 5


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=10,
)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), _values), max_size=6))
def test_state(items):
    """What was stored and read counts on; each share is from 0 to 1."""
    one, other = Coverage(mapping), Coverage(mapping)
    for item in items:
        one.add("dict", item)
    other.restore(one.save())

    assert list(other.shares()) == list(one.shares())
    assert all(0 <= share <= 1 for *_, share in one.shares())


@dataclass
class Offer:
    """An item within an item."""

    price: str = ""


@dataclass
class Product:
    """A dataclass item."""

    name: str
    offers: list[Offer] = field(default_factory=list)


def watching(**settings):
    """Return the extension of a crawl that has begun, and what tells it of an item."""
    engine = engine_of(settings)
    crawler = engine.crawler
    extension = FieldCoverage.from_crawler(crawler)
    crawler.signals.send_catch_log(signals.spider_opened, spider=crawler.spider)

    def scraped(item, times=1):
        for _ in range(times):
            for tell in hooks_of(engine).scraped:
                tell(item)

    return extension, scraped


def test_the_stats():
    """Each 100 items, and at the close, the stats have the shares by type."""
    extension, scraped = watching()
    crawler = extension.crawler

    key = "resilience/coverage/Product/offers[].price"
    scraped(Product("a", [Offer("5")]), 99)
    assert crawler.stats.get_value(key) is None
    scraped(Product("a", [Offer()]), 1)
    assert crawler.stats.get_value(key) == 0.99
    scraped({"name": ""}, 1)
    crawler.signals.send_catch_log(signals.spider_closed, spider=None, reason="finished")
    assert crawler.stats.get_value("resilience/coverage/dict/name") == 0
    assert extension.coverage.items == {"Product": 100, "dict": 1}


def test_our_own_field_is_left_out():
    """The confidence that we write into items is not a field of theirs."""
    made, scraped = watching(RESILIENCE_CONFIDENCE_FIELD="confidence")
    item = {"sku": 1, "confidence": {"overall": 1.0}, "offer": {"confidence": 0.5}}
    scraped(item)

    assert [path for _, path, _ in made.coverage.shares()] == [
        "sku",
        "offer.confidence",
        "offer",
    ]
