"""Outputs of a callback, handled one after the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from scrapy.utils.asyncgen import as_async_generator
from scrapy.utils.defer import aiter_errback, iter_errback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from scrapy import Request
    from scrapy.core.scraper import Scraper

__all__ = ["handle_in_turn"]

_BREATH: Final = 100
"""Outputs of one callback between two turns of the loop."""


async def handle_in_turn(
    scraper: Scraper,
    handle: Callable[..., Awaitable[None]],
    result: Any,
    request: Request,
    response: Any,
) -> None:
    """What the scraper does with CONCURRENT_ITEMS=1, without its queue and its two tasks.

    The rest goes to *handle* when the number grows meanwhile.
    """
    count = 0
    outputs: AsyncIterator[Any]
    if hasattr(result, "__aiter__"):
        outputs = aiter_errback(result, scraper.handle_spider_error, request, response)
    else:
        found = iter_errback(result, scraper.handle_spider_error, request, response)
        outputs = as_async_generator(found)
    async for output in outputs:
        await scraper._process_spidermw_output_async(output, response)
        if scraper.concurrent_items != 1:
            await handle(outputs, request, response)
            return
        count += 1
        if count % _BREATH == 0:  # requests alone would not let the loop turn
            await asyncio.sleep(0)
