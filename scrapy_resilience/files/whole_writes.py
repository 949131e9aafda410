"""Files of records that only grow: a record is there whole, or not. All raise OSError."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from scrapy_resilience.files.ownership import open_own

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["APPEND", "append_whole", "write_all", "write_draft"]

APPEND: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND
"""How such a file is opened."""


def append_whole(fd: int, data: bytes, length: int) -> None:
    """Append *data* to a file of so many bytes, which it has again where that fails."""
    try:
        write_all(fd, data)
    except OSError:
        os.ftruncate(fd, length)
        raise


def write_all(fd: int, data: bytes) -> None:
    """Write *data*, in as many steps as it takes."""
    while data:
        data = data[os.write(fd, data) :]


def write_draft(path: Path, parts: Iterable[bytes]) -> int:
    """A new file of these *parts*, open and on the disk; none where that fails."""
    path.unlink(missing_ok=True)
    fd = open_own(path, APPEND | os.O_EXCL)
    try:
        for part in parts:
            write_all(fd, part)
        os.fsync(fd)
    except BaseException:
        os.close(fd)
        with suppress(OSError):
            path.unlink()
        raise
    return fd
