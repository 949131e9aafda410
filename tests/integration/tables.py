"""What tests look at in a database, and what a crawl must not tell of it."""

from __future__ import annotations

import json
from collections import Counter

from crawls import check_same
from sqlalchemy import MetaData, Table, inspect

from benchmarks.databases import PASSWORD, engine_of

SECRET = PASSWORD.partition("@")[0]
"""The part of it that looks alike in a URL."""
FIELDS = ("host", "page", "sku", "name", "price")


class Database:
    """An empty database, and the server that has it; none for SQLite."""

    def __init__(self, kind, url, server=None):
        self.kind = kind
        self.url = url
        self.server = server
        self.engine = engine_of(url)

    def execute(self, *statements):
        """Run statements in one transaction."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def insert(self, table, rows):
        """Put dicts into a table that is there."""
        with self.engine.begin() as connection:
            connection.execute(
                Table(table, MetaData(), autoload_with=connection).insert(), rows
            )

    def rows(self, query="SELECT * FROM items"):
        """The rows of a query, as dicts."""
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.exec_driver_sql(query).mappings()]

    def count(self, table="items"):
        """How many rows a table has; 0 where there is no such table."""
        if not inspect(self.engine).has_table(table):
            return 0
        return self.rows(f"SELECT count(*) AS found FROM {table}")[0]["found"]  # noqa: S608

    def check_items(self, expected):
        """The table has all items, each in one row, equal by content."""
        rows = self.rows()
        check_same(map(content, rows), map(content, expected))
        assert all(count == 1 for count in Counter(row["item_id"] for row in rows).values())


def settings_of(database):
    """What is missing is created, and a feed has the same items."""
    return {
        "RESILIENCE_SQL_URL": database.url,
        "RESILIENCE_SQL_CREATE": True,
        "FEEDS": {"items.jsonl": {"format": "jsonlines"}},
    }


def letters(job):
    """What the command lists."""
    run = job.run("resilience", "deadletters", "job", "--json")
    assert run.code == 0, run
    assert SECRET not in run.out
    return json.loads(run.out)


def content(item):
    """What an item of the fault site says."""
    return tuple(str(item[name]) for name in FIELDS)


def check_no_secret(job):
    """Neither a log, nor what was printed, nor a file of the job has the password."""
    for path in job.folder.rglob("*"):
        if path.is_file() and path.name != "settings.py" and "__pycache__" not in path.parts:
            assert SECRET.encode() not in path.read_bytes(), path
