"""What is read of a text of metrics."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families as parse_text
from views import HOSTILE

from scrapy_resilience.observe.view import JobView, View

__all__ = ["STATS", "samples", "value", "view_of"]

STATS = {
    "downloader/response_status_count/200": 5,
    "downloader/exception_type_count/twisted.internet.error.TimeoutError": 2,
    "log_count/INFO": 9,
    "retry/max_reached": 1,
    "memusage/max": 1.5e8,
    "elapsed_time_seconds": 2.5,
    "finish_reason": "finished",
    "resilience/checkpoint/commits": 7,
    "resilience/total/item_scraped_count": 3,
    "shop/out of stock": 4,
    "shop_out of_stock": 5,
    "商店": 6,
    "": 8,
    **{f"key {text}": 1 for text in HOSTILE},
    **{f"log_count/{text}": 1 for text in HOSTILE},
}


def samples(text, parse=parse_text):
    """Each series of a text, by its name and labels; fails for one that is there twice."""
    found = {}
    for family in parse(text.decode()):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, key
            found[key] = sample.value
    return found


def value(text, name, **labels):
    """The value of a series of the spider *shops*; None where there is none."""
    spider = labels.pop("spider", "shops")
    return samples(text).get((name, frozenset({"spider": spider, **labels}.items())))


def view_of(*domains, **stats):
    """A view of some domains."""
    return View(job=JobView(spider="shops"), domains=list(domains), stats=stats)
