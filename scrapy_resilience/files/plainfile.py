"""Files that must be files, and the folders that are made for them.

Whatever else has the name of a file is refused, and never waited for.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["missing_folders", "open_plain", "opener", "remove_folders"]

_NOW: Final = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""A pipe without another end would block; a file is opened as ever."""


def open_plain(path: Path | str, flags: int = os.O_RDONLY, mode: int = 0o666) -> int:
    """A descriptor. Raises OSError for a pipe, a device, a folder or a socket."""
    fd = os.open(path, flags | _NOW, mode)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    return fd


def opener(path: str, flags: int) -> int:
    """For ``open(path, opener=opener)``."""
    return open_plain(path, flags)


def missing_folders(path: Path) -> int:
    """How many folders have to be made for a file."""
    return sum(not folder.exists() for folder in path.parents)


def remove_folders(path: Path, count: int) -> None:
    """Remove the innermost folders of a file that is gone, where nothing is in them."""
    for folder in path.parents[:count]:
        with suppress(OSError):
            folder.rmdir()
