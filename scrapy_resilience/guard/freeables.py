"""Components that can free memory when a crawl is paused for it: browsers, pools, models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrapy.utils.defer import ensure_awaitable

from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.of_crawlers import OfCrawlers
from scrapy_resilience.waits import waits_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.crawler import Crawler

__all__ = ["free_all", "register_freeable"]

logger = get_logger(__name__)

_TIMEOUT: Final = 10.0
"""Seconds that each may take."""

_freeables = OfCrawlers["dict[str, Callable[[], Any]]"]("freeables")


def register_freeable(crawler: Crawler, name: str, free: Callable[[], Any]) -> None:
    """Have *free* called, without arguments, when a pause for memory was not enough.

    Nothing new is asked for then. It may be a coroutine function; ten seconds are waited for
    it, and what it raises is logged. A *name* that is known is replaced. What it has freed may
    be made again when it is next needed. Raises :exc:`TypeError` for what can't be called.
    """
    if not callable(free):
        raise TypeError(f"{free!r} can't be called: give a function")
    _freeables.of(crawler, dict)[name] = free


async def free_all(crawler: Crawler) -> None:
    """Ask all, one after the other."""
    for name, free in [*_freeables.of(crawler, dict).items()]:
        await _free(crawler, name, free)


async def _free(crawler: Crawler, name: str, free: Callable[[], Any]) -> None:
    try:
        work = ensure_awaitable(free())
        await waits_of(crawler).bounded(work, f"{name}, to free memory", _TIMEOUT)
    except Exception:  # the others are asked all the same
        logger.exception("%s can't free its memory", name)
