"""What Scrapy catches, logs and goes on without: seen here by those who care."""

from __future__ import annotations

import logging
from functools import partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from scrapy import Request
from scrapy.http import Response
from scrapy.pipelines.media import MediaPipeline
from scrapy.utils.defer import ensure_awaitable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scrapy.core.engine import ExecutionEngine
    from scrapy.core.scheduler import BaseScheduler
    from scrapy.crawler import Crawler

__all__ = ["watch_handlers", "watch_media", "watch_scheduler"]


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
