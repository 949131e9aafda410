"""Feeds that were moved or removed between two runs, and the ways out that the error names."""

from __future__ import annotations

import json

import pytest
from crawls import SHOP, check_same

pytestmark = pytest.mark.integration


@pytest.fixture
def killed(plain_crawl):
    """A job that was killed, with one feed."""
    job = plain_crawl(SHOP, FEEDS={"items.jsonl": {"format": "jsonlines"}})
    job.run_until(commits=2)
    return job


def feeds(job, *args, code=0):
    """What ``scrapy resilience feeds`` says."""
    run = job.run("resilience", "feeds", "job", *args, "--json")
    assert run.code == code, run
    return json.loads(run.out) if code == 0 else run.log


def skus(path):
    """What tells the items of a feed apart."""
    return [json.loads(line)["sku"] for line in path.read_text().splitlines()]


def test_a_feed_that_was_moved(killed):
    """Relinked, the feed goes on at its new place, with each item once."""
    (row,) = feeds(killed)
    assert (row["feed"], row["state"]) == ("items.jsonl", "as it was left")
    killed.path("items.jsonl").rename(killed.path("moved.jsonl"))
    assert feeds(killed)[0]["state"] == "is gone"
    killed.run().check_refused("items.jsonl is gone", "scrapy resilience feeds job")

    (row,) = feeds(killed, "relink", "items.jsonl", "moved.jsonl")
    assert row["state"] == "as it was left"
    killed.configure(FEEDS={"moved.jsonl": {"format": "jsonlines"}})
    killed.finish()

    check_same(skus(killed.path("moved.jsonl")), skus_of(killed))
    assert not killed.path("items.jsonl").exists()


def skus_of(job):
    """What the site has."""
    return [item["sku"] for item in job.site.expected_items()]


def test_a_feed_that_was_removed(killed):
    """Forgotten, a new feed has the items from then on."""
    before = skus(killed.path("items.jsonl"))
    killed.path("items.jsonl").unlink()

    assert feeds(killed, "forget", "items.jsonl") == []
    killed.finish()

    after = skus(killed.path("items.jsonl"))
    assert set(before) | set(after) == set(skus_of(killed))
    assert len(after) == len(set(after)) < len(skus_of(killed))


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("forget", "other.jsonl"), "the job has no feed 'other.jsonl'"),
        (("relink", "items.jsonl", "none.jsonl"), "none.jsonl can't take the place"),
        (("relink", "items.jsonl", "short.jsonl"), "it is shorter"),
        (("relink", "items.jsonl", "wrong.jsonl"), "does not hold what the last run wrote"),
    ],
)
def test_wrong_names(killed, args, words):
    """A feed that the job does not have, and files that are not the feed, are refused."""
    killed.path("short.jsonl").write_text("{}\n")
    killed.path("wrong.jsonl").write_text("{}\n" * 100_000)

    assert words in feeds(killed, *args, code=1)
    assert feeds(killed)[0]["state"] == "as it was left"


def test_feeds_that_can_not_be_relinked(plain_crawl):
    """A feed that is produced from a spool has no file yet."""
    job = plain_crawl(SHOP, FEEDS={"items.json": {"format": "json"}})
    job.run_until(commits=2)

    words = "items.json is not one JSON Lines or CSV file"
    assert words in feeds(job, "relink", "items.json", "other.json", code=1)
    assert feeds(job, "forget", "items.json") == []
