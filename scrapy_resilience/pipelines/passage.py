"""What pipelines and feed filters know of the item that passes through them.

A pipeline is given an item and nothing else. What it came from, and what the pipelines before
have found out, is in a context variable: the items of concurrent callbacks have one each.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from scrapy.http import Response

from scrapy_resilience._scrapy import wrap_items

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy.crawler import Crawler

__all__ = ["Passage", "current", "follow_items", "passing"]


class Passage:
    """An item on its way.

    *response* is what it was scraped from, None for items of ``start()``.
    """

    __slots__ = ("doubtful", "response", "unread")

    def __init__(self, response: Response | None = None) -> None:
        self.response = response
        self.unread: tuple[str, ...] = ()
        """Fields that are not what they should be."""
        self.doubtful = False


_passage: ContextVar[Passage | None] = ContextVar("scrapy_resilience_passage", default=None)


def current() -> Passage:
    """The passage of the item at hand; an empty one outside of a crawl."""
    return _passage.get() or Passage()


@contextmanager
def passing(response: Any) -> Iterator[Passage]:
    """While the context lasts, an item of *response*, or of the failure of one, passes."""
    if not isinstance(response, Response):  # a Failure that an errback was given
        response = getattr(getattr(response, "value", None), "response", None)
    passage = Passage(response)
    token = _passage.set(passage)
    try:
        yield passage
    finally:
        _passage.reset(token)


def follow_items(crawler: Crawler) -> None:
    """Have a passage for each item of this crawler; to be called in ``open_spider()``."""
    assert crawler.engine is not None
    wrap_items(crawler.engine, passing)
