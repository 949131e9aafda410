"""Whose output is whose: each item's stable id, and what a second run leaves out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from weakref import WeakKeyDictionary

from scrapy import Request
from scrapy.settings import SETTINGS_PRIORITIES, default_settings

from scrapy_resilience import _clock
from scrapy_resilience.frontier.outputs import Producer
from scrapy_resilience.frontier.store import Row
from scrapy_resilience.names import STAT_SUPPRESSED_ITEMS

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

    from scrapy_resilience.frontier.ledger import Ledger

__all__ = ["OutputTracker", "as_item", "item_failed", "item_id", "item_written"]

_SLOW: Final = 0.15
"""Seconds in its pipelines that show an item to wait rather than to compute."""
_SLOW_IN_A_ROW: Final = 5
_NO_ROW = Row(0, 0, 0, b"")


class _Item:
    """An item on its way through the pipelines."""

    __slots__ = ("_mark", "_source")

    def __init__(self, source: Callable[[], str], mark: Callable[[], None]) -> None:
        self._source = source
        self._mark: Callable[[], None] | None = mark

    def ident(self) -> str:
        return self._source()

    def written(self) -> None:
        """Called when a feed has the item, and when its pipelines are through: once counts."""
        mark, self._mark = self._mark, None
        if mark is not None:
            mark()

    def failed(self) -> None:
        """Called when a pipeline has raised: the item is not written."""
        self._mark = None


_item: ContextVar[_Item | None] = ContextVar("scrapy_resilience_item", default=None)


def item_id() -> str | None:
    """The id of the item that is being processed; None outside of its pipelines.

    Call it in an item pipeline or an ``item_scraped`` handler. The id is made of the
    request's fingerprint and the item's place among the request's items, and is the same
    when the request runs again after a crash: a key for a database row or a message. An
    item of ``start()`` is known by its content.
    """
    current = _item.get()
    return None if current is None else current.ident()


class _Named(NamedTuple):
    """An item of a test."""

    name: str

    def ident(self) -> str:
        return self.name


@contextmanager
def as_item(ident: str) -> Iterator[None]:
    """Let :func:`item_id` give *ident*, in the pipeline of a test."""
    token = _item.set(cast("_Item", _Named(ident)))
    try:
        yield
    finally:
        _item.reset(token)


def item_written() -> None:
    """A sink of ours has taken the current item."""
    current = _item.get()
    if current is not None:
        current.written()


def item_failed() -> None:
    """A pipeline has raised, and a second run of the request is to bring the item again."""
    current = _item.get()
    if current is not None:
        current.failed()


def _stock_concurrent_items(settings: BaseSettings) -> Any:
    """Scrapy's CONCURRENT_ITEMS where the add-on has set another; None where the user has."""
    ours = settings.getpriority("CONCURRENT_ITEMS") == SETTINGS_PRIORITIES["addon"]
    return default_settings.CONCURRENT_ITEMS if ours else None


class OutputTracker:
    """Sits around the output of each request and around the pipelines of each item."""

    def __init__(
        self, crawler: Crawler, ledger: Ledger, note_start: Callable[[int], None]
    ) -> None:
        self._crawler = crawler
        self._ledger = ledger
        self._note_start = note_start
        self._sources: dict[int, tuple[Request, Producer]] = {}
        self._parents: WeakKeyDictionary[Request, Producer] = WeakKeyDictionary()
        self._start_items: dict[int, list[int]] = {}
        self._slow = 0
        self._concurrent_items: Any = _stock_concurrent_items(crawler.settings)

    def parent(self, request: Request) -> Producer | None:
        """Whose callback or errback has put out *request*; None for redirects and the like."""
        return self._parents.pop(request, None)

    def expect_start_item(self, item: Any, key: int) -> None:
        """``start()`` has put out *item*: the engine processes it next."""
        self._start_items.setdefault(id(item), []).append(key)

    async def outputs(
        self,
        handle: Callable[[Any, Request, Any], Awaitable[None]],
        result: Iterable[Any] | AsyncIterator[Any],
        request: Request,
        response: Any,
    ) -> None:
        producer = self._ledger.under_way.get(request) or Producer("", _NO_ROW)
        self._sources[id(response)] = request, producer
        try:
            await handle(self._attribute(result, producer), request, response)
        finally:
            self._sources.pop(id(response), None)

    def _attribute(
        self, result: Iterable[Any] | AsyncIterator[Any], producer: Producer
    ) -> Iterable[Any] | AsyncIterator[Any]:
        if isinstance(result, AsyncIterator):
            return self._attribute_async(result, producer)
        return self._attribute_sync(result, producer)

    async def _attribute_async(
        self, result: AsyncIterator[Any], producer: Producer
    ) -> AsyncIterator[Any]:
        async for output in result:
            if isinstance(output, Request):
                self._parents[output] = producer
            yield output

    def _attribute_sync(self, result: Iterable[Any], producer: Producer) -> Iterator[Any]:
        for output in result:
            if isinstance(output, Request):
                self._parents[output] = producer
            yield output

    async def item(
        self, process: Callable[..., Awaitable[None]], item: Any, response: Any
    ) -> None:
        current = self._identify(item, response)
        if current is None:
            self._crawler.stats.inc_value(STAT_SUPPRESSED_ITEMS)
            return
        token = _item.set(current)
        started = _clock.stopwatch()
        try:
            await process(item, response=response)
            current.written()
        finally:
            _item.reset(token)
        if self._concurrent_items is not None:
            self._watch(_clock.stopwatch() - started)

    def _watch(self, seconds: float) -> None:
        """When pipelines wait for something, many items of a response may wait at once."""
        self._slow = self._slow + 1 if seconds > _SLOW else 0
        if self._slow == _SLOW_IN_A_ROW:
            self._crawler.engine.scraper.concurrent_items = self._concurrent_items
            self._concurrent_items = None

    def _identify(self, item: Any, response: Any) -> _Item | None:
        """None for an item that an earlier run has written."""
        source = self._sources.get(id(response))
        if source is None:
            return self._identify_start(item)
        request, producer = source
        ordinal, written = producer.next_item()
        if written:
            return None
        fingerprint = self._crawler.request_fingerprinter.fingerprint
        return _Item(
            lambda: f"{fingerprint(request).hex()}:{ordinal}",
            lambda: producer.item_written(ordinal),
        )

    def _identify_start(self, item: Any) -> _Item:
        keys = self._start_items.get(id(item))
        if not keys:  # an extension put it in
            return _Item(lambda: f"extra:{id(item):x}", lambda: None)
        key = keys.pop()
        if not keys:
            del self._start_items[id(item)]
        return _Item(lambda: f"start:{key & (2**64 - 1):016x}", lambda: self._note_start(key))
