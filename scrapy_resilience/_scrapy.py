"""Scrapy's private names, all of them, and the hooks that need them.

Checked on Scrapy 2.19. :func:`check_engine` runs when a spider opens and says plainly
what is missing, so that a new Scrapy fails at the start and not at a kill.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from inspect import isawaitable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NoReturn

import scrapy
from pydispatch import dispatcher
from scrapy import Request, signals
from scrapy.commands import ScrapyCommand
from scrapy.crawler import CrawlerRunnerBase
from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.exceptions import CloseSpider
from scrapy.extensions.feedexport import FeedExporter
from scrapy.http import Response
from scrapy.pipelines.media import MediaPipeline
from scrapy.utils.asyncgen import as_async_generator
from scrapy.utils.asyncio import is_asyncio_available
from scrapy.utils.defer import (
    aiter_errback,
    ensure_awaitable,
    iter_errback,
    maybe_deferred_to_future,
)
from twisted.internet.base import ReactorBase
from twisted.python.failure import Failure

from scrapy_resilience._log import get_logger
from scrapy_resilience.exceptions import CheckpointError, ConfigurationError, ResilienceError
from scrapy_resilience.names import EXIT_FAILURE

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import FrameType

    from scrapy.core.engine import ExecutionEngine
    from scrapy.core.scheduler import BaseScheduler
    from scrapy.core.scraper import Scraper
    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience.checkpoint.cutter import Cutter

__all__ = [
    "Refusing",
    "after_pipelines",
    "apply_settings",
    "arguments_of",
    "being_scraped",
    "check_engine",
    "check_feed_exporter",
    "close_spider",
    "exit_with_failure",
    "fail_quietly",
    "forget_failed_robots",
    "forget_queued",
    "go_on_closing",
    "is_closing",
    "is_idle",
    "is_starting",
    "leave_unopened",
    "make_cuttable",
    "on_shutdown",
    "owns_job",
    "running_command",
    "set_exit_code",
    "stops_scrapy",
    "stops_twisted",
    "take_back",
    "under_way",
    "wake",
    "watch_bypassing",
    "watch_failures",
    "watch_handlers",
    "watch_media",
    "watch_pipelines",
    "watch_refusals",
    "watch_replacements",
    "watch_scheduler",
    "wrap_items",
    "wrap_scraper",
    "wrap_work",
]

logger = get_logger(__name__)

_BREATH: Final = 100
_TURNS: Final = 3
"""Turns of the loop in which the engine, told that a download has ended, asks for more."""
_POLL: Final = 0.005
_LOOKING: Final = {
    f"scrapy.commands.{name}" for name in ("bench", "check", "fetch", "parse", "shell", "view")
}
"""Modules of the commands that make a crawler and are not to run a job."""


def check_engine(engine: ExecutionEngine) -> None:
    """Raises :exc:`ConfigurationError` when this Scrapy is not built as we expect."""
    slot = getattr(engine, "_slot", None)
    places = {
        "engine._slot.inprogress": getattr(slot, "inprogress", None),
        "engine._slot.nextcall.schedule": getattr(
            getattr(slot, "nextcall", None), "schedule", None
        ),
        "engine.downloader.active": getattr(engine.downloader, "active", None),
        "engine.downloader.get_slot_key": getattr(engine.downloader, "get_slot_key", None),
        "engine.scraper.start_itemproc_async": getattr(
            engine.scraper, "start_itemproc_async", None
        ),
        "engine.scraper._process_spidermw_output_async": getattr(
            engine.scraper, "_process_spidermw_output_async", None
        ),
        "engine.scraper.handle_spider_output_async": getattr(
            engine.scraper, "handle_spider_output_async", None
        ),
        "engine.scraper._itemproc_has_async": getattr(
            engine.scraper, "_itemproc_has_async", None
        ),
        "engine.scraper._scrape": getattr(engine.scraper, "_scrape", None),
        "engine.scraper._check_if_closing": getattr(engine.scraper, "_check_if_closing", None),
        "engine.downloader.middleware.download_async": getattr(
            engine.downloader.middleware, "download_async", None
        ),
        "engine.scraper.call_spider_async": getattr(engine.scraper, "call_spider_async", None),
        "engine.scraper.spidermw.scrape_response_async": getattr(
            getattr(engine.scraper, "spidermw", None), "scrape_response_async", None
        ),
        "engine.downloader.handlers.download_request_async": getattr(
            getattr(engine.downloader, "handlers", None), "download_request_async", None
        ),
        "engine.close_spider_async": getattr(engine, "close_spider_async", None),
        "engine._download": getattr(engine, "_download", None),
        "engine._schedule_request": getattr(engine, "_schedule_request", None),
        "engine._handle_downloader_output": getattr(engine, "_handle_downloader_output", None),
    }
    missing = [name for name, found in places.items() if found is None]
    if missing:
        raise ConfigurationError(
            f"Scrapy {scrapy.__version__} has no {', '.join(missing)}: this version of "
            "scrapy_resilience needs it. Upgrade scrapy_resilience, or use Scrapy 2.19."
        )
    if not is_asyncio_available():
        raise ConfigurationError(
            "scrapy_resilience needs asyncio: leave TWISTED_REACTOR at Scrapy's default."
        )


def apply_settings(crawler: Crawler) -> None:
    """Make a crawler ready for its components, without a crawl."""
    crawler._apply_settings()


def check_feed_exporter(cls: type[FeedExporter]) -> None:
    """Raises :exc:`ConfigurationError` when *cls* overrides what this Scrapy does not have."""
    needed = (
        "_start_new_batch",
        "_close_slot",
        "_get_uri_params",
        "_get_storage",
        "_storage_supported",
        "_exporter_supported",
        "_settings_are_valid",
    )
    missing = [name for name in needed if not hasattr(FeedExporter, name)]
    if missing:
        raise ConfigurationError(
            f"Scrapy {scrapy.__version__} has no FeedExporter.{', '.join(missing)}, which "
            f"{cls.__name__} overrides. Upgrade scrapy_resilience, or set "
            "RESILIENCE_FEEDS_ENABLED=False."
        )


def under_way(engine: ExecutionEngine) -> set[Request]:
    """The requests that are being downloaded or whose callbacks and items are not through.

    A callback that awaits ``download_async(response.request)`` takes its own running
    request out of ``inprogress``: the scraper still knows it.
    """
    found = being_scraped(engine)
    if engine._slot is not None:
        found |= engine._slot.inprogress
    return found


def is_starting(engine: ExecutionEngine) -> bool:
    """Whether ``start()`` may have more to put out."""
    return engine._start is not None


def close_spider(crawler: Crawler, reason: str) -> None:
    """Begin to close the spider; does not wait for it."""
    closing = asyncio.ensure_future(crawler.engine.close_spider_async(reason=reason))
    closing.add_done_callback(_log_failed_close)


def leave_unopened(engine: ExecutionEngine, reason: str) -> NoReturn:
    """Close the spider from ``scheduler.open`` before its pipelines are opened.

    Scrapy closes them all the same, and logs that it can't.
    """

    async def nothing_to_close() -> None:
        pass

    engine.scraper.close_spider_async = nothing_to_close  # type: ignore[method-assign]
    raise CloseSpider(reason)


def _log_failed_close(closing: asyncio.Future[None]) -> None:
    if not closing.cancelled() and (error := closing.exception()) is not None:
        logger.error("The spider can't be closed", exc_info=error)


def being_scraped(engine: ExecutionEngine) -> set[Request]:
    """The requests whose callbacks and items are not through."""
    scraping = engine.scraper.slot
    if scraping is None:
        return set()
    return scraping.active.union(request for _, request, _ in scraping.queue)


def is_idle(engine: ExecutionEngine) -> bool:
    """Whether no callback, errback or pipeline is under way."""
    return engine.scraper.slot is None or engine.scraper.slot.is_idle()


def is_closing(engine: ExecutionEngine) -> bool:
    """Whether the spider is being closed, or is closed."""
    return engine._slot is None or engine._slot.closing is not None


def wake(engine: ExecutionEngine) -> None:
    """Make the engine ask the scheduler for requests in the next turn of the loop."""
    if engine._slot is not None:
        engine._slot.nextcall.schedule()


HandleOutput = Callable[[Any, Request, Any], Awaitable[None]]
HandleItem = Callable[..., Awaitable[None]]


async def _handle_in_turn(  # noqa: PLR0917 - partial
    scraper: Scraper,
    handle: HandleOutput,
    process: Callable[[Any, Any], Awaitable[None]],
    result: Any,
    request: Request,
    response: Any,
) -> None:
    """What the scraper does with CONCURRENT_ITEMS=1, without its queue and its two tasks.

    The rest goes to *handle* when the number grows meanwhile.
    """
    count = 0
    if isinstance(result, AsyncIterator):
        outputs = aiter_errback(result, scraper.handle_spider_error, request, response)
    else:
        found = iter_errback(result, scraper.handle_spider_error, request, response)
        outputs = as_async_generator(found)
    async for output in outputs:
        try:
            await process(output, response)
        except Exception:  # noqa: BLE001 - as for many at a time, below
            _output_failed(scraper, response)
        if scraper.concurrent_items != 1:
            await handle(outputs, request, response)
            return
        count += 1
        if count % _BREATH == 0:  # requests alone would not let the loop turn
            await asyncio.sleep(0)


def _output_failed(scraper: Scraper, response: Any) -> None:
    failure = Failure()  # type: ignore[no-untyped-call]
    scraper.handle_spider_error(failure, response.request, response)


async def _let_start_go_first(engine: ExecutionEngine) -> None:
    """Let the engine find the scheduler empty, as it does in stock, before outputs fill it.

    A ``start()`` that waits for the signal ``scheduler_empty`` puts out its next request then.
    """
    if dispatcher.getReceivers(engine.crawler, signals.scheduler_empty):
        for _ in range(_TURNS):
            await asyncio.sleep(0)


def wrap_scraper(
    engine: ExecutionEngine,
    outputs: Callable[[HandleOutput, Any, Request, Any], Awaitable[None]],
    item: Callable[[HandleItem, Any, Any], Awaitable[None]],
) -> None:
    """Put functions around all outputs of one response, and around one item's pipelines.

    No middleware sees the output of errbacks and the items of ``start()``; these two
    methods of the scraper are the only ways through which everything goes.
    """
    scraper = engine.scraper
    handle, process = scraper.handle_spider_output_async, scraper.start_itemproc_async
    process_output = scraper._process_spidermw_output_async
    in_turn = partial(_handle_in_turn, scraper, handle, process_output)

    async def handle_spider_output_async(result: Any, request: Request, response: Any) -> None:
        if is_starting(engine):
            await _let_start_go_first(engine)
        how = in_turn if scraper.concurrent_items == 1 else handle
        await outputs(how, result, request, response)

    async def start_itemproc_async(output: Any, *, response: Any) -> None:
        await item(process, output, response)

    async def _process_spidermw_output_async(output: Any, response: Any) -> None:
        try:
            await process_output(output, response)
        except Exception:  # noqa: BLE001 - Scrapy loses it, and maybe its worker
            _output_failed(scraper, response)

    vars(scraper)["handle_spider_output_async"] = handle_spider_output_async
    vars(scraper)["start_itemproc_async"] = start_itemproc_async
    vars(scraper)["_process_spidermw_output_async"] = _process_spidermw_output_async


Method = Callable[..., Awaitable[Any]]


def wrap_work(
    engine: ExecutionEngine,
    download: Callable[[Method], Method],
    callback: Callable[[Method], Method],
) -> None:
    """Run downloads within *download*, callbacks and spider middlewares within *callback*."""
    for owner, name, within in (
        (engine.downloader.handlers, "download_request_async", download),
        (engine.downloader.middleware, "download_async", download),
        (engine.scraper, "call_spider_async", callback),
        (engine.scraper.spidermw, "scrape_response_async", callback),
    ):
        vars(owner)[name] = within(getattr(owner, name))


def wrap_items(
    engine: ExecutionEngine, around: Callable[[Any], AbstractContextManager[Any]]
) -> None:
    """Run the pipelines of each item in the context that *around* makes of its response.

    Pipelines are told of no response; this is the only place that has both. Done once for
    an engine, whoever asks.
    """
    scraper = engine.scraper
    process = scraper.start_itemproc_async
    if getattr(process, "around", None) is around:
        return

    async def start_itemproc_async(output: Any, *, response: Any) -> None:
        with around(response):
            await process(output, response=response)

    vars(start_itemproc_async)["around"] = around
    vars(scraper)["start_itemproc_async"] = start_itemproc_async


def watch_pipelines(
    engine: ExecutionEngine, item_left: Callable[[bool], None]
) -> Callable[[], None]:
    """Call *item_left* with whether the event loop turned while an item was in its pipelines.

    Until what is returned is called.
    """
    itemproc = engine.scraper.itemproc
    process = itemproc.process_item_async
    call_soon = asyncio.get_running_loop().call_soon
    watching = SimpleNamespace(on=True)

    async def process_item_async(item: Any) -> Any:
        if not watching.on:
            return await process(item)
        turned: list[bool] = []
        turn = call_soon(turned.append, True)  # noqa: FBT003
        try:
            return await process(item)
        finally:
            turn.cancel()
            item_left(bool(turned))

    vars(itemproc)["process_item_async"] = process_item_async
    return partial(setattr, watching, "on", False)  # noqa: FBT003


def after_pipelines(engine: ExecutionEngine, take: Callable[[Any], None]) -> None:
    """Call *take* with each item that is through all pipelines, before it counts as scraped.

    What it raises is what a last pipeline would have raised: Scrapy logs it and sends
    ``item_error``.
    """
    scraper: Any = engine.scraper
    pipelines = scraper.itemproc
    modern = scraper._itemproc_has_async["process_item"]
    process = pipelines.process_item_async if modern else pipelines.process_item

    async def process_item_async(item: Any) -> Any:
        if modern:
            output = await process(item)
        else:
            output = await maybe_deferred_to_future(process(item, scraper.crawler.spider))
        take(output)
        return output

    vars(pipelines)["process_item_async"] = process_item_async
    scraper._itemproc_has_async["process_item"] = True


# --- watching ---------------------------------------------------------------------


def watch_scheduler(scheduler: BaseScheduler, failed: Callable[[Exception], None]) -> None:
    """Call *failed* with what the scheduler raises to the engine, which only logs it."""

    def watched(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            try:
                return method(*args)
            except Exception as error:
                failed(error)
                raise

        return call

    for name in ("next_request", "enqueue_request"):
        vars(scheduler)[name] = watched(getattr(scheduler, name))


def watch_failures(
    engine: ExecutionEngine, failed: Callable[[Request, BaseException], None]
) -> None:
    """Call *failed* with each request whose download failed and that has no errback."""
    scrape = engine.scraper._scrape

    async def _scrape(result: Any, request: Request) -> None:
        if isinstance(result, Failure) and result.value and not request.errback:
            failed(request, result.value)
        await scrape(result, request)

    vars(engine.scraper)["_scrape"] = _scrape


def watch_replacements(
    engine: ExecutionEngine, around: Callable[[Request, Request], AbstractContextManager[Any]]
) -> None:
    """Schedule what a middleware has returned for a request in ``around(new, old)``.

    A redirect, a retry, a request that ``process_request`` puts in the place of another one.
    """
    handle = engine._handle_downloader_output

    def _handle_downloader_output(result: Any, request: Request) -> Any:
        if not isinstance(result, Request):
            return handle(result, request)
        with around(result, request):  # it is scheduled in this very step
            return handle(result, request)

    vars(engine)["_handle_downloader_output"] = _handle_downloader_output


def watch_refusals(
    engine: ExecutionEngine,
    arrived: Callable[[Request], bool],
    refused: Callable[[], None],
) -> None:
    """Call *refused* when a handler of ``request_scheduled`` keeps a request from arriving."""
    schedule = engine._schedule_request

    def _schedule_request(request: Request) -> None:
        schedule(request)
        if not arrived(request):
            refused()

    vars(engine)["_schedule_request"] = _schedule_request


def watch_bypassing(
    engine: ExecutionEngine,
    is_scheduled: Callable[[Request], bool],
    failed: Callable[[Request, BaseException], None],
) -> None:
    """Call *failed* with each request that no scheduler has handed out and that fails."""
    download = engine._download

    def _download(request: Request) -> Any:
        bypasses, answer = not is_scheduled(request), download(request)
        return answer.addErrback(note, request) if bypasses else answer

    def note(failure: Failure, request: Request) -> Failure:
        if failure.value is not None:
            failed(request, failure.value)
        return failure

    vars(engine)["_download"] = _download


def watch_media(
    engine: ExecutionEngine, failed: Callable[[Request, Response | None, Exception], None]
) -> None:
    """Call *failed* when a media pipeline makes no file of what it has downloaded."""
    for pipeline in getattr(engine.scraper.itemproc, "middlewares", ()):
        if isinstance(pipeline, MediaPipeline):
            for name in ("media_to_download", "media_downloaded"):
                vars(pipeline)[name] = _told_of(getattr(pipeline, name), failed)


def _told_of(
    method: Callable[..., Any], failed: Callable[[Request, Response | None, Exception], None]
) -> Callable[..., Any]:
    def note(args: Iterable[Any], error: Exception) -> None:
        requests = [each for each in args if isinstance(each, Request)]
        responses = [each for each in args if isinstance(each, Response)]
        if requests:
            failed(requests[0], responses[0] if responses else None, error)

    async def wait(result: Any, args: Iterable[Any]) -> Any:
        try:
            return await ensure_awaitable(result)
        except Exception as error:
            note(args, error)
            raise

    def told(*args: Any, **kwargs: Any) -> Any:
        given = (*args, *kwargs.values())
        try:
            result = method(*args, **kwargs)
        except Exception as error:
            note(given, error)
            raise
        return wait(result, given) if isawaitable(result) else result

    return told


class _HandlerErrors(logging.Handler):
    """Sees what signal handlers raise: Scrapy catches it, and its log is all that is left."""

    def __init__(self, crawler: Crawler, failed: Callable[[BaseException], None]) -> None:
        super().__init__(logging.ERROR)
        self._crawler = crawler
        self._failed = failed

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and getattr(record, "spider", None) in {
            None,
            self._crawler.spider,
        }:
            self._failed(error)


def watch_handlers(
    crawler: Crawler, failed: Callable[[BaseException], None]
) -> Callable[[], None]:
    """Call *failed* with what extensions raise in their signal handlers, until it is undone."""
    handler = _HandlerErrors(crawler, failed)
    log = logging.getLogger("scrapy.utils.signal")
    log.addHandler(handler)
    return partial(log.removeHandler, handler)


# --- shutdown ---------------------------------------------------------------------


def on_shutdown(engine: ExecutionEngine, callback: Callable[[], None]) -> None:
    """Call *callback* when the crawl is told to stop: by a signal or ``stop_async()``.

    Scrapy sends no signal of its own then, and another close may be under way already.
    """
    close = engine.close_spider_async

    async def close_spider_async(*, reason: str = "cancelled") -> None:
        if reason == "shutdown":
            callback()
        await close(reason=reason)

    vars(engine)["close_spider_async"] = close_spider_async


def make_cuttable(
    engine: ExecutionEngine, cutter: Cutter, instead: Callable[[Request], Request]
) -> None:
    """Let *cutter* end downloads, callbacks, errbacks and pipelines.

    *instead* gives or raises what a cut download comes to. A request that goes back to the
    engine is scheduled again, and no errback sees it.
    """
    scraper, downloader = engine.scraper, engine.downloader.middleware
    scrape, handle = scraper._scrape, scraper.handle_spider_output_async
    process, download = scraper.start_itemproc_async, downloader.download_async

    async def download_async(download_func: Any, request: Request) -> Any:
        return await cutter.run(download(download_func, request), partial(instead, request))

    async def _scrape(result: Any, request: Request) -> None:
        await cutter.quietly(scrape(result, request))

    async def handle_spider_output_async(result: Any, request: Request, response: Any) -> None:
        await handle(cutter.outputs(result), request, response)

    async def start_itemproc_async(output: Any, *, response: Any) -> None:
        await cutter.quietly(process(output, response=response))

    vars(downloader)["download_async"] = download_async
    vars(scraper)["_scrape"] = _scrape
    vars(scraper)["handle_spider_output_async"] = handle_spider_output_async
    vars(scraper)["start_itemproc_async"] = start_itemproc_async


def forget_queued(engine: ExecutionEngine) -> None:
    """Don't send what waits in the downloader for its turn."""
    for slot in engine.downloader.slots.values():
        slot.queue.clear()


