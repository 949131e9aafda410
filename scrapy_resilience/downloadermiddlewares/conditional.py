"""Pages that are due are asked for only where they have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from scrapy.exceptions import NotConfigured
from scrapy.http.request import NO_CALLBACK

from scrapy_resilience.names import META_CONDITIONAL, STAT_SEEN_CONDITIONAL
from scrapy_resilience.seen.skipping import seen_pages

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from typing_extensions import Self

    from scrapy_resilience.seen.skipping import SeenPages

__all__ = ["ConditionalMiddleware"]

_HEADERS: Final = ("If-None-Match", "If-Modified-Since")
_NOT_MODIFIED: Final = 304


class ConditionalMiddleware:
    """Order 950: behind the HTTP cache, which answers for itself, and keeps no 304 of ours.

    Where a request has such a header of its own, be it the user's or the cache's, its answer is
    theirs as well.
    """

    def __init__(self, crawler: Crawler, pages: SeenPages) -> None:
        self._pages = pages
        self._stats: Any = crawler.stats
        self._asked: WeakSet[Request] = WeakSet()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        pages = seen_pages(crawler)
        if pages is None:
            raise NotConfigured
        return cls(crawler, pages)

    def process_request(self, request: Request) -> None:
        if request.callback is NO_CALLBACK:
            return
        self._forget(request)
        headers = request.headers
        if request.method != "GET" or any(name in headers for name in _HEADERS):
            return
        found = self._pages.conditions(request)
        if found is None:
            return
        for name, value in zip(_HEADERS, found, strict=True):
            if value is not None:
                headers[name] = value
        request.meta[META_CONDITIONAL] = list(found)
        self._asked.add(request)
        self._stats.inc_value(STAT_SEEN_CONDITIONAL)

    def _forget(self, request: Request) -> None:
        """What an earlier try of it, or a redirect to it, has set."""
        ours = request.meta.pop(META_CONDITIONAL, None)
        if ours is not None:
            for name, value in zip(_HEADERS, ours, strict=True):
                if value is not None and request.headers.get(name) == value:
                    del request.headers[name]

    def process_response(self, request: Request, response: Response) -> Response:
        if request.callback is NO_CALLBACK:
            return response
        self._pages.first_asked(request)
        if response.status == _NOT_MODIFIED and request in self._asked:
            request.meta["dont_cache"] = True
            self._pages.not_modified(request)
        return response
