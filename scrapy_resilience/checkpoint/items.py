"""Whose output is whose: each item's stable id, and what a second run leaves out."""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy import signals
from scrapy.settings import SETTINGS_PRIORITIES, default_settings
from twisted.python.failure import Failure

from scrapy_resilience import _clock
from scrapy_resilience.checkpoint.cancellation import Cancellations
from scrapy_resilience.exceptions import WorkCancelledError
from scrapy_resilience.frontier.outputs import Producer
from scrapy_resilience.frontier.store import Row
from scrapy_resilience.names import STAT_SUPPRESSED_ITEMS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

    from scrapy_resilience.frontier.ledger import Ledger

__all__ = ["OutputTracker", "forget_source", "item_failed", "item_id", "item_written"]

logger = logging.getLogger(__name__)

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


class _Source(NamedTuple):
    """Whose output is being handled in this context, and in what is made from it."""

    tracker: OutputTracker
    request: Request
    producer: Producer


_source: ContextVar[_Source | None] = ContextVar("scrapy_resilience_source", default=None)


def forget_source() -> None:
    """What begins in this context is nobody's output: a timer may carry one on."""
    _source.set(None)


def item_id() -> str | None:
    """The id of the item that is being processed; None outside of its pipelines.

    Call it in an item pipeline or an ``item_scraped`` handler. The id is made of the
    request's fingerprint and the item's place among the request's items, and is the same
    when the request runs again after a crash: a key for a database row or a message. An
    item of ``start()`` is known by its content.
    """
    current = _item.get()
    return None if current is None else current.ident()


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
        self.cancellations = Cancellations(lambda: ledger.frozen)
        self._note_start = note_start
        self._start_items: dict[int, list[int]] = {}
        self._slow = 0
        self._concurrent_items: Any = _stock_concurrent_items(crawler.settings)

    def maker(self) -> Producer | None:
        """Whose callback, errback or pipeline puts out a request right now.

        None when nobody does: a redirect, ``start()``, a signal, a timer.
        """
        source = _source.get()
        if source is None or source.tracker is not self or source.producer.finished:
            return None
        return source.producer if asyncio.current_task() is not None else None

    def inherited(self) -> Mapping[str, Any]:
        """The meta of the request whose output this is: callbacks like to hand it on."""
        source = _source.get()
        return {} if source is None else source.request.meta

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
        """Handle what a callback or errback has put out."""
        known = self._ledger.under_way.get(request)
        producer = known or Producer("", _NO_ROW)
        token = _source.set(_Source(self, request, producer))
        try:
            await handle(self.cancellations.outputs(result), request, response)
        finally:
            _source.reset(token)
            if known is None:
                producer.finished = True

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
        except asyncio.CancelledError as cancelled:
            await self._failed(self.cancellations.instead(cancelled), item, response)
        finally:
            _item.reset(token)
        if self._concurrent_items is not None:
            self._watch(_clock.stopwatch() - started)

    async def _failed(self, error: BaseException, item: Any, response: Any) -> None:
        """What Scrapy does about an exception of a pipeline."""
        if not isinstance(error, WorkCancelledError):
            raise error
        logger.error("An item was cancelled in its pipelines: %s", item)
        await self._crawler.signals.send_catch_log_async(
            signals.item_error,
            item=item,
            response=response,
            spider=self._crawler.spider,
            failure=Failure(error),  # type: ignore[no-untyped-call]
        )

    def _watch(self, seconds: float) -> None:
        """When pipelines wait for something, many items of a response may wait at once."""
        self._slow = self._slow + 1 if seconds > _SLOW else 0
        if self._slow == _SLOW_IN_A_ROW:
            self._crawler.engine.scraper.concurrent_items = self._concurrent_items
            self._concurrent_items = None

    def _identify(self, item: Any, response: Any) -> _Item | None:
        """None for an item that an earlier run has written."""
        source = _source.get()
        if response is None or source is None or source.tracker is not self:
            return self._identify_start(item)
        _, request, producer = source
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
