"""How requests went since a moment of one's own: for spiders that work in batches.

``run_metrics(crawler)`` tells, ``reset_metrics(crawler)`` begins anew. Stats, metrics and
reports are not touched by that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from scrapy_resilience.names import STAT_FALLBACKS
from scrapy_resilience.observe.observer import observer_of

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

__all__ = ["RunMetrics", "reset_metrics", "run_metrics"]


@dataclass(frozen=True)
class RunMetrics:
    """Requests that are over, each counted once however often it was tried."""

    successful: int
    """They have got an answer that is no failure."""
    failed: int
    """They were given up."""
    total_seconds: float
    """From requests to responses, of all that came, failures and retries included."""
    mean_seconds: float | None
    """Of one response; None while there is none."""
    fallbacks: int
    """Pages of which a selector set has read at least one field by a fallback selector."""

    @property
    def total(self) -> int:
        return self.successful + self.failed

    @property
    def success_rate(self) -> float | None:
        """From 0 to 1; None while nothing is over."""
        return self.successful / self.total if self.total else None


class _Counts(NamedTuple):
    successful: int = 0
    failed: int = 0
    seconds: float = 0.0
    responses: int = 0
    fallbacks: int = 0


_resets: WeakKeyDictionary[Crawler, _Counts] = WeakKeyDictionary()


def run_metrics(crawler: Crawler) -> RunMetrics:
    """What came of the requests of this run, or of those since :func:`reset_metrics`."""
    pairs = zip(_counts(crawler), _resets.get(crawler, _Counts()), strict=True)
    successful, failed, seconds, responses, fallbacks = (now - then for now, then in pairs)
    return RunMetrics(
        successful=int(successful),
        failed=int(failed),
        total_seconds=seconds,
        mean_seconds=seconds / responses if responses else None,
        fallbacks=int(fallbacks),
    )


def reset_metrics(crawler: Crawler) -> RunMetrics:
    """Begin anew, and return what there was."""
    found = run_metrics(crawler)
    _resets[crawler] = _counts(crawler)
    return found


def _counts(crawler: Crawler) -> _Counts:
    observer = observer_of(crawler)
    counts, stats = observer.counts, crawler.stats
    assert stats is not None
    fallbacks: Any = stats.get_value(STAT_FALLBACKS, 0)
    return _Counts(
        sum(each.answers for each in counts.domains.values()),
        observer.recorder.given_up,
        counts.seconds,
        sum(counts.latencies),
        fallbacks,
    )
