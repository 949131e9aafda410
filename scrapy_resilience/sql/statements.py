"""The statements of a table: each database's own, as a careful hand would write them.

They go to the driver as they are, with values that are ready: what SQLAlchemy does for each row
of its own statements costs more than the row. PostgreSQL gets a batch as one JSON document,
which its own functions take apart, and says itself which rows are new. The others are first
given an ``INSERT`` that fails when a row is there; only then it is looked which ones are.
SQLite gets many rows in one statement: Python's driver lets go of the GIL for each otherwise.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from itertools import chain
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from scrapy_resilience.names import SQL_COMMIT as COMMIT
from scrapy_resilience.names import SQL_JOB as JOB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from scrapy_resilience.sql.tables import KnownTable

__all__ = ["Along", "Statements", "delete_keys", "known_keys", "told_new"]

_AT_ONCE: Final = 100
"""Keys that one statement names."""
_MOST_VALUES: Final = 999
"""That a statement of SQLite may have, in all its versions."""


class Along(NamedTuple):
    """What PostgreSQL writes in the same statement as a batch.

    It reads ``is_new`` from ``told``: a 1 for each row that was new, or a 0. Empty for nothing.
    """

    statement: str
    values: tuple[Any, ...] = ()


class Statements:
    """Those that write rows with certain columns, in this order.

    :param engine: of the database
    """

    def __init__(
        self, engine: sa.Engine, family: str, known: KnownTable, columns: Sequence[str]
    ) -> None:
        table: Any = known.table
        preparer = engine.dialect.identifier_preparer
        self._quote: Callable[[str], str] = preparer.quote
        self._family = family
        self._table = preparer.format_table(table)
        self._own = self._quote(table.name)
        """The row that is there, in an update."""
        self._known = known
        self._columns = columns
        self._mark = "?" if engine.dialect.paramstyle in {"qmark", "numeric"} else "%s"
        self._row = f"({', '.join([self._mark] * len(columns))})"
        self._insert = f"INSERT INTO {self._table} ({self._listed}) VALUES"
        self._changed = [name for name in columns if name not in {*known.key, JOB, COMMIT}]
        self._update = self._on_conflict()
        self.is_by_key = self._may_meet_another()
        """Whether rows that are there are changed by their key: they are to be locked."""
        self._as_they_are = all(known.kinds[name] in _AS_THEY_ARE for name in columns)
        """Whether JSON has a form for all values."""
        self._names = [f"c{place}" for place in range(len(columns))]
        self._document = self._of_document() if family == "postgresql" else ""
        """An upsert of rows as one JSON array; ``told.is_new`` has a 1 for each that was new,
        or a 0."""

    def write(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> list[bool]:
        """Write rows of which it is not known whether they are there: for each whether not.

        Raises an error of the database where it can't say that.
        """
        if not self._document:
            self.insert(connection, rows)
            return [True] * len(rows)
        statement = f"{self._document} SELECT is_new FROM told"  # noqa: S608
        told = connection.exec_driver_sql(statement, (self._in_json(rows),)).scalar_one()
        return told_new(told, len(rows))

    @property
    def are_one(self) -> bool:
        """Whether :meth:`write_at_once` can be called."""
        return bool(self._document)

    def write_at_once(
        self, connection: Connection, rows: Sequence[tuple[Any, ...]], along: Along
    ) -> None:
        """Write rows, and what goes along, in one statement."""
        statement = f"{self._document} {along.statement or 'SELECT 1'}"
        connection.exec_driver_sql(statement, (self._in_json(rows), *along.values))

    def insert(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows. Fails where one is there."""
        self._run(connection, rows, "")

    def upsert(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows, and update those that are there."""
        if self.is_by_key:
            self._change(connection, rows)
        else:
            self._run(connection, rows, self._update)

    def _may_meet_another(self) -> bool:
        """Whether MySQL, which asks all unique indexes, could take another row for ours."""
        table: Any = self._known.table
        return any(
            name is None or name in self._columns or table.c[name].computed is not None
            for index in self._known.other_indexes
            for name in index
        )

    def _change(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Update rows that are there."""
        changes = self._changes(self._mark)
        if not rows or not changes:
            return
        named = [*self._changed, *[JOB] * 2 * (JOB in self._columns), *self._known.key]
        places = [self._columns.index(name) for name in named]
        same = " AND ".join(f"{self._quote(name)} = {self._mark}" for name in self._known.key)
        connection.exec_driver_sql(
            f"UPDATE {self._table} SET {', '.join(changes)} WHERE {same}",  # noqa: S608
            [tuple(row[place] for place in places) for row in rows],
        )

    def _run(
        self, connection: Connection, rows: Sequence[tuple[Any, ...]], update: str
    ) -> None:
        if self._family != "sqlite":
            if rows:
                connection.exec_driver_sql(f"{self._insert} {self._row} {update}", [*rows])
            return
        most = max(_MOST_VALUES // len(self._columns), 1)
        for place in range(0, len(rows), most):
            some = rows[place : place + most]
            marks = ", ".join([self._row] * len(some))
            values = tuple(chain.from_iterable(some))
            connection.exec_driver_sql(f"{self._insert} {marks} {update}", values)

    @property
    def _listed(self) -> str:
        return ", ".join(map(self._quote, self._columns))

    def _on_conflict(self) -> str:
        changes = self._changes("VALUES({})" if self._family == "mysql" else "excluded.{}")
        key = [self._quote(name) for name in self._known.key]
        if not changes and self._family != "sqlite":  # PostgreSQL is to tell of each row
            changes = [f"{key[0]} = {self._own}.{key[0]}"]
        if self._family == "mysql":
            return f"ON DUPLICATE KEY UPDATE {', '.join(changes)}"
        action = f"UPDATE SET {', '.join(changes)}" if changes else "NOTHING"
        return f"ON CONFLICT ({', '.join(key)}) DO {action}"

    def _changes(self, form: str) -> list[str]:
        """What an update sets. *form* is that of a new value, for the name of its column."""
        changes = [f"{name} = {form.format(name)}" for name in map(self._quote, self._changed)]
        return changes + (self._shared(form) if JOB in self._columns else [])

    def _shared(self, form: str) -> list[str]:
        """A row stays that of the commit that has brought it; one of two owners is nobody's.

        In this order: MySQL sees in the second what the first has set.
        """
        job = self._quote(JOB)
        is_ours = f"{self._own}.{job} = {form.format(job)}"
        return [
            f"{name} = CASE WHEN {is_ours} THEN {self._own}.{name} END"
            for name in (self._quote(COMMIT), job)
        ]

    def _in_json(self, rows: Sequence[tuple[Any, ...]]) -> str:
        """Rows as the document that is asked for."""
        if not self._as_they_are:
            rows = [tuple(map(_plain, row)) for row in rows]
        return _json.encode([dict(zip(self._names, row, strict=True)) for row in rows]).decode()

    def _of_document(self) -> str:
        """Empty where a column has values that JSON and PostgreSQL write differently."""
        table: Any = self._known.table
        parts, casts = [], []
        for place, name in zip(self._names, self._columns, strict=True):
            kind = self._known.kinds[name]
            if kind not in _TYPES:
                return ""
            parts.append(f"{place} {_TYPES[kind]}")
            is_json = kind == "json"
            cast = f"::{table.columns[name].type.__visit_name__}" if is_json else ""
            casts.append(f"{place}{cast}")
        return (
            f"WITH written AS (INSERT INTO {self._table} ({self._listed}) "  # noqa: S608
            f"SELECT {', '.join(casts)} FROM json_to_recordset({self._mark}) "
            f"AS batch({', '.join(parts)}) {self._on_conflict()} "
            "RETURNING CASE WHEN xmax = 0 THEN '1' ELSE '0' END AS is_new), "
            "told AS (SELECT coalesce(string_agg(is_new, ''), '') AS is_new FROM written)"
        )


_json: Final = msgspec.json.Encoder()
_AS_THEY_ARE: Final = frozenset({"text", "integer", "boolean", "json"})
_TYPES: Final = {
    "text": "text", "integer": "bigint", "number": "numeric", "float": "float8",
    "boolean": "boolean", "datetime": "timestamp", "datetimetz": "timestamptz", "date": "date",
    "time": "time", "binary": "bytea", "json": "text",
}  # fmt: skip
"""As which PostgreSQL reads the values of a batch; what is too long for a column is refused
when it is stored, and would be cut by a cast."""


def told_new(told: str, count: int) -> list[bool]:
    """What PostgreSQL says of so many rows; none is new where it does not speak of each."""
    return [each == "1" for each in told] if len(told) == count else [False] * count


def _plain(value: Any) -> Any:
    """As it is written in JSON, and PostgreSQL reads it."""
    kind = type(value)
    if kind is str or kind is int or value is None or kind is bool:
        return value
    if kind is float:
        return value if isfinite(value) else str(value)
    if kind is bytes:
        return f"\\x{value.hex()}"
    if kind is Decimal:
        return str(value)
    return value.isoformat() if isinstance(value, (dt.date, dt.time)) else str(value)


def known_keys(
    connection: Connection,
    known: KnownTable,
    keys: Sequence[tuple[Any, ...]],
    *,
    lock: bool = False,
) -> set[tuple[Any, ...]]:
    """Those of *keys* that the table has.

    :param lock: have others wait with these rows; SQLite locks none, but the whole file
    """
    table: Any = known.table
    columns = [table.c[name] for name in known.key]
    look = sa.select(*columns)
    look = look.with_for_update() if lock else look
    found: set[tuple[Any, ...]] = set()
    for place in range(0, len(keys), _AT_ONCE):
        some = keys[place : place + _AT_ONCE]
        if len(columns) == 1:
            is_one = columns[0].in_([key[0] for key in some])
        else:
            is_one = sa.tuple_(*columns).in_(some)
        found |= {tuple(row) for row in connection.execute(look.where(is_one))}
    if found <= set(keys):
        return found
    # the database compares otherwise than Python does: it is to say of each
    return {key for key in keys if key in found or _has(connection, look, columns, key)}


def _has(
    connection: Connection, look: Any, columns: Sequence[Any], key: tuple[Any, ...]
) -> bool:
    same = sa.and_(*(column == value for column, value in zip(columns, key, strict=True)))
    return connection.execute(look.where(same)).first() is not None


def delete_keys(
    connection: Connection, known: KnownTable, keys: Sequence[tuple[Any, ...]]
) -> int:
    """Delete the rows with these keys. Returns how many there were."""
    if not keys:
        return 0
    table: Any = known.table
    names = [f"key_{place}" for place in range(len(known.key))]
    same = (
        table.c[column] == sa.bindparam(name, type_=table.c[column].type)
        for column, name in zip(known.key, names, strict=True)
    )
    statement = sa.delete(table).where(sa.and_(*same))
    values = [dict(zip(names, key, strict=True)) for key in keys]
    return max(connection.execute(statement, values).rowcount, 0)
