"""Batches of rows on PostgreSQL, MariaDB and SQLite: written and taken back, with no crawl."""

from __future__ import annotations

import threading

import pytest
from crawls import wait_until
from scrapy.settings import BaseSettings
from sqlalchemy import event
from sqlsinks import rows, store_of

from scrapy_resilience import failpoints
from scrapy_resilience.settings import Config
from scrapy_resilience.sql import writer as writer_module
from scrapy_resilience.sql.take_back import TableMarks

pytestmark = pytest.mark.integration

KEYED = "CREATE TABLE items (sku VARCHAR(50) PRIMARY KEY, n BIGINT)"


@pytest.fixture
def stores():
    """``stores(database, key, job)``: a store of a job's run; all are closed at the end."""
    made = []

    def store(database, key, job, marks="table"):
        settings = {
            "RESILIENCE_SQL_URL": database.url,
            "RESILIENCE_SQL_KEY": key,
            "RESILIENCE_SQL_MARKS": marks,
        }
        made.append(store_of(Config.from_settings(BaseSettings(settings)), job))
        return made[-1]

    yield store
    for each in made:
        each.close()


# --- another unique index ---


def test_a_value_that_another_row_has(database, stores):
    """An index that is not the key leads to no other row: the item is refused."""
    database.execute(
        "CREATE TABLE items (url VARCHAR(200) PRIMARY KEY, sku INTEGER UNIQUE, price INTEGER)"
    )
    store = stores(database, "sku", "job")
    first = [{"url": f"/{n}", "sku": n, "price": 10 * n} for n in (1, 2)]
    store.write(rows(store, *first, commit=1))
    bad = {"sku": 1, "url": "/2", "price": 9}
    outcome = store.write(rows(store, bad, {**first[1], "price": 21}, commit=2))
    assert [each.row.values["price"] for each in outcome.bad] == [9]
    found = sorted(database.rows(), key=lambda row: row["sku"])
    assert found == [first[0], {**first[1], "price": 21}]


@pytest.mark.parametrize("marks", ["table", "columns"])
def test_rows_that_come_again_beside_another_unique_index(database, stores, marks):
    """They are changed, marked and taken back as in any other table."""
    hidden = ", resilience_item TEXT, resilience_job TEXT, resilience_commit BIGINT"
    database.execute(
        "CREATE TABLE items (slug VARCHAR(50) UNIQUE, sku VARCHAR(50) UNIQUE, "
        f"n INTEGER{hidden if marks == 'columns' else ''})"
    )
    ours, other = (stores(database, "sku", job, marks=marks) for job in ("ours", "other"))
    items = [{"sku": sku, "slug": sku * 2, "n": 1} for sku in ("both", "ours")]
    ours.write(rows(ours, *items, commit=2))
    other.write(rows(other, {"sku": "both", "slug": "b", "n": 2}, commit=1))
    ours.write(rows(ours, {"sku": "ours", "slug": "o", "n": 3}, commit=3))
    ours.write(rows(ours, {"sku": "ours"}, commit=4))
    found = database.rows("SELECT sku, slug, n FROM items ORDER BY sku")
    assert [tuple(row.values()) for row in found] == [("both", "b", 2), ("ours", "o", 3)]
    assert stores(database, "sku", "ours", marks=marks).take_back(1) == 1
    assert [row["sku"] for row in database.rows()] == ["both"]


def test_a_row_that_goes_before_it_is_changed(database_of, stores, monkeypatch):
    """It is inserted again, and the item not lost."""
    database = database_of("mariadb")
    database.execute("CREATE TABLE items (sku INTEGER UNIQUE, slug VARCHAR(9) UNIQUE)")
    store = stores(database, "sku", "job")
    store.write(rows(store, {"sku": 1, "slug": "a"}))
    look = writer_module.known_keys

    def late(connection, known, keys, **options):
        found = look(connection, known, keys, **options)
        if not options:
            database.execute("DELETE FROM items")
        return found

    monkeypatch.setattr(writer_module, "known_keys", late)
    assert not store.write(rows(store, {"sku": 1, "slug": "b"}, {"sku": 2})).bad
    assert {(row["sku"], row["slug"]) for row in database.rows()} == {(1, "b"), (2, None)}


# --- one statement ---


def test_a_batch_is_one_statement(database_of, stores):
    """With its marks: each turn of PostgreSQL's costs a turn of Python's lock."""
    database = database_of("postgresql")
    database.execute(KEYED)
    store, statements = stores(database, "sku", "job"), []
    event.listen(
        store.database.engine, "before_cursor_execute", lambda *what: statements.append(what[2])
    )
    store.write(rows(store, {"sku": "a", "n": 1}, {"sku": "b", "n": 1}, commit=1))
    store.write(rows(store, {"sku": "b", "n": 2}, {"sku": "c", "n": 2}, commit=2))
    assert len(statements) == 2
    assert stores(database, "sku", "job").take_back(1) == 1
    assert [tuple(row.values()) for row in database.rows()] == [("a", 1), ("b", 2)]


