"""The database sink: each item is one row, whatever is killed, refused or away."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from crawls import KILLED, Crawl, check_same, wait_until

pytestmark = pytest.mark.integration

SINK = {
    "RESILIENCE_SQL_URL": "sqlite:///rows.sqlite",
    "RESILIENCE_SQL_TABLE": "products",
    "RESILIENCE_SQL_CREATE": True,
}
SOURCE = """
    import os
    import signal
    from pathlib import Path

    from scrapy_resilience.failpoints import reached
    from shop import Base

    step, _, left = os.environ.get("KILL_AT", "").partition(":")
    left = int(left or 0)

    def kill(name):
        global left
        left -= name == step
        if name == step and left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    reached.append(kill)

    class Shop(Base):
        def products(self, response):
            found = [*super().products(response)]
            return found[:1] if Path("fewer").exists() else found
"""
STEPS = ("sql/written", "sql/committed", "commit/prepared", "commit/written")


def rows(job, columns="sku", table="products", file="rows.sqlite"):
    """What the table holds."""
    with closing(sqlite3.connect(job.path(file))) as database:
        found = database.execute(f"SELECT {columns} FROM {table}").fetchall()  # noqa: S608
    return [row[0] if len(row) == 1 else row for row in found]


def change(job, sql):
    """Change the database as somebody else does."""
    with closing(sqlite3.connect(job.path("rows.sqlite"))) as database, database:
        database.execute(sql)


@contextmanager
def locked(job):
    """Nobody else may write, nor read."""
    with closing(sqlite3.connect(job.path("rows.sqlite"), timeout=30)) as database:
        database.execute("BEGIN EXCLUSIVE")
        yield
        database.rollback()


def letters(job):
    """The dead letters of a job."""
    return json.loads(job.run("resilience", "deadletters", "job", "--json").out)


def skus(items):
    """What tells the items apart."""
    return [item["sku"] for item in items]


@pytest.mark.parametrize("marks", ["table", "columns"])
def test_each_item_is_one_row_after_kills(crawl, marks):
    """Whatever a kill comes between, the table holds what the feeds hold, each once."""
    job = crawl(SOURCE, **SINK, RESILIENCE_SQL_MARKS=marks, RESILIENCE_SQL_BATCH=10)

    for step in STEPS:
        run = job.run(env={"KILL_AT": f"{step}:2"})
        assert run.code == KILLED, run
    job.finish()

    check_same(rows(job), skus(job.site.expected_items()))
    job.check_items()


def test_a_page_that_gives_fewer_items_the_second_time(crawl):
    """Rows of a page that was not done are taken back: none is left behind."""
    job = crawl(SOURCE, **SINK, RESILIENCE_SQL_BATCH=10)

    job.run(env={"KILL_AT": "commit/prepared:3"})
    assert len(rows(job)) > 0
    job.write("fewer", "")
    run = job.run()

    run.check_finished()
    assert run.stats["resilience/sql/taken_back"] > 0
    check_same(rows(job), skus(job.items()))
    assert len(rows(job)) < len(job.site.expected_items())


def test_a_bad_row_is_a_dead_letter(crawl):
    """The others are in; a replay brings it to the table, and not to the feeds again."""
    job = crawl(SOURCE, **{**SINK, "RESILIENCE_SQL_KEY": "sku"}, RESILIENCE_SQL_BATCH=10)
    bad = job.site.expected_items()[50]["sku"]
    change(job, "CREATE TABLE products (sku TEXT PRIMARY KEY, host TEXT, page INTEGER)")
    change(
        job,
        f"CREATE TRIGGER no BEFORE INSERT ON products WHEN NEW.sku = '{bad}' "
        "BEGIN SELECT RAISE(ABORT, 'not this one'); END",
    )

    job.run(env={"KILL_AT": "sql/committed:6"})
    run = job.run()

    expected = skus(job.site.expected_items())
    assert (run.code, run.reason) == (0, "finished"), run
    check_same(rows(job), set(expected) - {bad})
    (letter,) = letters(job)
    assert (letter["kind"], letter["class"]) == ("pipeline", "database")
    assert letter["reason"] == "the database refused the row of products: not this one"
    assert run.stats["resilience/deadletters/database"] == 1

    change(job, "DROP TRIGGER no")
    job.run("resilience", "replay", "job")
    job.finish()

    check_same(rows(job), expected)
    job.check_items()
    assert letters(job) == []


def test_a_restored_snapshot_finds_the_table_as_it_was(plain_crawl):
    """What the job has inserted since is taken back, and comes again."""
    job = plain_crawl(
        SOURCE, **SINK, RESILIENCE_SNAPSHOT_ITEMS=40, RESILIENCE_SNAPSHOT_INTERVAL=0
    )
    job.finish()
    first = min(path.stem for path in job.job.glob("snapshots/*.snapshot"))

    assert job.run("resilience", "restore", "job", first).code == 0
    job.write("fewer", "")
    run = job.finish()

    assert run.stats["resilience/sql/taken_back"] > 0
    check_same(rows(job), skus(job.items()))
    assert len(rows(job)) < len(job.site.expected_items())


def test_a_database_that_is_away(crawl):
    """It is waited for, the crawl goes on by itself, and no row is lost."""
    job = crawl(SOURCE, **SINK, RESILIENCE_SQL_TIMEOUT=1, RESILIENCE_SQL_BUFFER=100)

    with job.process() as process:
        wait_until(lambda: job.commits() >= 2)
        with locked(job):
            wait_until(lambda: "The database is away" in job.last().log)
            wait_until(lambda: "A sink is not ready for the commit" in job.last().log)
        run = job.ended(process)

    assert (run.code, run.reason) == (0, "finished"), run
    assert "The database is back after" in run.log
    assert run.stats["resilience/sql/outages"] == 1
    check_same(rows(job), skus(job.site.expected_items()))
    job.check_items()


def test_a_database_that_stays_away(crawl):
    """The crawl closes, and the same command goes on when it is back."""
    settings = {"RESILIENCE_SQL_TIMEOUT": 1, "RESILIENCE_STORAGE_TIMEOUT": 1}
    settings["RESILIENCE_SHUTDOWN_TIMEOUT"] = 5
    few = {
        "RESILIENCE_SQL_BUFFER": 20,
        "RESILIENCE_SQL_BATCH": 10,
    }  # no page is left at the end
    job = crawl(SOURCE, **SINK, **settings, **few)

    with job.process() as process:
        wait_until(lambda: job.commits() >= 2)
        with locked(job):
            run = job.ended(process)
    assert (run.code, run.reason) == (1, "resilience_storage"), run

    job.configure(RESILIENCE_STORAGE_TIMEOUT=300)
    job.finish()
    check_same(rows(job), skus(job.site.expected_items()))
    job.check_items()


def test_without_a_job(plain_crawl):
    """There are no commits: rows are written in batches, some seconds later, and at the end."""
    job = plain_crawl(SOURCE, **SINK, RESILIENCE_SQL_FLUSH_INTERVAL=0.05, JOBDIR=None)

    run = job.finish()

    check_same(rows(job), skus(job.site.expected_items()))
    assert rows(job, "count(*)", "sqlite_master WHERE name LIKE 'resilience%'") == [0]
    assert run.stats["resilience/sql/rows"] == len(rows(job))


def test_a_table_that_is_missing(plain_crawl):
    """The crawl is refused before there is a job or a feed."""
    job = plain_crawl(SOURCE, **{**SINK, "RESILIENCE_SQL_CREATE": False})
    change(job, "CREATE TABLE other (a)")

    job.run().check_refused("there is no table products in the sqlite database", "CREATE=True")

    assert not job.job.exists()
    assert not job.path("items.jsonl").exists()


PAGES = """
    import scrapy
    from scrapy_resilience.sql import read_pages

    class Shop(scrapy.Spider):
        name = "shop"

        async def start(self):
            async for row in read_pages("SELECT id, url FROM pages", 7, resume=True):
                yield scrapy.Request(row["url"])

        def parse(self, response):
            yield {"url": response.url}
