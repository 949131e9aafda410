"""scrapy-playwright's download handler, whose pages are as durable as any others.

It is put before scrapy-playwright's class, or a user's subclass of it, whose methods do the
work: how a page is asked for and read is theirs. Here is when it may begin, how long it may
take, and what becomes of it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from weakref import ReferenceType, WeakKeyDictionary, ref

from scrapy import signals
from scrapy.exceptions import DownloadCancelledError, DownloadTimeoutError

from scrapy_resilience import _clock, names
from scrapy_resilience.browsers.bounded import LateError, within
from scrapy_resilience.browsers.errors import (
    BrowserLost,
    BrowserUnavailable,
    is_lost,
    what_ended,
)
from scrapy_resilience.browsers.page_life import PAGE
from scrapy_resilience.browsers.places import BrowserPlaces
from scrapy_resilience.browsers.upkeep import TendsBrowsers
from scrapy_resilience.exceptions import BrowserLostError, BrowserUnavailableError

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from typing_extensions import Self

    from scrapy_resilience.browsers.contexts import Kept
    from scrapy_resilience.browsers.page_life import OpenPage
    from scrapy_resilience.browsers.slots import PageSlot

__all__ = ["Durable", "durable"]

_TRIES: Final = 3
"""Browsers that are tried until a request can be sent."""
_MOST: Final = 1e8
"""Seconds: as good as no time-out."""
_CONTEXT: Final = "playwright_context"
_DEFAULT: Final = "default"
_INCLUDE: Final = "playwright_include_page"
_GIVEN: Final = (_INCLUDE, PAGE)
_CLOSED: Final = "playwright/page_count/closed"
"""scrapy-playwright's stat."""


@dataclass(eq=False)
class _Visit:
    """A request in the browser: what it has, and how far it is."""

    request: Request
    includes: bool
    """Whether its callback gets the page."""
    slot: PageSlot | None = None
    kept: Kept | None = None
    page: OpenPage | None = None
    opening: asyncio.Task[Any] | None = None
    opened: float | None = None
    """When it had its page."""
    sent: bool = False
    over: bool = False