@pytest.mark.parametrize("marks", ["table", "columns"])
def test_a_batch_of_several_commits_and_kinds_of_rows(database, stores, marks):
    """What is no single statement is a transaction, and taken back as that."""
    hidden = ", resilience_item TEXT, resilience_job TEXT, resilience_commit BIGINT"
    database.execute(KEYED[:-1] + (f"{hidden})" if marks == "columns" else ")"))
    store = stores(database, "sku", "job", marks=marks)
    store.write([
        *rows(store, {"sku": "a", "n": 1}, {"sku": "b"}, commit=1),
        *rows(store, {"sku": "c", "n": 1}, commit=2),
    ])  # fmt: skip
    store.write(rows(store, {"sku": "d", "n": 1}, {"sku": "e"}, commit=3))
    store.write(rows(store, {"sku": "f", "n": 1}, commit=3))
    assert stores(database, "sku", "job", marks=marks).take_back(2) == 3
    assert stores(database, "sku", "job", marks=marks).take_back(1) == 1
    found = database.rows("SELECT sku, n FROM items ORDER BY sku")
    assert [tuple(row.values()) for row in found] == [("a", 1), ("b", None)]


def test_a_batch_that_has_waited_for_a_row(database_of, stores):
    """Its number tells that it is the later one, whichever has begun first."""
    database = database_of("postgresql")
    database.execute(KEYED)
    first, second = (stores(database, "sku", job) for job in ("first", "second"))
    first.write(rows(first, {"sku": "both", "n": 1}, commit=1))
    batch = rows(second, {"sku": "both", "n": 2}, commit=1)
    writer = threading.Thread(target=second.write, args=[batch])
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE items SET n = 9")
        writer.start()
        wait_until(lambda: database.rows("SELECT * FROM pg_locks WHERE NOT granted"))
        first.write(rows(first, {"sku": "other", "n": 1}, commit=2))
    writer.join()
    found = database.rows("SELECT job, commit_number FROM resilience_batches ORDER BY number")
    assert [tuple(row.values()) for row in found] == [("first", 1), ("first", 2), ("second", 1)]


# --- the way back beside another job ---


def test_a_row_that_another_job_writes_while_ours_are_taken_back(database, stores, monkeypatch):
    """It comes after the look at what others have written, and is not ours to delete."""
    database.execute(KEYED)
    ours, other = (stores(database, "sku", job) for job in ("ours", "other"))
    ours.write(rows(ours, {"sku": "both", "n": 1}, {"sku": "ours", "n": 1}, commit=5))
    go_back = TableMarks._go_back

    def late(marks, commit):
        other.write(rows(other, {"sku": "both", "n": 2}, commit=2))
        go_back(marks, commit)

    monkeypatch.setattr(TableMarks, "_go_back", late)
    assert stores(database, "sku", "ours").take_back(4) == 1
    assert database.rows() == [{"sku": "both", "n": 2}]


def test_a_row_that_another_job_is_about_to_commit(served, stores, monkeypatch):
    """It is waited for, and stays; a later batch that is committed already hides it not."""
    served.execute(KEYED)
    ours, other, third = (stores(served, "sku", job) for job in ("ours", "other", "third"))
    other.tables.known["items"].careful = True  # in a transaction of several statements
    ours.write(rows(ours, {"sku": "both", "n": 1}, commit=5))
    batch = rows(other, {"sku": "both", "n": 2}, commit=2)
    written, go_on = threading.Event(), threading.Event()

    def hold(step):
        if step == "sql/written" and threading.current_thread() is writer:
            written.set()
            go_on.wait(30)

    waits = "DELETE FROM" if served.kind == "mariadb" else "FROM items"  # of what it locks

    def statement(*arguments):
        if waits in arguments[2]:
            go_on.set()

    monkeypatch.setattr(failpoints, "reached", [hold])
    writer = threading.Thread(target=other.write, args=[batch])
    writer.start()
    assert written.wait(30)
    third.write(rows(third, {"sku": "third", "n": 3}, commit=1))
    again = stores(served, "sku", "ours")
    event.listen(again.database.engine, "before_cursor_execute", statement)
    taken = again.take_back(4)
    writer.join()
    assert taken == 0
    assert {row["sku"] for row in served.rows()} == {"both", "third"}


def test_rows_that_are_nothing_but_their_key(database, stores):
    """Those that are new are told from the others, and taken back."""
    database.execute(
        "CREATE TABLE items (src VARCHAR(50), dst VARCHAR(50), PRIMARY KEY (src, dst))"
    )
    store = stores(database, ["src", "dst"], "job")
    old, new = {"src": "a", "dst": "b"}, {"src": "a", "dst": "c"}
    store.write(rows(store, old, commit=1))
    store.write(rows(store, old, new, commit=2))
    assert sorted(row["dst"] for row in database.rows()) == ["b", "c"]
    assert stores(database, ["src", "dst"], "job").take_back(1) == 1
    assert database.rows() == [old]
