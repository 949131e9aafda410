"""The pages that are open: who uses each, and how it ends.

A page belongs to the request that has opened it until that is downloaded. One that a callback
asked for (``playwright_include_page``) belongs to it until the request is done, and to each
request that is given it in its meta. Then it is closed, if nobody has done so.

One that no callback asked for is closed when its request is through, or in a moment: an error
may want to see it before (:mod:`.evidence`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from weakref import ReferenceType, WeakKeyDictionary, WeakSet, ref

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience.browsers.bounded import within
from scrapy_resilience.browsers.evidence import Console, screenshot

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Coroutine

    from scrapy import Request

    from scrapy_resilience.browsers.bounded import Background
    from scrapy_resilience.browsers.contexts import Kept
    from scrapy_resilience.browsers.fleet import Fleet, Running
    from scrapy_resilience.browsers.slots import PageSlot

__all__ = ["PAGE", "OpenPage", "OpenPages"]

logger = get_logger(__name__)

PAGE: Final = "playwright_page"
"""scrapy-playwright's meta key."""
_GRACE: Final = 1.5
"""Seconds after which the place of a page is free, whether it has closed or not."""
_POPUPS: Final = 10
"""That a page may have open at a time; any more are closed, the oldest first."""
_PATIENCE: Final = 5.0
_LATE: Final = 0.5
"""Seconds for a screenshot; of a page that is late already."""
_AWHILE: Final = 1.0
"""Seconds for which a page lingers until its callback begins: the scraper is busy then."""
_MOMENT: Final = 0.3
"""The same from then on."""


@dataclass(eq=False)
class OpenPage:
    """One page, and what it takes."""

    handle: Any
    kept: Kept
    slot: PageSlot
    in_use: int = 1
    """Downloads under way in it."""
    holders: WeakSet[Request] = field(default_factory=WeakSet)
    """Requests whose callbacks may use it."""
    unscheduled: ReferenceType[Request] | None = None
    """A request that the engine does not know: it is done when nobody has it any more."""
    popups: list[Any] = field(default_factory=list)
    console: Console | None = None
    lingering: Any = None
    """The timer that closes it, while it lingers."""
    looks: set[asyncio.Event] = field(default_factory=set)
    """Screenshots of it that are being taken."""
    late: bool = False
    """It has taken too long, and may hang."""
    closing: bool = False
    gone: bool = False


