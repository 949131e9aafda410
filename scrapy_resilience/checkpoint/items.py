"""Whose output is whose: each item's stable id, and what a second run leaves out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from scrapy import signals
from twisted.python.failure import Failure

from scrapy_resilience._log import get_logger
from scrapy_resilience.checkpoint.cancellation import Cancellations
from scrapy_resilience.exceptions import WorkCancelledError
from scrapy_resilience.frontier.outputs import Producer
from scrapy_resilience.frontier.store import Row
from scrapy_resilience.names import STAT_SUPPRESSED_ITEMS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping

    from scrapy import Request
    from scrapy.crawler import Crawler

    from scrapy_resilience.frontier.ledger import Ledger

__all__ = [
    "OutputTracker",
    "as_item",
    "forget_source",
    "item_failed",
    "item_id",
    "item_refused",
    "item_written",
    "when_written",
]

logger = get_logger(__name__)

_Ends = tuple[Callable[[], None], Callable[[], None]]
_NO_ROW = Row(0, 0, 0, b"")


class _Item:
    """An item on its way through the pipelines."""

    __slots__ = ("_mark", "_source", "_waiting")

    def __init__(self, source: Callable[[], str], mark: Callable[[], None]) -> None:
        self._source = source
        self._mark: Callable[[], None] | None = mark
        self._waiting: list[_Ends] = []

    def ident(self) -> str:
        return self._source()

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

    def tell(self, ends: _Ends) -> None:
        self._waiting.append(ends)


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


def item_refused() -> None:
    """A pipeline has dropped the current item, or has raised."""
    current = _item.get()
    if current is not None:
        current.refused()


def when_written(written: Callable[[], None], refused: Callable[[], None]) -> None:
    """Have one of the two called, once, when the current item is written or will not be.

    What *written* does is in the same commit as the item. Where nobody follows the item, it is
    called at once.
    """
    current = _item.get()
    if current is None:
        written()
    else:
        current.tell((written, refused))


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
        try:
            await process(item, response=response)
            current.written()
        except asyncio.CancelledError as cancelled:
            await self._failed(self.cancellations.instead(cancelled), item, response)
        finally:
            _item.reset(token)

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
