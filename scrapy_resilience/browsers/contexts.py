"""The browser contexts of a crawl, by name: one serves, worn ones show their last pages.

A context is what a user made by ``playwright_context`` and ``playwright_context_kwargs``. It
is replaced by one of the same name and arguments, with its cookies and its storage. What it
has of them is asked for from time to time: a browser that crashes does not tell any more.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience.browsers.bounded import LateError, within
from scrapy_resilience.core.browserlife import ContextLimits

if TYPE_CHECKING:
    from scrapy_resilience.browsers.bounded import Background
    from scrapy_resilience.browsers.fleet import Fleet, Running
    from scrapy_resilience.browsers.logins import Logins, State
    from scrapy_resilience.settings import Config

__all__ = ["Contexts", "Kept"]

logger = get_logger(__name__)

_ANSWER: Final = 10.0
"""Seconds to tell cookies, and to close."""
_STORAGE: Final = 2.0
"""Seconds to tell storage, which a page that hangs may keep for ever."""
_STORAGE_EACH: Final = 30.0
"""Seconds between two times that a context in use is asked for its storage."""
_STORAGE_COST: Final = 50
"""The same, in times that the answer has taken: each origin takes some."""
_REMEMBERED: Final = 1000
"""Names of which the arguments and the state are kept."""


class Makes(Protocol):
    """The download handler."""

    async def make_context(self, name: str, kwargs: dict[str, Any], spider: Any) -> None: ...

    def forget_context(self, name: str, context: Any) -> None: ...


@dataclass(eq=False)
class Kept:
    """One context."""

    name: str
    handle: Any
    running: Running
    kwargs: dict[str, Any]
    is_persistent: bool
    born: float
    used_at: float
    pages: int = 0
    """Opened in it so far."""
    users: int = 0
    """Pages in it, and requests that are about to open one."""
    worn: bool = False
    ours: bool = False
    """It was closed by us: the next one of its name goes on with its state."""
    closed: bool = False
    state: State | None = field(default=None, repr=False)
    noted_at: float = 0.0
    """When it was asked for its cookies."""
    storage_at: float = 0.0
    """When it may be asked for its storage, too."""


class Contexts:
    """*most* is how many there may be at a time, None for any number."""

    def __init__(
        self,
        maker: Makes,
        fleet: Fleet,
        config: Config,
        stats: Any,
        background: Background,
        *,
        logins: Logins,
        most: int | None,
    ) -> None:
        self._maker = maker
        self._fleet = fleet
        self._inc = stats.inc_value
        self._background = background
        self._logins = logins
        self._most = most
        self._limits = ContextLimits(
            config.browser_context_pages,
            config.browser_context_max_age,
            config.browser_context_idle,
        )
        self._keeps_storage = config.browser_keep_storage
        self.by_name: dict[str, Kept] = {}
        self._open: set[Kept] = set()
        self._last: OrderedDict[str, Kept] = OrderedDict()
        self._lock = asyncio.Lock()
        self._notes = asyncio.Lock()
        self._changed = asyncio.Event()

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._open)

    # --- in and out ---

    async def enter(self, name: str, kwargs: dict[str, Any] | None, spider: Any) -> Kept:
        """The context of that name, for one more page; made, or replaced when it is worn."""
        while True:
            async with self._lock:
                kept = await self._fresh(name, kwargs, spider)
                if kept is not None:
                    kept.users += 1
                    kept.pages += 1
                    kept.used_at = _clock.monotonic()
                    return kept
                changed = self._changed
            await changed.wait()

    def leave(self, kept: Kept) -> None:
        """A page of it is gone, or was never opened."""
        kept.users -= 1
        kept.used_at = _clock.monotonic()
        if not kept.users:
            self._tell()
            if kept.worn:
                self._background.run(self._close(kept))

    async def _fresh(
        self, name: str, kwargs: dict[str, Any] | None, spider: Any
    ) -> Kept | None:
        """None while one has to be waited for."""
        kept = self.by_name.get(name)
        if kept is not None and self._is_worn(kept):
            if kept.is_persistent or self._most is not None:  # no next one can be beside it
                if kept.users:
                    return None
                await self._put_away(kept)
            else:
                await self._retire(kept)
                if not kept.users:
                    self._background.run(self._close(kept))
            kept = None
        if kept is None:
            if not await self._has_room():
                return None
            await self._maker.make_context(name, self._arguments(name, kwargs), spider)
            kept = self.by_name[name]
        return kept

    def _is_worn(self, kept: Kept) -> bool:
        age = _clock.monotonic() - kept.born
        return kept.running.worn or self._limits.is_worn(kept.pages, age)

    async def _has_room(self) -> bool:
        if self._most is None or len(self._open) < self._most:
            return True
        idle = [kept for kept in self._open if not kept.users]
        if not idle:
            return False
        await self._put_away(min(idle, key=lambda kept: kept.used_at))
        return True

    def _arguments(self, name: str, kwargs: dict[str, Any] | None) -> dict[str, Any]:
        """What the context of that name is made of: what its last one was, or what is asked."""
        last = self._last.get(name)
        if last is None:
            return self._as_before(name, dict(kwargs or {}))
        if not (last.ours or last.running.gone):
            self._logins.forget(name)  # the user has closed it
            return dict(kwargs or {})
        if last.state is None or last.is_persistent:
            return dict(last.kwargs)
        return {**last.kwargs, "storage_state": last.state}

    def _as_before(self, name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
        """With what the last run had of a login; where the user gives one, that counts."""
        state = self._logins.of(name)
        has_own = "storage_state" in kwargs or kwargs.get("user_data_dir")
        return kwargs if state is None or has_own else {**kwargs, "storage_state": state}

    # --- what others do ---

    def add(self, kept: Kept) -> None:
        """A context was made."""
        self.by_name[kept.name] = kept
        self._open.add(kept)
        kept.running.contexts += 1
        kept.running.open += 1
        last = self._last.pop(kept.name, None)
        given = kept.kwargs.get("storage_state")
        if given is not None and (
            given is self._logins.of(kept.name) or (last is not None and given is last.state)
        ):
            kept.state = given
        self._last[kept.name] = kept
        while len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)

    def closed(self, handle: Any) -> list[Kept]:
        """A context is gone, whoever has closed it."""
        found = [kept for kept in self._open if kept.handle is handle]
        for kept in found:
            self._gone(kept)
        return found

    def discard(self, kept: Kept) -> None:
        """It is of no use; where its browser has not ended, it is closed."""
        if kept in self._open:
            kept.ours = True
            self._gone(kept)
            self._background.run(kept.handle.close())

    def lost(self, running: Running) -> list[Kept]:
        """Those of a browser that has ended."""
        found = [kept for kept in self._open if kept.running is running]
        for kept in found:
            self._gone(kept)
        return found

    def _gone(self, kept: Kept) -> None:
        kept.closed = True
        self._open.discard(kept)
        if self.by_name.get(kept.name) is kept:
            del self.by_name[kept.name]
        self._maker.forget_context(kept.name, kept.handle)
        self._tell()
        self._fleet.context_closed(kept.running)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # --- logins ---

    async def note(self) -> None:
        """Ask contexts that were used since for their cookies, and at times their storage."""
        if self._notes.locked():
            return  # they are being asked
        async with self._notes:
            await self._note_all()

    async def _note_all(self) -> None:
        for kept in list(self.by_name.values()):
            was_used = kept.users or kept.used_at >= kept.noted_at
            if was_used and not (kept.is_persistent or kept.closed):
                with suppress(Exception):  # of a browser that has ended, or is slow
                    await within(self._note(kept), _ANSWER)

    async def _note(self, kept: Kept) -> None:
        kept.noted_at = _clock.monotonic()
        state = await self._state(kept, storage=kept.noted_at >= kept.storage_at)
        if not kept.worn:  # or it is older than what the next one was begun with
            self._keep(kept, state)

    def _keep(self, kept: Kept, state: State) -> None:
        kept.state = state
        self._logins.note(kept.name, state)

    # --- the end of one ---

    async def tend(self, memory: float | None) -> None:
        """Put away what nobody uses: worn, idle for too long, or of a worn browser."""
        now = _clock.monotonic()
        async with self._lock:
            for kept in [kept for kept in self.by_name.values() if not kept.users]:
                unused = now - kept.used_at
                if self._is_worn(kept) or self._limits.is_idle(unused, memory):
                    await self._put_away(kept)

    async def _put_away(self, kept: Kept) -> None:
        await self._retire(kept)
        await self._close(kept)

    async def _retire(self, kept: Kept) -> None:
        """It gets no new page, and the next one of its name has its state."""
        kept.ours = True
        if not kept.is_persistent:
            with suppress(Exception):  # of a browser that has ended
                self._keep(kept, await within(self._state(kept, storage=True), _ANSWER))
        kept.worn = True
        if self.by_name.get(kept.name) is kept:
            del self.by_name[kept.name]
        self._maker.forget_context(kept.name, kept.handle)
        self._inc(names.STAT_BROWSER_RECYCLED)

    async def _state(self, kept: Kept, *, storage: bool) -> State:
        known = [] if kept.state is None else kept.state["origins"]
        if storage and self._keeps_storage:
            with suppress(LateError):
                return await self._with_storage(kept)
        return {"cookies": await kept.handle.cookies(), "origins": known}

    async def _with_storage(self, kept: Kept) -> State:
        began = _clock.monotonic()
        try:
            state: State = await within(kept.handle.storage_state(), _STORAGE)
        finally:
            took = _clock.monotonic() - began
            kept.storage_at = began + max(_STORAGE_EACH, _STORAGE_COST * took)
        return state

    async def _close(self, kept: Kept) -> None:
        if kept.closed:
            return
        kept.closed = True  # by whoever comes first
        with suppress(Exception):
            await within(self._hand_on(kept), _ANSWER)
        with suppress(Exception):
            await within(kept.handle.close(), _ANSWER)
        if kept in self._open:  # no event has told so
            if kept.is_persistent:
                self._fleet.kill(kept.running)  # or it has its folder still
            self._gone(kept)

    async def _hand_on(self, kept: Kept) -> None:
        """Cookies that its last pages were given, when another one served already."""
        after = self.by_name.get(kept.name)
        if after is None or after.handle is kept.handle or kept.state is None:
            return
        known = kept.state["cookies"]
        new = [each for each in await kept.handle.cookies() if each not in known]
        if new:
            await after.handle.add_cookies(new)
