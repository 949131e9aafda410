"""Scrapy's HTTP cache in one SQLite file for each spider."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from scrapy.utils.project import data_path

from scrapy_resilience import _clock
from scrapy_resilience.files.ownership import check_plain, open_own
from scrapy_resilience.httpcache.storage import EntryStorage

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

    from scrapy_resilience.httpcache.entries import Entry

__all__ = ["SQLiteCacheStorage"]

_APPLICATION_ID: Final = 0x53635263  # "ScRc": tells our file from any other SQLite file
_VERSION: Final = 1
_SCHEMA: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, stored REAL NOT NULL,
    data BLOB NOT NULL
);
PRAGMA application_id={_APPLICATION_ID};
PRAGMA user_version={_VERSION};
COMMIT;
"""
_ROWS: Final = 64
"""Rows of one statement: between two statements a busy event loop keeps the thread waiting."""
_OLDEST: Final = "SELECT number, stored, length(data) FROM entries ORDER BY number LIMIT ?"
_USED: Final = """
SELECT (page_count - freelist_count) * page_size
FROM pragma_page_count, pragma_freelist_count, pragma_page_size
"""
"""Bytes of the file that hold something."""
_MORE: Final = 64
"""Old entries that are looked at with each batch, beside as many as it has."""
_READ_WAIT: Final = 0.05
_WRITE_WAIT: Final = 5.0
"""Seconds for which another process's lock is waited for."""


class SQLiteCacheStorage(EntryStorage):
    """``SPIDER.sqlite`` in ``HTTPCACHE_DIR``, which several processes may share.

    A page is in the file a moment after it was stored, and a kill leaves each entry whole or
    not there. Above ``RESILIENCE_HTTPCACHE_MAX_MB`` those that were stored longest ago go.
    Entries are compressed whatever ``HTTPCACHE_GZIP`` says.
    """

    def __init__(self, settings: BaseSettings) -> None:
        super().__init__(settings)
        self._folder = Path(data_path(settings["HTTPCACHE_DIR"]))

    def _store_of(self, spider: str) -> SQLiteEntries:
        name = quote(spider, safe="") + ".sqlite"
        return SQLiteEntries(self._folder / name, self._most, self._expires)


class SQLiteEntries:
    """Entries in the order in which they were stored.

    One connection writes, in the thread; another one only reads, in the event loop, where it
    never waits for a commit.
    """

    def __init__(self, path: Path, most: int, expires: float) -> None:
        self.place = f"{path}, which you may delete"
        self._path = path
        self._most = most
        self._expires = expires
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None

    def open(self) -> None:
        self._close_reader()
        try:
            self._to_write()
        except (OSError, sqlite3.Error):
            if not self._path.exists():
                raise  # or else it may be read all the same, and storing tells of it
        check_plain(self._path)
        self._reader = self._connect(self._mode(), _READ_WAIT)
        _check_ours(self._reader)
        self._cursor = self._reader.cursor()

    def get(self, key: bytes) -> bytes | None:
        self._cursor.execute("SELECT data FROM entries WHERE key=?", (key,))
        found = self._cursor.fetchone()
        return found[0] if found else None

    def put(self, entries: list[Entry]) -> None:
        writer = self._to_write()
        try:
            writer.execute("BEGIN IMMEDIATE")
            self._insert(writer, entries)
            self._let_go(writer, len(entries))
            writer.execute("COMMIT")
        except BaseException:
            self._close_writer()  # which rolls back
            raise

    def close(self) -> None:
        self._close_reader()
        self._close_writer()

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _close_writer(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            with suppress(sqlite3.Error):
                writer.close()

    # --- writing ---

    def _to_write(self) -> sqlite3.Connection:
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):  # SQLite would let others read it
                os.close(open_own(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
            for path in (self._path, _beside(self._path, "-wal"), _beside(self._path, "-shm")):
                with suppress(FileNotFoundError):
                    check_plain(path)
            writer = self._connect("rw", _WRITE_WAIT)
            try:
                _make_schema(writer)
            except BaseException:
                writer.close()
                raise
            self._writer = writer
        return self._writer

    def _mode(self) -> str:
        """How the file is read: where no other file can be made beside it, nobody writes it."""
        is_fixed = not os.access(self._path.parent, os.W_OK)
        return (
            "ro&immutable=1" if is_fixed and not _beside(self._path, "-wal").exists() else "ro"
        )

    def _connect(self, mode: str, wait: float) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=wait,
            isolation_level=None,
            check_same_thread=False,
        )

    def _insert(self, writer: sqlite3.Connection, entries: list[Entry]) -> None:
        for start in range(0, len(entries), _ROWS):
            rows = entries[start : start + _ROWS]
            marks = ",".join(["(?,?,?)"] * len(rows))
            writer.execute(
                f"REPLACE INTO entries (key, stored, data) VALUES {marks}",  # noqa: S608
                [value for row in rows for value in row],
            )

    def _let_go(self, writer: sqlite3.Connection, stored: int) -> None:
        """Delete what has expired, and the oldest as far as there is no room."""
        excess = 0
        if self._most:
            (used,) = writer.execute(_USED).fetchone()
            excess = used - self._most
        if excess <= 0 and self._expires <= 0:
            return
        expired = _clock.wall() - self._expires if self._expires > 0 else 0
        last = None
        for number, when, size in writer.execute(_OLDEST, (stored + _MORE,)).fetchall():
            if excess <= 0 and when >= expired:
                break
            last, excess = number, excess - size
        if last is not None:
            writer.execute("DELETE FROM entries WHERE number<=?", (last,))


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _make_schema(connection: sqlite3.Connection) -> None:
    """Make an empty file one of ours. Raises :exc:`sqlite3.DatabaseError` for any other."""
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not objects:
        connection.execute("PRAGMA page_size=8192")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(_SCHEMA)
    _check_ours(connection)
    connection.execute("PRAGMA synchronous=NORMAL")


def _check_ours(connection: sqlite3.Connection) -> None:
    """Raises :exc:`sqlite3.DatabaseError` for a file of others."""
    found = (_number(connection, "application_id"), _number(connection, "user_version"))
    if found != (_APPLICATION_ID, _VERSION):
        raise sqlite3.DatabaseError("another program has made it, or another version")


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    (number,) = connection.execute(f"PRAGMA {pragma}").fetchone()
    return int(number)
