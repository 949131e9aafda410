"""Storages for Scrapy's HTTP cache, in which each entry is whole or not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scrapy_resilience.httpcache.files import AtomicCacheStorage
    from scrapy_resilience.httpcache.redis import RedisCacheStorage
    from scrapy_resilience.httpcache.sqlite import SQLiteCacheStorage

__all__ = ["AtomicCacheStorage", "RedisCacheStorage", "SQLiteCacheStorage"]

_WHERE = {
    "AtomicCacheStorage": "files",
    "RedisCacheStorage": "redis",
    "SQLiteCacheStorage": "sqlite",
}


def __getattr__(name: str) -> Any:
    """Import on first use: a crawl has one of them."""
    if name in _WHERE:
        from importlib import import_module  # noqa: PLC0415

        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
