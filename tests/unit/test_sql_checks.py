"""What is wrong with a database is said before the crawl, and without its secrets."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from ports import free_port
from scrapy import Item, Spider
from scrapy.exceptions import NotConfigured
from scrapy.utils.test import get_crawler
from sqlsinks import Sqlite, config

from scrapy_resilience.exceptions import ConfigurationError, MissingLibraryError, SinkError
from scrapy_resilience.pipelines.sql import SqlPipeline
from scrapy_resilience.settings import Config
from scrapy_resilience.sql import library
from scrapy_resilience.sql.checks import check_database, open_ready
from scrapy_resilience.sql.engines import open_database
from scrapy_resilience.testing import SinkContract

KEYED = "CREATE TABLE items (sku TEXT PRIMARY KEY, price NUMERIC)"


class Product(Item):
    fields = {"sku": {}, "colour": {}}  # noqa: RUF012 - as Scrapy has it


def table_of(item):
    """The table of an item."""
    return item.get("table")


def refused(path, *ddl, own_ids=True, **settings):
    """The error of a database."""
    with closing(sqlite3.connect(path)) as database, database:
        for each in ddl:
            database.execute(each)
    with pytest.raises(ConfigurationError) as caught:
        check_database(config(path, **settings), own_ids=own_ids)
    return str(caught.value)


@pytest.fixture
def path(tmp_path):
    """Where a database may be."""
    return tmp_path / "rows.sqlite"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"table": "nothing"}, "there is no table nothing in the sqlite database"),
        ({}, "the table items has no column item_id for the ids of items: add one"),
        ({"key": "price"}, "nothing makes (price) of items unique: CREATE UNIQUE INDEX"),
        ({"key": "nothing"}, "the table items lacks the columns nothing: add them"),
        ({"key": "sku", "columns": {"a": "b"}}, "lacks the columns b"),
        ({"key": "sku", "table": "a.b.c"}, "use a table, a schema and a table, or the import"),
        ({"key": "sku", "table": "os.sep"}, "use a function, or a table"),
        (
            {"key": "sku", "table": {"no.Class": "items"}},
            "RESILIENCE_SQL_TABLE['no.Class']: No",
        ),
        ({"key": "sku", "table": ""}, "RESILIENCE_SQL_TABLE is empty"),
        ({"key": "sku", "buffer": 5}, "RESILIENCE_SQL_BUFFER=5 is less than a batch"),
    ],
)
def test_what_is_wrong_with_a_table(path, settings, told):
    """The error names the setting or the table, and what to change."""
    assert told in refused(path, KEYED, **settings)


def test_fields_of_a_class_need_columns(path):
    """A class that the setting names by its path is known before there is an item."""
    table = {f"{__name__}.Product": "items"}
    assert "lacks the columns colour" in refused(path, KEYED, key="sku", table=table)
    check_database(config(path, key="sku", table=table, columns={"colour": ""}))


def test_a_key_is_needed_where_nobody_knows_ids(path):
    """Scrapy's own scheduler knows none."""
    assert "only ResilientScheduler knows" in refused(path, KEYED, own_ids=False)
    check_database(config(path, key="sku"), own_ids=False)


def test_an_id_column_must_be_long_enough(path):
    """Ids would be cut, or refused."""
    ddl = "CREATE TABLE items (item_id VARCHAR(20) PRIMARY KEY)"
    assert "holds 20 characters" in refused(path, ddl)


@pytest.mark.parametrize(
    "ddl",
    [
        "CREATE TABLE items (a INTEGER, b TEXT, PRIMARY KEY (b, a))",
        "CREATE TABLE items (a INTEGER, b TEXT, UNIQUE (a, b))",
        "CREATE TABLE items (a INTEGER, b TEXT)|CREATE UNIQUE INDEX i ON items (a, b)",
    ],
)
def test_ways_to_be_unique(path, ddl):
    """A primary key, a constraint or an index, in any order."""
    database = Sqlite(path, *ddl.split("|"), key=["a", "b"])
    check_database(database.config)


