"""Frames of a file that only grows: what is whole can be told from what is torn or damaged.

A frame is the length of its bytes and their CRC-32, both in four bytes with the lowest first,
and the bytes. A file is read up to the first frame that is not whole, so whatever a kill or a
disk has done to it, what is read is a beginning of what was written.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_PAYLOAD", "frame", "frames"]

MAX_PAYLOAD: Final = 1 << 20
"""Bytes of a frame; more are a damage, or an error of whoever writes."""
_HEAD: Final = Struct("<II")


def frame(payload: bytes) -> bytes:
    """*payload* as it stands in the file. Raises :exc:`ValueError` for one that can't."""
    if not 0 < len(payload) <= MAX_PAYLOAD:
        raise ValueError(f"a frame of {len(payload)} bytes")
    return _HEAD.pack(len(payload), crc32(payload)) + payload


def frames(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Each whole frame's payload from the start on, and where the frame ends."""
    place = 0
    while place + _HEAD.size < len(data):
        size, check = _HEAD.unpack_from(data, place)
        place += _HEAD.size
        payload = data[place : place + size] if 0 < size <= MAX_PAYLOAD else b""
        if not payload or len(payload) != size or crc32(payload) != check:
            return
        place += size
        yield payload, place
