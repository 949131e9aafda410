"""A store in one SQLite file, whose rows check themselves."""

from __future__ import annotations

import sqlite3
import struct
from collections import Counter, deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.exceptions import CheckpointError, DamagedError
from scrapy_resilience.frontier.checks import (
    check_of_key,
    check_of_letter,
    check_of_number,
    check_of_row,
    check_of_value,
)
from scrapy_resilience.frontier.schema import (
    add_missing,
    check_schema,
    create_file,
    stand_in_for_missing,
)
from scrapy_resilience.frontier.statements import (
    check_of_fingerprint,
    count,
    read_counters,
    write_changes,
)
from scrapy_resilience.frontier.store import Letter, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from scrapy_resilience.frontier.store import Changes

__all__ = ["SQLiteStore"]

_ROWS: Final = 'SELECT lane, rank, "order", data, due, delay, "check" FROM requests'
_TEMPORARY: Final = """
CREATE TEMP VIEW gone AS SELECT lane, rank, "order" FROM requests;
CREATE TEMP TRIGGER gone INSTEAD OF INSERT ON gone BEGIN
    DELETE FROM requests WHERE lane=new.lane AND rank=new.rank AND "order"=new."order";
END;
"""
"""What is put into ``gone`` leaves ``requests``: many rows in one statement, by their key."""