def take_back(
    engine: ExecutionEngine,
    unwanted: Callable[[Request], bool],
    error: Callable[[], Exception],
) -> None:
    """Fail what waits in the downloader for its turn, where *unwanted* says so."""
    slots = getattr(engine.downloader, "slots", {})
    for key in {request.meta.get("download_slot") for request in engine.downloader.active}:
        if (slot := slots.get(key)) is None or not slot.queue:
            continue
        waiting = list(slot.queue)
        slot.queue.clear()
        for request, answer in waiting:
            if unwanted(request):
                answer.errback(error())
            else:
                slot.queue.append((request, answer))


def forget_failed_robots(engine: ExecutionEngine, netloc: str) -> None:
    """Let a robots.txt that could not be asked for be asked for again.

    Scrapy takes a failure for leave to fetch everything, as long as it runs.
    """
    for middleware in engine.downloader.middleware.middlewares:
        parsers = getattr(middleware, "_parsers", {})
        if isinstance(middleware, RobotsTxtMiddleware) and parsers.get(netloc, "") is None:
            del parsers[netloc]


async def go_on_closing(engine: ExecutionEngine) -> None:
    """Wake a close that waits for the scraper: it is asked after responses only."""
    while not is_idle(engine):  # noqa: ASYNC110 - Scrapy tells nobody
        await asyncio.sleep(_POLL)
    slot = engine.scraper.slot
    if slot is not None and slot.closing and not slot.closing.called:
        engine.scraper._check_if_closing()


