"""What a snapshot holds comes back: the store, and the other files of its job."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from errno import EEXIST, ENAMETOOLONG, ENOTDIR
from itertools import chain
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from scrapy_resilience.exceptions import DamagedError, SnapshotError
from scrapy_resilience.frontier.schema import SCHEMA
from scrapy_resilience.snapshots.verification import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from scrapy_resilience.snapshots.sealing import Reader

__all__ = ["unpack"]


def unpack(
    reader: Reader,
    key: str,
    store: Path,
    folder: Path | None,
    check: Callable[[Path], None],
) -> dict[str, Any]:
    """Fill the empty file *store* and the empty *folder*; return the details.

    Without a folder the other files are left out. *check* is called with it, and raises
    :exc:`DamagedError` where they were damaged when they were copied. Raises
    :exc:`SnapshotError`.
    """
    ident = reader.header["id"]
    _check_version(ident, reader.header.get("schema"))
    size = reader.header.get("size", 0)
    with store.open("r+b") as file, ExitStack() as stack:

        def targets(found: dict[str, Any]) -> Iterable[tuple[IO[bytes], int]]:
            _check_room(ident, [size, *_sizes(found).values()], store.parent)
            return chain([(file, size)], _others(found, folder, stack))

        details = reader.read(key, targets)
        file.flush()
        os.fsync(file.fileno())
    _check_store(ident, store)
    if folder is not None:
        _check_files(ident, folder, check)
    return details


def _check_version(ident: str, schema: object) -> None:
    if schema != SCHEMA:
        raise SnapshotError(
            f"the snapshot {ident} has schema {schema}, this version reads {SCHEMA}: use the "
            "version of scrapy_resilience that wrote it"
        )


def _check_store(ident: str, path: Path) -> None:
    try:
        verify(path)
    except DamagedError as error:
        raise SnapshotError(f"the snapshot {ident} is of a damaged store: {error}") from error
    finally:
        for log in ("-wal", "-shm"):
            path.with_name(path.name + log).unlink(missing_ok=True)


def _check_files(ident: str, folder: Path, check: Callable[[Path], None]) -> None:
    try:
        check(folder)
    except DamagedError as error:
        raise SnapshotError(f"the snapshot {ident} has a damaged file: {error}") from error


def _sizes(details: dict[str, Any]) -> dict[str, int]:
    return dict(details.get("files") or {})


def _check_room(ident: str, sizes: list[int], folder: Path) -> None:
    """What a snapshot comes to is what it says, and no more than there is room for."""
    if not all(type(size) is int and size >= 0 for size in sizes):
        raise ValueError(sizes)
    free = shutil.disk_usage(folder).free
    if sum(sizes) > free:
        raise SnapshotError(
            f"the snapshot {ident} needs {sum(sizes)} bytes and {folder} has {free}: make room "
            "there, or restore to another folder"
        )


def _others(
    details: dict[str, Any], folder: Path | None, stack: ExitStack
) -> Iterator[tuple[IO[bytes], int]]:
    """The job's other files, opened below *folder*, and their sizes."""
    for name, size in _sizes(details).items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.name:
            raise ValueError(name)
        opened = os.open(os.devnull, os.O_WRONLY) if folder is None else _new(folder / path)
        yield stack.enter_context(os.fdopen(opened, "wb")), size


def _new(path: Path) -> int:
    """Open a new file. Raises :exc:`ValueError` for a name that it can't have."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        if error.errno in {EEXIST, ENOTDIR, ENAMETOOLONG}:
            raise ValueError(path.name) from error
        raise
