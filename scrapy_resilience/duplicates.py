"""Which requests were there before: Scrapy's filter logs them, the frontier remembers."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Final

from scrapy.dupefilters import BaseDupeFilter, RFPDupeFilter
from scrapy.utils.misc import build_from_crawler, load_object

from scrapy_resilience.exceptions import DamagedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request
    from scrapy.crawler import Crawler
    from twisted.internet.defer import Deferred

    from scrapy_resilience.frontier.lanes import Frontier

__all__ = ["UNREADABLE", "Duplicates"]

UNREADABLE: Final = (DamagedError, sqlite3.DatabaseError)
"""What a look into a damaged store raises."""


class Duplicates:
    """``DUPEFILTER_CLASS``, for a scheduler whose frontier keeps the fingerprints."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._fingerprinter: Any = crawler.request_fingerprinter
        self._filter = _filter_of(crawler)
        self._remembers = type(self._filter) is RFPDupeFilter
        self.is_own = not self._remembers and type(self._filter) is not BaseDupeFilter
        """Whether the filter is the user's: what it says holds for redirects, too."""

    def open(
        self, frontier: Frontier, on_damage: Callable[[Exception], None]
    ) -> Deferred[None] | None:
        """*on_damage* is called when *frontier* can't be asked."""
        self._frontier = frontier
        self._on_damage = on_damage
        return self._filter.open()

    def close(self, reason: str) -> Deferred[None] | None:
        return self._filter.close(reason)

    def is_unfiltered(self, request: Request) -> bool:
        """Whether no fingerprint tells a second run that the request was there."""
        return request.dont_filter or not self._remembers

    def fingerprint(self, request: Request) -> bytes | None:
        """None for a request that is not filtered."""
        if self.is_unfiltered(request):
            return None
        found: bytes = self._fingerprinter.fingerprint(request)
        return found

    def has(self, request: Request, fingerprint: bytes | None) -> bool:
        """Whether *request*, of this *fingerprint*, was there before; it is logged then."""
        if fingerprint is None:
            duplicate = self._filter.request_seen(request)
        else:
            try:
                duplicate = self._frontier.seen(fingerprint)
            except UNREADABLE as error:
                self._on_damage(error)
                return True  # nothing is committed any more
        if duplicate:
            assert self._crawler.spider is not None
            self._filter.log(request, self._crawler.spider)
        return duplicate

    def alike(self, request: Request, other: Request) -> bool:
        """Whether both are the same request, or, to a filter of the user's, may be."""
        fingerprint = self._fingerprinter.fingerprint
        return not self._remembers or bool(fingerprint(request) == fingerprint(other))


def _filter_of(crawler: Crawler) -> BaseDupeFilter:
    """Scrapy's own opens no file here."""
    cls = load_object(crawler.settings["DUPEFILTER_CLASS"])
    if cls is RFPDupeFilter:
        return RFPDupeFilter(
            debug=crawler.settings.getbool("DUPEFILTER_DEBUG"),
            fingerprinter=crawler.request_fingerprinter,
        )
    dupefilter: BaseDupeFilter = build_from_crawler(cls, crawler)
    return dupefilter
