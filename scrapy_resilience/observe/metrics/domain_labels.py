"""Which domains have series of their own, so that a crawl of a million has some dozens.

The first half of the places is for whoever comes first, the busiest first. A place of the other
half takes a share of all requests: those that the crawl turns out to be about. Critical domains
always have one. All others are ``other`` together.

A domain that got a place keeps it. What was counted as ``other`` until then stays there: its
own series begins at that moment, so that no counter ever falls and all of them add up.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from scrapy_resilience.observe.metrics.metric_names import DOMAIN_METRICS
from scrapy_resilience.observe.view import DomainView

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["OTHER", "DomainLabels"]

OTHER: Final = "other"
_COUNTED: Final = [metric.field for metric in DOMAIN_METRICS if metric.kind == "counter"]
_SUMMED: Final = [*_COUNTED, "pending", "under_way"]
_COUNTERS: Final = [attrgetter(name) for name in _COUNTED]
_GAUGES: Final = [attrgetter(name) for name in _SUMMED[len(_COUNTED) :]]
_counters: Final = attrgetter(*_COUNTED)


class DomainLabels:
    """The domains of one job that have series of their own.

    :param most: places, beside those of critical domains
    :param names: domains that had one in an earlier run
    """

    def __init__(self, most: int = 50, names: Iterable[str] = ()) -> None:
        self.most = most
        self._last: dict[str, DomainView] = {}
        """Each as it was last seen: the view does not hold all domains for ever."""
        self._before: dict[str, Sequence[int]] = dict.fromkeys(names, _NOTHING)
        """What each had when it got its place."""
        self._critical: set[str] = set()
        self._told: set[str] = set()
        """Those that were counted as ``other`` the last time."""
        self._other = list(_NOTHING)
        """The most that was counted: domains beyond those of the view are missing in it."""

    @property
    def names(self) -> list[str]:
        """Domains that have series."""
        return list(self._before)

    def rows(self, domains: Sequence[DomainView]) -> list[DomainView]:
        """The domains that have series, as they are now, and what all others are together."""
        self._give(domains)
        before = self._before
        found, rest, rows = {}, [], []
        for domain in domains:
            if domain.name in before:
                found[domain.name] = domain
            else:
                rest.append(domain)
        for name in before:
            last = self._last.get(name) or DomainView(name=name)
            domain = found.get(name) or _left(last)
            domain.requests = max(
                domain.requests, last.requests
            )  # what was cut off is no answer
            self._last[name] = domain
            rows.append(_since(domain, before[name]))
        self._told = set(map(_NAME, rest))
        rows.append(self._sum(rest))
        return rows

    def _give(self, domains: Sequence[DomainView]) -> None:
        before = self._before
        for domain in domains:
            if domain.critical and domain.name not in before and domain.name != OTHER:
                self._critical.add(domain.name)
                self._place(domain)
        free = self.most - len(before) + len(self._critical)
        if free <= 0 or len(domains) <= len(before):
            return
        share = sum([domain.requests for domain in domains]) / self.most
        first = free - (self.most - self.most // 2)  # of the places that need no share
        found = [
            domain
            for domain in domains
            if domain.name not in before
            and (first > 0 or domain.requests > share)
            and domain.name != OTHER
        ]
        for place, domain in enumerate(sorted(found, key=_BUSY, reverse=True)[:free]):
            if place < first or domain.requests > share:
                self._place(domain)

    def _place(self, domain: DomainView) -> None:
        was_told = domain.name in self._told
        self._before[domain.name] = _counters(domain) if was_told else _NOTHING

    def _sum(self, rest: Sequence[DomainView]) -> DomainView:
        moved = [before for before in self._before.values() if any(before)]
        for at, counter in enumerate(_COUNTERS):
            count = sum(map(counter, rest)) + sum(before[at] for before in moved)
            self._other[at] = max(count, self._other[at])
        gauges = [sum(map(gauge, rest)) for gauge in _GAUGES]
        values: dict[str, Any] = dict(zip(_SUMMED, [*self._other, *gauges], strict=True))
        return DomainView(name=OTHER, **values)


_NAME: Final = attrgetter("name")
_BUSY: Final = attrgetter("requests")
_NOTHING: Final = (0,) * len(_COUNTERS)


def _left(domain: DomainView) -> DomainView:
    """One that the view does not hold any more: it is in no trouble."""
    counts = dict(zip(_COUNTED, _counters(domain), strict=True))
    return DomainView(name=domain.name, critical=domain.critical, **counts)


def _since(domain: DomainView, before: Sequence[int]) -> DomainView:
    """The domain without what was counted as ``other``."""
    if not any(before):
        return domain
    pairs = zip(_COUNTED, _counters(domain), before, strict=True)
    changes: dict[str, Any] = {name: max(0, now - then) for name, now, then in pairs}
    return msgspec.structs.replace(domain, **changes)
