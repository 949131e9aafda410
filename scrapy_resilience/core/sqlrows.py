"""Rows on their way into a database: which are written together, and what stays of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Group", "Row", "batch_length", "grouped", "halves", "merged"]


class Row(Struct, eq=False):
    """What an item comes to.

    *key* are the values of the table's key columns, *values* those of all columns. *commit* is
    the number of the commit that makes the item durable, 0 where there are none.
    """

    table: str
    key: tuple[Any, ...]
    values: dict[str, Any]
    item: str = ""
    """The id of the item."""
    commit: int = 0
    size: int = 0
    """Bytes in memory, about."""
    place: Any = None
    """Whence it came: for the dead letter that it may become."""


class Group(NamedTuple):
    """Rows of one table with values for the same columns, in this order: one statement."""

    columns: tuple[str, ...]
    rows: list[Row]

    @property
    def values(self) -> list[tuple[Any, ...]]:
        """Of the rows, in the order of the columns."""
        return [tuple(map(row.values.__getitem__, self.columns)) for row in self.rows]


def merged(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """By table, and in the same order in all processes: they don't wait for one another.

    All rows of one key become one, as if they had been written one after the other: no
    statement may write a row twice.
    """
    found: dict[str, dict[tuple[Any, ...], Row]] = {}
    for row in rows:
        known = found.setdefault(row.table, {})
        before = known.get(row.key)
        known[row.key] = row if before is None else _together(before, row)
    return {
        table: sorted(found[table].values(), key=lambda each: repr(each.key))
        for table in sorted(found)
    }


def _together(before: Row, row: Row) -> Row:
    values = {**before.values, **row.values}
    return replace(row, values=values, commit=before.commit)


def grouped(rows: Iterable[Row]) -> list[Group]:
    """The same by their columns, in whatever order each row has them."""
    found: dict[tuple[str, ...], Group] = {}
    by_order: dict[tuple[str, ...], Group] = {}
    for row in rows:
        order = tuple(row.values)
        if (group := by_order.get(order)) is None:
            columns = tuple(sorted(order))
            group = by_order[order] = found.setdefault(columns, Group(columns, []))
        group.rows.append(row)
    return [found[columns] for columns in sorted(found)]


def halves(rows: Sequence[Row]) -> tuple[Sequence[Row], Sequence[Row]]:
    """The two halves in which a bad row is looked for."""
    middle = (len(rows) + 1) // 2
    return rows[:middle], rows[middle:]


def batch_length(rows: Iterable[Row], most: int, most_bytes: int) -> int:
    """How many of the first rows make a batch: one at least, where there is one."""
    count = size = 0
    for row in rows:
        size += row.size
        if count >= most or (count and size > most_bytes):
            break
        count += 1
    return count
