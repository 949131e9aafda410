"""The database sink on PostgreSQL, MariaDB and SQLite: kills, outages and bad rows."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import pytest
from crawls import SHOP, check_same, wait_until
from scrapy.settings import Settings
from sqlalchemy import make_url
from tables import check_no_secret, letters, settings_of

from scrapy_resilience.exceptions import ConfigurationError, SinkError
from scrapy_resilience.settings import Config
from scrapy_resilience.sql.checks import check_database, open_ready
from scrapy_resilience.sql.rows import Rows
from scrapy_resilience.sql.take_back import NoMarks
from scrapy_resilience.sql.writer import RowWriter

pytestmark = pytest.mark.integration


@pytest.fixture
def sink(crawl):
    """``sink(source, database, **settings)``: a crawl of the site with faults into tables."""

    def made(source, database, **settings):
        return crawl(source, **{**settings_of(database), **settings})

    return made


# --- kills ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("marks", ["table", "columns"])
def test_kills(sink, database, marks):
    """After kills at random moments each item is one row, equal by content."""
    job = sink(SHOP, database, RESILIENCE_SQL_MARKS=marks, RESILIENCE_SQL_BATCH=7)

    run = job.survive(kills=4, commits=1, spread=0.2, at_least=2)

    database.check_items(job.site.expected_items())
    job.check_items(table=None)
    assert run.stats["resilience/resumed"] == 1
    check_no_secret(job)


FEWER = """
    import asyncio
    from pathlib import Path
    import scrapy

    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            yield scrapy.Request(self.settings["START"][0])
        async def parse(self, response):
            again = Path("again").exists()
            Path("again").touch()
            for number in range(2 if again else 10):
                yield {"number": number, "again": int(again)}
            while not again:
                await asyncio.sleep(0.01)
"""


@pytest.mark.parametrize("marks", ["table", "columns"])
def test_a_page_that_gives_less_the_second_time(database, plain_crawl, marks):
    """Rows of a page that no commit has covered are taken back, and leave no orphan."""
    job = plain_crawl(
        FEWER, **settings_of(database), RESILIENCE_SQL_MARKS=marks, RESILIENCE_SQL_BATCH=5
    )
    job.configure(RESILIENCE_CHECKPOINT_INTERVAL=100)

    job.run_until(until=lambda: database.count() >= 5)
    assert job.kills == 1
    run = job.finish()

    assert sorted((row["number"], row["again"]) for row in database.rows()) == [(0, 1), (1, 1)]
    assert run.stats["resilience/sql/taken_back"] >= 5
    assert len(job.items()) == 2


@pytest.mark.parametrize("marks", ["table", "columns"])
def test_a_table_that_was_changed_before_rows_are_taken_back(database_of, plain_crawl, marks):
    """Those of the old one are taken back, too."""
    database = database_of("sqlite")
    job = plain_crawl(
        FEWER, **settings_of(database), RESILIENCE_SQL_MARKS=marks, RESILIENCE_SQL_BATCH=5
    )
    job.configure(RESILIENCE_CHECKPOINT_INTERVAL=100)
    job.run_until(until=lambda: database.count() >= 5)
    assert job.kills == 1

    job.configure(RESILIENCE_SQL_TABLE="others")
    run = job.finish()

    assert (database.count(), database.count("others")) == (0, 2)
    assert run.stats["resilience/sql/taken_back"] >= 5


@pytest.mark.parametrize("marks", ["table", "columns"])
def test_a_restored_snapshot(database, sink, marks):
    """Rows beyond it are taken back, and at the end each item is one row."""
    job = sink(SHOP, database, RESILIENCE_SQL_MARKS=marks, RESILIENCE_SNAPSHOT_ITEMS=40)
    job.configure(RESILIENCE_SNAPSHOT_INTERVAL=0)
    job.finish()
    oldest = min(path.stem for path in job.job.glob("snapshots/*.snapshot"))
    assert job.run("resilience", "restore", "job", oldest).code == 0

    run = job.finish()

    assert run.stats["resilience/sql/taken_back"] > 0
    database.check_items(job.site.expected_items())
    job.check_items(table=None)


# --- outages ----------------------------------------------------------------------------


GATED = """
    import asyncio
    from pathlib import Path
    from shop import Base, number

    class Shop(Base):
        async def parse(self, response):
            while not Path(f"go{number(response) // 10}").exists():
                await asyncio.sleep(0.02)
            for output in super().parse(response):
                yield output
