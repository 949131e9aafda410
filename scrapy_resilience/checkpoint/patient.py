"""A file that keeps what the disk does not take, until it does."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PatientFile", "sync_path"]

_ENOUGH: Final = 65_536
"""Bytes after which :meth:`PatientFile.write` tries the disk."""


class PatientFile(io.RawIOBase):
    """Appends to *path*; a write never fails, a flush says what is wrong and loses nothing.

    An exporter that writes through Python's own buffer loses what it writes while the disk
    is full. Here it stays in memory, in order: the crawl has to stop until a flush succeeds.
    """

    def __init__(self, path: Path | str, mode: int = 0o666) -> None:
        super().__init__()
        self.name = str(path)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, mode)
        self._kept = bytearray()
        self.error: OSError | None = None
        """What the last write to the disk said, None when all was well."""

    def fileno(self) -> int:
        return self._fd

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True  # asked by text layers that must know whether this is the beginning

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._kept += data
        if len(self._kept) >= _ENOUGH and self.error is None:
            self._try()
        return len(data)

    def flush(self) -> None:
        """Raises OSError while the disk does not take everything."""
        self._try()
        if self.error is not None:
            raise self.error

    def tell(self) -> int:
        """The length that the file has once everything is on the disk."""
        return os.fstat(self._fd).st_size + len(self._kept)

    def truncate(self, size: int | None = None) -> int:
        """Cut the file; what was kept is dropped with it."""
        size = self.tell() if size is None else size
        self._kept.clear()
        os.ftruncate(self._fd, size)
        return size

    def close(self) -> None:
        """Raises OSError when what was kept is lost with the file."""
        if self.closed:
            return
        try:
            super().close()  # flushes
        finally:
            os.close(self._fd)

    def _try(self) -> None:
        self.error = None
        try:
            while self._kept:
                written = os.write(self._fd, self._kept)
                del self._kept[:written]
        except OSError as error:
            self.error = error


def sync_path(path: Path) -> None:
    """Force a file, and its name in its folder, to the disk."""
    for each in (path, path.parent):
        with suppress(FileNotFoundError):
            fd = os.open(each, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
