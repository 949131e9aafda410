"""Which commit has brought which rows, and how they are taken back.

A row is written before the commit that makes its item durable. After a kill the job is at the
commit before, and after ``scrapy resilience restore`` at an older one: the rows that it has
*inserted* since are deleted before the crawl begins, so that a page that gives fewer items the
second time leaves none behind. Rows that it has only changed stay, with their new values: the
second run writes them again. And a row that another job has written as well, or that was there
before any of them, is not ours to delete.

By default this is kept in a table of its own, one row for each batch, written in the batch's
transaction and as its last statement. Jobs that write one row wait for each other, so whoever
comes second has the larger number: what another job has written since is found by that.
With ``RESILIENCE_SQL_MARKS="columns"`` the rows say it themselves. The way back asks both, as
the setting may be another one than that of the last run.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from scrapy_resilience.exceptions import CheckpointError, ConfigurationError
from scrapy_resilience.names import SQL_BATCHES as BATCHES
from scrapy_resilience.names import SQL_COMMIT as COMMIT
from scrapy_resilience.names import SQL_ITEM as ITEM
from scrapy_resilience.names import SQL_JOB as JOB
from scrapy_resilience.sql.marks import encoded, packed, packed_but_told, unpacked
from scrapy_resilience.sql.statements import Along, delete_keys, known_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import Connection

    from scrapy_resilience.core.sqlrows import Row
    from scrapy_resilience.sql.engines import Database
    from scrapy_resilience.sql.tables import KnownTable

__all__ = ["ColumnMarks", "NoMarks", "TableMarks", "make_batches"]

_GONE_BACK: Final = ""
"""In the place of a table: the rows of later commits were taken back."""
_AT_ONCE: Final = 100
"""Batches that one statement reads."""


def batches_table() -> sa.Table:
    """The table of batches."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    blob = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
    return sa.Table(
        BATCHES,
        sa.MetaData(),
        sa.Column("number", number, primary_key=True, autoincrement=True),
        sa.Column("job", sa.String(16), nullable=False),
        sa.Column("commit_number", sa.BigInteger(), nullable=False),
        sa.Column("table_name", sa.String(255), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("marks", blob, nullable=False),
        sa.Index("ix_resilience_batches", "job", "commit_number"),
        mysql_charset="utf8mb4",
        mariadb_charset="utf8mb4",
    )


def make_batches(database: Database) -> None:
    """Make the table, where it is missing. Raises :exc:`ConfigurationError`."""
    engine, table = database.engine, batches_table()
    if sa.inspect(engine).has_table(BATCHES):
        return
    try:
        table.create(engine)
    except sa.exc.DBAPIError as error:
        if sa.inspect(engine).has_table(BATCHES):
            return  # another process was quicker
        sql = " ".join(str(sa.schema.CreateTable(table).compile(engine)).split())
        raise ConfigurationError(
            f"RESILIENCE_SQL_MARKS: the table {BATCHES} can't be made "
            f'({database.told(error)}): have it made ({sql}), or use "columns".'
        ) from None


@contextmanager
def _patiently(database: Database) -> Iterator[Connection]:
    """A transaction in which a statement may take as long as it needs."""
    with database.engine.begin() as connection:
        if database.family == "postgresql":
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        yield connection


class NoMarks:
    """Without a job nothing is ever taken back.

    :ivar took: the number of the last time that rows were taken back, as far as the job knows;
        it is stored with each commit
    :ivar tables: in which rows may say themselves which commit has brought them: those of the
        settings, and of earlier runs; stored, too
    """

    took = 0
    tables: frozenset[str] = frozenset()

    def stamp(self, rows: Iterable[Row]) -> None:
        """Called before rows are written: they may get more values."""

    def note(
        self, connection: Connection, known: KnownTable, written: Sequence[tuple[Row, bool]]
    ) -> None:
        """Called in the transaction when they are, with whether each was new."""

    def along(self, known: KnownTable, rows: Sequence[Row]) -> Along | None:
        """In the place of :meth:`note`, before rows are written; None where it can't be."""
        return Along("")

    def take_back(self, commit: int, load: Callable[[str], KnownTable | None]) -> int:
        """Undo what the job has inserted after that commit.

        *load* gives a table by its name, None for one that is gone. Returns how many rows there
        were.
        """
        return 0


class TableMarks(NoMarks):
    """In a table of batches; *tables* are those of the settings."""

    def __init__(self, database: Database, job: str, tables: Sequence[str] = ()) -> None:
        self._database = database
        self._job = job
        self.tables = frozenset(tables)
        self._table = batches_table()
        paramstyle = database.engine.dialect.paramstyle
        mark = "?" if paramstyle in {"qmark", "numeric"} else "%s"
        insert = f"INSERT INTO {BATCHES} (job, commit_number, table_name, row_count, marks)"
        values = ", ".join([mark] * 5)
        self._insert = f"{insert} VALUES ({values})"
        self._along = (  # only when all rows are there it gets its number
            f"{insert} SELECT {values}::bytea || convert_to(is_new, 'UTF8') FROM told"  # noqa: S608
        )

    def note(
        self, connection: Connection, known: KnownTable, written: Sequence[tuple[Row, bool]]
    ) -> None:
        by_commit: dict[int, list[Any]] = defaultdict(list)
        for row, is_new in written:
            item = "" if known.by_item else row.item
            by_commit[row.commit].append((row.key, item, is_new))
        for commit, marks in sorted(by_commit.items()):
            values = self._job, commit, known.name, len(marks), packed(known.key, marks)
            connection.exec_driver_sql(self._insert, values)

    def along(self, known: KnownTable, rows: Sequence[Row]) -> Along | None:
        commits = {row.commit for row in rows}
        if len(commits) != 1:
            return None
        marks = [(row.key, "" if known.by_item else row.item) for row in rows]
        data = packed_but_told(known.key, marks)
        return Along(self._along, (self._job, *commits, known.name, len(rows), data))

    # --- the way back ---

    def take_back(self, commit: int, load: Callable[[str], KnownTable | None]) -> int:
        taken = 0
        if sa.inspect(self._database.engine).has_table(BATCHES):  # first: it may refuse
            taken = self._take_by_batches(commit, load)
        return taken + self._take_by_columns(commit, load)

    def _take_by_columns(self, commit: int, load: Callable[[str], KnownTable | None]) -> int:
        """What a run whose rows say it themselves has inserted."""
        taken = 0
        for name in sorted(self.tables):
            known = load(name)
            table: Any = None if known is None else known.table
            if table is None or not {JOB, COMMIT} <= {*table.columns.keys()}:
                continue
            is_ours = table.columns[JOB] == self._job
            number = table.columns[COMMIT]
            with _patiently(self._database) as connection:
                beyond = sa.select(number).where(is_ours, number > commit).distinct()
                later = connection.execute(beyond).scalars().all()
            for each in sorted(later, reverse=True):  # a kill leaves the others
                delete = sa.delete(table).where(is_ours, number == each)
                with _patiently(self._database) as connection:
                    taken += connection.execute(delete).rowcount
        return taken

    def _take_by_batches(self, commit: int, load: Callable[[str], KnownTable | None]) -> int:
        columns = self._table.columns
        self._check_way(commit)
        after = sa.select(columns.number).where(
            columns.job == self._job,
            columns.commit_number > commit,
            columns.table_name != _GONE_BACK,
        )
        with _patiently(self._database) as connection:
            numbers = sorted(connection.execute(after).scalars(), reverse=True)
        if not numbers:
            return 0
        others = _Others(self._table, self._job, self._own(numbers, load))
        with _patiently(self._database) as connection:
            others.look(connection, numbers[-1])
        self._go_back(commit)
        # the latest first: a kill leaves the others for the next run
        return sum(self._undo(number, others, load) for number in numbers)

    def _undo(
        self, number: int, others: _Others, load: Callable[[str], KnownTable | None]
    ) -> int:
        """Delete what a batch has inserted, and the batch. Returns how many rows there were.

        Rows are locked before it is looked whether others have written them meanwhile: who
        comes later waits. The lock is the first statement, as MySQL sees in a transaction
        what there was when it has first looked.
        """
        columns, taken = self._table.columns, 0
        this = sa.select(columns.table_name, columns.marks).where(columns.number == number)
        with _patiently(self._database) as connection:
            name, data = connection.execute(this).one()
        known = load(name)
        with _patiently(self._database) as connection:
            if self._database.family == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            if known is not None:
                keys = [mark.key for mark in unpacked(data).marks if mark.is_new]
                locked = known_keys(connection, known, keys, lock=True)
                others.look(connection, number)
                taken = delete_keys(connection, known, others.without(name, keys, locked))
            connection.execute(sa.delete(self._table).where(columns.number == number))
        return taken

    def _check_way(self, commit: int) -> None:
        """Raises :exc:`CheckpointError` where rows up to *commit* are gone.

        They are when another past of the job was restored, and its run has gone back further.
        """
        columns = self._table.columns
        gone = sa.select(sa.func.min(columns.commit_number)).where(
            self._is_way_back(), columns.number > self.took, columns.commit_number < commit
        )
        last = sa.select(sa.func.max(columns.number)).where(self._is_way_back())
        with _patiently(self._database) as connection:
            if (to := connection.execute(gone).scalar()) is not None:
                raise CheckpointError(
                    f"its rows after commit {to} were taken back by a later run: restore a "
                    "snapshot up to that commit"
                )
            self.took = connection.execute(last).scalar() or 0

    def _go_back(self, commit: int) -> None:
        """Note it before a row is gone; it says more than what was noted of later commits."""
        columns = self._table.columns
        note = sa.insert(self._table).values(
            job=self._job,
            commit_number=commit,
            table_name=_GONE_BACK,
            row_count=0,
            marks=packed((), []),
        )
        with self._database.engine.begin() as connection:
            (number,) = connection.execute(note).inserted_primary_key or (0,)
            connection.execute(
                sa.delete(self._table).where(
                    self._is_way_back(),
                    columns.commit_number >= commit,
                    columns.number < number,
                )
            )
        self.took = number

    def _is_way_back(self) -> sa.ColumnElement[bool]:
        columns = self._table.columns
        return sa.and_(columns.job == self._job, columns.table_name == _GONE_BACK)

    def _own(
        self, numbers: Sequence[int], load: Callable[[str], KnownTable | None]
    ) -> set[tuple[str, bytes]]:
        """Rows of these batches. Raises :exc:`ConfigurationError` for keys of other columns."""
        columns = self._table.columns
        these = sa.select(columns.number, columns.table_name, columns.marks).where(
            columns.job == self._job, columns.number >= numbers[-1]
        )
        wanted, found = set(numbers), set()
        with _patiently(self._database) as connection:
            rows = connection.execution_options(yield_per=100).execute(these)
            batches = (
                (name, unpacked(data)) for number, name, data in rows if number in wanted
            )
            keys: set[tuple[str, tuple[str, ...], int]] = set()
            for name, batch in batches:
                found |= {(name, encoded(mark.key)) for mark in batch.marks if mark.is_new}
                keys |= {(name, batch.key, len(mark.key)) for mark in batch.marks}
        for name, key, length in sorted(keys):
            if (known := load(name)) is not None:
                _check_key(known, key, length)
        return found


class _Others:
    """What other jobs have written since: it is theirs, too.

    :param own: our rows, of which that is asked
    """

    def __init__(self, table: sa.Table, job: str, own: set[tuple[str, bytes]]) -> None:
        self._columns = table.columns
        self._job = job
        self._own = own
        self._read: set[int] = set()
        """Numbers of batches that were looked at."""
        self._theirs: set[tuple[str, bytes]] = set()

    def look(self, connection: Connection, first: int) -> None:
        """At batches after that number which were not there the last time.

        Their numbers say nothing of that: a transaction has its number before its end.
        """
        columns = self._columns
        since = sa.select(columns.number).where(
            columns.job != self._job, columns.number > first
        )
        unread = sorted({*connection.execute(since).scalars()} - self._read)
        for place in range(0, len(unread), _AT_ONCE):
            some = unread[place : place + _AT_ONCE]
            these = sa.select(columns.table_name, columns.marks).where(columns.number.in_(some))
            for name, data in connection.execute(these):
                marks = unpacked(data).marks
                written = {(name, encoded(mark.key)) for mark in marks}
                self._theirs |= written & self._own
            self._read.update(some)

    def without(
        self, name: str, keys: Sequence[tuple[Any, ...]], locked: set[tuple[Any, ...]]
    ) -> list[tuple[Any, ...]]:
        """Those of the locked keys of a table that are ours alone."""
        return [
            key for key in keys if key in locked and (name, encoded(key)) not in self._theirs
        ]


class ColumnMarks(TableMarks):
    """In hidden columns of the rows.

    A run before this one may have had the table of batches, as one after it may: each takes
    back what the others have inserted, too.
    """

    def stamp(self, rows: Iterable[Row]) -> None:
        for row in rows:
            row.values |= {ITEM: row.item, JOB: self._job, COMMIT: row.commit}

    def note(
        self, connection: Connection, known: KnownTable, written: Sequence[tuple[Row, bool]]
    ) -> None:
        """The rows say it themselves."""

    def along(self, known: KnownTable, rows: Sequence[Row]) -> Along | None:
        return Along("")


def _check_key(known: KnownTable, key: tuple[str, ...], length: int) -> None:
    """Raises :exc:`ConfigurationError` where marks are those of other columns.

    :param key: their columns, none where only the *length* is known
    """
    if known.key == key or (not key and len(known.key) == length):
        return
    was = ", ".join(key) or f"of {length} columns"
    raise ConfigurationError(
        f"RESILIENCE_SQL_KEY was changed for {known.name} while rows are to be taken back: it "
        f"was ({was}), and is ({', '.join(known.key)}): set it back."
    )
