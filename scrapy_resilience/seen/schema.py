"""The file of a store: what it is made of, and whether a file is one."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

from scrapy_resilience.exceptions import CheckpointError, DamagedError
from scrapy_resilience.files.ownership import open_own

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["connect", "create", "damaged"]

_OURS: Final = 0x5EE2BEF0
_VERSION: Final = 1
_TABLES: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE seen(ident INTEGER PRIMARY KEY, at INTEGER NOT NULL, period INTEGER, content BLOB);
CREATE TABLE validators(page INTEGER PRIMARY KEY, etag BLOB, modified BLOB);
CREATE TABLE urls(ident INTEGER PRIMARY KEY, url TEXT NOT NULL);
CREATE TABLE jobs(
    job INTEGER PRIMARY KEY, ident TEXT NOT NULL UNIQUE,
    number INTEGER NOT NULL, floor INTEGER NOT NULL, at INTEGER NOT NULL
);
CREATE TABLE undo(
    n INTEGER PRIMARY KEY, job INTEGER NOT NULL, number INTEGER NOT NULL,
    ident INTEGER NOT NULL, page INTEGER, at INTEGER, period INTEGER, content BLOB
);
CREATE INDEX undo_ident ON undo(ident, n);
CREATE INDEX undo_number ON undo(job, number);
PRAGMA application_id={_OURS};
PRAGMA user_version={_VERSION};
COMMIT;
"""
"""``urls`` and ``validators`` stand apart, so that ``seen`` is as small as it can be. ``undo``
has what commits of unfinished jobs have written over; ``at`` is NULL where nothing was."""


def create(path: Path) -> None:
    """Make the file where there is none; whoever calls it holds the lock."""
    os.close(open_own(path, os.O_RDWR | os.O_CREAT))  # no link, pipe or file of others
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        try:
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.DatabaseError:
            return  # connect() says what is wrong with it
        if not tables:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(_TABLES)


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Raises :exc:`CheckpointError` for what is no store, or can't be used now."""
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
    connection = None
    try:
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA cache_size=-8000")
        connection.execute("PRAGMA busy_timeout=5000")
        _check(connection, path)
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.OperationalError):  # a lock, a permission, a full disk
            raise CheckpointError(f"{path} can't be used: {error}") from error
        if isinstance(error, sqlite3.Error):
            raise damaged(path, error) from error
        raise
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    (ours,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if ours != _OURS:
        raise CheckpointError(
            f"{path} is not a store of pages that were seen: give RESILIENCE_SEEN_STORE "
            "another name"
        )
    if version > _VERSION:
        raise CheckpointError(
            f"{path} was made by a newer version of scrapy_resilience: use that one"
        )
    if path.stat().st_size <= _SMALL:
        (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            raise damaged(path, answer.splitlines()[-1])


def damaged(path: Path, what: object) -> DamagedError:
    """The error for a file that SQLite can't read."""
    return DamagedError(
        f"{path} is damaged: {what}. Put a copy in its place, or move it away with its -wal "
        "and -shm: all pages are new then"
    )


_SMALL: Final = 32_000_000
"""Bytes that are checked as a whole in a tenth of a second."""