"""


def test_a_spider_that_starts_from_a_table(tmp_path, plain, rng):
    """Each row of the table is crawled once, kills or not."""
    job = Crawl(tmp_path, PAGES, plain, rng, **SINK)
    urls = [url for host in range(3) for url in plain.page_urls(f"h{host}.test")]
    with closing(sqlite3.connect(job.path("rows.sqlite"))) as database, database:
        database.execute("CREATE TABLE pages (id INTEGER PRIMARY KEY, url TEXT)")
        database.executemany("INSERT INTO pages (url) VALUES (?)", [(url,) for url in urls])

    job.survive(kills=2, commits=2)

    check_same(rows(job, "url"), urls)
    check_same([item["url"] for item in job.items()], urls)


def test_the_example_of_the_readme(tmp_path, plain, rng):
    """The settings that it shows bring each item into the table, as they stand there."""
    text = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    shown = text.partition("## Into a database")[2].partition("```python\n")[2].partition("```")
    job = Crawl(tmp_path, SOURCE, plain, rng, ADDONS=None, JOBDIR=None, FEEDS=None)
    job.write("settings.py", job.path("settings.py").read_text("utf-8") + shown[0])

    run = job.run()

    assert (run.code, run.reason) == (0, "finished"), run
    check_same(rows(job, file="shop.db"), skus(plain.expected_items()))
