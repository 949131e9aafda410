"""Locks that end with their process, however it ends: flock, not a file that says so."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Final

from scrapy_resilience.exceptions import JobLockedError
from scrapy_resilience.ownership import open_own

if TYPE_CHECKING:
    from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _try_lock(fd: int) -> None:
        os.lseek(fd, 1 << 30, os.SEEK_SET)  # a byte that nobody reads: locks are mandatory here
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try_lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


_TRIES: Final = 10
_PAUSE: Final = 0.02

__all__ = ["FileLock", "is_locked", "lock_fd"]


def lock_fd(fd: int) -> bool:
    """Lock an open file for as long as it is open; False when another one has it."""
    try:
        _try_lock(fd)
    except OSError:
        return False
    return True


def _lock_soon(fd: int) -> bool:
    """Like :func:`lock_fd`, past somebody who only looks whether there is a lock."""
    for _ in range(_TRIES):
        if lock_fd(fd):
            return True
        time.sleep(_PAUSE)
    return False


class FileLock:
    """An exclusive lock on *path*, whose text names the holder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self) -> None:
        """Raises :exc:`JobLockedError`, which names the other process."""
        fd = open_own(self.path, os.O_RDWR | os.O_CREAT)
        if not _lock_soon(fd):
            holder = os.read(fd, 100).decode(errors="replace").strip() or "another process"
            os.close(fd)
            raise JobLockedError(
                f"{self.path.parent} is in use by {holder}: wait until it ends, stop it, "
                "or use another JOBDIR"
            )
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        os.write(fd, f"process {os.getpid()}".encode())
        self._fd = fd

    def release(self) -> None:
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None

    def __del__(self) -> None:
        self.release()


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock now."""
    try:
        fd = open_own(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not lock_fd(fd)
    finally:
        os.close(fd)
