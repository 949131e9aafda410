"""How many requests a crawl may have under way: the smallest of what several ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from weakref import ref

from scrapy.signals import engine_started

from scrapy_resilience._scrapy.engine import engine_of, wake
from scrapy_resilience._scrapy.of_crawlers import WeakOfCrawlers

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

__all__ = ["ConcurrencyLimit", "concurrency_limit_of"]


class ConcurrencyLimit:
    """Of one crawl, from :func:`concurrency_limit_of`.

    A downloader that has no such limit, as one of the user's own may, is left as it is.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = ref(crawler)
        self.most = max(crawler.settings.getint("CONCURRENT_REQUESTS"), 0)
        """What is allowed where nobody asks for less: at first what the settings allow.

        0: any number, as Scrapy has it.
        """
        self._caps: dict[str, int] = {}
        crawler.signals.connect(self._apply, engine_started)

    @property
    def now(self) -> int:
        """What is allowed now; 0: any number."""
        allowed = [*self._caps.values(), *([self.most] if self.most else [])]
        return min(allowed, default=0)

    def allow(self, requests: int) -> None:
        """Have so many under way where nobody asks for less."""
        self.most = requests
        self._apply()

    def cap(self, reason: str, requests: int) -> None:
        """Have at most so many under way, for *reason*: 1 at least."""
        if self._caps.get(reason) != requests:
            self._caps[reason] = max(requests, 1)
            self._apply()

    def uncap(self, reason: str) -> None:
        """That reason is gone."""
        if self._caps.pop(reason, None) is not None:
            self._apply()
            crawler = self._crawler()
            if crawler is not None and (engine := engine_of(crawler)) is not None:
                wake(engine)

    def _apply(self) -> None:
        """When there is an engine, which the first cap may be older than."""
        crawler = self._crawler()
        engine = None if crawler is None else engine_of(crawler)
        if (
            engine is not None
            and getattr(engine.downloader, "total_concurrency", self.now) != self.now
        ):
            engine.downloader.total_concurrency = self.now


_limits: Final = WeakOfCrawlers(ConcurrencyLimit)


def concurrency_limit_of(crawler: Crawler) -> ConcurrencyLimit:
    """The limit of a crawler, made by whoever asks first, and kept by those who ask."""
    return _limits.of(crawler)
