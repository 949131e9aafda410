"""Locks that end with their process, however it ends: flock, not a file that says so.

A process that is forked off shares the open files of its parent and so their locks, which
would last until both have ended: it lets go of them at once.
"""

from __future__ import annotations

import os
import re
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from scrapy_resilience.exceptions import JobLockedError
from scrapy_resilience.files.ownership import open_own

if TYPE_CHECKING:
    from collections.abc import Iterator
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

__all__ = ["FileLock", "is_locked", "lock_fd", "locked"]


_locked: dict[int, tuple[int, int]] = {}
"""Descriptors that were locked, and their files: some are closed by now, or reused."""


def lock_fd(fd: int) -> bool:
    """Lock an open file for as long as it is open; False when another one has it."""
    try:
        _try_lock(fd)
        _locked[fd] = _file_of(fd)
    except OSError:
        return False
    return True


def _file_of(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _let_go() -> None:
    """In a process that was forked off: its copies of locked files become empty ones.

    They are not closed, because objects hold their numbers.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd, file in _locked.items():
        with suppress(OSError):
            if _file_of(fd) == file:
                os.dup2(nothing, fd, inheritable=False)
    os.close(nothing)
    _locked.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


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
        while True:
            fd = open_own(self.path, os.O_RDWR | os.O_CREAT)
            locked = _lock_soon(fd)
            if not locked or self._is_there(fd):
                break
            os.close(fd)  # its folder was put aside meanwhile
        if not locked:
            holder = _holder(os.read(fd, 100))
            os.close(fd)
            raise JobLockedError(
                f"{self.path.parent} is in use by {holder}: wait until it ends, stop it, "
                f"or use another JOBDIR (`fuser {self.path}` names all that hold it)"
            )
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        os.write(fd, f"process {os.getpid()}".encode())
        self._fd = fd

    def _is_there(self, fd: int) -> bool:
        """Whether the open file still has this name."""
        try:
            return os.path.samestat(os.fstat(fd), self.path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        if self._fd is not None:
            with suppress(OSError):  # no file in a process that was forked off
                os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None

    def __del__(self) -> None:
        self.release()


def _holder(text: bytes) -> str:
    found = re.fullmatch(rb"process (\d+)", text.strip())
    return f"process {int(found[1])}" if found else "another process"


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


@contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Hold the lock on *path* for a moment, for what takes no longer.

    Raises :exc:`TimeoutError` when another process has had it for so many seconds.
    """
    fd = open_own(path, os.O_RDWR | os.O_CREAT)
    try:
        for _ in range(max(int(seconds / _PAUSE), 1)):
            if lock_fd(fd):
                break
            time.sleep(_PAUSE)
        else:
            raise TimeoutError(f"another process has {path} locked for more than {seconds:g} s")
        yield
    finally:
        os.close(fd)
