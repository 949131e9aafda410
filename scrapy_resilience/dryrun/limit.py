"""How many requests a dry run makes: no more are taken off the queue, whatever asks for them.

What is downloaded beside the queue, such as robots.txt, counts as well, but can't be kept back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from scrapy import signals

from scrapy_resilience import _clock
from scrapy_resilience._scrapy.engine import (
    close_spider,
    is_closing,
    is_starting,
    under_way,
)
from scrapy_resilience._scrapy.of_crawlers import OfCrawlers
from scrapy_resilience.names import (
    REASON_DRY_RUN,
    SCRAPY_REDIRECT_TIMES,
    SCRAPY_RETRY_TIMES,
)
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience._clock import Timer

__all__ = ["Limit", "limit_of", "limited"]

_GRACE: Final = 1.0
"""Seconds that ``start()`` may go on after the last page, so that more is known."""
_START: Final = "is_start_request"
"""Scrapy's meta key."""


class Limit:
    """Of one crawl, and what it has seen of its requests."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._most = Config.from_settings(crawler.settings).dry_run
        self._handed: WeakSet[Request] = WeakSet()
        self._timer: Timer | None = None
        self.taken = 0
        """Off the queue."""
        self.beside = 0
        """Downloaded, and never in the queue."""
        self.accepted = 0
        self.found = 0
        """Of those accepted: new ones, to which pages have led."""
        self.start_is_through = False
        self.first: float | None = None
        """When the first one was taken, on the monotonic clock."""
        self.last = 0.0
        """When the last answer came."""
        connect = crawler.signals.connect
        connect(self._reached, signals.request_reached_downloader)
        connect(self._answered, signals.response_received)
        connect(self._closed, signals.spider_closed)

    @property
    def waiting(self) -> int:
        return self.accepted - self.taken

    @property
    def is_reached(self) -> bool:
        return self.taken + self.beside >= self._most

    # --- what the scheduler does ---

    def accept(self, request: Request) -> None:
        """It is in the queue."""
        self.accepted += 1
        meta = request.meta
        again = meta.get(SCRAPY_RETRY_TIMES) or meta.get(SCRAPY_REDIRECT_TIMES)
        self.found += not (again or meta.get(_START))

    def take(self, request: Request) -> None:
        """It is off the queue, and is made."""
        if self.first is None:
            self.first = _clock.monotonic()
        self.taken += 1
        self._handed.add(request)

    def end(self) -> None:
        """It is reached: the crawl ends when nothing is under way."""
        engine = self._crawler.engine
        if is_closing(engine) or under_way(engine):
            return
        if not is_starting(engine):
            self._close()
        elif self._timer is None:
            self._timer = _clock.call_later(_GRACE, self._close)

    def _close(self) -> None:
        engine = self._crawler.engine
        if not is_closing(engine):
            self.start_is_through = not is_starting(engine)
            if self.waiting or not self.start_is_through:  # else it ends by itself
                close_spider(self._crawler, REASON_DRY_RUN)

    # --- what the crawl says ---

    def _reached(self, request: Request) -> None:
        self.beside += request not in self._handed

    def _answered(self) -> None:
        self.last = _clock.monotonic()

    def _closed(self, reason: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if reason != REASON_DRY_RUN:
            self.start_is_through = not is_starting(self._crawler.engine)


_limits = OfCrawlers["Limit"]("dry_run")


def limit_of(crawler: Crawler) -> Limit:
    """The limit of a crawler: the same object for all who ask."""
    return _limits.of(crawler, lambda: Limit(crawler))


class _Limited:
    """Before a scheduler's class: it hands out no more than it may."""

    limit: Limit

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        made: Any = super().from_crawler(crawler)  # type: ignore[misc]
        made.limit = limit_of(crawler)
        return made  # type: ignore[no-any-return]

    def enqueue_request(self, request: Request) -> bool:
        stock: Any = super()
        accepted: bool = stock.enqueue_request(request)
        if accepted:
            self.limit.accept(request)
        return accepted

    def next_request(self) -> Request | None:
        stock: Any = super()
        if self.limit.is_reached:
            self.limit.end()
            return None
        request: Request | None = stock.next_request()
        if request is not None:
            self.limit.take(request)
        return request

    def has_pending_requests(self) -> bool:
        stock: Any = super()
        return not self.limit.is_reached and bool(stock.has_pending_requests())


def limited(cls: type) -> type:
    """A class that does what the scheduler *cls* does, up to the limit."""
    return type(cls.__name__, (_Limited, cls), {"__module__": cls.__module__})
