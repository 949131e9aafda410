"""Scrapy's HTTP cache on files, with entries that are whole or not there."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from scrapy.extensions.httpcache import FilesystemCacheStorage

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.http import Response

__all__ = ["AtomicCacheStorage"]


class AtomicCacheStorage(FilesystemCacheStorage):
    """Writes an entry under another name first, and reads those that Scrapy's own has written.

    Scrapy writes the seven files of an entry in place: after a kill it may take an empty
    page for a cached one, and the items of that page are lost in each later run.
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
        with suppress(FileNotFoundError):
            (entry / "pickled_meta").unlink(missing_ok=True)  # the rest alone is no entry
            shutil.rmtree(entry)
        draft.rename(entry)

    def _get_request_path(self, spider: Spider, request: Request) -> str:
        path = super()._get_request_path(spider, request)
        return f"{path}.new" if self._drafting else path
