"""Which requests were there before: Scrapy's filter logs them, the frontier remembers."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Final

from scrapy.dupefilters import BaseDupeFilter, RFPDupeFilter
from scrapy.utils.misc import build_from_crawler, load_object
from scrapy.utils.request import RequestFingerprinter as _Fingerprinter

from scrapy_resilience._log import get_logger
from scrapy_resilience.exceptions import DamagedError
from scrapy_resilience.settings import Config
from scrapy_resilience.waits import waits_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request
    from scrapy.crawler import Crawler
    from twisted.internet.defer import Deferred

    from scrapy_resilience.frontier.lanes import Frontier

__all__ = ["UNREADABLE", "Duplicates", "Known", "only_fingerprints"]

logger = get_logger(__name__)

UNREADABLE: Final = (DamagedError, sqlite3.DatabaseError)
"""What a look into a damaged store raises."""

_HONOURED: Final = {"request_fingerprint", "log"}
"""What a subclass of Scrapy's filter may override: neither has a memory."""


class Known:
    """The fingerprints of a frontier, as a set.

    *on_damage* is called when the frontier can't be asked. Nothing is committed any more then,
    so that everything may pass for known.
    """

    def __init__(self, frontier: Frontier, on_damage: Callable[[Exception], None]) -> None:
        self._frontier = frontier
        self._on_damage = on_damage

    def __contains__(self, fingerprint: bytes) -> bool:
        try:
            return self._frontier.seen(fingerprint)
        except UNREADABLE as error:
            self._on_damage(error)
            return True

    def add(self, fingerprint: bytes) -> None:
        """Known from the next commit on, and in this run at once."""
        self._frontier.settle(fingerprint)


class Duplicates:
    """``DUPEFILTER_CLASS``, for a scheduler whose frontier keeps the fingerprints."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._fingerprinter: Any = crawler.request_fingerprinter
        self._filter = _filter_of(crawler)
        self._remembers = only_fingerprints(type(self._filter))
        self._own = self._remembers and "request_fingerprint" in _overridden(type(self._filter))
        self.by_content = (
            self._remembers and not self._own and type(self._fingerprinter) is _Fingerprinter
        )
        """Whether requests of one method, URL and body are the same, as Scrapy has it."""
        self.is_own = not self._remembers and type(self._filter) is not BaseDupeFilter
        """Whether the filter is the user's: what it says holds for redirects, too."""

    def open(
        self, frontier: Frontier, on_damage: Callable[[Exception], None]
    ) -> Deferred[None] | None:
        """*on_damage* is called when *frontier* can't be asked."""
        self._known = Known(frontier, on_damage)
        return self._filter.open()

    async def close(self, reason: str) -> None:
        """A filter of the user's that does not come back is left alone."""
        if (closed := self._filter.close(reason)) is None:
            return
        timeout = Config.from_settings(self._crawler.settings).handler_timeout
        try:
            await waits_of(self._crawler).bounded(closed, "the duplicate filter", timeout)
        except TimeoutError as error:
            logger.error("The crawl ends without an answer: %s", error)  # noqa: TRY400

    def is_unfiltered(self, request: Request) -> bool:
        """Whether no fingerprint tells a second run that the request was there."""
        return request.dont_filter or not self._remembers

    def fingerprint(self, request: Request) -> bytes | None:
        """None for a request that is not filtered."""
        return None if self.is_unfiltered(request) else self._fingerprint(request)

    def _fingerprint(self, request: Request) -> bytes:
        if self._own:
            return bytes.fromhex(self._filter.request_fingerprint(request))  # type: ignore[attr-defined]
        found: bytes = self._fingerprinter.fingerprint(request)
        return found

    def has(self, request: Request, fingerprint: bytes | None) -> bool:
        """Whether *request*, of this *fingerprint*, was there before; it is logged then."""
        if request.dont_filter:
            return False
        if fingerprint is None:
            duplicate = self._filter.request_seen(request)
        else:
            duplicate = fingerprint in self._known
        if duplicate:
            assert self._crawler.spider is not None
            self._filter.log(request, self._crawler.spider)
        return duplicate

    def alike(self, request: Request, other: Request) -> bool:
        """Whether both are the same request, or, to a filter of the user's, may be."""
        return not self._remembers or self._fingerprint(request) == self._fingerprint(other)


def _filter_of(crawler: Crawler) -> BaseDupeFilter:
    """Scrapy's own opens no file here."""
    cls = load_object(crawler.settings["DUPEFILTER_CLASS"])
    if only_fingerprints(cls):
        return cls(  # type: ignore[no-any-return]
            debug=crawler.settings.getbool("DUPEFILTER_DEBUG"),
            fingerprinter=crawler.request_fingerprinter,
        )
    dupefilter: BaseDupeFilter = build_from_crawler(cls, crawler)
    return dupefilter


def only_fingerprints(cls: Any) -> bool:
    """Whether the frontier can remember in the place of this filter: it is Scrapy's own.

    Or one that is made of it and only says which requests are the same, or how it is logged.
    """
    if not (isinstance(cls, type) and issubclass(cls, RFPDupeFilter)):
        return False
    return _overridden(cls) <= _HONOURED


def _overridden(cls: type) -> set[str]:
    """The methods of Scrapy's own filter in whose place *cls* has others."""
    before = cls.__mro__[: cls.__mro__.index(RFPDupeFilter)]
    return {
        name
        for each in before
        for name in vars(each)
        if callable(getattr(RFPDupeFilter, name, None))
    }
