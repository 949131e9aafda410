"""One object for each crawler, kept by the crawler or by those who ask for it.

It goes when these go. A ``WeakKeyDictionary`` keeps a crawler for ever whose object refers to
it, be it by the stats or by a method of its spider: a process that runs one crawl after the
other would keep them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import ReferenceType, WeakKeyDictionary, ref

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.crawler import Crawler

__all__ = ["OfCrawlers", "WeakOfCrawlers"]

_T = TypeVar("_T")


class OfCrawlers(Generic[_T]):
    """Kept by the crawlers. *name* is that of the attribute, and nobody else's."""

    def __init__(self, name: str) -> None:
        self._name = f"_scrapy_resilience_{name}"

    def __contains__(self, crawler: Crawler) -> bool:
        return self._name in vars(crawler)

    def __getitem__(self, crawler: Crawler) -> _T:
        found: _T = vars(crawler)[self._name]
        return found

    def __setitem__(self, crawler: Crawler, value: _T) -> None:
        vars(crawler)[self._name] = value

    def of(self, crawler: Crawler, make: Callable[[], _T]) -> _T:
        """That of the crawler, made where there is none yet."""
        if crawler not in self:
            self[crawler] = make()
        return self[crawler]

    def get(self, crawler: Crawler) -> _T | None:
        """That of the crawler; None where it has none."""
        found: _T | None = vars(crawler).get(self._name)
        return found

    def pop(self, crawler: Crawler) -> _T | None:
        """That of the crawler, which has none from now on; None where it had none."""
        found: _T | None = vars(crawler).pop(self._name, None)
        return found


class WeakOfCrawlers(Generic[_T]):
    """Kept by those who ask: the crawler may have forgotten all of them, and it goes.

    :param make: makes that of a crawler, for whoever asks first
    """

    def __init__(self, make: Callable[[Crawler], _T]) -> None:
        self._make = make
        self._known: WeakKeyDictionary[Crawler, ReferenceType[_T]] = WeakKeyDictionary()

    def of(self, crawler: Crawler) -> _T:
        known = self._known.get(crawler)
        found = None if known is None else known()
        if found is None:
            found = self._make(crawler)
            self._known[crawler] = ref(found)
        return found
