"""Whose output is whose: each item's stable id, and what a second run leaves out."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from scrapy import signals
from twisted.python.failure import Failure

from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.canceller import ENDS, as_error, as_exception
from scrapy_resilience.frontier.handed_out import HandedOutRequest
from scrapy_resilience.frontier.store import Row
from scrapy_resilience.names import STAT_SUPPRESSED_ITEMS
from scrapy_resilience.scheduling.item_context import ItemContext, Place, current
from scrapy_resilience.scheduling.requests import way_to

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from scrapy import Request
    from scrapy.crawler import Crawler

    from scrapy_resilience.frontier.in_flight import InFlightRequests

__all__ = ["OutputTracker", "forget_source"]

logger = get_logger(__name__)

_NO_ROW = Row(0, 0, 0, b"")


class _Source(NamedTuple):
    """Whose output is being handled in this context, and in what is made from it."""

    tracker: OutputTracker
    request: Request
    producer: HandedOutRequest


_source: ContextVar[_Source | None] = ContextVar("scrapy_resilience_source", default=None)


def forget_source() -> None:
    """What begins in this context is nobody's output: a timer may carry one on."""
    _source.set(None)


class OutputTracker:
    """Sits around the output of each request and around the pipelines of each item."""

    def __init__(
        self, crawler: Crawler, in_flight: InFlightRequests, note_start: Callable[[int], None]
    ) -> None:
        self._crawler = crawler
        self._in_flight = in_flight
        self._note_start = note_start
        self._start_items: dict[int, list[int]] = {}
        self.open_starts = 0
        """Items of ``start()`` that are not through their pipelines."""

    def maker(self) -> HandedOutRequest | None:
        """Whose callback, errback or pipeline puts out a request right now.

        None when nobody does: a redirect, ``start()``, a signal, a timer.
        """
        source = _source.get()
        if source is None or source.tracker is not self or source.producer.finished:
            return None
        return source.producer if asyncio.current_task() is not None else None

    def is_page(self, request: Request) -> bool:
        """Whether it is the very request whose output is being handled."""
        source = _source.get()
        return source is not None and source.request is request

    def inherited(self) -> Mapping[str, Any]:
        """The meta of the request whose output this is: callbacks like to hand it on."""
        source = _source.get()
        return {} if source is None else source.request.meta

    def expect_start_item(self, item: Any, key: int) -> None:
        """``start()`` has put out *item*: the engine processes it next."""
        self._start_items.setdefault(id(item), []).append(key)
        self.open_starts += 1

    @contextmanager
    def producing(self, request: Request) -> Iterator[None]:
        """While what the callback or errback of *request* puts out is handled."""
        known = self._in_flight.under_way.get(request)
        producer = known or HandedOutRequest("", _NO_ROW)
        token = _source.set(_Source(self, request, producer))
        try:
            yield
        finally:
            _source.reset(token)
            if known is None:
                producer.finished = True

    async def item(
        self, process: Callable[..., Awaitable[None]], item: Any, response: Any
    ) -> None:
        """Give *item* to the pipelines, but for one that an earlier run has written."""
        context = current()
        from_start = id(item) in self._start_items
        if not self._identify(context, item, response):
            self._crawler.stats.inc_value(STAT_SUPPRESSED_ITEMS)
            return
        try:
            await process(item, response=response)
            context.written()
        except asyncio.CancelledError:
            if self._in_flight.frozen:
                raise
            await self._failed(as_error(), item, response)
        except (Exception, *ENDS):
            raise
        except BaseException as odd:  # noqa: BLE001 - Scrapy does not handle it
            await self._failed(as_exception(odd), item, response)
        finally:
            self.open_starts -= from_start

    async def _failed(self, error: Exception, item: Any, response: Any) -> None:
        """What Scrapy does about an exception of a pipeline."""
        logger.error("An item has failed in its pipelines (%s): %s", error, item)
        await self._crawler.signals.send_catch_log_async(
            signals.item_error,
            item=item,
            response=response,
            spider=self._crawler.spider,
            failure=Failure(error),  # type: ignore[no-untyped-call]
        )

    def _identify(self, context: ItemContext, item: Any, response: Any) -> bool:
        """False for an item that an earlier run has written."""
        source = _source.get()
        if response is None or source is None or source.tracker is not self:
            self._identify_start(context, item)
            return True
        _, request, producer = source
        ordinal, written = producer.next_item()
        context.place = Place(request, producer.row.data, ordinal)
        context.again = producer.only is not None
        fingerprint = self._crawler.request_fingerprinter.fingerprint
        context.follow(
            lambda: f"{fingerprint(request).hex()}{way_to(request)}:{ordinal}",
            lambda: producer.item_written(ordinal),
        )
        return not written

    def _identify_start(self, context: ItemContext, item: Any) -> None:
        keys = self._start_items.get(id(item))
        if not keys:  # an extension put it in
            context.follow(lambda: f"extra:{id(item):x}")
            return
        key = keys.pop()
        if not keys:
            del self._start_items[id(item)]
        context.follow(lambda: f"start:{key & (2**64 - 1):016x}", lambda: self._note_start(key))