class Durable(TendsBrowsers):
    """The part of the handler that is ours; :func:`durable` puts it before another class."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._timeout = crawler.settings.getfloat("DOWNLOAD_TIMEOUT")
        self._most_bytes = crawler.settings.getint("DOWNLOAD_MAXSIZE")
        self._visits: dict[Request, _Visit] = {}
        self.places = BrowserPlaces(crawler, self.slots, self.contexts)
        connect = crawler.signals.connect
        connect(self.pages.scheduled, signals.request_scheduled)
        connect(self.pages.begun, signals.request_reached_downloader)
        connect(self.pages.begun, signals.request_dropped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """One for all schemes: they share browsers, and the limit of pages."""
        known = _handlers.get(crawler)
        found = known() if known is not None else None
        if not isinstance(found, cls):
            found = cls(crawler)
            _handlers[crawler] = ref(found)
        return found

    # --- a request ---

    async def _download_request(self, request: Request, spider: Any = None) -> Response:
        crawler = self._of()
        spider = spider or (crawler and crawler.spider)
        given: dict[str, Any] = {
            name: request.meta[name] for name in _GIVEN if name in request.meta
        }
        visit = _Visit(request, includes=bool(request.meta.get(_INCLUDE)))
        self._visits[request] = visit
        request.meta[_INCLUDE] = True  # its page is closed by us, when nobody wants to see it
        keeps = False
        try:
            await self.started()
            response = await self._visit(visit, spider)
            self.fleet.restarts.got_a_page()
            keeps = visit.includes
            return self._checked(request, response)
        except Exception as error:
            is_gone = isinstance(error, (DownloadTimeoutError, BrowserLostError))
            keeps = visit.includes and not is_gone  # for its errback
            raise
        finally:
            if not visit.includes:
                _put_back(request.meta, given)
            del self._visits[request]
            self._end(visit, keeps=keeps)

    async def _visit(self, visit: _Visit, spider: Any) -> Response:
        """The answer; where a browser ends before the request was sent, that of another one."""
        seconds = min(visit.request.meta.get("download_timeout") or self._timeout, _MOST)
        lost: Exception | None = None
        for _ in range(_TRIES):
            self.fleet.check()
            try:
                await self._enter(visit, seconds, spider)
                stock: Any = self
                work = stock._download_request_with_retry(request=visit.request, spider=spider)
                response: Response = await within(work, seconds)
            except LateError:
                raise self._late(visit, seconds) from None
            except BrowserUnavailableError:
                raise
            except Exception as error:
                if not is_lost(error):
                    raise
                if visit.sent or self._closed:
                    raise BrowserLost(what_ended(error)) from error
                lost = error
                if visit.kept is not None:
                    self.contexts.discard(visit.kept)  # which can't open a page
                self._give_back(visit)
            else:
                return response
        raise BrowserUnavailable(f"browsers end before {visit.request} is sent") from lost

    async def _enter(self, visit: _Visit, seconds: float, spider: Any) -> None:
        """Have a page that is open already, or what a new one needs."""
        meta = visit.request.meta
        given = self.pages.of(meta.get(PAGE))
        if given is not None:
            self.pages.use(given)
            visit.page, visit.opened = given, _clock.stopwatch()
            return
        name = meta.setdefault(_CONTEXT, _DEFAULT)
        visit.slot = await self.slots.acquire(name, seconds)
        visit.kept = await self.contexts.enter(
            name, meta.get("playwright_context_kwargs"), spider
        )

    def _late(self, visit: _Visit, seconds: float) -> Exception:
        self.stats.inc_value(names.STAT_BROWSER_TIMEOUTS)
        if visit.page is not None:
            visit.page.late = True
        where = "in the browser" if visit.page is not None else "until a page was to be had"
        return DownloadTimeoutError(
            f"Getting {visit.request.url} took longer than {seconds:g} seconds {where}"
        )

    def _checked(self, request: Request, response: Response) -> Response:
        most = request.meta.get("download_maxsize", self._most_bytes)
        if most and len(response.body) > most:
            raise DownloadCancelledError(
                f"{request.url} has {len(response.body)} bytes, more than {most} (maxsize)"
            )
        return response

    # --- its page ---

    async def _create_page(self, request: Request, spider: Any) -> Any:
        stock: Any = super()
        visit = self._visits.get(request)
        if visit is None or visit.kept is None:
            return await stock._create_page(request=request, spider=spider)
        work = stock._create_page(request=request, spider=spider)
        visit.opening = asyncio.ensure_future(self._open(visit, work))
        watched = self.background.run(self.patiently(visit.opening, visit.kept.running))
        return await asyncio.shield(watched)  # its browser may hang for longer than it waits

    async def _open(self, visit: _Visit, work: Any) -> Any:
        """A page that comes when nobody waits for it any more is closed."""
        opening = asyncio.current_task()
        try:
            handle = await work
        except BaseException:
            if visit.opening is opening:  # or the visit goes on in another browser
                visit.opening = None
                if visit.over:
                    self._give_back(visit)
            raise
        visit.opening = None
        kept, slot = visit.kept, visit.slot
        assert kept is not None
        assert slot is not None
        visit.kept = visit.slot = None  # its page has them
        visit.page, visit.opened = self.pages.add(handle, kept, slot), _clock.stopwatch()
        if visit.over:
            self.pages.close(visit.page)
        return handle

    async def _download_request_with_page(
        self, request: Request, page: Any, spider: Any
    ) -> Response:
        stock: Any = super()
        visit = self._visits.get(request)
        if visit is not None:
            visit.sent = True
        answer: Response = await stock._download_request_with_page(request, page, spider)
        return answer

    def _give_back(self, visit: _Visit) -> None:
        """What it has taken for a page that it does not have."""
        slot, kept, page = visit.slot, visit.kept, visit.page
        visit.slot = visit.kept = visit.page = visit.opening = None
        if slot is not None:
            slot.release()
        if kept is not None:
            self.contexts.leave(kept)
        if page is not None:
            page.in_use -= 1
            self.pages.close(page)

    def _end(self, visit: _Visit, *, keeps: bool) -> None:
        visit.over = True
        page = visit.page
        if visit.opened is not None:
            self.charge(visit.request, _clock.stopwatch() - visit.opened)
        if page is None:
            if visit.opening is None:
                self._give_back(visit)
            return
        page.in_use -= 1
        self.pages.had(visit.request, page)
        if page.handle.is_closed():
            self.pages.ended(page)
            return
        if not visit.includes:
            self.stats.inc_value(_CLOSED)
        if keeps:
            self.pages.hold(page, visit.request, is_known=visit.request in self._busy())
        elif not page.in_use:
            self.pages.linger(page)


def _put_back(meta: dict[str, Any], given: dict[str, Any]) -> None:
    """What the user has said of its page."""
    for name in _GIVEN:
        meta.pop(name, None)
    meta.update(given)


@cache
def durable(handler: type[Any]) -> type[Any]:
    """*handler*, scrapy-playwright's or a subclass of it, with durable pages."""
    if issubclass(handler, Durable):
        return handler
    return type(f"Durable{handler.__name__}", (Durable, handler), {})


_handlers: WeakKeyDictionary[Crawler, ReferenceType[Durable]] = WeakKeyDictionary()
