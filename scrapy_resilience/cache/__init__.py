"""A cache for what is slow or dear to ask for: in Redis, or in memory.

.. code-block:: python

    from scrapy_resilience.cache import cache_of, cached


    @cached(ttl=3600)
    async def exchange_rate(currency): ...


    class Prices:
        @classmethod
        def from_crawler(cls, crawler): ...

        async def process_item(self, item):
            known = await cache_of(self.crawler).get(item["sku"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scrapy_resilience.cache.cache import Cache
    from scrapy_resilience.cache.counts import CacheInfo, CacheStats
    from scrapy_resilience.cache.decorator import cached
    from scrapy_resilience.cache.of_crawl import cache_of

__all__ = ["Cache", "CacheInfo", "CacheStats", "cache_of", "cached"]

_WHERE = {
    "Cache": "cache",
    "CacheInfo": "counts",
    "CacheStats": "counts",
    "cache_of": "of_crawl",
    "cached": "decorator",
}


def __getattr__(name: str) -> Any:
    """Import on first use: a crawl that uses no cache does not pay for it."""
    if name in _WHERE:
        from importlib import import_module  # noqa: PLC0415

        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
