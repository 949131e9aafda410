"""Types of the columns that we make, and what those hold that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from scrapy_resilience.core.sqlkinds import Kind, kind_of_column

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["column_kind", "key_type", "ready", "type_for"]

_KEY_LENGTH: Final = 255
_MYSQL: Final = ("mysql", "mariadb")


def _types() -> dict[Kind, Any]:
    text = sa.Text().with_variant(mysql.LONGTEXT(), *_MYSQL)
    moment = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), *_MYSQL)
    return {
        "text": text,
        "integer": sa.BigInteger(),
        "number": sa.Numeric()
        .with_variant(sa.Text(), "sqlite")  # others keep 15 digits there
        .with_variant(mysql.DECIMAL(65, 30), *_MYSQL),
        "float": sa.Double(),
        "boolean": sa.Boolean(),
        "datetime": moment,
        "datetimetz": sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), *_MYSQL),
        "date": sa.Date(),
        "time": sa.Time().with_variant(mysql.TIME(fsp=6), *_MYSQL),
        "binary": sa.LargeBinary().with_variant(mysql.LONGBLOB(), *_MYSQL),
        "json": sa.JSON(none_as_null=True).with_variant(
            postgresql.JSONB(none_as_null=True), "postgresql"
        ),
    }


_TYPES: Final = _types()


def type_for(kind: Kind) -> Any:
    """The type of a column that is to hold values of *kind*."""
    return _TYPES[kind]


def key_type(kind: Kind) -> Any:
    """The same for a key column: of a bounded length, and as exact as Python compares."""
    if kind in {"text", "json"}:
        exact = mysql.VARCHAR(_KEY_LENGTH, charset="utf8mb4", collation="utf8mb4_bin")
        return sa.String(_KEY_LENGTH).with_variant(exact, *_MYSQL)
    if kind == "binary":
        return sa.LargeBinary().with_variant(mysql.VARBINARY(_KEY_LENGTH), *_MYSQL)
    return _TYPES[kind]


def column_kind(column: Any) -> Kind:
    """What a column of the database holds."""
    kind: Any = column.type
    return kind_of_column(kind.__visit_name__, timezone=bool(getattr(kind, "timezone", False)))


def ready(columns: Iterable[Any], family: str) -> None:
    """Have values go to the driver as they come from :func:`.adapter`."""
    for column in columns:
        if family == "sqlite":
            column.type = sa.types.NullType()
        elif isinstance(column.type, sa.JSON):
            column.type = type(column.type)(none_as_null=True)
