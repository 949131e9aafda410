"""Rows of a query, page after page, each once."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from types import SimpleNamespace

import pytest
from scrapy import Spider
from scrapy.utils.test import get_crawler
from sqlsinks import Sqlite

from scrapy_resilience._scrapy import here
from scrapy_resilience.checkpoint.state import StateRegistry
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.sql import pages, read_pages
from scrapy_resilience.sql.engines import open_database


@pytest.fixture
def database(tmp_path):
    """Ten shops, with gaps between their numbers."""
    found = Sqlite(tmp_path / "shops.sqlite", "CREATE TABLE shops (id INTEGER, name TEXT, x)")
    for number in range(10):
        found.run("INSERT INTO shops VALUES (?, ?, ?)", number * 3, f"shop {number}", None)
    return found


@pytest.fixture
def url(database):
    """Its URL."""
    return f"sqlite:///{database.path}"


def collected(pages):
    """All rows, read in a thread."""

    async def collect():
        return [row async for row in pages]

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, collect()).result(60)


@pytest.mark.parametrize("size", [1, 3, 5, 9, 10, 11, 1000])
@pytest.mark.parametrize("read", [list, collected])
def test_each_row_comes_once(url, size, read):
    """In the order of the key, whatever the size of a page."""
    found = read(read_pages("SELECT id, name FROM shops", size, url=url))
    assert found == [{"id": n * 3, "name": f"shop {n}"} for n in range(10)]


def test_a_comment_at_the_end(url):
    """It ends with its line."""
    query = "SELECT id, name FROM shops -- all of them"
    assert len(list(read_pages(query, 3, url=url))) == 10


def test_keys_of_several_columns(database, url):
    """They are compared one after the other."""
    for number in range(10):
        database.run("INSERT INTO shops VALUES (?, ?, ?)", number * 3, "another", 1)
    query = "SELECT * FROM shops ORDER BY name;"
    found = list(read_pages(query, 3, key=("name", "id"), url=url))
    assert len(found) == 20
    assert found == sorted(found, key=lambda row: (row["name"], row["id"]))


def test_parameters_of_the_query(url):
    """The query may have some of its own."""
    query = "SELECT id FROM shops WHERE id > :least"
    assert [row["id"] for row in read_pages(query, 2, parameters={"least": 20}, url=url)] == [
        21, 24, 27,
    ]  # fmt: skip


def test_rows_that_come_and_go_move_no_other(database, url):
    """Those that are there all the time come once."""
    found = []
    for row in read_pages("SELECT id FROM shops", 3, url=url):
        found.append(row["id"])
        if row["id"] == 6:
            database.run("DELETE FROM shops WHERE id IN (0, 9)")
            database.run("INSERT INTO shops VALUES (1, 'before', NULL), (10, 'behind', NULL)")
    assert found == [0, 3, 6, 10, 12, 15, 18, 21, 24, 27]


def test_an_empty_table(database, url):
    """No row comes, and no error."""
    database.run("DELETE FROM shops")
    assert list(read_pages("SELECT id FROM shops", url=url)) == []


@pytest.mark.parametrize(
    ("query", "options", "told"),
    [
        (
            "SELECT name FROM shops UNION ALL SELECT name FROM shops",
            {},
            "two rows have the key",
        ),
        ("SELECT x, id FROM shops", {}, r"the key \(x\) is NULL in some rows"),
        ("SELECT id FROM shops", {"key": "no"}, "the query has no column no: use id"),
        ("SELECT id FROM gone", {}, "no such table: gone"),
        ("SELECT id FRM shops", {}, "syntax error"),
        ("SELECT id FROM shops", {"size": 0}, "size=0: use a number of at least 1"),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_what_can_not_be_read(url, query, options, told, size):
    """The error says what to change; no row is left out in silence."""
    with pytest.raises(ConfigurationError, match=told):
        list(read_pages(query, **{"size": size, "url": url, **options}))


def test_rows_that_are_alike_for_the_database(database, url):
    """It may compare otherwise than Python does."""
    database.run("CREATE TABLE names (name TEXT COLLATE NOCASE)")
    database.run("INSERT INTO names VALUES ('a'), ('A'), ('b')")
    with pytest.raises(ConfigurationError, match="two rows have the key"):
        list(read_pages("SELECT name FROM names", 1, url=url))


def test_of_which_database(url, monkeypatch):
    """That of the crawl, where it is the only one."""
    monkeypatch.setattr(here, "_crawls", here.Here("test"))
    with pytest.raises(ConfigurationError, match="of which database"):
        read_pages("SELECT id FROM shops")
    crawlers = [get_crawler(Spider, {"RESILIENCE_SQL_URL": url}) for _ in range(2)]
    assert len(list(read_pages("SELECT id FROM shops", crawler=crawlers[0]))) == 10
    copy_context().run(here.enter, crawlers[0])
    assert len(list(read_pages("SELECT id FROM shops"))) == 10
    copy_context().run(here.enter, crawlers[1])
    with pytest.raises(ConfigurationError, match="of which database"):
        read_pages("SELECT id FROM shops")
    here.leave(crawlers[1])
    assert len(list(read_pages("SELECT id FROM shops"))) == 10


# --- a run that goes on ---


class Job:
    """What rows the runs of a job read with ``resume=True``."""

    def __init__(self, url, monkeypatch):
        self._url = url
        self._stored = {}
        self._crawler = get_crawler()
        monkeypatch.setattr(pages, "job_of", lambda _: self._job)
        self.run()

    def run(self):
        """Begin the next run, with what the last one has committed."""
        self._job = SimpleNamespace(state=StateRegistry(self._stored, ValueCodec()))

    def commit(self):
        self._stored |= self._job.state.changed()

    def pages(self, query, **options):
        options = {"url": self._url, **options}
        return read_pages(query, 2, crawler=self._crawler, resume=True, **options)

    def read(self, query, **options):
        """The numbers of the rows, all of which are done."""
        return [row["id"] for row in self.pages(query, **options)]


@pytest.fixture
def job(url, monkeypatch):
    """A job whose state is in memory."""
    return Job(url, monkeypatch)


ODD = "SELECT id FROM shops WHERE id % 2 = :odd"


def test_a_run_goes_on_behind_what_is_done(job):
    """As of the last commit: what was read since is read again."""
    rows = iter(job.pages("SELECT id FROM shops"))
    assert [next(rows)["id"] for _ in range(4)] == [0, 3, 6, 9]
    job.commit()
    next(rows)
    job.run()
    assert job.read("SELECT id FROM shops") == [9, 12, 15, 18, 21, 24, 27]


def test_each_value_of_a_parameter_has_its_own_place(job):
    """A query that is read for one shop after the other leaves out no row of the second."""
    assert job.read(ODD, parameters={"odd": 1}) == [3, 9, 15, 21, 27]
    job.commit()
    assert job.read(ODD, parameters={"odd": 0}) == [0, 6, 12, 18, 24]
    job.commit()
    job.run()
    assert job.read(ODD, parameters={"odd": 1}) == []
    assert job.read(ODD, parameters={"odd": 0}) == []


def test_each_database_has_its_own_place(job, tmp_path):
    """The same query may be asked of two."""
    other = Sqlite(tmp_path / "other.sqlite", "CREATE TABLE shops (id INTEGER)")
    other.run("INSERT INTO shops VALUES (1), (2)")
    assert len(job.read("SELECT id FROM shops")) == 10
    job.commit()
    assert job.read("SELECT id FROM shops", url=f"sqlite:///{other.path}") == [1, 2]


def test_a_query_that_is_read_twice_in_a_run(job):
    """It has one place: the second reading is refused, where it would leave out rows."""
    rows = job.pages("SELECT id FROM shops")
    assert next(iter(rows)) == {"id": 0}
    job.commit()
    with pytest.raises(ConfigurationError, match="go on with the first Pages"):
        job.pages("SELECT id FROM shops")
    assert len(list(rows)) == 10


@pytest.mark.parametrize("url", ["postgresql://a:{}@h/s", "mysql+pymysql://a@h/s?passwd={}"])
def test_a_place_does_not_depend_on_passwords(url):
    """They change; and nothing that is made of one is kept."""
    one, two = (open_database(url.format(word), 5).place for word in ("one", "two"))
    assert one == two
