"""What an item pipeline owes its sink, as tests for a project's own."""

from __future__ import annotations

import asyncio
import inspect
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

from scrapy import Spider
from scrapy.utils.misc import build_from_crawler
from scrapy.utils.python import get_func_args
from scrapy.utils.test import get_crawler

from scrapy_resilience.checkpoint.sinks import Sinks
from scrapy_resilience.scheduling.item_context import as_item

if TYPE_CHECKING:
    from collections.abc import Mapping, Sized

    from scrapy.crawler import Crawler

__all__ = ["SinkContract"]

_PATIENCE = 10.0


class SinkContract:
    """Tests of a pipeline: each item is in its sink once, whatever is killed, and when.

    Subclass it in a test module, with a name that pytest collects, and say which pipeline it
    is and what its sink holds. Each test begins with an empty sink.
    """

    pipeline: type
    settings: ClassVar[Mapping[str, Any]] = {}
    items: ClassVar[Mapping[str, Any]] = {"a:0": {"sku": 1}, "a:1": {"sku": 2}}
    """Two items that the pipeline takes, by the ids that :func:`.item_id` gives them."""

    def stored(self) -> Sized:
        """Whatever the sink holds, one element for each item."""
        raise NotImplementedError

    def test_a_commit_finds_all_items_in_the_sink(self) -> None:
        """A kill right after a commit loses no item whose page is done."""
        assert self._run() == len(self.items)

    def test_an_item_that_comes_again_is_stored_once(self) -> None:
        """After a kill the pages since the last commit are fetched again."""
        self._run()
        self._run()
        assert len(self.stored()) == len(self.items)

    def _run(self) -> int:
        """Put all items through a new pipeline, and commit; how many are stored then."""
        with ThreadPoolExecutor(1) as pool:  # a test may have an event loop of its own
            return pool.submit(asyncio.run, self._put()).result()

    async def _put(self) -> int:
        crawler = get_crawler(Spider, dict(self.settings))
        crawler.spider = Spider.from_crawler(crawler, "contract")
        pipeline = build_from_crawler(self.pipeline, crawler)
        await _call(pipeline, "open_spider", crawler)
        try:
            for ident, item in self.items.items():
                with as_item(ident) as passage:
                    await _call(pipeline, "process_item", crawler, item)
                    passage.written()
            await Sinks(crawler, _PATIENCE).prepare()()
            return len(self.stored())
        finally:
            await _call(pipeline, "close_spider", crawler)


async def _call(pipeline: object, name: str, crawler: Crawler, *args: Any) -> None:
    """As Scrapy does: methods may be missing, coroutine functions, and want the spider."""
    method = getattr(pipeline, name, None)
    if method is None:
        return
    wanted = {"spider": crawler.spider} if "spider" in get_func_args(method) else {}
    if inspect.isawaitable(result := method(*args, **wanted)):
        await result
