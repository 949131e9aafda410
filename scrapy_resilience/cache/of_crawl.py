"""The cache of a crawl: made when it is first used, told of, and closed with it."""

from __future__ import annotations

import asyncio
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from scrapy.signals import engine_stopped, spider_closed

from scrapy_resilience import names
from scrapy_resilience._scrapy.here import crawler_here
from scrapy_resilience._scrapy.of_crawlers import OfCrawlers
from scrapy_resilience.cache.cache import Cache
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.guard.caches import register_cache
from scrapy_resilience.observe.health.registry import register_health_check
from scrapy_resilience.observe.observer import observer_of
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy.crawler import Crawler

    from scrapy_resilience.cache.counts import CacheStats
    from scrapy_resilience.cache.remote import Remote
    from scrapy_resilience.observe.view import View

__all__ = ["cache_of", "check_cache", "current", "make_cache"]

_NAME: Final = "cache"
"""Of the component."""
_TIMES: Final = 4
"""How many commands a check is, with one that connects."""


def make_cache(config: Config) -> Cache:
    """The cache that the settings describe.

    Raises :exc:`.ConfigurationError`, and :exc:`.MissingLibraryError` without the extra.
    """
    return Cache(
        config.cache_url,
        prefix=config.cache_prefix,
        ttl=config.cache_ttl,
        size=config.cache_size,
        memory_mb=config.cache_memory_mb,
        serializer="pickle" if config.cache_serializer == "pickle" else "json",
        secret=config.cache_secret,
        connections=config.cache_connections,
        timeout=config.cache_timeout,
        retry_after=config.cache_retry_after,
        compress_from=config.cache_compress_from,
        negative_ttl=config.cache_negative_ttl,
        wait=config.cache_wait,
    )


def check_cache(config: Config) -> None:
    """Raises as :func:`make_cache`, and :exc:`.ConfigurationError` where Redis refuses it.

    That is asked in a thread with an event loop of its own, before there is a crawl: it takes
    no longer than some times ``RESILIENCE_CACHE_TIMEOUT``, and nothing is touched yet.
    """
    remote = make_cache(config).remote
    if remote is None:
        return
    found: list[str] = []
    asking = Thread(target=lambda: found.append(asyncio.run(_ask(remote))), daemon=True)
    asking.start()
    asking.join(_TIMES * config.cache_timeout)
    if found and found[0]:
        raise ConfigurationError(found[0])


async def _ask(remote: Remote) -> str:
    try:
        return await remote.refusal()
    finally:
        await remote.close()


# --- of a crawl ---


class _CrawlCache:
    """One cache, and what is told of it."""

    def __init__(self, crawler: Crawler) -> None:
        config = Config.from_settings(crawler.settings)
        self.cache = make_cache(config)
        self._stats: Any = crawler.stats
        register_cache(crawler, _NAME, self.cache.clear_memory)
        if config.cache_url:
            register_health_check(crawler, _NAME, self.cache.health_check)
        if config.observe_enabled:
            observer_of(crawler).fill.append(self._fill)
        crawler.signals.connect(self._closed, spider_closed)
        crawler.signals.connect(self.cache.close, engine_stopped)

    def _closed(self) -> None:
        for name, value in _counted(self.cache.stats()):
            self._stats.set_value(name, value)

    def _fill(self, view: View) -> None:
        view.stats.update(_counted(self.cache.stats()))


_caches = OfCrawlers["_CrawlCache"](_NAME)
_outside: Final[list[Cache]] = []
"""Made when it is first needed: one at most."""


def cache_of(crawler: Crawler) -> Cache:
    """The cache of a crawl, as the settings describe it; it is closed when the crawl ends.

    Raises :exc:`.ConfigurationError`, and :exc:`.MissingLibraryError` without the extra.
    """
    if crawler not in _caches:
        _caches[crawler] = _CrawlCache(crawler)
    return _caches[crawler].cache


def current() -> Cache:
    """Of the crawl that runs this; outside of crawls one of the process, in memory."""
    crawler = crawler_here()
    if crawler is not None:
        return cache_of(crawler)
    if not _outside:
        _outside.append(Cache())
    return _outside[0]


def _counted(stats: CacheStats) -> Iterator[tuple[str, float]]:
    """Nothing of a cache that nobody uses."""
    counts = {
        names.STAT_CACHE_HITS: stats.hits,
        names.STAT_CACHE_MISSES: stats.misses,
        names.STAT_CACHE_WRITES: stats.writes,
        names.STAT_CACHE_WAITS: stats.waits,
        names.STAT_CACHE_REFUSED: stats.refused,
        names.STAT_CACHE_UNREADABLE: stats.unreadable,
        names.STAT_CACHE_EVICTED: stats.evicted,
        names.STAT_CACHE_SIZE: stats.size,
        names.STAT_CACHE_SIZE_BYTES: stats.size_bytes,
        names.STAT_CACHE_FALLBACKS: stats.fallbacks,
        names.STAT_CACHE_WITHOUT_REDIS: stats.without_redis,
        names.STAT_CACHE_REDIS_CALLS: stats.redis_calls,
        names.STAT_CACHE_REDIS_SECONDS: round(stats.redis_seconds, 3),
        names.STAT_CACHE_REDIS_MAX: round(stats.redis_seconds_max, 3),
    }
    yield from ((name, value) for name, value in counts.items() if value)
