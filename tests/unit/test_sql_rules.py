"""The rules of the database sink that need no database."""

from __future__ import annotations

import pytest

from scrapy_resilience.core.sqldrivers import drivername, family_of
from scrapy_resilience.core.sqlfailures import fault_of, is_lock, is_withdrawn
from scrapy_resilience.core.sqlnames import ColumnNames, KeyColumns, TableNames
from scrapy_resilience.core.sqlrows import Row, batch_length, grouped, halves, merged
from scrapy_resilience.exceptions import ConfigurationError, MissingLibraryError

# --- drivers ---


@pytest.mark.parametrize(
    ("name", "installed", "expected"),
    [
        ("postgresql", {"psycopg2", "psycopg"}, "postgresql+psycopg2"),
        ("postgresql", {"psycopg"}, "postgresql+psycopg"),
        ("postgres", {"psycopg"}, "postgresql+psycopg"),
        ("postgresql+psycopg", {"psycopg2", "psycopg"}, "postgresql+psycopg"),
        ("mysql", {"pymysql"}, "mysql+pymysql"),
        ("mariadb", {"pymysql", "MySQLdb"}, "mariadb+mysqldb"),
        ("sqlite", {"sqlite3"}, "sqlite+pysqlite"),
    ],
)
def test_the_driver_of_a_url(name, installed, expected):
    """A URL without a driver means the first that is installed."""
    assert drivername(name, installed.__contains__) == expected


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("postgresql+asyncpg", "write postgresql+psycopg://"),
        ("mysql+aiomysql", r"write mysql\+pymysql://"),
        ("sqlite+aiosqlite", r"write sqlite\+pysqlite://"),
        ("oracle", "'oracle' is not a database"),
        ("mssql+pyodbc", "'mssql' is not a database"),
    ],
)
def test_a_driver_that_can_not_be_used(name, told):
    """An asynchronous driver, or another database: the error says what to write."""
    with pytest.raises(ConfigurationError, match=told.replace("sql+psy", r"sql\+psy")):
        drivername(name, lambda _: True)


def test_a_driver_that_is_not_installed():
    """The error says what to install."""
    with pytest.raises(MissingLibraryError, match=r'pip install "psycopg\[binary\]"'):
        drivername("postgresql", lambda _: False)
    with pytest.raises(MissingLibraryError, match="pip install PyMySQL"):
        drivername("mariadb", lambda _: False)


def test_mariadb_is_mysql():
    """Both speak alike."""
    assert family_of("mariadb+pymysql") == family_of("mysql") == "mysql"


# --- failures ---


@pytest.mark.parametrize(
    ("dialect", "name", "code", "text", "expected"),
    [
        ("postgresql", "OperationalError", None, "connection refused", "lost"),
        ("postgresql", "InterfaceError", None, "the connection is closed", "lost"),
        ("postgresql", "OperationalError", "57P01", "terminating", "lost"),
        ("postgresql", "OperationalError", "53300", "too many clients", "lost"),
        ("postgresql", "OperationalError", "40P01", "deadlock detected", "passing"),
        ("postgresql", "OperationalError", "40001", "could not serialize", "passing"),
        ("postgresql", "OperationalError", "55P03", "lock timeout", "passing"),
        ("postgresql", "OperationalError", "57014", "statement timeout", "passing"),
        ("postgresql", "ProgrammingError", "42P01", "no such table", "passing"),
        ("postgresql", "ProgrammingError", "42501", "permission denied", "passing"),
        ("postgresql", "DataError", "22001", "too long", "data"),
        ("postgresql", "IntegrityError", "23502", "null value", "data"),
        ("postgresql", "DatabaseError", "42804", "type mismatch", "data"),
        ("postgresql", "InternalError", "P0001", "a trigger says no", "data"),
        ("postgresql", "DataError", None, "NUL", "data"),
        ("postgresql", "Exception", None, "our own", "data"),
        ("mysql", "OperationalError", 2013, "lost connection", "lost"),
        ("mysql", "OperationalError", 1040, "too many connections", "lost"),
        ("mysql", "OperationalError", 1290, "read-only", "lost"),
        ("mysql", "OperationalError", 1205, "lock wait", "passing"),
        ("mysql", "OperationalError", 1213, "deadlock", "passing"),
        ("mysql", "ProgrammingError", 1146, "no such table", "passing"),
        ("mysql", "OperationalError", 1366, "incorrect string", "data"),
        ("mysql", "OperationalError", 4025, "CHECK", "data"),
        ("mysql", "OperationalError", 3819, "CHECK", "data"),
        ("mysql", "DataError", 1406, "too long", "data"),
        ("mysql", "IntegrityError", 1048, "null", "data"),
        ("mysql", "ProgrammingError", None, "nan can not be used", "data"),
        ("sqlite", "OperationalError", None, "database is locked", "passing"),
        ("sqlite", "OperationalError", None, "no such table: a", "passing"),
        ("sqlite", "OperationalError", None, "database or disk is full", "lost"),
        ("sqlite", "DatabaseError", None, "database disk image is malformed", "lost"),
        ("sqlite", "IntegrityError", None, "NOT NULL constraint failed", "data"),
        ("sqlite", "DataError", None, "string or blob too big", "data"),
        ("sqlite", "InterfaceError", None, "Error binding parameter", "data"),
    ],
)
def test_what_a_failure_means(dialect, name, code, text, expected):
    """Only what is a row's own fault gives the row up."""
    assert fault_of(dialect, name, code, text) == expected


