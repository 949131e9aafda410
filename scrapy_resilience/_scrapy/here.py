"""Which crawl some code belongs to that was given no crawler."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import ReferenceType, WeakKeyDictionary, ref

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.crawler import Crawler

__all__ = ["Here", "crawler_here", "enter", "leave"]

T = TypeVar("T")


class Here(Generic[T]):
    """What belongs to the crawl that runs some code, for functions that users just call.

    It is kept by the crawl: one that was refused, and never ends, is to go with its job.
    """

    def __init__(self, name: str) -> None:
        self._context: ContextVar[Callable[[], T | None]] = ContextVar(
            f"scrapy_resilience_{name}", default=_nothing
        )
        self._running: WeakKeyDictionary[Crawler, ReferenceType[T]] = WeakKeyDictionary()

    def enter(self, crawler: Crawler, found: T) -> None:
        """Whatever runs in this context from now on belongs to the crawl."""
        self._running[crawler] = known = ref(found)
        self._context.set(known)

    def leave(self, crawler: Crawler) -> None:
        """The crawl has ended."""
        self._running.pop(crawler, None)

    def current(self) -> T | None:
        """Of the context; in a thread, which has none, of the only crawl there is."""
        found = self._context.get()()
        if found is None and len(self._running) == 1:
            return next(iter(self._running.values()), _nothing)()
        return found


def _nothing() -> None:
    """What a context has in which nothing was entered."""


_crawls: Here[Crawler] = Here("crawl")


def enter(crawler: Crawler) -> None:
    """Whatever runs in this context from now on belongs to the crawl."""
    _crawls.enter(crawler, crawler)


def leave(crawler: Crawler) -> None:
    """The crawl has ended."""
    _crawls.leave(crawler)


def crawler_here() -> Crawler | None:
    """Of the context; in a thread, which has none, of the only crawl there is."""
    return _crawls.current()
