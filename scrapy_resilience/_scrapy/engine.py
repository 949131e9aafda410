"""What the engine is doing, and what it can be told to do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NoReturn

from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.exceptions import CloseSpider
from scrapy.extensions.feedexport import FeedExporter

from scrapy_resilience._log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request
    from scrapy.core.engine import ExecutionEngine
    from scrapy.crawler import Crawler

__all__ = [
    "being_scraped",
    "close_spider",
    "engine_of",
    "forget_failed_robots",
    "forget_queued",
    "go_on_closing",
    "is_closing",
    "is_idle",
    "is_starting",
    "leave_unopened",
    "our_scheduler",
    "take_back",
    "under_way",
    "wake",
]

logger = get_logger(__name__)

_POLL: Final = 0.005


def engine_of(crawler: Crawler) -> ExecutionEngine | None:
    """The engine of a crawler; None while it has none yet."""
    return crawler._engine


def our_scheduler(engine: ExecutionEngine) -> Any:
    """The scheduler, where it is ours and open, else None."""
    found = engine.scheduler
    return found if getattr(found, "runs_jobs", False) and hasattr(found, "frontier") else None


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
    """Close the spider from ``scheduler.open`` before its pipelines and feeds are opened.

    Scrapy closes the pipelines all the same, and logs that it can't. A feed without items
    would take the place of last night's.
    """
    exporter = engine.crawler.get_extension(FeedExporter)
    if exporter is not None:
        exporter.feeds = {}

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
