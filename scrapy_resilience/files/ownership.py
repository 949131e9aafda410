"""Whose files these are: a stored pickle runs code, and a link leads anywhere.

What belongs to the user of this process or to root, and can be written by nobody else, is
trusted. Windows has no such modes: there everything is.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from errno import ELOOP, EPERM
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scrapy_resilience.exceptions import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_jobdir", "check_own", "check_plain", "is_own", "make_jobdir", "open_own"]

_OWN_FILES: Final = "resilience.*"
_SPOOL: Final = "spool"
_FOLDERS: Final = (_SPOOL, "cut", "errors", "loaded", "replaced", "restored")
"""Where a job also writes, moves and removes files; snapshots may be on another disk."""
_LINK: Final = "this is a link, which is not followed: put the file itself there"
_HARD_LINK: Final = (
    "this file has a second name (a hard link), under which others may write it: put a copy in "
    "its place"
)
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def make_jobdir(jobdir: Path) -> None:
    """Make the folder where there is none, and check the one that is there.

    A link of the user's own may lead to none: a kill can come when a job that has finished was
    put aside, and the next folder not made. Raises :exc:`OSError` and :exc:`CheckpointError`.
    """
    if jobdir.is_symlink() and not jobdir.exists() and _is_link_of_users(jobdir):
        Path(os.path.realpath(jobdir)).mkdir(mode=0o700)
    else:
        jobdir.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_jobdir(jobdir)


def _is_link_of_users(link: Path) -> bool:
    return os.name != "posix" or link.lstat().st_uid in _trusted()


def check_jobdir(jobdir: Path) -> None:
    """Raises :exc:`CheckpointError` when somebody else may have written a job, or still can.

    So it does for a pipe, which would be waited for, or a folder in the place of a file. The
    folder may be reached by a link of the user's own. Folders above it are not looked at.
    """
    if not jobdir.exists():
        return
    check_own(jobdir, jobdir)
    for path in _files(jobdir):
        with suppress(FileNotFoundError):  # of a job that runs, and had no more use for it
            _check_file(path, jobdir)


def _check_file(path: Path, jobdir: Path) -> None:
    if path.is_symlink():
        raise CheckpointError(
            f"{path} is a link, and a job writes to its own files only: put what it leads to "
            "there, or use another JOBDIR"
        )
    if path.match(_OWN_FILES) and not stat.S_ISREG(path.lstat().st_mode):
        raise CheckpointError(
            f"{path} is not a regular file: put back what was there, or use another JOBDIR"
        )
    check_own(path, jobdir)


def _files(jobdir: Path) -> Iterator[Path]:
    yield from jobdir.glob(_OWN_FILES)
    yield from (folder for name in _FOLDERS if os.path.lexists(folder := jobdir / name))
    yield from (jobdir / _SPOOL).glob("*")


def check_own(path: Path, folder: Path) -> None:
    """Raises :exc:`CheckpointError`, with what to run on *folder*, for what is not trusted.

    Of a link both the link and what it leads to must be the user's.
    """
    if os.name != "posix":
        return
    if not {path.lstat().st_uid, path.stat().st_uid} <= _trusted():
        raise CheckpointError(
            f"{path} belongs to another user, and what it holds could run code of theirs: if "
            f"you trust them, run chown -R on {folder}, or else use another JOBDIR"
        )
    if _can_be_written(path.stat()):
        raise CheckpointError(
            f"{path} can be written by others, and what it holds could run code of theirs: if "
            f"you trust them, run chmod -R go-w on {folder}, or else use another JOBDIR"
        )


def _trusted() -> set[int]:
    """Root can write everything anyhow."""
    return {os.geteuid(), 0}


def is_own(fd: int) -> bool:
    """Whether an open file is trusted."""
    status = os.fstat(fd)
    return os.name != "posix" or (status.st_uid in _trusted() and not _can_be_written(status))


def _can_be_written(status: os.stat_result) -> bool:
    return bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def open_own(path: Path | str, flags: int, mode: int = 0o600) -> int:
    """Like :func:`os.open`, for a plain file of the user's own: no link is followed.

    Raises :exc:`PermissionError` for anything else.
    """
    try:
        fd = os.open(path, flags & ~os.O_TRUNC | _NO_LINK, mode)
    except OSError as error:
        if error.errno == ELOOP:
            raise PermissionError(EPERM, _LINK, str(path)) from None
        raise
    if os.name == "posix" and (why := _not_trusted(os.fstat(fd))):
        os.close(fd)
        raise PermissionError(EPERM, why, str(path))
    if flags & os.O_TRUNC:  # not before it is known whose file it is
        os.ftruncate(fd, 0)
    return fd


def check_plain(path: Path) -> None:
    """Raises :exc:`PermissionError` as :func:`open_own` does, for what a library is to open.

    Nothing is opened: closing a file would drop the locks that this process has on it.
    """
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise PermissionError(EPERM, _LINK, str(path))
    if os.name == "posix" and (why := _not_trusted(status)):
        raise PermissionError(EPERM, why, str(path))


def _not_trusted(status: os.stat_result) -> str:
    """Why an open file is not used; empty when it is."""
    if not stat.S_ISREG(status.st_mode):
        return "this is not a regular file: put back what was there"
    if status.st_uid not in _trusted():
        return "this is another user's file, which is not used"
    return _HARD_LINK if status.st_nlink > 1 else ""
