"""Batches of rows: whole, or without what the database refuses; and taken back again."""

from __future__ import annotations

import datetime as dt
import sqlite3
import threading
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal

import pytest
import scrapy
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlsinks import Sqlite, rows

from scrapy_resilience.exceptions import (
    CheckpointError,
    ConfigurationError,
    RowRefusedError,
    SinkError,
)
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.sql.rows import Rows, fields_of

KEYED = "CREATE TABLE items (sku TEXT PRIMARY KEY, price NUMERIC CHECK (price >= 0), name TEXT)"


@pytest.fixture
def sqlite(tmp_path):
    """``sqlite(*ddl, **settings)``: a database in a file."""
    made = []

    def make(*ddl, **options):
        made.append(Sqlite(tmp_path / "rows.sqlite", *ddl, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_table_is_made_of_items(sqlite):
    """A table that is missing gets the columns that items bring, when they do."""
    database = sqlite()
    store = database.store()
    moment = dt.datetime(2026, 5, 1, tzinfo=dt.timezone.utc)
    item = {"a": 1, "b": "x", "c": 1.5, "d": Decimal("1.10"), "e": moment, "f": [1], "g": None}
    store.write(rows(store, item))
    store.write(rows(store, {"g": b"\x00", "h": True}, first=1))
    columns = {name: kind for _, name, kind, *_ in database.run("PRAGMA table_info(items)")}
    assert columns == {
        "item_id": "VARCHAR(255)", "a": "BIGINT", "b": "TEXT", "c": "DOUBLE", "d": "TEXT",
        "e": "DATETIME", "f": "JSON", "g": "BLOB", "h": "BOOLEAN",
    }  # fmt: skip
    assert database.run("SELECT item_id, a, b, c, d, e, f FROM items")[0] == (
        "item:0", 1, "x", 1.5, "1.10", "2026-05-01 00:00:00.000000", "[1]",
    )  # fmt: skip


def test_a_row_is_written_once(sqlite):
    """The same item again changes its row; fields that it lacks stay as they are."""
    database = sqlite(KEYED, key="sku")
    store = database.store()
    store.write(rows(store, {"sku": "a", "price": 1, "name": "A"}, {"sku": "b", "price": 2}))
    store.write(rows(store, {"sku": "a", "price": 3}))
    found = database.run("SELECT * FROM items ORDER BY sku")
    assert found == [("a", 3, "A"), ("b", 2, None)]


@pytest.mark.parametrize("bad", [[0], [99], [3, 50, 51], list(range(100))])
def test_bad_rows_stand_alone(sqlite, bad):
    """The others of their batch are in, and each bad one comes with what the database says."""
    database = sqlite(KEYED, key="sku")
    store = database.store("job")
    items = [{"sku": f"{n:02}", "price": -1 if n in bad else n} for n in range(100)]
    outcome = store.write(rows(store, *items))
    assert [each.row.key[0] for each in outcome.bad] == [f"{n:02}" for n in bad]
    assert all("CHECK constraint failed" in each.message for each in outcome.bad)
    assert database.run("SELECT count(*) FROM items") == [(100 - len(bad),)]


def test_a_locked_database_is_waited_for(sqlite):
    """Somebody else writes for some time: the batch waits, and is tried again."""
    database = sqlite(KEYED, key="sku", timeout=1)
    store = database.store()
    batch = rows(store, {"sku": "a", "price": 1})
    with closing(sqlite3.connect(database.path, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        release = threading.Timer(1.5, other.rollback)
        release.start()
        outcome = store.write(batch)
        release.join()
    assert outcome.retries == 1
    assert database.run("SELECT count(*) FROM items") == [(1,)]


def test_a_table_that_is_gone_is_not_the_fault_of_the_rows(sqlite):
    """They wait until it is back."""
    database = sqlite(KEYED, key="sku")
    store = database.store()
    batch = rows(store, {"sku": "a", "price": 1})
    database.run("DROP TABLE items")
    with pytest.raises(SinkError, match="no such table"):
        store.write(batch, attempts=1)
    database.run(KEYED)
    assert not store.write(batch).bad


def test_a_table_that_is_gone_when_a_column_is_to_be_made(sqlite):
    """Neither is that the fault of the row with the new field."""
    database = sqlite()
    store = database.store()
    store.write(rows(store, {"n": 1}))
    batch = rows(store, {"n": 2, "new": 3})
    database.run("DROP TABLE items")
    with pytest.raises(SinkError, match="no such table"):
        store.write(batch, attempts=1)
    database.run("CREATE TABLE items (item_id TEXT PRIMARY KEY, n BIGINT)")
    assert not store.write(batch).bad
    assert database.run("SELECT n, new FROM items") == [(2, 3)]


def test_a_column_that_can_not_be_made_before_the_crawl(sqlite):
    """The error names the setting, whatever the database has against it."""
    database = sqlite()
    store = database.store()
    store.write(rows(store, {"n": 1}))
    rows(store, {"new": 2})
    database.run("DROP TABLE items")
    with pytest.raises(ConfigurationError, match="RESILIENCE_SQL_CREATE: items can't be cha"):
        store.tables.make_early(store.tables.known["items"])


def test_a_column_that_can_not_be_made_is(sqlite):
    """The rows that need it are refused; the others are in."""
    database = sqlite(KEYED, "CREATE VIEW v AS SELECT 1", key="sku", create=True)
    store = database.store()
    with pytest.raises(RowRefusedError, match="can't have a column"):
        rows(store, {"sku": "a", "x" * 64: 1})


def test_statements_do_not_grow_with_the_forms_of_items(sqlite):
    """Some are kept, as items rarely have so many forms; what was not used longest goes."""
    database = sqlite()
    store = database.store()
    for first in range(0, 2000, 100):
        forms = range(first, first + 100)
        items = [{f"f{bit}": form for bit in range(12) if form >> bit & 1} for form in forms]
        usual = rows(store, {"usual": 1}, first=5000 + first)
        store.write([*rows(store, *items, first=first), *usual])
    known = store.tables.known["items"]
    assert len(known.statements) <= 256
    assert ("item_id", "usual") in known.statements
    found = database.run("SELECT count(*), count(f0), count(f10), count(usual) FROM items")
    assert found == [(2020, 1000, 976, 20)]


# --- the way back ---


@pytest.mark.parametrize("marks", ["table", "columns"])
def test_rows_beyond_a_commit_are_taken_back(sqlite, marks):
    """What was inserted since is gone; what was changed stays as it was changed."""
    database = sqlite(marks=marks)
    store = database.store("job")
    store.write(rows(store, {"n": 0}, {"n": 1}, commit=1))
    store.write(rows(store, {"n": 10}, commit=2))
    store.write(rows(store, {"n": 2}, {"n": 3}, commit=3, first=2))
    again = database.store("job")
    assert again.take_back(1) == 2
    assert database.run("SELECT item_id, n FROM items ORDER BY item_id") == [
        ("item:0", 10),
        ("item:1", 1),
    ]
    assert again.take_back(1) == 0


@pytest.mark.parametrize("marks", ["table", "columns"])
def test_rows_of_others_are_not_ours_to_delete(sqlite, marks):
    """Neither what was there before, nor what another job has brought, or has changed."""
    hidden = "resilience_item TEXT, resilience_job TEXT, resilience_commit BIGINT"
    database = sqlite(
        f"CREATE TABLE items (sku TEXT PRIMARY KEY, n BIGINT, {hidden})", key="sku", marks=marks
    )
    database.run("INSERT INTO items (sku, n) VALUES ('users', 0)")
    ours, other = database.store("ours"), database.store("other")
    other.write(rows(other, {"sku": "others", "n": 1}, commit=1))
    items = [{"sku": sku, "n": 2} for sku in ("users", "others", "ours", "both")]
    ours.write(rows(ours, *items, commit=5))
    other.write(rows(other, {"sku": "both", "n": 3}, commit=2))
    ours.take_back(4)
    assert database.run("SELECT sku, n FROM items ORDER BY sku") == [
        ("both", 3),
        ("others", 2),
        ("users", 2),
    ]


def test_a_batch_of_two_commits(sqlite):
    """Rows of the commit that is written and of the next one may share a transaction."""
    database = sqlite()
    store = database.store("job")
    store.write([
        *rows(store, {"n": 0}, commit=1),
        *rows(store, {"n": 1}, commit=2, first=1),
    ])  # fmt: skip
    assert database.store("job").take_back(1) == 1
    assert database.run("SELECT n FROM items") == [(0,)]


def test_keys_of_several_columns_and_kinds(sqlite):
    """They are found again, to be taken back."""
    database = sqlite(
        "CREATE TABLE items (day DATE, shop INTEGER, sku TEXT, UNIQUE (day, shop, sku))",
        key=["day", "shop", "sku"],
    )
    store = database.store("job")
    item = {"day": dt.date(2026, 5, 1), "shop": 7, "sku": "ä"}
    store.write(rows(store, item, commit=1))
    store.write(rows(store, item, {**item, "shop": 8}, commit=2))
    assert database.store("job").take_back(1) == 1
    assert database.run("SELECT * FROM items") == [("2026-05-01", 7, "ä")]


def test_a_table_that_was_dropped_has_nothing_to_take_back(sqlite):
    """A run goes on where the table of the last one is gone."""
    database = sqlite()
    store = database.store("job")
    store.write(rows(store, {"n": 0}, commit=2))
    database.run("DROP TABLE items")
    assert database.store("job").take_back(1) == 0
    assert database.run("SELECT * FROM resilience_batches WHERE table_name != ''") == []


def test_rows_that_an_older_snapshot_has_taken_back(sqlite):
    """A snapshot of a past whose rows are gone is refused; the one they went back to is not."""
    database = sqlite()
    store = database.store("job")
    for commit in (30, 50, 60):
        store.write(rows(store, {"n": commit}, commit=commit, first=commit))
    back = database.store("job")
    assert back.take_back(30) == 2

    with pytest.raises(CheckpointError, match="after commit 30 were taken back by a later run"):
        database.store("job").take_back(50)
    assert database.store("job").take_back(30) == 0
    later = database.store("job")
    later._marks.took = back._marks.took  # of a commit of that run
    assert later.take_back(50) == 0
    database.store("other").take_back(50)


def test_a_way_back_says_more_than_a_shorter_one(sqlite):
    """One note is kept for many kills at one commit."""
    database = sqlite()
    for _ in range(3):
        store = database.store("job")
        store.write(rows(store, {"n": 1}, commit=5))
        assert database.store("job").take_back(4) == 1
    assert database.run("SELECT count(*) FROM resilience_batches") == [(1,)]


@pytest.mark.parametrize("key", ["b", ["b", "a"], ["a", "b"]])
def test_a_key_that_was_changed_before_rows_are_taken_back(sqlite, key):
    """It is refused, with nothing deleted: other rows would be."""
    database = sqlite("CREATE TABLE items (a INTEGER UNIQUE, b INTEGER UNIQUE)", key="a")
    database.run("CREATE UNIQUE INDEX both ON items (a, b)")
    database.run("INSERT INTO items VALUES (1, 2)")
    store = database.store("job")
    store.write(rows(store, {"a": 2, "b": 9}, commit=2))
    again = sqlite(key=key, create=False).store("job")
    with pytest.raises(ConfigurationError, match=r"changed for items .*: it was \(a\), and"):
        again.take_back(1)
    assert database.run("SELECT * FROM items") == [(1, 2), (2, 9)]


def test_marks_of_an_older_version(sqlite):
    """They don't name the columns of the key."""
    database = sqlite(KEYED, key="sku")
    store = database.store("job")
    store.write(rows(store, {"sku": "a"}, commit=2))
    old = ValueCodec(allow_pickle=False).encode([[["a"], "item:0", 1]])
    database.run("UPDATE resilience_batches SET marks = ?", old)
    assert database.store("job").take_back(1) == 1


@pytest.mark.parametrize("now", ["table", "columns"])
def test_marks_that_were_changed_before_rows_are_taken_back(sqlite, now):
    """Rows are found by those of both kinds."""
    before = {"table": "columns", "columns": "table"}[now]
    database = sqlite(marks=before)
    store = database.store("job")
    store.write(rows(store, {"n": 0}, commit=1))
    store.write(rows(store, {"n": 1}, commit=2, first=1))
    again = sqlite(marks=now).store("job")
    again.write(rows(again, {"n": 2}, commit=2, first=2))
    assert sqlite(marks=now).store("job").take_back(1) == 2
    assert database.run("SELECT n FROM items") == [(0,)]


def test_a_lock_on_a_table_that_is_to_be_changed(sqlite):
    """It is no fault of the rows: they wait."""
    database = sqlite(
        "CREATE TABLE items (sku TEXT PRIMARY KEY)", key="sku", create=True, timeout=1
    )
    store = database.store()
    batch = rows(store, {"sku": "a", "price": 1})
    store.tables._database.engine.dispose()
    with closing(sqlite3.connect(database.path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SinkError, match="locked"):
            store.write(batch, attempts=1)
    assert not store.write(batch).bad
    assert database.run("SELECT sku, price FROM items") == [("a", 1)]


STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "commit", "kill"]), st.sets(st.integers(0, 5))),
    max_size=12,
)


@given(marks=st.sampled_from(["table", "columns"]), steps=STEPS)
@settings(max_examples=12)
def test_the_table_is_never_ahead_of_the_commit(tmp_path_factory, marks, steps):
    """After a kill the keys are those of the last commit, whatever was written since."""
    database = Sqlite(tmp_path_factory.mktemp("db") / "rows.sqlite", key="sku", marks=marks)
    store = database.store("job", own_ids=True)
    durable, now, commit, took = set(), set(), 1, 0
    for what, keys in steps:
        if what == "write" and keys:
            batch = rows(store, *({"sku": key} for key in keys), commit=commit + 1)
            assert not store.write(batch).bad
            now |= keys
        elif what == "commit":
            durable, commit, took = set(now), commit + 1, store._marks.took
        elif what == "kill":
            store = database.store("job")
            store._marks.took = took  # as the job has it
            store.take_back(commit)
            now = set(durable)
            found = {key for (key,) in database.run("SELECT sku FROM items")} if now else now
            assert found == now
    database.close()


# --- items ---


@dataclass
class Offer:
    url: str
    price: float | None = None
    tags: list[str] = field(default_factory=list)


class Product(scrapy.Item):
    url = scrapy.Field()
    price = scrapy.Field()


def test_any_item_class(sqlite):
    """Dicts, Scrapy items and dataclasses are rows alike."""
    database = sqlite(
        "CREATE TABLE items (url TEXT PRIMARY KEY, price DOUBLE, tags JSON)", key="url"
    )
    store = database.store()
    items = [{"url": "a", "price": 1}, Product(url="b"), Offer("c", tags=["x"])]
    store.write(rows(store, *items))
    assert database.run("SELECT * FROM items ORDER BY url") == [
        ("a", 1.0, None),
        ("b", None, None),
        ("c", None, '["x"]'),
    ]


def test_what_classes_say_of_their_fields():
    """Annotations tell what columns are to hold; Scrapy's own items don't."""
    assert fields_of(Offer, str) == {"url": "text", "price": "float", "tags": "json"}
    assert fields_of(Product, str) == {"url": None, "price": None}
    assert fields_of(dict, str) == {}


@pytest.mark.parametrize(
    ("item", "why"),
    [
        ({"sku": "a", "colour": "red"}, "items has no column colour: add it"),
        ({"price": 1}, "its key sku is missing"),
        ({"sku": None}, "its key sku is missing"),
        ({"sku": "a", "price": float("nan")}, "price: SQLite has no nan"),
        ({"sku": "a", "name": b"\x00"}, "name: a text column can't hold bytes"),
    ],
)
def test_items_that_do_not_fit(sqlite, item, why):
    """They are refused before they come to the database, with what to change."""
    store = sqlite(KEYED, key="sku").store()
    maker = Rows(store.tables, creates=False)
    with pytest.raises(RowRefusedError, match=why):
        maker.row(item, store.tables.known["items"], "item:1", 0)


def test_an_item_that_is_too_large(sqlite):
    """A database that takes no statement of that length would close the connection."""
    store = sqlite(KEYED, key="sku").store()
    maker = Rows(store.tables, creates=False)
    with pytest.raises(RowRefusedError, match="more than the database takes at once"):
        maker.row({"sku": "a", "name": "x" * 1000}, store.tables.known["items"], "i", 1000)


def test_bytes_count_and_not_characters(sqlite):
    """A character has up to four of them."""
    store = sqlite(KEYED, key="sku").store()
    maker, known = Rows(store.tables, creates=False), store.tables.known["items"]
    assert maker.row({"sku": "a", "name": "x" * 600}, known, "i", 1000)
    with pytest.raises(RowRefusedError, match="its 2521 bytes are more than"):
        maker.row({"sku": "a", "name": "\N{GRINNING FACE}" * 600}, known, "i", 1000)


def test_our_id_and_a_field_of_its_name(sqlite):
    """The field may have another column; else it would be lost."""
    database = sqlite()
    store = database.store()
    with pytest.raises(RowRefusedError, match="its field item_id is taken"):
        rows(store, {"item_id": 5})
    with pytest.raises(RowRefusedError, match="nobody knows its id"):
        Rows(store.tables, creates=True).row({"n": 1}, store.tables.known["items"], None, 0)


def test_rows_that_an_extension_puts_in_are_all_different(sqlite):
    """Their ids are those of objects, which come again."""
    store = sqlite().store()
    maker = Rows(store.tables, creates=True)
    known = store.tables.known["items"]
    first, second = (maker.row({"n": n}, known, "extra:7f", 0) for n in range(2))
    assert first.key != second.key
