"""Scrapy's HTTP cache on files, with entries that are whole or not there."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scrapy.extensions.httpcache import FilesystemCacheStorage

from scrapy_resilience._log import get_logger

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.http import Response

__all__ = ["AtomicCacheStorage"]

logger = get_logger(__name__)

_TRIES: Final = 10
"""How often in a row an entry may be replaced while it is read."""
_TORN: Final = (EOFError, ValueError, pickle.UnpicklingError)
"""What a file raises that a kill of stock Scrapy has left, or a power loss."""
_TAKEN: Final = {errno.EEXIST, errno.ENOTEMPTY, errno.EACCES if os.name == "nt" else None}
"""What renaming to the name of a folder says that has files in it."""


class AtomicCacheStorage(FilesystemCacheStorage):
    """Writes an entry under another name first, and reads those that Scrapy's own has written.

    Scrapy writes the seven files of an entry in place: after a kill it may take an empty
    page for a cached one, and the items of that page are lost in each later run. Several
    processes may share a folder: of two that store one page at a time, either entry is good.

    Where the disk is full or fails, a page is not cached, and goes to its callback all the
    same: a warning says so once.
    """

    _drafting = False
    _told = False

    def store_response(self, spider: Spider, request: Request, response: Response) -> None:
        entry = Path(self._get_request_path(spider, request))
        draft = _draft_of(entry)
        try:
            shutil.rmtree(draft, ignore_errors=True)
            self._write_draft(spider, request, response)
            if not _take_place(draft, entry):
                _put_away(entry)
                _take_place(draft, entry)  # unless another process was faster
        except OSError as error:
            self._tell("store", error)
        shutil.rmtree(draft, ignore_errors=True)

    def _write_draft(self, spider: Spider, request: Request, response: Response) -> None:
        self._drafting = True
        try:
            super().store_response(spider, request, response)
        finally:
            self._drafting = False

    def retrieve_response(self, spider: Spider, request: Request) -> Response | None:
        """Of files that are all of one entry, whatever other processes do meanwhile."""
        try:
            return self._retrieve(spider, request)
        except OSError as error:
            self._tell("read", error)
            return None

    def _retrieve(self, spider: Spider, request: Request) -> Response | None:
        entry = Path(self._get_request_path(spider, request))
        for _ in range(_TRIES):
            before = _identity(entry)
            with suppress(FileNotFoundError, *_TORN):
                found = super().retrieve_response(spider, request)
                if _identity(entry) == before:
                    return found
        return None

    def _tell(self, verb: str, error: OSError) -> None:
        if not self._told:
            self._told = True
            logger.warning(
                "The HTTP cache can't %s a page, which goes on without it: %s. Look after "
                "HTTPCACHE_DIR - no more such failures will be logged",
                verb,
                error,
            )

    def _get_request_path(self, spider: Spider, request: Request) -> str:
        path = super()._get_request_path(spider, request)
        return str(_draft_of(Path(path))) if self._drafting else path


def _draft_of(entry: Path) -> Path:
    return Path(f"{entry}.{_who()}.new")


def _take_place(draft: Path, entry: Path) -> bool:
    """Whether *draft* could be given the name, which nothing had."""
    try:
        draft.rename(entry)
    except OSError as error:
        if error.errno not in _TAKEN:
            raise
        return False
    return True


def _put_away(entry: Path) -> None:
    old = Path(f"{entry}.{_who()}.old")
    shutil.rmtree(old, ignore_errors=True)
    with suppress(FileNotFoundError):
        entry.rename(old)
    shutil.rmtree(old, ignore_errors=True)


def _who() -> str:
    """Names of the folders that only this process and thread use."""
    return f"{os.getpid()}-{threading.get_ident()}"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
