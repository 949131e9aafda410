"""Batches of rows on PostgreSQL, MariaDB and SQLite: written and taken back, with no crawl."""

from __future__ import annotations

import threading

import pytest
from scrapy.settings import BaseSettings
from sqlalchemy import event
from sqlsinks import rows, store_of

from scrapy_resilience import failpoints
from scrapy_resilience.settings import Config
from scrapy_resilience.sql.take_back import TableMarks

pytestmark = pytest.mark.integration

KEYED = "CREATE TABLE items (sku VARCHAR(50) PRIMARY KEY, n BIGINT)"


@pytest.fixture
def stores():
    """``stores(database, key, job)``: a store of a job's run; all are closed at the end."""
    made = []

    def store(database, key, job):
        settings = {"RESILIENCE_SQL_URL": database.url, "RESILIENCE_SQL_KEY": key}
        made.append(store_of(Config.from_settings(BaseSettings(settings)), job))
        return made[-1]

    yield store
    for each in made:
        each.close()


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
