"""What the file of a job is made of, and whether a file has that and nothing else."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.exceptions import CheckpointError, DamagedError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SCHEMA", "add_missing", "check_schema", "create_file", "stand_in_for_missing"]

SCHEMA: Final = 3
_WITHOUT_LETTERS: Final = 2
"""The schema before: a job of it is read, and gets the missing table when it goes on."""

_LETTERS: Final = """letters (
    number INTEGER PRIMARY KEY, request BLOB, about BLOB NOT NULL, record BLOB,
    "check" INTEGER NOT NULL
);
"""
_SCHEMA: Final = f"""
CREATE TABLE {_LETTERS}
CREATE TABLE requests (
    lane INTEGER NOT NULL, rank INTEGER NOT NULL, "order" INTEGER NOT NULL,
    data BLOB NOT NULL, due REAL, delay REAL, "check" INTEGER NOT NULL,
    PRIMARY KEY (lane, rank, "order")
) WITHOUT ROWID;
CREATE INDEX due ON requests (due) WHERE due IS NOT NULL;
CREATE TABLE lanes (
    lane INTEGER PRIMARY KEY, name TEXT NOT NULL, rows INTEGER NOT NULL,
    "check" INTEGER NOT NULL
);
CREATE TABLE fingerprints (
    fingerprint BLOB PRIMARY KEY, "check" BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE start_keys (key INTEGER NOT NULL, "check" INTEGER NOT NULL);
CREATE TABLE outputs (
    producer TEXT PRIMARY KEY, data BLOB NOT NULL, "check" INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE state (name TEXT PRIMARY KEY, data BLOB NOT NULL, "check" INTEGER NOT NULL);
CREATE TABLE counters (
    name TEXT PRIMARY KEY, value INTEGER NOT NULL, "check" INTEGER NOT NULL
) WITHOUT ROWID;
"""
_TABLES: Final = (
    "requests", "lanes", "fingerprints", "start_keys", "outputs", "state", "counters",
    "letters",
)  # fmt: skip
_OBJECTS: Final = "SELECT type, name, sql FROM sqlite_master"
_APPLICATION_ID: Final = 0x53635265  # "ScRe": tells our file from any other SQLite file


def create_file(path: Path) -> None:
    """Make the file under another name: a kill leaves it whole or not there at all."""
    draft = path.with_name(path.name + ".new")
    for leftover in path.parent.glob(draft.name + "*"):
        leftover.unlink()
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = sqlite3.connect(draft, isolation_level=None)
    connection.execute("PRAGMA page_size=8192")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript(
        f"BEGIN IMMEDIATE; {_SCHEMA}"
        f"PRAGMA application_id={_APPLICATION_ID}; PRAGMA user_version={SCHEMA}; COMMIT;"
    )
    connection.close()
    draft.rename(path)


def add_missing(connection: sqlite3.Connection) -> None:
    """Make a file of the schema before one of this schema."""
    if _schema_of(connection) == _WITHOUT_LETTERS:
        connection.executescript(
            f"BEGIN IMMEDIATE; CREATE TABLE {_LETTERS}PRAGMA user_version={SCHEMA}; COMMIT;"
        )


def stand_in_for_missing(connection: sqlite3.Connection) -> None:
    """Give *connection*, which only reads, an empty table where the file has none."""
    if _schema_of(connection) == _WITHOUT_LETTERS:
        connection.executescript(f"CREATE TEMP TABLE {_LETTERS}")


def check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Raises :exc:`DamagedError` for a file with anything else in it.

    :exc:`CheckpointError` is for one of another version.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    schema = _schema_of(connection)
    if application != _APPLICATION_ID:
        raise DamagedError(f"{path} is not a job of scrapy_resilience")
    if schema not in {SCHEMA, _WITHOUT_LETTERS}:
        raise CheckpointError(
            f"{path} has schema {schema}, this version reads {SCHEMA}: "
            "use the version of scrapy_resilience that wrote it, or start anew"
        )
    letters = "SELECT 1 FROM sqlite_master WHERE name='letters'"
    if schema == _WITHOUT_LETTERS and connection.execute(letters).fetchone():
        raise DamagedError(f"{path} is damaged: its schema is not the one that it says")
    if strange := set(connection.execute(_OBJECTS)) - _known_objects():
        names = ", ".join(sorted(str(name) for _, name, _ in strange))
        raise DamagedError(f"{path} is damaged: its schema has what was not put there: {names}")
    for table in _TABLES if schema == SCHEMA else _TABLES[:-1]:
        connection.execute(f"SELECT * FROM {table} LIMIT 1").fetchall()  # noqa: S608


def _schema_of(connection: sqlite3.Connection) -> int:
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    return int(schema)


@cache
def _known_objects() -> frozenset[tuple[Any, ...]]:
    """What a store is made of. A view or a trigger could make a small file an endless one."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(f"{_SCHEMA} ANALYZE;")  # which somebody may run on a store
        return frozenset(connection.execute(_OBJECTS))
