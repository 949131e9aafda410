"""What each domain was asked and what it answered: counted when it happens, and nowhere else.

The first :data:`DOMAINS` domains of a run are counted one by one, all later ones together.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Final

from scrapy_resilience.core.masking import clipped
from scrapy_resilience.observe.view import Latency

__all__ = ["BOUNDS", "DOMAINS", "OTHER", "DomainCounts", "TrafficCounts", "shown_domain"]

BOUNDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds: upper bounds of the histogram of latencies."""
DOMAINS: Final = 10_000
OTHER: Final = "other"
"""Stands for all domains that are not counted apart."""
_LONGEST: Final = 253
"""Characters of a name, as DNS has it: a domain function may give anything."""
_is_plain: Final = re.compile(rf"[a-z0-9._-]{{1,{_LONGEST}}}").fullmatch


def shown_domain(domain: str) -> str:
    """The name of a domain as it is counted and shown: masked, bounded and printable."""
    return domain if _is_plain(domain) else clipped(domain, _LONGEST)


class DomainCounts:
    """Of one domain, in this run."""

    __slots__ = (
        "answers", "bytes", "failures", "name", "opened", "requests", "retries", "seconds",
        "timed",
    )  # fmt: skip

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.requests = 0
        """That reached the downloader: what was refused before or was cached did not."""
        self.answers = 0
        self.failures = 0
        self.retries = 0
        self.bytes = 0
        self.seconds = 0.0
        """From the request to the answer, of all answers together whose time is known."""
        self.timed = 0
        """How many these are."""
        self.opened = 0

    @property
    def latency(self) -> float | None:
        """Mean time to an answer, in seconds."""
        return self.seconds / self.timed if self.timed else None


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
            name = shown_domain(domain)
            if name not in self.domains and len(self.domains) >= DOMAINS:
                name = OTHER
            found = self.domains.get(name) or self.domains.setdefault(name, DomainCounts(name))
        return found

    def sent(self, domain: str) -> None:
        """A request has reached the downloader."""
        self.of(domain).requests += 1

    def settled(
        self,
        domain: str,
        *,
        failed: bool,
        is_retry: bool,
        size: int | None,
        latency: float | None,
    ) -> None:
        """What became of one request: an answer of *size* bytes, or None where none came.

        *latency* is in seconds, None where it is not known.
        """
        counts = self.of(domain)
        counts.retries += is_retry
        counts.failures += failed
        if size is None:
            return
        counts.bytes += size
        counts.answers += not failed
        if latency is None:
            return
        if not failed:
            counts.timed += 1
            counts.seconds += latency
        self.latencies[bisect_left(BOUNDS, latency)] += 1
        self.seconds += latency

    def latency(self) -> Latency:
        return Latency(
            bounds=list(BOUNDS), counts=list(self.latencies), total=round(self.seconds, 6)
        )