def stops_scrapy(handler: Any) -> CrawlerRunnerBase | None:
    """The crawler process whose signal handler this is."""
    owner = getattr(handler, "__self__", None)
    return owner if isinstance(owner, CrawlerRunnerBase) else None


def stops_twisted(handler: Any) -> bool:
    """Whether this is the signal handler of a reactor that a script has started."""
    return isinstance(getattr(handler, "__self__", None), ReactorBase)


def set_exit_code(crawler: Crawler, code: int) -> None:
    """End ``crawl`` and ``runspider`` with *code*; in a script, set ``bootstrap_failed``."""
    frame = _command_frame()
    command = None if frame is None else frame.f_locals.get("cmd")
    if command is not None and code != EXIT_FAILURE:
        command.exitcode = code
    elif code:
        exit_with_failure(crawler)


# --- commands ---------------------------------------------------------------------


def _command_frame() -> FrameType | None:
    """The call of ``scrapy.cmdline.execute()`` that has begun this run, however it came about.

    It is known by what it holds: in ``python -m scrapy.cmdline``, and where an IDE runs that
    file, its module is ``__main__``.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "execute" and isinstance(
            frame.f_locals.get("cmd"), ScrapyCommand
        ):
            return frame
        frame = frame.f_back
    return None


def running_command() -> str | None:
    """The Scrapy command that this process runs (``crawl``, ``shell`` …), None in scripts."""
    frame = _command_frame()
    name: str | None = None if frame is None else frame.f_locals.get("cmdname")
    return name


def owns_job() -> bool:
    """Whether this run may take the job directory: ``fetch``, ``shell`` and so on may not.

    Commands of the user's own may, as scripts may, unless they are made of one that may not.
    """
    frame = _command_frame()
    made_of = () if frame is None else type(frame.f_locals["cmd"]).__mro__
    return _LOOKING.isdisjoint(each.__module__ for each in made_of)


def arguments_of(crawler: Crawler) -> dict[str, Any]:
    """The spider arguments with which *crawler* was started, by ``-a`` or in a script.

    Plain values only, and none whose name begins with an underscore, such as the ``_job`` of
    scrapyd, which is another one for each run. Scrapy keeps them nowhere but in the call.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        found = frame.f_locals if frame.f_globals.get("__name__") == "scrapy.crawler" else {}
        if found.get("self") is crawler and "kwargs" in found:
            return {
                name: value
                for name, value in found["kwargs"].items()
                if isinstance(value, (str, int, float, type(None))) and name[:1] != "_"
            }
        frame = frame.f_back
    return {}


