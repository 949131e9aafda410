"""A file that keeps what the disk does not take, until it does."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from io import FileIO
from typing import TYPE_CHECKING, Final

from scrapy_resilience.files.plainfile import open_plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["RetryingAppendFile", "sync_path"]

_ENOUGH: Final = 65_536
"""Bytes after which :meth:`RetryingAppendFile.write` tries the disk."""


class RetryingAppendFile(io.RawIOBase):
    """Appends to *path*; writing, flushing and closing never fail, and lose nothing.

    An exporter that writes through Python's own buffer loses what it writes while the disk
    is full. Here it stays in memory, in order, also when the file has been closed:
    :meth:`settle` tries again and says what is wrong, and until it succeeds the crawl has
    to stop.
    """

    def __init__(
        self, path: Path | str, opener: Callable[[str, int], int] = open_plain
    ) -> None:
        super().__init__()
        self.name = str(path)
        self._file = FileIO(path, "ab", opener=opener)
        self._length = os.fstat(self._file.fileno()).st_size
        self._kept = bytearray()
        self._error: OSError | None = None

    def fileno(self) -> int:
        return self._file.fileno()

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True  # asked by text layers that must know whether this is the beginning

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._kept += data
        self._length += len(data)
        if len(self._kept) >= _ENOUGH and self._error is None:
            self._try()
        return len(data)

    def flush(self) -> None:
        self._try()

    def settle(self) -> None:
        """Raises OSError while the disk does not take everything."""
        self._try()
        if self._error is not None:
            raise self._error

    def tell(self) -> int:
        """The length that the file has once everything is on the disk."""
        return self._length

    def truncate(self, size: int | None = None) -> int:
        """Cut the file, and what the disk has not taken yet."""
        size = self.tell() if size is None else size
        on_disk = os.fstat(self.fileno()).st_size
        del self._kept[max(size - on_disk, 0) :]
        if size < on_disk:
            os.ftruncate(self.fileno(), size)
        self._length = size
        return size

    def close(self) -> None:
        """Take no more; what the disk has not taken is kept for :meth:`settle`."""
        super().close()  # flushes
        self._release()

    def _try(self) -> None:
        self._error = None
        try:
            while self._kept:
                written = os.write(self.fileno(), self._kept)
                del self._kept[:written]
        except OSError as error:
            self._error = error
        self._release()

    def _release(self) -> None:
        if self.closed and not self._kept:
            self._file.close()


def sync_path(path: Path) -> None:
    """Force a file, and its name in its folder, to the disk."""
    for each in (path, path.parent):
        with suppress(FileNotFoundError):
            fd = os.open(each, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
