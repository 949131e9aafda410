"""A spool: the items of a feed that can't be cut, until the feed is produced from them.

Each item is its length, four bytes, and then as many bytes of :class:`ValueCodec`: the
file can be cut at any committed length, and items of any type come back as they were.
"""

from __future__ import annotations

from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.checkpoint.patient import PatientFile
from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.ownership import open_own

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["FOLDER", "append", "open_spool", "read", "remove_strays"]

FOLDER: Final = "spool"
"""Of the JOBDIR."""
_LENGTH: Final = Struct(">I")


def open_spool(path: Path) -> PatientFile:
    """Open a spool to append; its items may hold what the user alone should see."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    return PatientFile(path, partial(open_own, mode=0o600))


def append(file: Any, data: bytes) -> None:
    """Add one item."""
    file.write(_LENGTH.pack(len(data)) + data)


def read(path: Path) -> Iterator[bytes]:
    """The items of a spool, one after the other. Raises CheckpointError for a torn one."""
    with path.open("rb") as file:
        while head := file.read(_LENGTH.size):
            if len(head) < _LENGTH.size:
                raise CheckpointError(f"{path} is torn: it ends within an item")
            (length,) = _LENGTH.unpack(head)
            data = file.read(length)
            if len(data) < length:
                raise CheckpointError(f"{path} is torn: it ends within an item")
            yield data


def remove_strays(folder: Path, kept: set[Path]) -> None:
    """Remove the spools that no commit knows: their feeds are stored."""
    for path in (folder / FOLDER).glob("*"):
        if path not in kept:
            path.unlink()
