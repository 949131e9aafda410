"""Which table an item goes to, and which columns its fields: what the settings say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from scrapy_resilience.exceptions import ConfigurationError

__all__ = ["ITEM_ID", "ColumnNames", "KeyColumns", "TableNames"]

ITEM_ID: Final = "item_id"
"""The column of our id, where the user has named no key."""
_REST: Final = "*"


class ColumnNames:
    """``RESILIENCE_SQL_COLUMNS``. Raises :exc:`ConfigurationError`."""

    def __init__(self, setting: Mapping[str, Any]) -> None:
        for field, column in setting.items():
            if not (column is None or isinstance(column, str)):
                raise ConfigurationError(
                    f"RESILIENCE_SQL_COLUMNS[{field!r}]={column!r}: use the name of a column, "
                    'or "" to leave the field out.'
                )
        self._setting = setting

    def column(self, table: str, field: str) -> str | None:
        """The column that holds a field of *table*'s items, None for none."""
        found = self._setting.get(f"{table}.{field}", self._setting.get(field, field))
        return found or None

    def named(self, table: str, tables: Sequence[str]) -> list[str]:
        """Columns that the setting names for *table*, one of *tables*."""
        found = []
        for field, column in self._setting.items():
            owner, dot, _ = field.rpartition(".")
            is_of_table = dot and owner in tables
            if column and (owner == table if is_of_table else True):
                found.append(column)
        return found


class KeyColumns:
    """``RESILIENCE_SQL_KEY``. Raises :exc:`ConfigurationError`."""

    def __init__(self, setting: Sequence[str] | Mapping[str, Any]) -> None:
        given = setting if isinstance(setting, Mapping) else {_REST: setting}
        self._keys: dict[str, tuple[str, ...]] = {}
        for table, columns in given.items():
            names = (columns,) if isinstance(columns, str) else columns
            if not isinstance(names, (list, tuple)) or not all(
                isinstance(name, str) and name for name in names
            ):
                raise ConfigurationError(
                    f"RESILIENCE_SQL_KEY[{table!r}]={columns!r}: use a list of columns."
                )
            self._keys[str(table)] = tuple(names)

    def key(self, table: str) -> tuple[str, ...]:
        """The columns that tell the rows of *table* apart; empty for our id."""
        return self._keys.get(table, self._keys.get(_REST, ()))


class TableNames:
    """A ``RESILIENCE_SQL_TABLE`` that is a dict. Raises :exc:`ConfigurationError`."""

    def __init__(self, setting: Mapping[str, Any]) -> None:
        for kind, table in setting.items():
            if not (table is None or isinstance(table, str)):
                raise ConfigurationError(
                    f"RESILIENCE_SQL_TABLE[{kind!r}]={table!r}: use the name of a table, or "
                    "None for items that are not stored."
                )
        self._setting = setting
        self._known: dict[type, str | None] = {}

    @property
    def tables(self) -> list[str]:
        """All that are named, each once."""
        return list(dict.fromkeys(table for table in self._setting.values() if table))

    def table(self, kind: type) -> str | None:
        """The table of an item class, None for none. Raises :exc:`LookupError`."""
        if kind not in self._known:
            self._known[kind] = self._find(kind)
        return self._known[kind]

    def _find(self, kind: type) -> str | None:
        for base in kind.__mro__:
            for name in (f"{base.__module__}.{base.__qualname__}", base.__qualname__):
                if name in self._setting:
                    return self._setting[name] or None
        if _REST in self._setting:
            return self._setting[_REST] or None
        raise LookupError(
            f"RESILIENCE_SQL_TABLE names no table for {kind.__qualname__}: add it, or "
            f'"{_REST}" for all others'
        )
