"""Pipelines that buffer and spiders that read a queue, killed at random moments."""

from __future__ import annotations

import sqlite3

from crawls import SHOP, Crawl, check_same
from soaking import check_items, drawn_settings, drawn_site
from test_sinks import SNIPPETS, rows, skus

from scrapy_resilience.testing import running_site


def test_batches(tmp_path, rng, killer):
    """Rows that a pipeline collects are in its database once, as the items in the feeds."""
    settings = {**drawn_settings(rng), "ITEM_PIPELINES": {"batching.BatchingPipeline": 300}}
    with running_site(drawn_site(rng)) as site:
        job = Crawl(tmp_path, SHOP, site, rng, **settings)
        job.write("batching.py", (SNIPPETS / "batching.py").read_text())

        killer.survive(job)

        check_same(skus(rows(job)), skus(site.expected_items()))
        check_items(job)


def test_queue(tmp_path, rng, killer):
    """Each message of a queue is crawled once, and gone from the queue."""
    source = (SNIPPETS / "queue_spider.py").read_text()
    settings = {**drawn_settings(rng), "FEEDS": {}, "JOBDIR": "queue-job"}
    with running_site(drawn_site(rng, faults=False)) as site:
        hosts = range(site.config.hosts)
        urls = [url for host in hosts for url in site.page_urls(f"h{host}.test")]
        job = Crawl(tmp_path, source, site, rng, **settings)
        with sqlite3.connect(job.path("queue.sqlite")) as queue:
            queue.execute("CREATE TABLE queue (number INTEGER PRIMARY KEY, url TEXT)")
            queue.executemany("INSERT INTO queue (url) VALUES (?)", [(url,) for url in urls])

        killer.survive(job, "crawl", "queue")

        check_same([page["url"] for page in job.items("pages.jsonl")], urls)
        with sqlite3.connect(job.path("queue.sqlite")) as queue:
            assert queue.execute("SELECT count(*) FROM queue").fetchone() == (0,)
