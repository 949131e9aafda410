"""A query that is read page by page. It talks to the database, in whatever thread it is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from scrapy_resilience.sql.engines import Database

__all__ = ["Page", "Query"]


class Page(NamedTuple):
    """Some rows, and the key of each."""

    rows: list[dict[str, Any]]
    keys: list[tuple[Any, ...]]
    next: tuple[Any, ...] | None = None
    """The key of the row behind the page, None where there is none."""


class Query:
    """*key* may be empty: the first column then, which is known when it has been asked."""

    def __init__(
        self,
        database: Database,
        text: str,
        size: int,
        key: tuple[str, ...],
        parameters: dict[str, Any],
    ) -> None:
        self.database = database
        self.text = text.strip().rstrip(";")
        self.size = size
        self.key = key
        self.parameters = parameters
        self._is_known = False

    def page(
        self, after: tuple[Any, ...] | None = None, first: tuple[Any, ...] | None = None
    ) -> Page:
        """The rows behind the key *after*, or from *first* on, where that is known.

        Raises :exc:`ConfigurationError`, and what the driver raises.
        """
        with self.database.engine.connect() as connection:
            if not self._is_known:
                self._look(connection)
            found = self._select(connection, after, first)
            rows = [dict(row) for row in found.mappings()]
        keys = [tuple(row[name] for name in self.key) for row in rows]
        self._check(keys, after)
        following = keys[self.size] if len(keys) > self.size else None
        return Page(rows[: self.size], keys[: self.size], following)

    def _look(self, connection: sa.Connection) -> None:
        """Learn the key, and whether it is one."""
        columns = list(self._run(connection, "LIMIT 0", {}).keys())
        self.key = self.key or tuple(columns[:1])
        if lacking := [name for name in self.key if name not in columns]:
            raise ConfigurationError(
                f"read_pages: the query has no column {lacking[0]}: use {', '.join(columns)}."
            )
        is_null = " OR ".join(f"{self._quoted(name)} IS NULL" for name in self.key)
        if self._run(connection, f"WHERE {is_null} LIMIT 1", {}).first() is not None:
            raise ConfigurationError(
                f"read_pages: the key ({', '.join(self.key)}) is NULL in some rows: name "
                "columns that never are, or leave these rows out of the query."
            )
        self._is_known = True

    def _select(self, connection: sa.Connection, after: Any, first: Any) -> Any:
        names = [self._quoted(name) for name in self.key]
        begin = after if first is None else first
        where, values = "", {}
        if begin is not None:
            where = f"WHERE {_behind(names, '>' if first is None else '>=')}"
            values = {f"after_key_{place}": value for place, value in enumerate(begin)}
        tail = f"{where} ORDER BY {', '.join(names)} LIMIT {self.size + 1}"
        return self._run(connection, tail, values)

    def _run(self, connection: sa.Connection, tail: str, values: dict[str, Any]) -> Any:
        statement = sa.text(f"SELECT * FROM ({self.text}\n) AS resilience_pages {tail}")  # noqa: S608 - the user's
        return connection.execute(statement, {**self.parameters, **values})

    def _quoted(self, name: str) -> str:
        return self.database.engine.dialect.identifier_preparer.quote(name)

    def _check(self, keys: list[tuple[Any, ...]], after: tuple[Any, ...] | None) -> None:
        """The last of the page before is there again where the database takes both for one."""
        before = after
        for key in keys:
            if key == before:
                told = dict(zip(self.key, key, strict=True))
                raise ConfigurationError(
                    f"read_pages: two rows have the key {told}: name columns that tell all "
                    "rows apart."
                )
            before = key


def _behind(names: list[str], last: str) -> str:
    """The condition that a key comes later: databases are slow to see it in a tuple."""
    parts = []
    for place, name in enumerate(names):
        same = [f"{names[i]} = :after_key_{i}" for i in range(place)]
        sign = last if place == len(names) - 1 else ">"
        parts.append("(" + " AND ".join([*same, f"{name} {sign} :after_key_{place}"]) + ")")
    return " OR ".join(parts)