def test_rows_that_can_not_be_deleted(path):
    """With a job they may have to be: it is said before the crawl."""
    database = Sqlite(path, "CREATE TABLE items (sku TEXT PRIMARY KEY)", key="sku")
    opened = open_ready(database.config, own_ids=True, is_job=True)
    known = opened.tables.known["items"]
    database.run("DROP TABLE items")
    database.run("CREATE VIEW items AS SELECT 1 AS sku")
    with pytest.raises(ConfigurationError, match="rows of items can't be deleted"):
        opened.tables.check_deletes(known)
    opened.database.close()


def test_marks_in_columns_need_tables_that_are_known(path):
    """A function may name others in the next run: rows would never be taken back."""
    database = Sqlite(path, KEYED, key="sku", marks="columns", table=f"{__name__}.table_of")
    open_ready(database.config, own_ids=True, is_job=False).database.close()
    with pytest.raises(ConfigurationError, match="can't be used with a function"):
        open_ready(database.config, own_ids=True, is_job=True)


def test_a_partial_index_makes_nothing_unique(path):
    """Nor one of an expression."""
    partial = "CREATE UNIQUE INDEX i ON items (a) WHERE a > 5"
    of_lower = "CREATE UNIQUE INDEX j ON items (lower(a))"
    told = refused(path, "CREATE TABLE items (a TEXT)", partial, of_lower, key="a")
    assert "nothing makes (a) of items unique" in told


def test_nothing_is_made_while_it_is_checked(tmp_path):
    """A refusal leaves no empty file behind, nor does a check."""
    new = tmp_path / "new.sqlite"
    with pytest.raises(ConfigurationError, match="there is no file"):
        check_database(config(new))
    check_database(config(new, create=True))
    assert not new.exists()
    with pytest.raises(ConfigurationError, match="there is no folder"):
        check_database(config(tmp_path / "no" / "new.sqlite", create=True))


def test_a_file_that_is_no_database(path):
    """What SQLite says of it is told."""
    path.write_text("this is no database, but a text that is long enough to be read as one" * 9)
    with pytest.raises(ConfigurationError, match="file is not a database"):
        check_database(config(path))


# --- URLs ---


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("no url", "RESILIENCE_SQL_URL is not a URL"),
        ("sqlite://", "a database in memory is gone"),
        ("sqlite:///:memory:", "a database in memory is gone"),
        ("postgresql://u:pa@ss@host/db", "the password holds a character"),
        ("postgresql+asyncpg://u:geheim@host/db", "write postgresql+psycopg://"),
        ("postgresql+pg8000://u:geheim@host/db", "write postgresql+psycopg://"),
        ("oracle://u:geheim@host/db", "'oracle' is not a database"),
        ("postgresql+psycopg://u:geheim@host:port/db", "is not a URL"),
    ],
)
def test_urls_that_can_not_be_used(url, told):
    """The error says what to write, and nothing of the password."""
    with pytest.raises(ConfigurationError) as caught:
        open_database(url, 5)
    assert told in str(caught.value)
    assert "geheim" not in str(caught.value)
    assert "ss@" not in str(caught.value)


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "mysql+pymysql"])
def test_a_host_that_refuses(driver):
    """The error names the database and the host, and never the password."""
    url = f"{driver}://scott:t%40iger@127.0.0.1:{free_port()}/shop?password=t%40iger"
    if "mysql" in driver:
        url = url.partition("?")[0]
    with pytest.raises(ConfigurationError) as caught:
        check_database(Config(sql_url=url))
    assert "database 'shop' at 127.0.0.1 can't be used" in str(caught.value)
    assert "iger" not in str(caught.value)


def test_what_a_driver_says_is_masked():
    """In its own words, or in those of a URL."""
    database = open_database("postgresql+psycopg://u:s%2Fcret@host/db", 5)
    error = sa.exc.OperationalError("q", {}, ValueError("wrong s/cret, or s%2Fcret, for u"))
    assert database.told(error) == "wrong ***, or ***, for u"
    assert "cret" not in repr(database)
    assert "cret" not in repr(database.engine)
    assert "cret" not in repr(Config(sql_url="postgresql://u:s%2Fcret@host/db"))


def test_a_library_that_is_missing(monkeypatch):
    """The error names the extra."""
    monkeypatch.setattr(library, "find_spec", lambda _: None)
    crawler = get_crawler(Spider, {"RESILIENCE_SQL_URL": "sqlite:///a.db"})
    with pytest.raises(MissingLibraryError, match=r'pip install "scrapy-resilience\[sql\]"'):
        SqlPipeline.from_crawler(crawler)


