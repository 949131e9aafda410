"""How the crawl went: bounded time series, of which the coarsest outlives the process."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec

from scrapy_resilience import _clock
from scrapy_resilience.core.history import COLUMNS, TIERS, History, Sample
from scrapy_resilience.observe.record.journal import newest
from scrapy_resilience.observe.view import Series

if TYPE_CHECKING:
    from scrapy_resilience.observe.record.journal import Journal

__all__ = ["TICK", "CrawlHistory"]

TICK: Final = 1.0
"""Seconds between two samples."""
_, _ROWS = TIERS[-1]


class _Row(msgspec.Struct, array_like=True):
    values: list[float | None]


class CrawlHistory:
    """The history of one job."""

    def __init__(self, journal: Journal) -> None:
        self._history = History()
        self._unsaved: deque[list[float]] = deque(maxlen=_ROWS)
        self._ticked: float | None = None
        journal.register("history", _Row, self._collect, self._restore, newest(_ROWS))

    def view(self) -> list[Series]:
        """The finest first."""
        return [
            Series(seconds=tier.seconds, columns=list(COLUMNS), rows=tier.rows())
            for tier in self._history.tiers
        ]

    # --- while the crawl runs ---

    def tick(self, sample: Sample) -> None:
        """To be called each second; its ``loop_lag`` is how late this call is."""
        now = _clock.monotonic()
        late = None if self._ticked is None else max(now - self._ticked - TICK, 0.0)
        self._ticked = now
        self.add(_clock.wall(), sample._replace(loop_lag=late))

    def add(self, now: float, sample: Sample) -> None:
        """Take a sample; *now* is in seconds since 1970."""
        row = self._history.add(now, sample)
        if row is not None:
            self._unsaved.append(row)

    # --- the journal ---

    def _collect(self) -> _Row | None:
        if not self._unsaved:
            return None
        return _Row([_or_none(value) for value in self._unsaved.popleft()])

    def _restore(self, rows: list[_Row]) -> None:
        for row in rows:
            if len(row.values) == len(COLUMNS):
                values: list[Any] = [float("nan") if v is None else v for v in row.values]
                self._history.tiers[-1].put(values)


def _or_none(value: float) -> float | None:
    return None if value != value else value  # noqa: PLR0124 - only NaN is not itself
