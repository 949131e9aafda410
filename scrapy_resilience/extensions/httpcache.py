"""Scrapy's HTTP cache on files, with entries that are whole or not there."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scrapy.extensions.httpcache import FilesystemCacheStorage

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.http import Response

__all__ = ["AtomicCacheStorage"]

_TRIES: Final = 10
"""How often in a row an entry may be replaced while it is read."""
_TAKEN: Final = {errno.EEXIST, errno.ENOTEMPTY, errno.EACCES if os.name == "nt" else None}
"""What renaming to the name of a folder says that has files in it."""


class AtomicCacheStorage(FilesystemCacheStorage):
    """Writes an entry under another name first, and reads those that Scrapy's own has written.

    Scrapy writes the seven files of an entry in place: after a kill it may take an empty
    page for a cached one, and the items of that page are lost in each later run. Several
    processes may share a folder: of two that store one page at a time, either entry is good.
    """

    _drafting = False

    def store_response(self, spider: Spider, request: Request, response: Response) -> None:
        self._drafting = True
        try:
            draft = Path(self._get_request_path(spider, request))
            shutil.rmtree(draft, ignore_errors=True)
            super().store_response(spider, request, response)
        finally:
            self._drafting = False
        entry = Path(self._get_request_path(spider, request))
        if not _take_place(draft, entry):
            _put_away(entry)
            if not _take_place(draft, entry):  # another process was faster
                shutil.rmtree(draft)

    def retrieve_response(self, spider: Spider, request: Request) -> Response | None:
        """Of files that are all of one entry, whatever other processes do meanwhile."""
        entry = Path(self._get_request_path(spider, request))
        for _ in range(_TRIES):
            before = _identity(entry)
            with suppress(FileNotFoundError):
                found = super().retrieve_response(spider, request)
                if _identity(entry) == before:
                    return found
        return None

    def _get_request_path(self, spider: Spider, request: Request) -> str:
        path = super()._get_request_path(spider, request)
        return f"{path}.{_who()}.new" if self._drafting else path


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
