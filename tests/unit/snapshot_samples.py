"""A job's store with something in it, and snapshots of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta, timezone

from scrapy_resilience.checkpoint.state import META
from scrapy_resilience.files.layout import STORE
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.sqlite import SQLiteStore
from scrapy_resilience.frontier.store import Changes, Row
from scrapy_resilience.snapshots.places import open_place
from scrapy_resilience.snapshots.store import SnapshotStore

KEY = "correct horse battery staple"
URL = b"https://secret.example/page?token=abc"
_START = datetime(2026, 11, 22, 12, 0, 0, tzinfo=timezone.utc)


class Clock:
    """Goes on by one second at each look."""

    def __init__(self, now=_START):
        self.now = now

    def __call__(self):
        self.now += timedelta(seconds=1)
        return self.now


def make_store(folder, *, spider="shop", number=1, state=None, **meta):
    """Make a store with one request and what a job says of itself; returns its path."""
    path = folder / STORE
    meta = {"spider": spider, "created": 1.5, "runs": 1, "pending": 1, "done": 2, **meta}
    with closing(SQLiteStore(path)) as store:
        store.commit(
            Changes(
                inserts=[Row(1, 0, number, URL)],
                fingerprints={b"%020d" % number},
                lanes={1: ("secret.example", 1)},
                state={META: ValueCodec().encode(meta), **(state or {})},
            )
        )
    return path


def snapshots_of(folder, place=None, **options):
    """Return the snapshots of a job in *folder*, which are made by a clock of their own."""
    options.setdefault("clock", Clock())
    return SnapshotStore(open_place(place or folder / "snapshots"), folder, **options)


def dump(path):
    """Return everything that a store holds."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        return list(connection.iterdump())
