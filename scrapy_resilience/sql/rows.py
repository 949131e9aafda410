"""Items as rows: of which table, and what each column gets."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Union, get_args, get_origin, get_type_hints
from uuid import uuid4

from itemadapter import ItemAdapter
from scrapy.utils.misc import load_object

from scrapy_resilience.core.sqlkinds import Kind, kind_of_type, kind_of_value
from scrapy_resilience.core.sqlnames import ITEM_ID, TableNames
from scrapy_resilience.core.sqlrows import Row
from scrapy_resilience.core.sqlvalues import UnfitError
from scrapy_resilience.exceptions import ConfigurationError, RowRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy_resilience.sql.tables import KnownTable, Tables

__all__ = ["Rows", "TableChooser", "fields_of"]

_SETTING: Final = "RESILIENCE_SQL_TABLE"
_LONGEST_NAME: Final = 63
"""Bytes of the name of a column that we make: PostgreSQL cuts longer ones."""
_OF_VALUE: Final = 60
"""Bytes that a value takes beside those of its text."""
_UNSEEN: Final[Any] = object()
_SHARE: Final = 0.9
"""Of the largest statement that the database takes, for one row."""
_KEYS: Final = (str, int, float, bytes, Decimal, dt.date)
_LONG: Final = frozenset({str, bytes})


class TableChooser:
    """``RESILIENCE_SQL_TABLE``. Raises :exc:`ConfigurationError`."""

    def __init__(self, setting: str | Mapping[str, Any]) -> None:
        self.names: list[str] = []
        """Tables that are known before there is an item."""
        self.classes: dict[type, str] = {}
        """Item classes that the setting names by their path."""
        self._function: Callable[[Any], Any] | None = None
        self._by_class: TableNames | None = None
        if isinstance(setting, Mapping):
            self._by_class = TableNames(setting)
            self.names = self._by_class.tables
            for path, table in setting.items():
                if "." in path and table:
                    self.classes[_item_class(path)] = table
        elif (function := _function(setting)) is not None:
            self._function = function
        else:
            self.names = [setting]

    @property
    def is_function(self) -> bool:
        """Whether tables are known by their items only."""
        return self._function is not None

    def table(self, item: Any) -> str | None:
        """The table of an item, None for none. Raises :exc:`RowRefusedError`."""
        if self._by_class is not None:
            try:
                return self._by_class.table(type(item))
            except LookupError as error:
                raise RowRefusedError(str(error)) from None
        if self._function is None:
            return self.names[0]
        found = self._function(item)
        if found is None or (isinstance(found, str) and found):
            return found
        raise RowRefusedError(f"{_SETTING}: the function gave {found!r}, which is no table")


def _function(setting: str) -> Callable[[Any], Any] | None:
    """The function of an import path; None for the name of a table, which may have a schema."""
    if not setting:
        raise ConfigurationError(f"{_SETTING} is empty: use the name of a table.")
    if "." not in setting:
        return None
    try:
        found: Any = load_object(setting)
    except (ImportError, NameError, ValueError, AttributeError) as error:
        if setting.count(".") == 1:
            return None
        raise ConfigurationError(
            f"{_SETTING}={setting!r}: use a table, a schema and a table, or the import path of "
            f"a function ({error})."
        ) from None
    if not callable(found):
        raise ConfigurationError(f"{_SETTING}={setting!r}: use a function, or a table.")
    return found  # type: ignore[no-any-return]


def _item_class(path: str) -> type:
    try:
        found: Any = load_object(path)
    except (ImportError, NameError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{_SETTING}[{path!r}]: {error}.") from None
    if not isinstance(found, type):
        raise ConfigurationError(f"{_SETTING}[{path!r}]: use the path of an item class.")
    return found


def fields_of(kind: type, column: Callable[[str], str | None]) -> dict[str, Kind | None]:
    """The columns of an item class, and what they hold where it says so."""
    names = ItemAdapter.get_field_names_from_class(kind) or ()
    try:
        hints = get_type_hints(kind)
    except Exception:  # noqa: BLE001 - what annotations may name is the user's
        hints = {}
    found: dict[str, Kind | None] = {}
    for name in names:
        if (place := column(name)) is not None:
            found[place] = _kind_of_hint(hints.get(name))
    return found


def _kind_of_hint(hint: Any) -> Kind | None:
    if get_origin(hint) is Union or type(hint).__name__ == "UnionType":
        parts = [part for part in get_args(hint) if part is not type(None)]
        return _kind_of_hint(parts[0]) if len(parts) == 1 else None
    hint = get_origin(hint) or hint
    if not isinstance(hint, type) or hint is object or dataclasses.is_dataclass(hint):
        return "json" if dataclasses.is_dataclass(hint) else None
    return kind_of_type(hint)


class Rows:
    """Makes rows of items. All of it raises :exc:`RowRefusedError`."""

    def __init__(self, tables: Tables, *, creates: bool) -> None:
        self._tables = tables
        self._creates = creates

    def row(self, item: Any, known: KnownTable, ident: str | None, most_bytes: int) -> Row:
        """What an item comes to in a table; *ident* is its id.

        :param most_bytes: that a statement may have, 0 for no limit
        """
        values: dict[str, Any] = {}
        fields = known.fields
        for field, value in (item if type(item) is dict else ItemAdapter(item)).items():
            place = fields.get(field, _UNSEEN)
            if place is _UNSEEN:
                place = self._place(known, field, value)
            if place is not None:
                column, adapt = place
                try:
                    values[column] = adapt(value)
                except UnfitError as error:
                    raise RowRefusedError(
                        f"{known.name} can't hold the item: {column}: {error}"
                    ) from None
        if known.by_item:
            values[ITEM_ID] = _own_id(known, values, ident)
        size = sum([_OF_VALUE + len(each) for each in values.values() if type(each) in _LONG])
        most = most_bytes * _SHARE
        if most and 4 * size > most and (size := _bytes_of(values)) > most:
            raise RowRefusedError(
                f"{known.name} can't hold the item: its {size} bytes are more than the "
                f"database takes at once ({most_bytes})"
            )
        return Row(known.name, _key(known, values), values, ident or "", size=size)

    def _place(
        self, known: KnownTable, field: str, value: Any
    ) -> tuple[str, Callable[[Any], Any]] | None:
        """The column of a field, None for none."""
        column = self._tables.columns.column(known.name, field)
        if column is not None and not self._has(known, column, value):
            return None  # there may be one for another value
        place = None if column is None else (column, known.adapters[column])
        known.fields[field] = place
        return place

    def _has(self, known: KnownTable, column: str, value: Any) -> bool:
        """Whether there is such a column, or will be."""
        if column in known.adapters:
            return True
        if not self._creates:
            raise RowRefusedError(
                f"{known.name} has no column {column}: add it, name another one or none with "
                "RESILIENCE_SQL_COLUMNS, or set RESILIENCE_SQL_CREATE=True"
            )
        if (kind := kind_of_value(value)) is None:
            return False
        if not 0 < len(column.encode(errors="replace")) <= _LONGEST_NAME or "\x00" in column:
            raise RowRefusedError(f"{known.name} can't have a column {column[:80]!r}")
        known.plan(column, kind)
        return True


def _bytes_of(values: dict[str, Any]) -> int:
    """What they take in a statement: a character has up to four bytes."""
    return sum(
        _OF_VALUE + len(each.encode(errors="replace") if isinstance(each, str) else each)
        for each in values.values()
        if isinstance(each, (str, bytes))
    )


def _own_id(known: KnownTable, values: dict[str, Any], ident: str | None) -> str:
    if ident is None:
        raise RowRefusedError(f"{known.name} can't hold the item: nobody knows its id")
    if ITEM_ID in values:
        raise RowRefusedError(
            f"{known.name} can't hold the item: its field {ITEM_ID} is taken: give it another "
            "column with RESILIENCE_SQL_COLUMNS"
        )
    return f"extra:{uuid4().hex}" if ident.startswith("extra:") else ident


def _key(known: KnownTable, values: dict[str, Any]) -> tuple[Any, ...]:
    if known.by_item:
        return (values[ITEM_ID],)
    key = tuple(values.get(name) for name in known.key)
    if None in key:
        lacking = known.key[key.index(None)]
        raise RowRefusedError(f"{known.name} can't hold the item: its key {lacking} is missing")
    return tuple(map(_plain_key, key))


def _plain_key(value: Any) -> Any:
    """As it is kept, to be found again."""
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.timezone.utc)
    return value if isinstance(value, _KEYS) else str(value)
