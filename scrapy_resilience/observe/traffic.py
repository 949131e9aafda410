"""What each domain was asked and what it answered: counted when it happens, and nowhere else.

The first :data:`DOMAINS` domains of a run are counted one by one, all later ones together.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from scrapy_resilience.observe.view import Latency

__all__ = ["BOUNDS", "DOMAINS", "OTHER", "DomainCounts", "TrafficCounts"]

BOUNDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds: upper bounds of the histogram of latencies."""
DOMAINS: Final = 10_000
OTHER: Final = "other"
"""Stands for all domains that are not counted apart."""


class DomainCounts:
    """Of one domain, in this run."""

    __slots__ = ("answers", "bytes", "failures", "opened", "retries", "seconds", "settled")

    def __init__(self) -> None:
        self.settled = 0
        """Requests of which it is known what became of them."""
        self.answers = 0
        self.failures = 0
        self.retries = 0
        self.bytes = 0
        self.seconds = 0.0
        """From the request to the answer, of all answers together."""
        self.opened = 0

    @property
    def latency(self) -> float | None:
        """Mean time to an answer, in seconds."""
        return self.seconds / self.answers if self.answers else None


class TrafficCounts:
    """Of one crawl."""

    def __init__(self) -> None:
        self.domains: dict[str, DomainCounts] = {}
        self.latencies = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def of(self, domain: str) -> DomainCounts:
        """The counts of a domain, or those of all that have no own ones."""
        found = self.domains.get(domain)
        if found is None:
            name = domain if len(self.domains) < DOMAINS else OTHER
            found = self.domains.setdefault(name, DomainCounts())
        return found

    def settled(
        self, domain: str, *, failed: bool, is_retry: bool, size: int | None, latency: float
    ) -> None:
        """What became of one request: an answer of *size* bytes, or None where none came."""
        counts = self.of(domain)
        counts.settled += 1
        counts.retries += is_retry
        counts.failures += failed
        if size is None:
            return
        counts.bytes += size
        if not failed:
            counts.answers += 1
            counts.seconds += latency
        self.latencies[bisect_left(BOUNDS, latency)] += 1
        self.seconds += latency

    def latency(self) -> Latency:
        return Latency(
            bounds=list(BOUNDS), counts=list(self.latencies), total=round(self.seconds, 6)
        )
