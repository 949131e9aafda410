"""The handler's contexts: made in a browser that answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from scrapy_resilience import _clock
from scrapy_resilience.browsers.contexts import Kept
from scrapy_resilience.browsers.errors import BrowserLost, is_lost
from scrapy_resilience.browsers.starting import StartsBrowsers

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy_resilience.browsers.fleet import Running

__all__ = ["KeepsContexts"]


class KeepsContexts(StartsBrowsers):
    """The part of the handler that makes contexts."""

    async def make_context(self, name: str, kwargs: dict[str, Any], spider: Any) -> None:
        """Called by :class:`.Contexts`."""
        await self._create_browser_context(name=name, context_kwargs=kwargs, spider=spider)

    def forget_context(self, name: str, context: Any) -> None:
        """Likewise: it gets no new page."""
        wrapper = self.context_wrappers.get(name)
        if wrapper is not None and wrapper.context is context:
            del self.context_wrappers[name]

    async def _create_browser_context(
        self, name: str, context_kwargs: dict[str, Any] | None, spider: Any = None
    ) -> Any:
        self._driver_runs.set()
        is_of_settings = spider is None  # a request goes on in another browser by itself
        while True:
            try:
                return await self._create_context(name, dict(context_kwargs or {}), spider)
            except Exception as error:  # noqa: PERF203 - each try on its own
                if not (is_of_settings and is_lost(error) and self._may_restart()):
                    raise

    def _may_restart(self) -> bool:
        return self.config.restart_disconnected_browser and not self._closed

    async def _create_context(self, name: str, kwargs: dict[str, Any], spider: Any) -> Any:
        make: Any = super()
        make = make._create_browser_context
        if kwargs.get("user_data_dir"):
            wrapper, running = await self._make_persistent(make, name, kwargs, spider)
        else:
            await self._maybe_launch_browser()
            serving = self.fleet.of(getattr(self, "browser", None))
            if serving is None:
                raise BrowserLost("the browser has ended")
            running = serving
            made = make(name=name, context_kwargs=kwargs, spider=spider)
            try:
                wrapper = await self.patiently(made, running)
            except Exception as error:
                if is_lost(error):
                    self.give_up(running)
                raise
        wrapper.semaphore = _Open()  # the places of pages are counted by us
        now = _clock.monotonic()
        is_persistent = bool(wrapper.persistent)
        self.contexts.add(
            Kept(name, wrapper.context, running, kwargs, is_persistent, born=now, used_at=now)
        )
        return wrapper

    async def _make_persistent(
        self, make: Callable[..., Any], name: str, kwargs: dict[str, Any], spider: Any
    ) -> tuple[Any, Running]:
        """It has a browser of its own."""
        marks: dict[str, str] = {}

        async def launch() -> Any:
            marks.update(self.fleet.next_marks())
            given = dict(kwargs)
            self._prepare(given, kwargs.get("env"), marks)
            return await make(name=name, context_kwargs=given, spider=spider)

        wrapper = await self.fleet.launch(launch)
        return wrapper, self.fleet.add(marks)

    async def patiently(self, work: Any, running: Running) -> Any:
        """What a browser answers; one that does not is ended, and :exc:`.BrowserLostError`."""
        task = asyncio.ensure_future(work)
        try:
            answered = await self.fleet.answers(task, running)
            if task.done():
                return task.result()
            task.cancel()
            if not answered:
                self.kill(running)
            raise BrowserLost("the browser has ended")
        finally:
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _make_close_browser_context_callback(self, *_: Any) -> Callable[[Any], None]:
        def closed(context: Any) -> None:
            for kept in self.contexts.closed(context):
                if kept.running.handle is None:  # of a persistent context
                    kept.running.ending = kept.running.ending or kept.ours or self._closed
                    self._lost(kept.running)

        return closed

    def _make_close_page_callback(self, _: str) -> Callable[..., None]:
        return lambda *_: None  # the places of pages are counted by us


class _Open:
    """A semaphore that lets everybody through."""

    async def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass
