"""What is shown of the handler's browsers: in the view, and with the errors of their pages."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet, ref

from scrapy import signals

from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.contexts import NOTHING
from scrapy_resilience._scrapy.engine import engine_of
from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience.observe.observer import observer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from scrapy import Request
    from scrapy.crawler import Crawler

    from scrapy_resilience.browsers.page_life import OpenPages
    from scrapy_resilience.browsers.starting import StartsBrowsers
    from scrapy_resilience.core.errorgroups import Group
    from scrapy_resilience.observe.view import View

    Replacing = Callable[[Request, Request], AbstractContextManager[None]]

__all__ = ["show_browsers"]

logger = get_logger(__name__)

_PATIENCE: Final = 5.0
"""Seconds for which the last commit waits for who looks at a page."""
_SCRAPED: Final = frozenset({"callback", "errback"})


def show_browsers(
    crawler: Crawler, browsers: StartsBrowsers, loop: asyncio.AbstractEventLoop
) -> None:
    """The crawl begins; *loop* is that of its browsers. The observer keeps what shows them."""
    _Shown(crawler, browsers, loop)


class _Shown:
    def __init__(
        self, crawler: Crawler, browsers: StartsBrowsers, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._browsers = ref(browsers)
        self._loop = loop
        self._is_apart = loop is not asyncio.get_running_loop()
        self._looks: set[asyncio.Future[Any]] = set()
        self._scraped: WeakSet[Request] = WeakSet()
        self._errors = observer_of(crawler).errors
        observer_of(crawler).fill.append(self._fill)
        if not browsers.pages.linger_for_errors:
            return
        self._errors.look = self._look
        crawler.signals.connect(self._closed, signals.spider_closed)
        engine = engine_of(crawler)
        if engine is not None:
            hooks = hooks_of(engine)
            hooks.surround(self._around)
            hooks.replacing = partial(self._replacing, hooks.replacing)

    def _fill(self, view: View) -> None:
        browsers = self._browsers()
        if browsers is None:
            return
        shown = view.browsers
        shown.used = True
        shown.running = len(browsers.fleet.running)
        shown.contexts = browsers.contexts.count
        shown.pages = len(browsers.pages)
        shown.places = browsers.slots.limit
        shown.waiting = browsers.slots.waiting
        shown.failure = browsers.fleet.failure

    # --- errors ---

    def _look(self, group: Group, request: Request) -> None:
        """The first error of a group: its page is there still, or what it has said."""
        browsers = self._browsers()
        if browsers is None or (seeing := browsers.pages.look(request)) is None:
            return
        told = asyncio.run_coroutine_threadsafe(seeing, self._loop)
        look = asyncio.wrap_future(told)
        self._looks.add(look)
        look.add_done_callback(partial(self._seen, group))

    def _seen(self, group: Group, look: asyncio.Future[tuple[bytes, list[str]]]) -> None:
        self._looks.discard(look)
        try:
            self._errors.add_evidence(group, *look.result())
        except Exception:  # no crawl ends for what is shown of it
            logger.debug("A page can't be shown with its error", exc_info=True)

    async def _closed(self) -> None:
        """Of the spider: the last commit and the end of browsers come after it."""
        if self._looks:
            await asyncio.wait(set(self._looks), timeout=_PATIENCE)

    # --- the end of a request ---

    def _around(self, request: Request, component: str) -> AbstractContextManager[Any]:
        browsers = self._browsers()
        if component not in _SCRAPED or request in self._scraped or browsers is None:
            return NOTHING  # an errback within it is not the end
        if not browsers.pages.lingers(request):
            return NOTHING
        return self._until_through(browsers.pages, request)

    def _replacing(
        self, before: Replacing | None, new: Request, old: Request
    ) -> AbstractContextManager[None]:
        browsers = self._browsers()
        if browsers is not None and browsers.pages.lingers(old):
            self._tell(browsers.pages.through, old)
        return NOTHING if before is None else before(new, old)

    @contextmanager
    def _until_through(self, pages: OpenPages, request: Request) -> Iterator[None]:
        self._tell(pages.called_back, request)
        self._scraped.add(request)
        try:
            yield
        finally:
            self._scraped.discard(request)
            self._tell(pages.through, request)

    def _tell(self, what: Callable[[Request], None], request: Request) -> None:
        if self._is_apart:
            self._loop.call_soon_threadsafe(what, request)
        else:
            what(request)