@pytest.mark.parametrize(
    ("dialect", "code", "text", "expected"),
    [
        ("postgresql", "42P01", "no such table", True),
        ("postgresql", "3F000", "no such schema", True),
        ("postgresql", "42501", "must be owner of table items", True),
        ("postgresql", "54011", "tables can have at most 1600 columns", False),
        ("mysql", 1142, "ALTER command denied", True),
        ("mysql", 1146, "no such table", True),
        ("mysql", 1118, "row size too large", False),
        ("sqlite", None, "no such table: items", True),
        ("sqlite", None, "too many columns on items", False),
    ],
)
def test_what_was_taken_away(dialect, code, text, expected):
    """A table or a right; not a column that the database would never make."""
    assert is_withdrawn(dialect, code, text) == expected


# --- rows ---


def row(key, table="t", **values):
    """A row of the table, with its key in the column k."""
    return Row(table, (key,), {"k": key, **values}, item=f"item:{key}", commit=3)


def test_rows_of_one_key_become_one():
    """The later goes before, column by column: no statement may write a row twice."""
    found = merged([row(1, a=1, b=1), row(2, a=2), row(1, b=5)])
    assert [each.values for each in found["t"]] == [
        {"k": 1, "a": 1, "b": 5},
        {"k": 2, "a": 2},
    ]


def test_rows_are_in_the_same_order_in_all_processes():
    """Two writers that lock the same rows in the same order don't wait for one another."""
    first = merged([row("b"), row("a"), row("c", table="s")])
    second = merged([row("c", table="s"), row("a"), row("b")])
    assert list(first) == list(second) == ["s", "t"]
    assert [each.key for each in first["t"]] == [each.key for each in second["t"]]


def test_rows_with_other_columns_are_written_apart():
    """A field that an item lacks leaves its column as it is."""
    (found,) = merged([row(1, a=1), row(2, b=2), row(3, a=3)]).values()
    assert [(group.columns, len(group.rows)) for group in grouped(found)] == [
        (("a", "k"), 2),
        (("b", "k"), 1),
    ]


def test_the_order_of_fields_does_not_matter():
    """Rows with the same columns go together, in the order of their keys."""
    given = [row(1, a=1, b=2), row(2, b=4, a=3), row(3, a=5, b=6)]
    (group,) = grouped(given)
    assert group.columns == ("a", "b", "k")
    assert group.values == [(1, 2, 1), (3, 4, 2), (5, 6, 3)]
    assert group.rows == given


@pytest.mark.parametrize("count", [2, 3, 7, 100])
def test_halves_are_smaller(count):
    """Each half is smaller, and none is empty: a bad row is found in the end."""
    left, right = halves(range(count))
    assert [*left, *right] == [*range(count)]
    assert 0 < len(right) <= len(left) < count


def test_a_batch_is_not_too_long():
    """Neither of too many rows nor of too many bytes, but of one row at the least."""
    rows = [Row("t", (n,), {}, size=10) for n in range(5)]
    assert batch_length(rows, 3, 1000) == 3
    assert batch_length(rows, 100, 25) == 2
    assert batch_length(rows, 100, 5) == 1
    assert batch_length([], 100, 5) == 0


# --- names ---


class Base: ...


class Product(Base): ...


def test_tables_by_class():
    """A class is known by its path, its name, or that of what it is made of."""
    path = f"{__name__}.Product"
    assert TableNames({path: "a", "Product": "b"}).table(Product) == "a"
    assert TableNames({"Base": "b"}).table(Product) == "b"
    assert TableNames({"dict": "d", "*": "rest"}).table(Product) == "rest"
    assert TableNames({"Product": None, "*": "rest"}).table(Product) is None
    with pytest.raises(LookupError, match="names no table for Product"):
        TableNames({"dict": "d"}).table(Product)
    with pytest.raises(ConfigurationError, match="use the name of a table"):
        TableNames({"dict": 5})


def test_columns_of_fields():
    """A field has the column of its name, another one, or none; of one table or of all."""
    names = ColumnNames({"name": "title", "raw": "", "t.name": "label"})
    found = [names.column(*each) for each in (("s", "name"), ("t", "name"), ("s", "raw"),
             ("s", "url"))]  # fmt: skip
    assert found == ["title", "label", None, "url"]
    assert names.named("t", ["s", "t"]) == ["title", "label"]
    assert names.named("s", ["s", "t"]) == ["title"]
    with pytest.raises(ConfigurationError, match="use the name of a column"):
        ColumnNames({"name": 5})


def test_keys_of_tables():
    """One list for all tables, or one for each."""
    assert KeyColumns(("a", "b")).key("t") == ("a", "b")
    keys = KeyColumns({"t": ["a"], "s": "b", "*": ["c"]})
    assert [keys.key(table) for table in "tsr"] == [("a",), ("b",), ("c",)]
    assert KeyColumns(()).key("t") == ()
    with pytest.raises(ConfigurationError, match="use a list of columns"):
        KeyColumns({"t": 5})


@pytest.mark.parametrize(
    ("dialect", "code", "text", "expected"),
    [
        ("postgresql", "55P03", "", True),
        ("postgresql", "40P01", "", True),
        ("postgresql", "42501", "locked", False),
        ("mysql", 1205, "", True),
        ("mysql", 1146, "", False),
        ("sqlite", None, "database table is locked", True),
        ("sqlite", None, "no such table: blocked", False),
    ],
)
def test_locks(dialect, code, text, expected):
    """They pass, whatever the statement was for."""
    assert is_lock(dialect, code, text) is expected