class SQLiteStore:
    """One SQLite file in WAL mode. Raises :exc:`CheckpointError` when *path* is not ours.

    Two connections: one writes, in whatever thread calls :meth:`commit`; the other only
    reads, in the thread that made the store. (Two that write or checkpoint at once meet
    SQLite's WAL-reset bug, up to 3.51.2.)

    *on_commit* is called after each commit, in its thread, with :meth:`commits` and whether
    the commit was forced to the disk.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        read_only: bool = False,
        power_loss_safe: bool = False,
        on_commit: Callable[[int, bool], None] = lambda *_: None,
    ) -> None:
        self.path = Path(path)
        self._power_loss_safe = power_loss_safe
        self._on_commit = on_commit
        self._writer: sqlite3.Connection | None = None
        if not read_only:
            self._writer = self._open_writer()
        self._reader = self._open_reader()
        self._lookup = self._reader.cursor()

    # --- opening ---

    def _open_writer(self) -> sqlite3.Connection:
        if not self.path.exists():
            create_file(self.path)
        connection = self._connect("rw")
        add_missing(connection)
        _force(connection, force=self._power_loss_safe)
        connection.execute("PRAGMA cache_size=-16000")
        connection.execute("PRAGMA wal_autocheckpoint=4000")  # of 8 kB: 32 MB
        connection.execute("PRAGMA temp_store=MEMORY")  # where fingerprints are sorted
        connection.executescript(_TEMPORARY)
        return connection

    def _open_reader(self) -> sqlite3.Connection:
        connection = self._connect("ro")
        stand_in_for_missing(connection)
        connection.execute("PRAGMA query_only=ON")
        connection.execute("PRAGMA cache_size=-8000")
        return connection

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?mode={mode}"
        connection = None
        try:
            connection = sqlite3.connect(
                uri, uri=True, isolation_level=None, check_same_thread=False
            )
            connection.text_factory = _text
            check_schema(connection, self.path)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, (sqlite3.Error, ValueError)):
                kind = CheckpointError if _may_pass(error) else DamagedError
                raise kind(f"{self.path} can't be read as a job: {error}") from error
            raise
        return connection

    # --- reading ---

    def lanes(self) -> list[tuple[int, str, int]]:
        found = self._reader.execute('SELECT lane, name, rows, "check" FROM lanes').fetchall()
        for lane, name, rows, check in found:
            self._expect(check, check_of_number, name, lane, rows)
        return [named[:3] for named in found]

    def read(self, lane: int, rank: int, order: int) -> Generator[Row, None, None]:
        cursor = self._reader.execute(
            f'{_ROWS} WHERE lane=? AND (rank, "order") >= (?, ?) ORDER BY rank, "order"',
            (lane, rank, order),
        )
        try:
            yield from map(self._row, cursor)
        finally:
            cursor.close()  # an open statement would keep the WAL from being checkpointed

    def delayed(self) -> list[Row]:
        rows = self._reader.execute(f"{_ROWS} WHERE due IS NOT NULL")
        return [self._row(row) for row in rows.fetchall()]

    def _row(self, values: tuple[Any, ...]) -> Row:
        *row, check = values
        self._expect(check, check_of_row, *row)
        return Row(*row)

    def _expect(self, check: Any, check_of: Callable[..., object], *values: Any) -> None:
        try:
            is_right = check == check_of(*values)
        except (AttributeError, TypeError, ValueError, ArithmeticError, struct.error):
            is_right = False  # values of other types
        if not is_right:
            raise self._damaged("a row is not what was written")

    def _damaged(self, what: object) -> DamagedError:
        return DamagedError(f"{self.path} is damaged: {what}")

    def seen(self, fingerprint: bytes) -> bool:
        query = "SELECT 1 FROM fingerprints WHERE fingerprint=?"
        return self._lookup.execute(query, (fingerprint,)).fetchone() is not None

    def fingerprints(self, start: bytes, limit: int) -> list[bytes]:
        query = (
            'SELECT fingerprint, "check" FROM fingerprints WHERE fingerprint>=? '
            "ORDER BY 1 LIMIT ?"
        )
        found = self._reader.execute(query, (start, limit)).fetchall()
        for fingerprint, check in found:
            self._expect(check, check_of_fingerprint, fingerprint)
        return [fingerprint for fingerprint, _ in found]

    def last_number(self) -> int:
        return self._counters(self._reader)["last_number"]

    def commits(self) -> int:
        """How many commits the store has seen."""
        return self._counters(self._reader)["commits"]

    def _counters(self, connection: sqlite3.Connection) -> dict[str, int]:
        try:
            return read_counters(connection)
        except ValueError as error:
            raise self._damaged(error) from error

    def start_keys(self) -> Iterator[int]:
        for key, check in self._reader.execute('SELECT key, "check" FROM start_keys'):
            self._expect(check, check_of_key, key)
            yield key

    def outputs(self) -> dict[str, bytes]:
        return self._named('SELECT producer, data, "check" FROM outputs')

    def state(self) -> dict[str, bytes]:
        return self._named('SELECT name, data, "check" FROM state')

    def _named(self, query: str) -> dict[str, bytes]:
        found = {}
        for name, data, check in self._reader.execute(query):
            self._expect(check, check_of_value, name, data)
            found[name] = data
        return found

    def letters(self, after: int, limit: int) -> list[Letter]:
        query = (
            'SELECT number, request, about, record, "check" FROM letters WHERE number>? '
            "ORDER BY 1 LIMIT ?"
        )
        found = []
        for *letter, check in self._reader.execute(query, (after, limit)).fetchall():
            self._expect(check, check_of_letter, letter)
            found.append(Letter(*letter))
        return found

    def last_letter(self) -> int:
        (last,) = self._reader.execute("SELECT max(number) FROM letters").fetchone()
        return last or 0

    def verify(self, rest: Callable[[], object] = lambda: None) -> None:
        """Read all of it. Raises :exc:`DamagedError`. About 5 s for a million requests.

        May be called in another thread, of a store that is opened there to read only; *rest*
        is called each few hundred rows.
        """
        pinned = self._reader.in_transaction
        try:
            self.pin()  # all of it as of one moment
            try:
                self._verify(rest)
            finally:
                if not pinned:
                    self.unpin()
        except (sqlite3.Error, TypeError, ValueError, AttributeError) as error:
            raise self._damaged(error) from error

    def _verify(self, rest: Callable[[], object]) -> None:
        (answer,) = self._reader.execute("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            raise self._damaged(answer.splitlines()[-1])
        counted: Counter[int] = Counter()
        waiting = []
        for number, values in enumerate(self._reader.execute(_ROWS)):
            if number % _PAGE == 0:
                rest()
            row = self._row(values)
            counted[row.lane] += 1
            if row.due is not None:
                waiting.append(row)
        if sorted(waiting) != sorted(self.delayed()):
            raise self._damaged("an index does not fit its table")
        if counted != {lane: rows for lane, _, rows in self.lanes()}:
            raise self._damaged("requests are missing")
        start: bytes | None = b""
        while start is not None:
            rest()
            page = self.fingerprints(start, _PAGE)
            start = page[-1] + b"\0" if len(page) == _PAGE else None
        after = 0
        while letters := self.letters(after, _PAGE):
            rest()
            after = letters[-1].number
        deque(self.start_keys(), maxlen=0)
        self.outputs(), self.state(), self._counters(self._reader)

    # --- writing ---

    def commit(self, changes: Changes, *, after: int = 0) -> None:
        """*after*: how many commits came before at the least, of a store that was put back."""
        assert self._writer is not None, "the store was opened to read only"
        for sync in changes.syncs:
            sync()
        force = changes.forced and not self._power_loss_safe
        if force:
            _force(self._writer, force=True)
        try:
            number = self._transact(self._writer, changes, after)
        finally:
            if force:
                _force(self._writer, force=False)
        self._on_commit(number, changes.forced or self._power_loss_safe)

    def _transact(self, writer: sqlite3.Connection, changes: Changes, after: int) -> int:
        writer.execute("BEGIN IMMEDIATE")
        try:
            number = max(self._counters(writer)["commits"], after) + 1
            write_changes(writer, changes)
            count(writer, "commits", number)
            writer.execute("COMMIT")
        except BaseException:
            if writer.in_transaction:  # SQLite may have rolled back by itself
                writer.execute("ROLLBACK")
            raise
        return number

    def pin(self) -> None:
        """One read transaction for many queries: each of its own costs locks, 15 µs."""
        if not self._reader.in_transaction:
            self._reader.execute("BEGIN")

    def unpin(self) -> None:
        """Let go of the snapshot, or the WAL could never start over."""
        if self._reader.in_transaction:
            self._reader.execute("COMMIT")

    def close(self) -> None:
        self._reader.close()
        if self._writer is not None:
            self._writer.close()  # checkpoints the WAL and removes it


def _force(connection: sqlite3.Connection, *, force: bool) -> None:
    """Whether each commit is forced to the disk."""
    connection.execute(f"PRAGMA synchronous={'FULL' if force else 'NORMAL'}")


def _may_pass(error: Exception) -> bool:
    """Whether it is a lock, a missing permission, a full disk, and not the file itself."""
    return isinstance(error, sqlite3.OperationalError)


def _text(data: bytes) -> str:
    """Damaged text too: the row's check finds that, sqlite3 would take it for a trouble."""
    return data.decode(errors="replace")


_PAGE: Final = 200
"""Rows that are verified at a time."""
