"""What columns hold: told by the name of a column's type, a field's annotation, or a value."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Literal

__all__ = ["INT64", "PLAIN", "Kind", "exact", "kind_of_column", "kind_of_type", "kind_of_value"]

Kind = Literal[
    "text", "integer", "number", "float", "boolean", "datetime", "datetimetz", "date", "time",
    "binary", "json", "array", "other",
]  # fmt: skip
"""What a column holds. ``datetimetz`` knows of offsets, ``datetime`` does not."""

INT64: Final = 2**63
"""What is below it fits into a column of whole numbers."""
PLAIN: Final = frozenset({str, int, float, bool, bytes, Decimal, dt.datetime, dt.date, dict})
"""Types that drivers take as they are."""


def exact(value: Any) -> Any:
    """Without what a subclass adds: drivers ask for the type itself."""
    if isinstance(value, Enum):
        value = value.value
    if type(value) in PLAIN:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    for base in (int, float):
        if isinstance(value, base):
            return base(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if hasattr(value, "dtype") and hasattr(value, "item"):  # a number of numpy
        return value.item()
    return value


def kind_of_column(name: str, *, timezone: bool = False) -> Kind:
    """What a column holds, by the name of its type.

    :param timezone: whether a time has an offset there
    """
    name = name.upper()
    if name in {"DATETIME", "TIMESTAMP"}:
        return "datetimetz" if timezone else "datetime"
    return _BY_NAME.get(name, "other")


_BY_NAME: Final[dict[str, Kind]] = {
    **dict.fromkeys(
        ("CHAR", "VARCHAR", "TEXT", "TINYTEXT", "MEDIUMTEXT", "LONGTEXT", "NCHAR", "NVARCHAR",
         "CLOB", "CITEXT"), "text",
    ),
    **dict.fromkeys(
        ("TINYINT", "SMALLINT", "MEDIUMINT", "INTEGER", "INT", "BIGINT", "YEAR"), "integer"
    ),
    **dict.fromkeys(("NUMERIC", "DECIMAL"), "number"),
    **dict.fromkeys(("FLOAT", "DOUBLE", "DOUBLE_PRECISION", "REAL"), "float"),
    **dict.fromkeys(
        ("BLOB", "BYTEA", "BINARY", "VARBINARY", "TINYBLOB", "MEDIUMBLOB", "LONGBLOB"), "binary"
    ),
    **dict.fromkeys(("JSON", "JSONB"), "json"),
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIME": "time",
    "ARRAY": "array",
}  # fmt: skip


def kind_of_value(value: Any) -> Kind | None:
    """What a column is to hold whose first value this is; None for None."""
    if value is None or (value := exact(value)) is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= INT64:
        return "number"
    if isinstance(value, dt.datetime):
        return "datetimetz" if value.tzinfo else "datetime"
    return _kind_of(type(value))


def kind_of_type(kind: type) -> Kind:
    """What a column is to hold for a field with this annotation."""
    return "datetimetz" if issubclass(kind, dt.datetime) else _kind_of(kind)


def _kind_of(kind: type) -> Kind:
    for known, name in _KINDS:
        if issubclass(kind, known):
            return name
    return "text" if kind.__name__ == "UUID" else "json"


_KINDS: Final[tuple[tuple[type, Kind], ...]] = (
    (str, "text"),
    (bool, "boolean"),
    (int, "integer"),
    (float, "float"),
    (Decimal, "number"),
    (dt.date, "date"),
    (dt.time, "time"),
    (bytes, "binary"),
    (Enum, "text"),
)
