"""Unique indexes of a table: which columns tell its rows apart, and which else do."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

__all__ = ["other_indexes", "unique_columns"]

_OF_MYSQL: Final = sa.text(
    "SELECT index_name, CASE WHEN sub_part IS NULL THEN column_name END "
    "FROM information_schema.statistics WHERE table_schema = COALESCE(:schema, DATABASE()) "
    "AND table_name = :name AND non_unique = 0"
)
"""Each column of each that is unique."""


def unique_columns(engine: Engine, name: str) -> set[frozenset[str]]:
    """Sets of columns by which no two rows of a table are alike."""
    schema, _, bare = name.rpartition(".")
    inspector = sa.inspect(engine)
    place: dict[str, Any] = {"schema": schema or None}
    found = [inspector.get_pk_constraint(bare, **place)["constrained_columns"]]
    constraints = inspector.get_unique_constraints(bare, **place)
    found += [constraint["column_names"] for constraint in constraints]
    if engine.dialect.name == "sqlite":
        place["include_auto_indexes"] = True
    for index in inspector.get_indexes(bare, **place):
        options = index.get("dialect_options", {})
        is_partial = any(name.endswith("_where") for name in options)
        if index["unique"] and not is_partial and not index.get("expressions"):
            found.append([name for name in index["column_names"] if name])
    return {frozenset(columns) for columns in found if columns}


def other_indexes(engine: Engine, name: str, key: Sequence[str]) -> list[frozenset[str | None]]:
    """The columns of MySQL's unique indexes beside that of the key.

    None stands for an expression, or for a part of a column.
    """
    schema, _, bare = name.rpartition(".")
    indexes: dict[str, set[str | None]] = defaultdict(set)
    with engine.connect() as connection:
        place = {"schema": schema or None, "name": bare}
        for index, column in connection.execute(_OF_MYSQL, place):
            indexes[index].add(column)
    return [frozenset(columns) for columns in indexes.values() if columns != {*key}]
