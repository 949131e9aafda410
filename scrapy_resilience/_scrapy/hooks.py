"""The methods of Scrapy's engine and scraper that are replaced: each once, for all who ask.

Scrapy has no signal or middleware for what these see: the output of errbacks, the items of
``start()``, what a middleware puts in the place of a request, a download that no scheduler
handed out.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pydispatch import dispatcher
from scrapy import Request, signals
from scrapy.exceptions import DownloadCancelledError
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK
from scrapy.utils.defer import maybe_deferred_to_future
from twisted.python.failure import Failure

from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.canceller import Canceller
from scrapy_resilience._scrapy.contexts import NOTHING, both
from scrapy_resilience._scrapy.engine import is_starting
from scrapy_resilience._scrapy.private_names import REPLACED, check_engine, find
from scrapy_resilience.names import CUT_OFF

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from contextlib import AbstractContextManager

    from scrapy.core.engine import ExecutionEngine

    from scrapy_resilience._scrapy.contexts import Context
    from scrapy_resilience._scrapy.hook_types import Handling, Method, Tracker, UserWork
from scrapy_resilience._scrapy.in_turn import handle_in_turn

__all__ = ["Hooks", "hooks_of"]

logger = get_logger(__name__)

_ATTRIBUTE: Final = "_scrapy_resilience_hooks"
_TURNS: Final = 3
"""Turns of the loop in which the engine, told that a download has ended, asks for more."""


def hooks_of(engine: ExecutionEngine) -> Hooks:
    """The hooks of *engine*. Raises :exc:`ConfigurationError` where it is not as we expect."""
    found: Hooks | None = vars(engine).get(_ATTRIBUTE)
    if found is None:
        check_engine(engine)
        found = vars(engine)[_ATTRIBUTE] = Hooks(engine)
    return found


class Hooks:
    """What the parts of the add-on do around the work of an engine.

    They fill in the attributes; where one is empty, Scrapy's own method runs. A method here
    that has the name of one of Scrapy's stands in its place, and is given it first.
    """

    instead: Callable[[Request], Request] | None = None
    """Gives or raises what a download comes to that is cut off. No errback sees a request
    that goes back to the engine: it is scheduled again."""
    handling: Handling | None = None
    """``handling(work, request)`` runs what a download handler does for a request."""
    refused: Callable[[], None] | None = None
    """Called when a handler of ``request_scheduled`` keeps a request from arriving."""
    replacing: Callable[[Request, Request], AbstractContextManager[None]] | None = None
    """``replacing(new, old)`` while *new* is scheduled, which a middleware has returned
    for *old*: a redirect, a retry, what ``process_request`` puts in its place."""
    is_scheduled: Callable[[Request], bool] | None = None
    identify: Callable[[Request], object] | None = None
    """Called with each request before it is downloaded."""
    put_out: Callable[[Request, Request], object] | None = None
    """Called with a request that a callback or errback has put out, and with its own."""
    context: Context | None = None
    """``context(request, component)`` while something is done for a request, by a
    ``"download"`` (with its middlewares), a ``"callback"``, an ``"errback"`` or, for what
    they put out, a ``"pipeline"``."""
    answered: Callable[[Request, Response], object] | None = None
    """Called with each response as it comes from the downloader, at a quarter of what a
    receiver of ``response_received`` costs."""
    bypassing_failed: Callable[[Request, BaseException], None] | None = None
    """Called with a request that failed and of which ``is_scheduled`` is false."""
    bypasses_begin: Callable[[], Callable[[], object]] | None = None
    """Called when the download of such a request begins, by whoever waits for it, and what it
    returns when that has ended."""
    bypassed: Callable[[Request, BaseException | None], None] | None = None
    """Called when the download of such a request has ended, and with what it failed."""
    download_failed: Callable[[Request, BaseException], None] | None = None
    """Called with a request whose download failed."""
    sending: Callable[[Request], None] | None = None
    """Called with each request that leaves for the network, before it does. What it raises is
    what the download comes to."""
    try_failed: Callable[[Request, Exception], object] | None = None
    """Called with a request that the downloader has sent in vain, each time."""
    settled: Callable[[Any, Request], bool] | None = None
    """Asked of what a request has come to: the spider sees nothing of it where it says so."""
    room: Callable[[], Awaitable[bool]] | None = None
    """Awaited before each output of a callback, which is let fall where it says no."""
    linked: Callable[[Request], object] | None = None
    """Called with the request of a callback that puts out another one, each time."""
    left_out: Callable[[Any, Response], bool] | None = None
    """Asked of each item of a callback: no pipeline sees it where it says so."""
    shutting_down: Callable[[], None] | None = None
    """Called when the crawl is told to stop, by a signal or ``stop_async()``, and when a guard
    closes it: Scrapy sends no signal of its own then, and another close may be under way."""
    tracker: Tracker | None = None
    item_left: Callable[[bool], None] | None = None
    """Called with whether the event loop turned while an item was in its pipelines."""
    take: Callable[[Any], None] | None = None
    """Called with an item that is through all pipelines, before it counts as scraped. What
    it raises is what a last pipeline would have raised."""

    def __init__(self, engine: ExecutionEngine) -> None:
        self._engine = engine
        self._scraper: Any = engine.scraper
        self.canceller = Canceller()
        """Runs downloads, callbacks, errbacks and pipelines."""
        self.ended: list[Callable[[Request, bool], None]] = []
        """Each is called with a request that is through, with callback and items, and whether
        it came to the spider with a response."""
        self.sent: list[Callable[[Request], object]] = []
        """Each is called with a request that leaves for the network. As with the next two, a
        receiver of Scrapy's signal would cost ten times as much."""
        self.downloaded: list[Callable[[Request, Response], object]] = []
        """Each is called with what has come from the network, as ``response_downloaded``."""
        self.scraped: list[Callable[[Any], object]] = []
        """Each is called with an item that is through all pipelines, as ``item_scraped``."""
        self.arriving: set[Request] = set()
        """Requests on their way to the scheduler, which takes them out."""
        self.item_context: Callable[[Any], AbstractContextManager[Any]] = nullcontext
        """``item_context(response)`` while an item is in its pipelines."""
        self.user_work: UserWork = lambda *_: nullcontext()
        """``user_work(kind, request)`` while code of the user is waited for, once or again and
        again: a ``"callback"``, an ``"errback"``, or the ``"pipeline"`` of an item."""
        self._replace()

    def surround(self, context: Context) -> None:
        """Enter *context*, too, where :attr:`context` is entered: within those before it.

        It gives :data:`NOTHING` where it has nothing to do, as it is asked four times a page.
        """
        outer = self.context
        self.context = context if outer is None else partial(both, outer, context)

    def _replace(self) -> None:
        for path, names in REPLACED.items():
            owner = find(self._engine, path)
            for name in names:
                method = getattr(owner, name, None)
                vars(owner)[name] = partial(getattr(self, name), method)
        self._has_async = self._scraper._itemproc_has_async["process_item"]
        self._scraper._itemproc_has_async["process_item"] = True

    # --- engine ---

    def _schedule_request(self, schedule: Method, request: Request) -> None:
        if self.refused is None:
            schedule(request)
            return
        self.arriving.add(request)
        schedule(request)
        if request in self.arriving:
            self.arriving.discard(request)
            self.refused()

    def _handle_downloader_output(self, handle: Method, result: Any, request: Request) -> Any:
        if self.replacing is None or not isinstance(result, Request):
            return handle(result, request)
        with self.replacing(result, request):  # it is scheduled in this very step
            return handle(result, request)

    def _download(self, download: Method, request: Request) -> Any:
        bypasses = self._bypasses(request)
        if self.identify is not None:
            self.identify(request)
        with NOTHING if self.context is None else self.context(request, "download"):
            answer = download(request)  # goes on in this context
        if self.answered is not None:
            answer.addCallback(self._tell_answer, self.answered, request)
        if self.bypasses_begin is not None and (bypasses or self._is_awaited()):
            answer.addBoth(self._bypass_ended, self.bypasses_begin())
        return answer.addBoth(self._bypassed, request) if bypasses else answer

    def _tell_answer(
        self, result: Any, tell: Callable[[Request, Response], object], request: Request
    ) -> Any:
        if isinstance(result, Response):
            tell(request, result)
        return result

    def _bypasses(self, request: Request) -> bool:
        """Whether somebody else than a callback waits for it, as for an image."""
        if self.is_scheduled is None:  # another scheduler does not say
            return request.callback is NO_CALLBACK
        return not self.is_scheduled(request)

    def _is_awaited(self) -> bool:
        """Whether a coroutine downloads it with another scheduler: the engine is in no task."""
        return self.is_scheduled is None and asyncio.current_task() is not None

    def _bypass_ended(self, result: Any, ended: Callable[[], object]) -> Any:
        ended()
        return result

    def _bypassed(self, result: Any, request: Request) -> Any:
        error = result.value if isinstance(result, Failure) else None
        if error is not None and self.bypassing_failed is not None:
            self.bypassing_failed(request, error)
        if self.bypassed is not None and not isinstance(result, Request):
            self.bypassed(request, error)
        return result

    async def close_spider_async(self, close: Method, *, reason: str = "cancelled") -> None:
        if reason in CUT_OFF and self.shutting_down is not None:
            self.shutting_down()
        await close(reason=reason)

    # --- downloads ---

    async def download_async(
        self, download: Method, download_func: Any, request: Request
    ) -> Any:
        work = download(download_func, request)
        if self.instead is None:
            return await self.canceller.within(work, DownloadCancelledError)
        instead = partial(self.instead, request)
        return await self.canceller.run(work, instead, DownloadCancelledError)

    async def download_request_async(self, download: Method, request: Request) -> Any:
        if self.sending is not None:
            self.sending(request)
        _tell(self.sent, request)
        handled = download(request)
        if self.handling is not None:
            handled = self.handling(handled, request)
        work = self.canceller.within(handled, DownloadCancelledError)
        try:
            response = await work
        except DownloadCancelledError:
            raise
        except Exception as error:
            if self.try_failed is not None:
                self.try_failed(request, error)
            raise
        _tell(self.downloaded, request, response)
        return response

    # --- callbacks and errbacks ---

    async def _scrape(self, scrape: Method, result: Any, request: Request) -> None:
        if self.settled is None or not self.settled(result, request):
            await self._scrape_page(scrape, result, request)
        _tell(self.ended, request, not isinstance(result, Failure))

    async def _scrape_page(self, scrape: Method, result: Any, request: Request) -> None:
        if self.download_failed is not None and isinstance(result, Failure) and result.value:
            self.download_failed(request, result.value)
        if self.context is None:
            await self.canceller.quietly(scrape(result, request))
        else:
            with self.context(request, _kind(result)):
                await self.canceller.quietly(scrape(result, request))

    async def scrape_response_async(self, scrape: Method, call: Method, *args: Any) -> Any:
        return await self.canceller.within(scrape(partial(self._call_page, call), *args))

    async def _call_page(self, call: Method, result: Any, request: Request) -> Any:
        """The callback of a response, or its errback, where a middleware has refused it."""
        if self.context is None or not isinstance(result, Failure):
            return await call(result, request)
        with self.context(request, "errback"):
            return await call(result, request)

    async def call_spider_async(self, call: Method, result: Any, request: Request) -> Any:
        with self.user_work(_kind(result), request):
            return await self.canceller.within(call(result, request))

    async def handle_spider_output_async(
        self,
        handle: Method,
        result: Any,
        request: Request,
        response: Any,
    ) -> None:
        waiting = self.user_work(_kind(response), request)
        outputs = self.canceller.outputs(result, waiting)
        if self.tracker is None:
            await handle(outputs, request, response)
            return
        if is_starting(self._engine):
            await self._let_start_go_first()
        with self.tracker.producing(request):
            if self._scraper.concurrent_items == 1:
                await handle_in_turn(self._scraper, handle, outputs, request, response)
            else:
                await handle(outputs, request, response)

    async def _let_start_go_first(self) -> None:
        """Let the engine find the scheduler empty, as it does in stock, before outputs fill it.

        A ``start()`` that waits for ``scheduler_empty`` puts out its next request then.
        """
        if dispatcher.getReceivers(self._engine.crawler, signals.scheduler_empty):
            for _ in range(_TURNS):
                await asyncio.sleep(0)

    async def _process_spidermw_output_async(
        self, process: Method, output: Any, response: Any
    ) -> None:
        if self.room is not None and not await self.room():
            return
        if isinstance(output, Request):
            if self.put_out is not None:
                self.put_out(output, response.request)
            if self.linked is not None:
                self.linked(response.request)
        try:
            await process(output, response)
        except Exception:  # noqa: BLE001 - Scrapy loses it, and maybe its worker
            failure = Failure()  # type: ignore[no-untyped-call]
            self._scraper.handle_spider_error(failure, response.request, response)

    # --- items ---

    async def start_itemproc_async(self, process: Method, item: Any, *, response: Any) -> None:
        request = getattr(response, "request", None)
        if self.left_out is not None and isinstance(response, Response):
            process = _let_fall if self.left_out(item, response) else process
        with (
            NOTHING
            if self.context is None or request is None
            else self.context(request, "pipeline"),
            self.item_context(response),
        ):
            if self.tracker is None:
                work = process(item, response=response)
            else:
                work = self.tracker.item(process, item, response)
            with self.user_work("pipeline", request):
                await self.canceller.quietly(work)

    async def process_item_async(self, process: Method | None, item: Any) -> Any:
        if self.item_left is None:
            output = await self._process_item(process, item)
        else:
            output = await self._watch_item(self.item_left, process, item)
        if self.take is not None:
            self.take(output)
        _tell(self.scraped, output)
        return output

    async def _process_item(self, process: Method | None, item: Any) -> Any:
        if self._has_async and process is not None:
            return await process(item)
        scraper = self._scraper
        return await maybe_deferred_to_future(
            scraper.itemproc.process_item(item, scraper.crawler.spider)
        )

    async def _watch_item(
        self,
        item_left: Callable[[bool], None],
        process: Method | None,
        item: Any,
    ) -> Any:
        turned: list[bool] = []
        turn = asyncio.get_running_loop().call_soon(turned.append, True)  # noqa: FBT003
        try:
            return await self._process_item(process, item)
        finally:
            turn.cancel()
            item_left(bool(turned))


def _tell(told: Iterable[Callable[..., object]], *what: Any) -> None:
    """As Scrapy sends a signal: who fails stops nobody."""
    for each in told:
        try:
            each(*what)
        except Exception:  # noqa: PERF203 - each on its own
            logger.exception("What goes and comes can't be told to %s", each)


async def _let_fall(item: Any, *, response: Any) -> None:
    """In the place of the pipelines; the item has its place among those of its page."""


def _kind(result: Any) -> str:
    return "errback" if isinstance(result, Failure) else "callback"
