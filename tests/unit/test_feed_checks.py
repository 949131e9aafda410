"""Feeds that can't work: the error names the feed and what to do."""

from __future__ import annotations

import sys

import pytest
from scrapy import Spider
from scrapy.crawler import Crawler

from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.extensions.feedexport import ResilientFeedExporter

S3 = "s3://key:secret@bucket/items.jl"
OUT = {"EXTENSIONS": {"scrapy.extensions.feedexport.FeedExporter": None}}


def exporter(uri, **feed):
    """The exporter of one feed."""
    feeds = {uri: {"format": "jsonlines", **feed}}
    crawler = Crawler(Spider, {"FEEDS": feeds, "LOG_ENABLED": False, **OUT})
    crawler.spider = Spider("feeds")
    crawler._apply_settings()
    return ResilientFeedExporter.from_crawler(crawler)


@pytest.mark.parametrize(
    ("uri", "feed", "message"),
    [
        (S3, {}, r"The feed s3://\S+@bucket/items.jl can't be stored: run pip install boto3"),
        ("gs://bucket/x", {}, "can't be stored: run pip install google-cloud-storage"),
        ("nope://bucket/x", {}, "can't be stored: give FEED_STORAGES what is missing"),
        ("x.toml", {"format": "toml"}, "can't be written: give FEED_EXPORTERS one .* 'toml'"),
        ("x.jl", {"batch_item_count": 5}, r"written in batches: put %\(batch_id\)d"),
    ],
)
def test_what_can_not_work(monkeypatch, uri, feed, message):
    """It is refused, without a secret in the text."""
    monkeypatch.setitem(sys.modules, "boto3", None)

    with pytest.raises(ConfigurationError, match=message) as refusal:
        exporter(uri, **feed)

    assert "secret" not in str(refusal.value)


def test_what_can_work():
    """A local file of a format that is known."""
    assert exporter("x.jl").feeds