class OpenPages:
    """Of one crawl. *leave* is told of a context that has a page less, *kill* of a browser."""

    def __init__(
        self,
        fleet: Fleet,
        background: Background,
        stats: Any,
        leave: Callable[[Kept], None],
        kill: Callable[[Running], None],
        *,
        looks: bool,
    ) -> None:
        self._fleet = fleet
        self._background = background
        self._leave = leave
        self._kill = kill
        self._inc = stats.inc_value
        self.linger_for_errors = looks
        """Whether errors may want to see them."""
        self._last: WeakKeyDictionary[Request, OpenPage] = WeakKeyDictionary()
        """The page that each request had."""
        self._open: dict[Any, OpenPage] = {}
        self.waiting: WeakSet[Request] = WeakSet()
        """Requests that have been given a page, and wait for their turn."""
        self._told = False

    def __len__(self) -> int:
        return len(self._open)

    def of(self, handle: Any) -> OpenPage | None:
        """What is known of a page that is open."""
        page = self._open.get(handle) if handle is not None else None
        return None if page is None or page.closing or handle.is_closed() else page

    def add(self, handle: Any, kept: Kept, slot: PageSlot) -> OpenPage:
        """A page was opened."""
        page = self._open[handle] = OpenPage(handle, kept, slot)
        handle.on("close", lambda _: self.ended(page))
        handle.on("crash", lambda _: self._crashed(page))
        handle.on("popup", lambda popup: self._add_popup(page, popup))
        if self.linger_for_errors:
            page.console = Console(handle)
        if handle.is_closed():
            self.ended(page)
        return page

    def ended(self, page: OpenPage) -> None:
        """It is closed, or its browser has ended; heard once or twice."""
        self._linger_no_more(page)
        self._free(page)
        self._open.pop(page.handle, None)

    def _free(self, page: OpenPage) -> None:
        if page.gone:
            return
        page.gone = True
        page.slot.release()
        self._leave(page.kept)

    def lost(self, contexts: Container[Kept]) -> int:
        """Those of a browser that has ended. How many there were."""
        found = [page for page in self._open.values() if page.kept in contexts]
        for page in found:
            self.ended(page)
        return len(found)

    def _crashed(self, page: OpenPage) -> None:
        self._inc(names.STAT_BROWSER_PAGE_CRASHES)
        self.close(page)

    # --- closing ---

    def close(self, page: OpenPage) -> None:
        """Begin to close it; its place is free when that is done, or after a moment."""
        if not page.closing:
            page.closing = True
            self._linger_no_more(page)
            self._background.run(self._close(page))

    async def _close(self, page: OpenPage) -> None:
        for popup in page.popups:
            self._background.run(_close_quietly(popup))
        for seen in list(page.looks):
            await seen.wait()  # who looks at it looks first
        if page.handle.is_closed():
            self.ended(page)
            return
        closing = asyncio.ensure_future(_close_quietly(page.handle))
        await asyncio.wait({closing}, timeout=_GRACE)
        if not closing.done():
            self._free(page)
            self._background.run(_crash(page))
            if not await self._fleet.answers(closing, page.kept.running):
                self._kill(page.kept.running)
            closing.cancel()
        self.ended(page)

    # --- pages that errors may want to see ---

    def had(self, request: Request, page: OpenPage) -> None:
        """It was the page of *request*, which may fail yet."""
        if self.linger_for_errors:
            self._last[request] = page

    def linger(self, page: OpenPage) -> None:
        """Its download has ended: close it when its request is through, or in a moment."""
        if not self.linger_for_errors:
            self.close(page)
        elif not (page.closing or page.lingering):
            self._linger(page, _AWHILE)

    def _linger(self, page: OpenPage, seconds: float) -> None:
        self._linger_no_more(page)
        page.lingering = _clock.call_later(seconds, self.close, page)

    def called_back(self, request: Request) -> None:
        """Its callback begins."""
        page = self._last.get(request)
        if page is not None and page.lingering is not None:
            self._linger(page, _MOMENT)

    def use(self, page: OpenPage) -> None:
        """A request goes on with it."""
        page.in_use += 1
        self._linger_no_more(page)

    def lingers(self, request: Request) -> bool:
        """Whether the page of *request* does."""
        page = self._last.get(request)
        return page is not None and page.lingering is not None

    def through(self, request: Request) -> None:
        """Its callback and items are, or it is tried again."""
        page = self._last.get(request)
        if page is not None and page.lingering is not None and not page.in_use:
            self.close(page)

    def _linger_no_more(self, page: OpenPage) -> None:
        timer, page.lingering = page.lingering, None
        if timer is not None:
            timer.cancel()

    def look(self, request: Request) -> Coroutine[Any, Any, tuple[bytes, list[str]]] | None:
        """How the page of *request* looks, and what its console said; it is not closed before.

        None where it had no page.
        """
        page = self._last.get(request) or self.of(request.meta.get(PAGE))
        if page is None:
            return None
        seen = None if page.gone or page.closing else asyncio.Event()
        if seen is not None:
            page.looks.add(seen)
        return self._see(page, seen)

    async def _see(self, page: OpenPage, seen: asyncio.Event | None) -> tuple[bytes, list[str]]:
        taken = b""
        if seen is not None:
            try:
                taken = await screenshot(page.handle, _LATE if page.late else _PATIENCE)
            finally:
                page.looks.discard(seen)
                seen.set()
        return taken, [] if page.console is None else list(page.console.lines)

    # --- pages that callbacks have ---

    def hold(self, page: OpenPage, request: Request, *, is_known: bool) -> None:
        """The callback of *request* gets it. *is_known*: whether the engine has the request."""
        if is_known:
            page.holders.add(request)
        else:
            page.unscheduled = ref(request)

    def scheduled(self, request: Request) -> None:
        """A request is on its way to the scheduler, perhaps with a page to go on with."""
        page = self.of(request.meta.get(PAGE))
        if page is not None:
            page.holders.add(request)
            self.waiting.add(request)

    def begun(self, request: Request) -> None:
        """Its turn has come, or it was dropped."""
        self.waiting.discard(request)

    def tend(self, busy: Container[Request]) -> None:
        """Close what callbacks have left open that are over; *busy* are those that are not."""
        for page in list(self._open.values()):
            is_used = page.in_use or page.closing or page.lingering
            if not (is_used or self._is_held(page, busy)):
                self._inc(names.STAT_BROWSER_LEFT_OPEN)
                self._tell_left_open(page)
                self.close(page)

    def _is_held(self, page: OpenPage, busy: Container[Request]) -> bool:
        if page.unscheduled is not None and page.unscheduled() is not None:
            return True
        return any(each in busy or each in self.waiting for each in page.holders)

    def _tell_left_open(self, page: OpenPage) -> None:
        level = logger.debug if self._told else logger.info
        self._told = True
        level(
            "A callback has left its page open, which is closed now: await page.close() when "
            "you are through with it"
        )

    def _add_popup(self, page: OpenPage, popup: Any) -> None:
        page.popups = [each for each in page.popups if not each.is_closed()]
        page.popups.append(popup)
        if len(page.popups) > _POPUPS or page.closing:
            self._background.run(_close_quietly(page.popups.pop(0)))


async def _close_quietly(handle: Any) -> None:
    with suppress(Exception):
        await handle.close()


async def _crash(page: OpenPage) -> None:
    """End the process of a page that does not close: Chromium only, which gives no answer."""
    with suppress(Exception):
        session = await within(page.handle.context.new_cdp_session(page.handle), _GRACE)
        await within(session.send("Page.crash"), _GRACE)
