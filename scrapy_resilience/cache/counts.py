"""What is counted of a cache."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

__all__ = ["CacheInfo", "CacheStats", "Counts"]


class Counts(Struct):
    """While it runs; threads may lose a count to each other, and no more."""

    hits: int = 0
    misses: int = 0
    writes: int = 0
    waits: int = 0
    refused: int = 0
    unreadable: int = 0
    fallbacks: int = 0
    without_redis: int = 0
    redis_calls: int = 0
    redis_seconds: float = 0.0
    redis_seconds_max: float = 0.0


class CacheStats(Counts):
    """What a cache has done, and what it has in memory."""

    evicted: int = 0
    """Entries that had to leave the memory before their time."""
    size: int = 0
    """Entries in memory."""
    size_bytes: int = 0
    redis: str = "off"
    """``on``, ``away``, or ``off`` where there is none."""

    @property
    def hit_rate(self) -> float | None:
        """From 0 to 1; None while nothing was asked for."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None


class CacheInfo(NamedTuple):
    """What a cached function has done in this process."""

    hits: int
    misses: int
    """Calls for which the function was run."""
    waits: int
    """Calls that have waited for another call's result."""
    refused: int
    """Results that could not be kept."""
