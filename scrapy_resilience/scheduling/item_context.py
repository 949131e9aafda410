"""What is known of an item on its way through the pipelines and into the feeds.

A pipeline is given an item and nothing else. What it came from, what the pipelines before have
found out, and what is to happen when it is written, is in a context variable: the items of
concurrent callbacks have one each.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from scrapy.http import Response

from scrapy_resilience._scrapy.hooks import hooks_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token

    from scrapy import Request
    from scrapy.crawler import Crawler
    from typing_extensions import Self

__all__ = [
    "ItemContext",
    "Place",
    "as_item",
    "current",
    "follow_items",
    "item_failed",
    "item_id",
    "item_refused",
    "item_written",
    "when_written",
]


def _nothing() -> None:
    return None


class Place(NamedTuple):
    """Where an item comes from: its request, what of it is stored, and which one it is."""

    request: Request
    stored: Any
    """Bytes, where the request is in the store."""
    ordinal: int


class ItemContext:
    """An item on its way; ``with ItemContext(response):`` is that way.

    *response* is what it was scraped from, or the failure that an errback was given; None for
    items of ``start()``.
    """

    __slots__ = (
        "_mark", "_source", "_token", "_waiting", "again", "doubtful", "place", "response",
        "unread",
    )  # fmt: skip

    def __init__(self, response: Any = None) -> None:
        if not isinstance(response, Response):
            response = getattr(getattr(response, "value", None), "response", None)
        self.response: Response | None = response
        self.unread: tuple[str, ...] = ()
        """Fields that are not what they should be."""
        self.doubtful = False
        self.again = False
        """Whether it was written before, and comes for a sink that has refused it since."""
        self.place: Place | None = None
        """None for an item of ``start()``, and where nobody knows."""
        self._source: Callable[[], str] | None = None
        self._mark: Callable[[], None] | None = None
        self._waiting: list[tuple[Callable[[], None], Callable[[], None]]] = []
        self._token: Token[ItemContext | None] | None = None

    def __enter__(self) -> Self:
        self._token = _context.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        _context.reset(self._token)

    def follow(self, source: Callable[[], str], mark: Callable[[], None] = _nothing) -> None:
        """*source* gives the item's id; *mark* is called once, when it is written."""
        self._source, self._mark = source, mark

    @property
    def followed(self) -> bool:
        """Whether somebody says when the item is written."""
        return self._source is not None

    def ident(self) -> str | None:
        return None if self._source is None else self._source()

    def written(self) -> None:
        """Called when a feed has the item, and when its pipelines are through: once counts."""
        mark, self._mark = self._mark, None
        if mark is not None:
            mark()
        waiting, self._waiting = self._waiting, []
        for written, _ in waiting:
            written()

    def failed(self) -> None:
        """Called when a pipeline has raised: the item is not written."""
        self._mark = None
        self.refused()

    def refused(self) -> None:
        """Called when no sink will have the item, whether it comes again or not."""
        waiting, self._waiting = self._waiting, []
        for _, refused in waiting:
            refused()

    def when_written(self, written: Callable[[], None], refused: Callable[[], None]) -> None:
        if self.followed:
            self._waiting.append((written, refused))
        else:
            written()


_context: ContextVar[ItemContext | None] = ContextVar("scrapy_resilience_item", default=None)


def current() -> ItemContext:
    """The context of the item at hand; an empty one outside of a crawl."""
    return _context.get() or ItemContext()


def follow_items(crawler: Crawler) -> None:
    """Have a context for each item of this crawler; to be called when its engine is there."""
    assert crawler.engine is not None
    hooks_of(crawler.engine).item_context = ItemContext


def item_id() -> str | None:
    """The id of the item that is being processed; None outside of its pipelines.

    Call it in an item pipeline or an ``item_scraped`` handler. The id is made of the
    request's fingerprint and the item's place among the request's items, and is the same
    when the request runs again after a crash: a key for a database row or a message. An
    item of ``start()`` is known by its content.
    """
    return current().ident()


def as_item(ident: str) -> ItemContext:
    """A context in which :func:`item_id` gives *ident*, for the test of a pipeline."""
    context = ItemContext()
    context.follow(lambda: ident)
    return context


def item_written() -> None:
    """A sink of ours has taken the current item."""
    current().written()


def item_failed() -> None:
    """A pipeline has raised, and a second run of the request is to bring the item again."""
    current().failed()


def item_refused() -> None:
    """A pipeline has dropped the current item, or has raised."""
    current().refused()


def when_written(written: Callable[[], None], refused: Callable[[], None]) -> None:
    """Have one of the two called, once, when the current item is written or will not be.

    What *written* does is in the same commit as the item. Where nobody follows the item, it is
    called at once.
    """
    current().when_written(written, refused)
