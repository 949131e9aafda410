"""Writes batches of rows: whole, or without the rows that the database refuses.

All of it talks to the database, in a thread of the sink's.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from scrapy_resilience.core.backoff import RetryPolicy
from scrapy_resilience.core.sqlrows import grouped, halves, merged
from scrapy_resilience.exceptions import SinkError
from scrapy_resilience.failpoints import failpoint
from scrapy_resilience.retry import execute_with_retry
from scrapy_resilience.sql.statements import Statements, known_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import sqlalchemy as sa

    from scrapy_resilience.core.sqlrows import Group, Row
    from scrapy_resilience.sql.engines import Database
    from scrapy_resilience.sql.tables import KnownTable, Tables
    from scrapy_resilience.sql.take_back import NoMarks

__all__ = ["BadRow", "Outcome", "RowWriter"]

_POLICY: Final = RetryPolicy(attempts=3, base=0.05, multiplier=4.0, max_delay=1.0, jitter=0.5)
_MOST_STATEMENTS: Final = 256
"""Of a table, each for another set of columns."""


class BadRow(NamedTuple):
    """A row that the database does not take, and what it says."""

    row: Row
    message: str


@dataclass
class Outcome:
    """What has become of a batch."""

    bad: list[BadRow] = field(default_factory=list)
    retries: int = 0


class RowWriter:
    """Writes to the tables of a crawl, in one database."""

    def __init__(self, database: Database, tables: Tables, marks: NoMarks) -> None:
        self.database = database
        self.tables = tables
        self._marks = marks
        self._connection: sa.Connection | None = None
        """Kept, as to give it back and take it again costs a turn of the server's."""
        self._at_once: sa.Connection | None = None
        """The same, for statements that are a transaction each."""

    def write(self, rows: Sequence[Row], *, attempts: int = _POLICY.attempts) -> Outcome:
        """Insert or update rows, each half in a transaction of its own where one is bad.

        Raises :exc:`SinkError` when it can't be done now. Rows may be written already then:
        they may be written again.
        """
        outcome = Outcome()
        self._write(rows, outcome, attempts)
        return outcome

    def _write(
        self, rows: Sequence[Row], outcome: Outcome, attempts: int, *, quick: bool = True
    ) -> None:
        error = self._try(rows, outcome, attempts, quick=quick)
        if error is not None and (quick or len(rows) == 1):
            error = self._try(rows, outcome, attempts, quick=False)
            for name in {row.table for row in rows} if error is None else ():
                self.tables.known[name].careful = True
        if error is None:
            return
        if len(rows) == 1:
            outcome.bad.append(BadRow(rows[0], self.database.told(error)))
            return
        for half in halves(rows):
            self._write(half, outcome, attempts, quick=False)

    def _try(
        self, rows: Sequence[Row], outcome: Outcome, attempts: int, *, quick: bool
    ) -> Exception | None:
        """What is wrong with the rows, None when they are written."""

        def write() -> None:
            self._transaction(rows, quick=quick)

        def count(*_: object) -> None:
            outcome.retries += 1

        policy = replace(_POLICY, attempts=attempts)
        try:
            execute_with_retry(write, policy, on=self._may_pass, on_retry=count, reraise=True)
        except Exception as error:  # noqa: BLE001 - drivers have errors of their own
            if self._may_pass(error):
                raise SinkError(self.database.told(error)) from None
            return error
        return None

    def _may_pass(self, error: BaseException) -> bool:
        return self.database.fault_of(error) != "data"

    def _transaction(self, rows: Sequence[Row], *, quick: bool) -> None:
        batches = merged(rows)
        for name, found in batches.items():
            known = self.tables.known[name]
            if known.table is None or known.missing:
                self.tables.make(known, {key for row in found for key in row.values})
        if not (quick and self._write_at_once(batches)):
            connection = self._connection or self.database.engine.connect()
            self._connection = None
            with _closed_on_error(connection):
                self._write_all(connection, batches, quick=quick)
            self._connection = connection
        failpoint("sql/committed")

    def _write_at_once(self, batches: dict[str, list[Row]]) -> bool:
        """With their marks in one statement; False where that can't be.

        Each word with the database costs a turn of Python's lock, for which the event loop is
        waited: four of them take longer than PostgreSQL does for a batch.
        """
        (name, rows), *others = batches.items()
        known = self.tables.known[name]
        if self.database.family != "postgresql" or others or known.careful:
            return False
        self._marks.stamp(rows)
        (group, *more), along = grouped(rows), self._marks.along(known, rows)
        statements = self._statements(known, group)
        if more or along is None or not statements.are_one:
            return False
        connection = self._at_once or self.database.engine.connect().execution_options(
            isolation_level="AUTOCOMMIT"
        )
        self._at_once = None
        with _closed_on_error(connection):
            statements.write_at_once(connection, group.values, along)
        self._at_once = connection
        failpoint("sql/written")
        return True

    def _write_all(
        self, connection: sa.Connection, batches: dict[str, list[Row]], *, quick: bool
    ) -> None:
        with connection.begin():
            if self.database.family == "sqlite":  # no other may write between look and write
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            for name, found in batches.items():
                known = self.tables.known[name]
                self._marks.stamp(found)
                is_quick = quick and not known.careful
                write = self._write_quickly if is_quick else self._write_carefully
                self._marks.note(connection, known, write(connection, known, found))
            failpoint("sql/written")

    def _write_quickly(
        self, connection: sa.Connection, known: KnownTable, rows: list[Row]
    ) -> list[tuple[Row, bool]]:
        """As if all were new, where the database fails when one is not."""
        written: list[tuple[Row, bool]] = []
        for group in grouped(rows):
            is_new = self._statements(known, group).write(connection, group.values)
            written += zip(group.rows, is_new, strict=True)
        return written

    def _write_carefully(
        self, connection: sa.Connection, known: KnownTable, rows: list[Row]
    ) -> list[tuple[Row, bool]]:
        """Look first. What is new is inserted: no other unique key may lead to another row."""
        had = known_keys(connection, known, [row.key for row in rows])
        groups = grouped(rows)
        if had and any(self._statements(known, group).is_by_key for group in groups):
            there = [row.key for row in rows if row.key in had]
            had = known_keys(connection, known, there, lock=True)  # as none may go meanwhile
        for group in groups:
            statements = self._statements(known, group)
            pairs = [*zip(group.rows, group.values, strict=True)]
            new = [values for row, values in pairs if row.key not in had]
            old = [values for row, values in pairs if row.key in had]
            statements.insert(connection, new)
            statements.upsert(connection, old)
        if self.database.family != "postgresql":  # which says what is new, where it can
            known.careful = bool(had)
        return [(row, row.key not in had) for row in rows]

    def _statements(self, known: KnownTable, group: Group) -> Statements:
        """Those of some hundred sets of columns are kept, the last that were asked for."""
        found: Statements | None = known.statements.pop(group.columns, None)
        if found is None:
            engine, family = self.database.engine, self.database.family
            found = Statements(engine, family, known, group.columns)
        known.statements[group.columns] = found
        if len(known.statements) > _MOST_STATEMENTS:
            del known.statements[next(iter(known.statements))]
        return found

    def close(self) -> None:
        """Let go of the database."""
        for connection in (self._connection, self._at_once):
            if connection is not None:
                connection.close()
        self.database.close()

    def take_back(self, commit: int) -> int:
        """Delete what the job has inserted after that commit.

        Raises :exc:`ConfigurationError`, :exc:`CheckpointError`, and what the driver raises.
        """
        return self._marks.take_back(commit, self.tables.existing)


@contextmanager
def _closed_on_error(connection: sa.Connection) -> Iterator[None]:
    """What is left of it is not to be used again."""
    try:
        yield
    except BaseException:
        connection.close()
        raise
