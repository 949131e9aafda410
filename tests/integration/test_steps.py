"""A kill at each durable step, for all kinds of feeds at once."""

from __future__ import annotations

import csv
import gzip
import json
from io import StringIO
from itertools import chain

import pytest
from crawls import KILLED, check_same

from scrapy_resilience.failpoints import STEPS

pytestmark = pytest.mark.integration

SOURCE = """
    import os
    import signal
    from pathlib import Path

    from scrapy_resilience.failpoints import reached
    from shop import Base

    class Shop(Base):
        pass

    step, _, times = os.environ.get("KILL_AT", "").partition(":")
    left = int(times or 1)

    def kill(name):
        global left
        if name == step:
            left -= 1
            if not left:
                Path("killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)

    reached.append(kill)
"""
GZIP = {"postprocessing": ["scrapy.extensions.postprocessing.GzipPlugin"]}
FEEDS = {
    "items.jsonl": {"format": "jsonlines"},
    "items.csv": {"format": "csv", "overwrite": True},
    "items.json": {"format": "json"},
    "items.csv.gz": {"format": "csv", **GZIP},
    "lines-%(batch_id)d.jsonl": {"format": "jsonlines", "batch_item_count": 70},
    "batch-%(batch_id)d.xml": {"format": "xml", "batch_item_count": 70},
}


def skus(items):
    """What tells the items apart."""
    return [item["sku"] for item in items]


def check(job):
    """All feeds hold each item once."""
    expected = skus(job.site.expected_items())
    job.check_items()
    check_same(skus(json.loads(job.path("items.json").read_text())), expected)
    text = gzip.decompress(job.path("items.csv.gz").read_bytes()).decode()
    check_same(skus(csv.DictReader(StringIO(text))), expected)
    lines = chain.from_iterable(
        path.read_text().splitlines() for path in job.folder.glob("lines-*.jsonl")
    )
    check_same(skus(map(json.loads, lines)), expected)
    texts = [path.read_text() for path in job.folder.glob("batch-*.xml")]
    assert all(text.endswith("</items>") for text in texts)
    found = chain.from_iterable(text.split("<sku>")[1:] for text in texts)
    check_same([part.partition("<")[0] for part in found], expected)
    assert list(job.job.glob("spool/*")) == []


def run_into(job, step, times):
    """Run the job until it is killed at a step, or ends."""
    job.path("killed").unlink(missing_ok=True)
    run = job.run(env={"KILL_AT": f"{step}:{times}"})
    assert (run.code == KILLED) is job.path("killed").exists(), run
    return run


def finish(job):
    """Run to the end; a kill behind the last commit leaves nothing to do."""
    run = job.run()
    if "has finished" not in run.log:
        run.check_finished()


BEFORE_A_RESUME = {"feed/tail-kept", "feed/cut"}


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_each_step(crawl, step):
    """Whatever step a kill comes at, all feeds hold every item once after the resume."""
    job = crawl(SOURCE, FEEDS=FEEDS)
    if step in BEFORE_A_RESUME:  # there must be something to cut
        run_into(job, "commit/sealed", 3)

    run = run_into(job, step, job.rng.choice([1, 2]) if step.startswith("commit") else 1)

    assert run.code == KILLED, run
    finish(job)
    check(job)


def test_kills_at_pairs_of_steps(crawl):
    """Two kills in a row, at any two steps, lose and double nothing."""
    job = crawl(SOURCE, FEEDS=FEEDS)
    for _ in range(2):
        run_into(job, job.rng.choice(STEPS), job.rng.randrange(1, 4))

    finish(job)

    check(job)


def test_a_kill_while_a_job_begins_anew(crawl):
    """The old job is put aside and the new one not there yet: the next run begins it."""
    job = crawl(SOURCE, FEEDS={"items.jsonl": {"format": "jsonlines"}})
    job.configure(RESILIENCE_FINISHED_JOB="anew")
    job.run().check_finished()

    run_into(job, "anew/aside", 1)
    assert job.path("killed").exists()
    job.run().check_finished()

    expected = skus(job.site.expected_items())
    check_same(skus(job.items()), expected * 2)