# --- the pipeline ---


def test_without_a_url_there_is_no_pipeline():
    """It may be listed all the same."""
    with pytest.raises(NotConfigured):
        SqlPipeline.from_crawler(get_crawler(Spider))


class TestContract(SinkContract):
    """Each item is in the table when its commit is made, and once."""

    pipeline = SqlPipeline

    @pytest.fixture(autouse=True)
    def _database(self, path):
        self.database = Sqlite(path, "CREATE TABLE items (sku INTEGER PRIMARY KEY)", key="sku")
        type(self).settings = {
            "RESILIENCE_SQL_URL": f"sqlite:///{path}",
            "RESILIENCE_SQL_KEY": "sku",
            "STATS_DUMP": False,
        }

    def stored(self):
        return self.database.run("SELECT * FROM items")


@pytest.mark.parametrize(("made", "mode"), [(False, "wal"), (True, "delete")])
def test_only_a_file_of_our_own_gets_a_write_ahead_log(path, made, mode):
    """The mode stays in the file: that of the user's is the user's."""
    if made:
        Sqlite(path, KEYED)
    open_ready(config(path, create=True, key="sku"), own_ids=True, is_job=True).database.close()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == (mode,)


def test_nothing_of_the_url_is_in_a_repr(path):
    """Neither of the pipeline nor of what it is made of."""
    Sqlite(path, KEYED)
    settings = {"RESILIENCE_SQL_URL": f"sqlite:///{path}", "RESILIENCE_SQL_KEY": "sku"}
    pipeline = SqlPipeline.from_crawler(get_crawler(Spider, settings))
    shown = repr([pipeline, pipeline.sink, SimpleNamespace(**vars(pipeline.sink))])
    assert "sqlite:///" not in shown


def test_the_number_of_an_error_of_mysql_goes_before_its_state():
    """PyMySQL tells both: a constraint that has failed is the row's fault."""
    pymysql = pytest.importorskip("pymysql")
    error = pymysql.err.OperationalError(4025, "CONSTRAINT `c` failed")
    error.sqlstate = "23000"
    with closing(open_database("mysql+pymysql://u:p@127.0.0.1/d", 5)) as database:
        wrapped = sa.exc.DBAPIError("INSERT", None, error)
        assert database.fault_of(wrapped) == "data"


# --- tables that a function names ---


@pytest.fixture
def sink(path):
    """A sink without a job, whose tables are named by items."""
    Sqlite(path, KEYED)
    settings = {
        "RESILIENCE_SQL_URL": f"sqlite:///{path}",
        "RESILIENCE_SQL_KEY": "sku",
        "RESILIENCE_SQL_TABLE": f"{__name__}.table_of",
    }
    made = SqlPipeline.from_crawler(get_crawler(Spider, settings)).sink
    yield made
    made.database.close()


def locked():
    """What SQLite says while another writes."""
    return sa.exc.OperationalError("q", {}, sqlite3.OperationalError("database is locked"))


def test_first_items_of_a_table_look_at_it_once(sink, monkeypatch):
    """Columns that are planned for one stay; a lock is waited for."""
    loads, load = [], sink._opened.load

    def slow(name):
        loads.append(name)
        if len(loads) == 1:
            raise locked()
        load(name)

    async def scenario():
        sink._opened = SimpleNamespace(load=slow, chooser=sink._opened.chooser)
        monkeypatch.setattr("scrapy_resilience.sql.sink._AGAIN", 0.01)
        await asyncio.gather(*(sink._loaded("items") for _ in range(3)))

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, scenario()).result(60)
    assert loads == ["items", "items"]
    assert "items" in sink._tables.known
    assert sink.trouble == ""


def test_only_what_passes_is_waited_for(sink):
    """Whatever else a database says is raised at once."""
    error = sa.exc.OperationalError("q", {}, sqlite3.OperationalError("no such column: a"))
    with pytest.raises(SinkError, match="no such column: a"):
        sink._wait_or_raise(error, lambda: False)
    sink._wait_or_raise(locked(), lambda: False)
    assert sink.trouble == "database is locked"
    with pytest.raises(SinkError, match="the database is away: database is locked"):
        sink._wait_or_raise(locked(), lambda: True)
