"""A copy of a store that is being written to."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from scrapy_resilience.exceptions import DamagedError, SnapshotError
from scrapy_resilience.snapshots.verification import is_small, verify_beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["copy_store", "scratch_file"]

_T = TypeVar("_T")


@contextmanager
def scratch_file(path: Path) -> Iterator[Path]:
    """An empty file that only we may read, and that is gone afterwards unless it was moved."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def copy_store(source: Path, target: Path, look: Callable[[dict[str, bytes]], _T]) -> _T:
    """Copy a store as of its last commit, beside whoever writes.

    *look* is called with its named state, before the copy; what it returns is returned.
    Raises :exc:`SnapshotError` for a damaged store, :exc:`OSError` for a full disk.
    """
    try:
        if is_small(source):
            verify_beside(source, Event())
        with closing(_connect(source, "mode=ro")) as reader:
            reader.execute("BEGIN")  # what is read and what is copied are of one moment
            seen = look(dict(reader.execute("SELECT name, data FROM state")))
            with closing(sqlite3.connect(target, isolation_level=None)) as writer:
                writer.execute("PRAGMA journal_mode=OFF")
                writer.execute("PRAGMA synchronous=OFF")
                reader.backup(writer, pages=-1)
        with closing(_connect(target, "mode=ro&immutable=1")) as copied:
            (found,) = copied.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:  # a full disk and the like
        raise OSError(str(error)) from error
    except (sqlite3.DatabaseError, DamagedError) as error:
        found = str(error)
    if found != "ok":
        raise SnapshotError(f"{source} is damaged, no snapshot is made of it: {found}")
    return seen


def _connect(path: Path, query: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{query}"
    return sqlite3.connect(uri, uri=True, isolation_level=None)