"""


@pytest.fixture
def gated(sink, served):
    """A crawl whose pages come when the test says so, ten of each host at a time."""
    job = sink(GATED, served, RESILIENCE_SQL_TIMEOUT=1, RESILIENCE_SQL_BATCH=10)
    job.configure(RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT=0.05)
    job.write("go0", "")
    return job


def told(job, word):
    """How often the log says it."""
    return job.last().log.count(word)


@contextmanager
def stopped(server):
    """It shuts down in order, and comes back."""
    server.stop()
    yield
    server.start()


@contextmanager
def killed(server):
    """All its processes end at once, and it comes back."""
    server.kill()
    yield
    server.start()


@pytest.mark.slow
def test_outages(gated, served):
    """The crawl goes on by itself when the database is back, and each item is one row."""
    with gated.process() as process:
        for number, away in enumerate((stopped, killed), 1):
            wait_until(lambda number=number: served.count() >= 40 * number)
            with away(served.server):
                gated.write(f"go{number}", "")
                wait_until(lambda number=number: told(gated, "database is away (") == number)
            wait_until(lambda number=number: told(gated, "The database is back") == number)
        with served.server.frozen():
            gated.write("go3", "")
            time.sleep(1)
        run = gated.ended(process)

    assert (run.code, run.reason) == (0, "finished"), run
    assert run.stats["resilience/sql/outages"] >= 2
    served.check_items(gated.site.expected_items())
    gated.check_items(table=None)
    check_no_secret(gated)


@pytest.mark.slow
def test_kills_of_both(gated, served):
    """The crawl is killed while the database is away, which was killed, too."""
    for number in (1, 2, 3):
        with gated.process() as process:
            wait_until(lambda number=number: served.count() >= 40 * number)
            served.server.kill()
            gated.write(f"go{number}", "")
            wait_until(lambda: told(gated, "database is away ("))
            process.kill()
            gated.ended(process)
        served.server.start()

    gated.finish()

    served.check_items(gated.site.expected_items())
    gated.check_items(table=None)


def test_a_database_that_stays_away(gated, served):
    """The crawl closes, exits with 1, and goes on when it is started again."""
    gated.configure(RESILIENCE_STORAGE_TIMEOUT=1, RESILIENCE_SHUTDOWN_TIMEOUT=5)
    with gated.process() as process:
        wait_until(lambda: served.count() >= 40)
        served.server.stop()
        gated.write("go1", "")  # more pages wait: the crawl can't come to its end
        run = gated.ended(process)
    assert (run.code, run.reason) == (1, "resilience_storage"), run
    check_no_secret(gated)
    for number in (2, 3):
        gated.write(f"go{number}", "")
    served.server.start()

    gated.finish()

    served.check_items(gated.site.expected_items())
    gated.check_items(table=None)


def test_a_file_that_another_process_locks(sink, database_of):
    """SQLite's one writer at a time: the crawl waits for the other one."""
    database = database_of("sqlite")
    job = sink(SHOP, database, DOWNLOAD_DELAY=0.02, RESILIENCE_SQL_TIMEOUT=1)

    with job.process() as process:
        wait_until(lambda: database.count() >= 10)
        with closing(
            sqlite3.connect(database.url.partition(":///")[2], isolation_level=None)
        ) as other:
            other.execute("PRAGMA busy_timeout=60000")
            other.execute("BEGIN EXCLUSIVE")
            wait_until(lambda: "The database is away" in job.last().log)
        run = job.ended(process)

    assert (run.code, run.reason) == (0, "finished"), run
    database.check_items(job.site.expected_items())


# --- rows that are refused --------------------------------------------------------------

CHECKED = """
    CREATE TABLE items (item_id VARCHAR(255) PRIMARY KEY, host VARCHAR(50), page INTEGER,
    sku VARCHAR(50), name VARCHAR(200), price VARCHAR(20){check})
"""


