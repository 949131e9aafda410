"""Statements for many rows at a time, and the counters of a store."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from msgspec.structs import astuple

from scrapy_resilience.frontier.checks import (
    check_of_key,
    check_of_letter,
    check_of_number,
    check_of_row,
    check_of_value,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from scrapy_resilience.frontier.store import Changes

__all__ = [
    "check_of_fingerprint",
    "commits_without_log",
    "count",
    "read_counters",
    "write_changes",
    "write_fingerprints",
    "write_many",
    "write_named",
]

_CHUNK: Final = 600
"""Rows a statement: few enough to bind their values in some milliseconds."""
_INSERT_FINGERPRINTS: Final = """
WITH RECURSIVE place (number) AS (
    SELECT 0 UNION ALL
    SELECT number + 1 FROM place WHERE (number + 2) * 4 <= length(:checks)
) INSERT OR IGNORE INTO fingerprints SELECT
    coalesce(substr(:all, number * :length + 1, :length), x''),
    substr(:checks, number * 4 + 1, 4)
FROM place ORDER BY 1
"""
"""Sorted, so that each page of the table is visited once, and by SQLite: see write_many()."""


def check_of_fingerprint(fingerprint: bytes) -> bytes:
    """Of a fingerprint: four bytes, as those of many are bound as one value."""
    return crc32(fingerprint).to_bytes(4, "big")


def _by_length(fingerprints: Iterable[bytes]) -> Iterator[tuple[int, bytes, bytes]]:
    """The fingerprints of each length joined, and their checks; most crawls have one length."""
    groups: dict[int, list[bytes]] = defaultdict(list)
    for fingerprint in fingerprints:
        groups[len(fingerprint)].append(fingerprint)
    for length, group in groups.items():
        yield length, b"".join(group), b"".join(map(check_of_fingerprint, group))


def write_fingerprints(writer: sqlite3.Connection, fingerprints: Iterable[bytes]) -> None:
    """Those that are there already stay as they are."""
    for length, joined, checks in _by_length(fingerprints):
        values = {"length": length, "all": joined, "checks": checks}
        writer.execute(_INSERT_FINGERPRINTS, values)


def write_many(
    writer: sqlite3.Connection, statement: str, rows: Sequence[Sequence[Any]]
) -> None:
    """Run *statement* for all rows, many at a time.

    Each statement lets go of Python's lock some times, and a busy event loop is slow to
    give it back: with a step a row, as in ``executemany``, a commit takes seconds.
    """
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        marks = f"({','.join('?' * len(chunk[0]))})"
        writer.execute(
            statement.format(rows=",".join([marks] * len(chunk))),
            list(chain.from_iterable(chunk)),
        )


def write_named(
    writer: sqlite3.Connection, table: str, key: str, values: dict[str, bytes | None]
) -> None:
    """Rows of a name and its value; None takes one away."""
    gone = [(name,) for name, value in values.items() if value is None]
    kept = [
        (name, value, check_of_value(name, value))
        for name, value in values.items()
        if value is not None
    ]
    write_many(writer, f"DELETE FROM {table} WHERE {key} IN (VALUES {{rows}})", gone)  # noqa: S608
    write_many(writer, f"INSERT OR REPLACE INTO {table} VALUES {{rows}}", kept)  # noqa: S608


def commits_without_log(path: Path) -> int:
    """How many commits the file itself holds, 0 when it can't say.

    It goes back neither when the log is folded in nor when a kill comes meanwhile.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            return read_counters(connection)["commits"]
    except (sqlite3.Error, ValueError):  # a page that only the log has whole
        return 0


def read_counters(connection: sqlite3.Connection) -> dict[str, int]:
    """Raises :exc:`ValueError` for one that is not what was written."""
    found = {"last_number": 0, "commits": 0}
    query = 'SELECT name, value, "check" FROM counters'
    for name, value, check in connection.execute(query).fetchall():
        if name not in found or check != check_of_number(name, value):
            raise ValueError("a row is not what was written")
        found[name] = value
    return found


def count(writer: sqlite3.Connection, name: str, number: int) -> None:
    """A counter never goes back."""
    writer.execute(
        "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE "
        'SET value=excluded.value, "check"=excluded."check" WHERE excluded.value > value',
        (name, number, check_of_number(name, number)),
    )


def _write_lanes(writer: sqlite3.Connection, lanes: dict[int, tuple[str, int]]) -> None:
    """Lanes and how many rows they have; one without any is taken away."""
    gone = [(lane,) for lane, (_, rows) in sorted(lanes.items()) if not rows]
    kept = [
        (lane, name, rows, check_of_number(name, lane, rows))
        for lane, (name, rows) in sorted(lanes.items())
        if rows
    ]
    write_many(writer, "DELETE FROM lanes WHERE lane IN (VALUES {rows})", gone)
    write_many(writer, "INSERT OR REPLACE INTO lanes VALUES {rows}", kept)


def write_changes(writer: sqlite3.Connection, changes: Changes) -> None:
    """All of a commit but how many there were."""
    write_many(writer, "INSERT INTO gone VALUES {rows}", sorted(changes.deletes))
    write_many(
        writer,
        "INSERT OR REPLACE INTO requests VALUES {rows}",
        [(*row, check_of_row(*row)) for row in map(astuple, sorted(changes.inserts))],
    )
    write_fingerprints(writer, changes.fingerprints)
    _write_lanes(writer, changes.lanes)
    write_many(
        writer,
        "INSERT INTO start_keys VALUES {rows}",
        [(key, check_of_key(key)) for key in changes.start_keys],
    )
    write_named(writer, "outputs", "producer", changes.outputs)
    write_named(writer, "state", "name", changes.state)
    write_many(
        writer,
        "INSERT OR REPLACE INTO letters VALUES {rows}",
        [(*letter, check_of_letter(letter)) for letter in changes.letters],
    )
    write_many(
        writer,
        "DELETE FROM letters WHERE number IN (VALUES {rows})",
        [(number,) for number in changes.answered],
    )
    if changes.inserts:
        count(writer, "last_number", max(row.number for row in changes.inserts))
