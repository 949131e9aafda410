"""Databases of tests: a file, its tables, and stores that write to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from scrapy.settings import BaseSettings

from scrapy_resilience.core.sqlrows import Row
from scrapy_resilience.settings import Config
from scrapy_resilience.sql.checks import open_ready
from scrapy_resilience.sql.rows import Rows
from scrapy_resilience.sql.take_back import ColumnMarks, NoMarks, TableMarks
from scrapy_resilience.sql.writer import RowWriter


def config(path, **settings):
    """Settings of a sink that writes to a file."""
    names = {f"RESILIENCE_SQL_{name.upper()}": value for name, value in settings.items()}
    return Config.from_settings(
        BaseSettings({"RESILIENCE_SQL_URL": f"sqlite:///{path}", **names})
    )


def store_of(settings, job=None, *, own_ids=True):
    """A store of a job's run, in the database of the settings."""
    opened = open_ready(settings, own_ids=own_ids, is_job=job is not None)
    marks = NoMarks()
    if job is not None:
        kind = ColumnMarks if settings.sql_marks == "columns" else TableMarks
        marks = kind(opened.database, job, opened.chooser.names)
    return RowWriter(opened.database, opened.tables, marks)


class Sqlite:
    """A database in a file. Without DDL the sink makes the table ``items``."""

    def __init__(self, path, *ddl, **settings):
        self.path = path
        for each in ddl:
            self.run(each)
        settings.setdefault("create", not ddl)
        self.config = config(path, **settings)
        self.opened = []

    def run(self, sql, *values):
        """What a statement gives, in a connection of its own."""
        with closing(sqlite3.connect(self.path)) as database, database:
            return database.execute(sql, values).fetchall()

    def store(self, job=None, *, own_ids=True):
        """A store of a job's run."""
        store = store_of(self.config, job, own_ids=own_ids)
        self.opened.append(store.database)
        return store

    def close(self):
        """Let go of all that was opened."""
        for each in self.opened:
            each.close()


def rows(store, *items, table="items", commit=1, first=0):
    """Items as rows, with ids by their numbers."""
    maker = Rows(store.tables, creates=True)
    found = []
    for number, item in enumerate(items, first):
        row = maker.row(item, store.tables.known[table], f"item:{number}", 0)
        row.commit = commit
        found.append(row)
    assert all(isinstance(row, Row) for row in found)
    return found
