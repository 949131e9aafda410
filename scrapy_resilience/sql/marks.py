"""What is kept of a batch of rows, as it stands in the table of batches."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.sql.statements import told_new

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Batch", "Mark", "encoded", "packed", "packed_but_told", "unpacked"]

_values: Final = ValueCodec(allow_pickle=False)


class Mark(NamedTuple):
    """What is kept of a row. *is_new*: this batch has inserted it."""

    key: tuple[Any, ...]
    item: str
    is_new: bool


class Batch(NamedTuple):
    """The marks of a batch, and the names of the key columns; none in those of older jobs."""

    key: tuple[str, ...]
    marks: list[Mark]


_TOLD: Final = struct.Struct(">cI")
"""Before marks behind which PostgreSQL has told which rows are new, and how long they are."""
_MARK: Final = b"\xc1"
"""With which no value begins that our codec writes."""


def packed(key: Sequence[str], marks: list[Any]) -> bytes:
    """The marks of rows whose key columns have these names."""
    rows = [[[*values], item, int(is_new)] for values, item, is_new in marks]
    return _values.encode({"key": [*key], "rows": rows})


def packed_but_told(key: Sequence[str], marks: list[Any]) -> bytes:
    """The same, to be followed by what the database says of each row."""
    rows = [[[*values], item] for values, item in marks]
    data = _values.encode({"key": [*key], "rows": rows})
    return _TOLD.pack(_MARK, len(data)) + data


def unpacked(data: bytes) -> Batch:
    """What either has packed."""
    if not data.startswith(_MARK):
        found = _values.decode(data)
        key, rows = ((), found) if isinstance(found, list) else (found["key"], found["rows"])
    else:
        _, length = _TOLD.unpack_from(data)
        end = _TOLD.size + length
        found = _values.decode(data[_TOLD.size : end])
        told = told_new(data[end:].decode("ascii"), len(found["rows"]))
        key = found["key"]
        rows = [(*row, is_new) for row, is_new in zip(found["rows"], told, strict=True)]
    return Batch(
        tuple(key), [Mark(tuple(values), item, bool(is_new)) for values, item, is_new in rows]
    )


def encoded(key: tuple[Any, ...]) -> bytes:
    """A key, as one that can be compared."""
    return _values.encode(key)
