"""The metrics of the cache."""

from __future__ import annotations

from typing import Final

from scrapy_resilience import names
from scrapy_resilience.observe.metrics.metric_kinds import Metric, of_stat

__all__ = ["CACHE_METRICS"]

CACHE_METRICS: Final = (
    Metric("cache_hits_total", "counter", "What the cache was asked for, and had.",
           of_stat(names.STAT_CACHE_HITS)),
    Metric("cache_misses_total", "counter", "The same, and had not.",
           of_stat(names.STAT_CACHE_MISSES)),
    Metric("cache_writes_total", "counter", "Values that it has taken.",
           of_stat(names.STAT_CACHE_WRITES)),
    Metric("cache_waits_total", "counter", "Calls that have waited for another one's result.",
           of_stat(names.STAT_CACHE_WAITS)),
    Metric("cache_refused_total", "counter", "Values that could not be kept.",
           of_stat(names.STAT_CACHE_REFUSED)),
    Metric("cache_unreadable_total", "counter", "Entries of another version, serializer or "
           "secret.", of_stat(names.STAT_CACHE_UNREADABLE)),
    Metric("cache_evicted_total", "counter", "Values that had to leave the memory before their "
           "time.", of_stat(names.STAT_CACHE_EVICTED)),
    Metric("cache_size", "gauge", "Values in memory.", of_stat(names.STAT_CACHE_SIZE)),
    Metric("cache_size_bytes", "gauge", "Their size, about.",
           of_stat(names.STAT_CACHE_SIZE_BYTES)),
    Metric("cache_fallbacks_total", "counter", "How often its Redis was away.",
           of_stat(names.STAT_CACHE_FALLBACKS)),
    Metric("cache_without_redis_total", "counter", "Operations that memory has answered "
           "meanwhile.", of_stat(names.STAT_CACHE_WITHOUT_REDIS)),
    Metric("cache_redis_calls_total", "counter", "Operations in Redis.",
           of_stat(names.STAT_CACHE_REDIS_CALLS)),
    Metric("cache_redis_seconds_total", "counter", "The time that they took together.",
           of_stat(names.STAT_CACHE_REDIS_SECONDS)),
    Metric("cache_redis_seconds_max", "gauge", "The longest one.",
           of_stat(names.STAT_CACHE_REDIS_MAX)),
)  # fmt: skip
