"""A spool: the items of a feed that can't be cut, until the feed is produced from them.

Each item is its length and a CRC-32 of that and the item, four bytes each, and then as many
bytes of :class:`ValueCodec`: the file can be cut at any committed length, items of any type
come back as they were, and one that the disk has changed is found.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from scrapy_resilience.exceptions import DamagedError
from scrapy_resilience.files.append_file import RetryingAppendFile
from scrapy_resilience.files.ownership import open_own
from scrapy_resilience.files.plainfile import opener

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["FOLDER", "append", "open_spool", "read", "remove_strays", "verify"]

FOLDER: Final = "spool"
"""Of the JOBDIR."""
_LENGTH: Final = Struct(">I")


def open_spool(path: Path) -> RetryingAppendFile:
    """Open a spool to append; its items may hold what the user alone should see."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    return RetryingAppendFile(path, open_own)


def append(file: Any, data: bytes) -> None:
    """Add one item."""
    length = _LENGTH.pack(len(data))
    file.write(length + _LENGTH.pack(crc32(data, crc32(length))) + data)


def read(path: Path, size: int | None = None) -> Iterator[bytes]:
    """The items of a spool, one after the other, of its first *size* bytes or of all.

    Raises :exc:`DamagedError` at an item that is not what was written, or is not whole.
    """
    left = path.stat().st_size if size is None else size
    with open(path, "rb", opener=opener) as file:
        while left > 0:
            length, check = file.read(_LENGTH.size), file.read(_LENGTH.size)
            left -= 2 * _LENGTH.size
            if left < 0 or len(check) < _LENGTH.size:
                raise DamagedError(f"{path} is damaged: it ends within an item")
            (count,) = _LENGTH.unpack(length)
            data = file.read(min(count, left))  # a flipped bit may ask for gigabytes
            left -= count
            if left < 0 or _LENGTH.pack(crc32(data, crc32(length))) != check:
                raise DamagedError(f"{path} is damaged: it holds what was not written")
            yield data


def verify(path: Path, size: int | None = None) -> None:
    """Raises :exc:`DamagedError` for a spool whose first *size* bytes are not as written."""
    for _ in read(path, size):
        pass


def remove_strays(folder: Path, kept: set[Path]) -> None:
    """Remove the spools that no commit knows: their feeds are stored."""
    for path in (folder / FOLDER).glob("*"):
        if path not in kept:
            path.unlink()
