"""A wrong setting or a job that can't run is refused in one line, without a traceback."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.of_crawlers import OfCrawlers
from scrapy_resilience.exceptions import CheckpointError, ConfigurationError, ResilienceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.crawler import Crawler
    from typing_extensions import Self

__all__ = ["Refusing", "fail_quietly", "on_refusal"]

logger = get_logger("scrapy_resilience")  # what users read before a refusal

_heard = OfCrawlers["Callable[[ResilienceError], None]"]("on_refusal")


def on_refusal(crawler: Crawler, function: Callable[[ResilienceError], None]) -> None:
    """Have *function* called with the error for which a crawl is refused, once."""
    _heard[crawler] = function


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
    if (hear := _heard.pop(crawler)) is not None:
        hear(error)
    logging.getLogger("twisted").addFilter(_NotAgain(error))
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    if task is not None:
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
    if crawler._engine is not None:
        crawler._engine.spider = None