@pytest.mark.slow
def test_a_bad_row(sink, database):
    """The others are in, and one letter says why; a replay brings the row when it fits."""
    job = sink(SHOP, database, RESILIENCE_SQL_CREATE=False)
    items = job.site.expected_items()
    bad = items[77]
    check = f", CHECK (sku <> '{bad['sku']}')"
    database.execute(CHECKED.format(check=check))

    job.run_until(commits=3)
    assert job.kills == 1
    run = job.run()

    assert (run.code, run.reason) == (0, "finished"), run
    assert run.stats["resilience/sql/bad_rows"] == 1
    database.check_items([item for item in items if item is not bad])
    (letter,) = letters(job)
    assert letter["kind"] == "pipeline"
    assert letter["class"] == "database"
    assert "items" in letter["reason"]
    assert "CHECK" in letter["reason"].upper() or "CONSTRAINT" in letter["reason"].upper()
    assert urlsplit(letter["url"]).hostname == bad["host"]

    database.execute(
        "ALTER TABLE items RENAME TO old",
        CHECKED.format(check=""),
        "INSERT INTO items SELECT * FROM old",
        "DROP TABLE old",
    )
    assert job.run("resilience", "replay", "job").code == 0
    job.finish()

    database.check_items(items)
    job.check_items(table=None)
    assert letters(job) == []
    check_no_secret(job)


def test_a_right_that_a_new_column_needs(database_of):
    """It holds the row with the new field; before the crawl its lack is an error."""
    database = database_of("postgresql")
    database.execute(
        "CREATE TABLE items (sku text PRIMARY KEY)",
        "CREATE ROLE visitor LOGIN PASSWORD 'v'",
        "GRANT ALL ON items TO visitor",
    )
    url = make_url(database.url).set(username="visitor", password="v")  # noqa: S106
    names = {"URL": url.render_as_string(hide_password=False), "KEY": "sku", "CREATE": True}
    config = Config.from_settings(
        Settings({f"RESILIENCE_SQL_{name}": value for name, value in names.items()})
    )
    opened = open_ready(config, own_ids=False, is_job=False)
    known, makes = opened.tables.known["items"], Rows(opened.tables, creates=True)
    with closing(RowWriter(opened.database, opened.tables, NoMarks())) as store:
        assert not store.write([makes.row({"sku": "a"}, known, None, 0)]).bad
        with pytest.raises(SinkError, match="must be owner of table items"):
            store.write([makes.row({"sku": "b", "new": 1}, known, None, 0)], attempts=1)
        with pytest.raises(ConfigurationError, match="RESILIENCE_SQL_CREATE: items can't be"):
            opened.tables.make_early(known)
    assert [row["sku"] for row in database.rows()] == ["a"]


def test_a_table_that_takes_nothing_back(database_of):
    """An engine without transactions is refused before the crawl, and says what to do."""
    database = database_of("mariadb")
    database.execute("CREATE TABLE items (item_id VARCHAR(99) PRIMARY KEY) ENGINE=MyISAM")

    with pytest.raises(ConfigurationError, match=r"engine MyISAM.* ALTER TABLE items ENGINE"):
        check_database(Config.from_settings(Settings(settings_of(database))))


# --- rows as the start of a crawl -------------------------------------------------------

STARTS = """
    import scrapy
    from scrapy_resilience.sql import read_pages

    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            query = "SELECT id, url FROM starts"
            async for row in read_pages(query, 10, key="id", crawler=self.crawler):
                yield scrapy.Request(row["url"], cb_kwargs={"number": row["id"]})
        def parse(self, response, number):
            yield {"id": number, "url": response.url}
"""


@pytest.mark.slow
def test_a_spider_that_starts_from_a_table(plain_crawl, served):
    """After kills each row of the table was crawled once, and is one row of the other one."""
    job = plain_crawl(STARTS, **settings_of(served), RESILIENCE_SQL_KEY=["id"])
    urls = [url for host in range(3) for url in job.site.page_urls(f"h{host}.test")]
    served.execute("CREATE TABLE starts (id INTEGER PRIMARY KEY, url VARCHAR(200))")
    served.insert("starts", [{"id": n, "url": url} for n, url in enumerate(urls)])

    job.survive(kills=2, commits=1)

    check_same([row["url"] for row in served.rows()], urls)
    check_same([item["url"] for item in job.items()], urls)
