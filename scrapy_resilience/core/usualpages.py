"""What is usual for the pages of a domain: how long they are, and how long they take.

No constant tells a small page from an error: an API answers with 40 characters, a shop with
200,000. What most pages of the domain reach is usual. Lengths and times are counted in buckets,
each 1.4 times as wide as the one before, and the usual length is what nine of ten pages reach:
neither a few error pages nor a few huge ones move it, as they would move a mean, and a second
kind of pages is usual from a tenth of the pages on. Up to nine pages, the shortest is usual.

What is old counts less and less. A domain takes about a kilobyte.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from math import log2
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["UsualPages"]

_RARE: Final = 0.1
"""The share of pages that may be shorter, or slower, than what is usual."""
_FORGET: Final = 1000
"""Pages after which all counts are halved."""
_STEPS: Final = 2
"""Buckets for each doubling."""
_LARGEST: Final = 64 * _STEPS
_MILLISECONDS: Final = 1000


class _Buckets:
    """How often values of each size came, in buckets by their logarithm."""

    __slots__ = ("counts", "total")

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts = Counter(counts)
        self.total = self.counts.total()

    def add(self, value: float) -> None:
        place = int(log2(value) * _STEPS) if value >= 1 else 0
        self.counts[min(place, _LARGEST)] += 1
        self.total += 1
        if self.total > _FORGET:
            halved = {place: count // 2 for place, count in self.counts.items() if count > 1}
            self.counts = Counter(halved)
            self.total = self.counts.total()

    def low(self) -> float | None:
        """The beginning of the lowest bucket that is not rare."""
        place = self._first(sorted(self.counts))
        return None if place is None else 2 ** (place / _STEPS)

    def high(self) -> float | None:
        """The end of the highest bucket that is not rare."""
        place = self._first(sorted(self.counts, reverse=True))
        return None if place is None else 2 ** ((place + 1) / _STEPS)

    def _first(self, places: list[int]) -> int | None:
        below = 0
        for place in places:
            below += self.counts[place]
            if below > self.total * _RARE:
                return place
        return None

    def row(self) -> list[list[int]]:
        return [list(pair) for pair in sorted(self.counts.items())]


class UsualPages:
    """Beyond *domains* the domain not seen for longest is forgotten."""

    def __init__(self, *, domains: int = 500) -> None:
        self._domains = domains
        self._known: OrderedDict[str, tuple[_Buckets, _Buckets]] = OrderedDict()
        self._changed: set[str] = set()

    def add(self, domain: str, length: int, seconds: float | None) -> None:
        """Learn from a page; *seconds* is None when nobody has measured them."""
        lengths, times = self._known.setdefault(domain, (_Buckets(), _Buckets()))
        lengths.add(length)
        if seconds is not None:
            times.add(seconds * _MILLISECONDS)
        self._known.move_to_end(domain)
        self._changed.add(domain)
        if len(self._known) > self._domains:
            self._changed.add(self._known.popitem(last=False)[0])

    def length(self, domain: str) -> float | None:
        """What nine of ten pages reach; None when there was no page."""
        known = self._known.get(domain)
        return known[0].low() if known else None

    def seconds(self, domain: str) -> float | None:
        """What nine of ten pages don't exceed; None when no time is known."""
        high = known[1].high() if (known := self._known.get(domain)) else None
        return None if high is None else high / _MILLISECONDS

    # --- state of a job ---

    def changed(self) -> dict[str, list[Any] | None]:
        """What changed since the last call, by domain; None for a forgotten one."""
        changed, self._changed = self._changed, set()
        return {
            domain: [each.row() for each in known]
            if (known := self._known.get(domain))
            else None
            for domain in changed
        }

    def restore(self, saved: Mapping[Any, Any]) -> None:
        """Go on from what :meth:`changed` gave."""
        for domain, known in saved.items():
            lengths, times = (_Buckets(dict(row)) for row in known)
            self._known[domain] = lengths, times