class _NotAgain(logging.Filter):
    """Leaves out what Twisted says of a refusal that nobody handled: it was logged."""

    def __init__(self, error: ResilienceError) -> None:
        super().__init__()
        self._error = error

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.exc_info:
            return not record.getMessage().startswith("Unhandled error in Deferred")
        logging.getLogger("twisted").removeFilter(self)
        return record.exc_info[1] is not self._error


def exit_with_failure(crawler: Crawler) -> None:
    """Make the exit code 1: Scrapy's commands take a crawler without a spider for a failure."""
    crawler.spider = None


class Refusing:
    """For components that are made of a crawler: a wrong setting is refused in one line."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        try:
            return cls(crawler)  # type: ignore[call-arg]
        except ConfigurationError as error:
            fail_quietly(crawler, error)
            raise


def fail_quietly(crawler: Crawler, error: ResilienceError) -> None:
    """Log a refusal in one line; the caller then raises *error*, and the exit code is 1.

    Without this, asyncio adds a traceback that no user needs, and an engine that was made
    already hides the error behind one of its own while it cleans up.
    """
    kind = "Can't run this job" if isinstance(error, CheckpointError) else "Wrong configuration"
    logger.error("%s: %s", kind, error)
    logging.getLogger("twisted").addFilter(_NotAgain(error))
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    if task is not None:
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
    if crawler._engine is not None:
        crawler._engine.spider = None
