"""Each stored row carries a checksum of itself: a flipped bit is an error, never wrong data."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "check_of_key",
    "check_of_letter",
    "check_of_number",
    "check_of_row",
    "check_of_value",
]

_TIMES = Struct(">dd")


def check_of_row(  # noqa: PLR0917 - one call for each request: keywords cost time
    lane: int, rank: int, order: int, data: bytes, due: float | None, delay: float | None
) -> int:
    """Of a request."""
    check = crc32(data, _fold(lane + 31 * rank + 1023 * order))
    if due is None and delay is None:
        return check
    return crc32(_TIMES.pack(due or 0, delay or 0), check)


def _fold(number: int) -> int:
    return (number ^ number >> 32) & 0xFFFFFFFF


def check_of_value(name: str, data: bytes) -> int:
    """Of a named value."""
    return crc32(data, crc32(name.encode()))


def check_of_number(name: str, *numbers: int) -> int:
    """Of named numbers."""
    return crc32(repr(numbers).encode(), crc32(name.encode()))


def check_of_key(key: int) -> int:
    """Of an output of ``start()``."""
    return crc32(b"%d" % key)


def check_of_letter(values: Sequence[Any]) -> int:
    """Of a dead letter: number, and parts of bytes that may be None."""
    number, *parts = values
    check = crc32(b"%d" % number)
    for part in parts:
        check = crc32(b"-" if part is None else b"%d:" % len(part), check)
        check = crc32(part or b"", check)
    return check
