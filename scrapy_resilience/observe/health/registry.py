"""The health of a crawl: components that are looked at, and checks of the user's own.

What the crawl knows of itself is judged when somebody looks. A check of the user's may ask a
database or a proxy: it is run when its last answer has grown old and somebody looks, never
twice at a time, and for a bounded time; whoever looks is told its last answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from weakref import WeakKeyDictionary

from scrapy.utils.defer import ensure_awaitable

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience.callables import is_async
from scrapy_resilience.core.health import Finding, as_finding, is_ready, overall
from scrapy_resilience.core.masking import message_of, shown
from scrapy_resilience.observe.view import Component, Health, View
from scrapy_resilience.waits import in_thread, let_go

if TYPE_CHECKING:
    from threading import Thread

    from scrapy.crawler import Crawler

__all__ = ["HealthRegistry", "health_of", "register_health_check"]

logger = get_logger(__name__)

Check: TypeAlias = Callable[[], Any]
Look: TypeAlias = Callable[[View], "Finding | None"]

_LONGEST: Final = 300
"""Characters of a detail."""


@dataclass
class _Watched:
    name: str
    look: Look
    informs: bool


class _Checked:
    """A check of the user's, and what it has answered last."""

    def __init__(self, name: str, check: Check, recover: Check | None) -> None:
        self.name = name
        self.recover = recover
        self.finding = Finding("unknown", "not checked yet")
        self.checked: float | None = None
        """Seconds since 1970."""
        self.due = 0.0
        self.task: asyncio.Task[None] | None = None
        self._check = check
        self._work: asyncio.Future[Any] | None = None
        self._thread: Thread | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether the last call has not come back, cancelled or not."""
        alive = self._thread is not None and self._thread.is_alive()
        return alive or (self._work is not None and not self._work.done())

    async def run(self, timeout: float) -> None:
        """Ask once; never raises."""
        try:
            found = as_finding(await self._answer(timeout))
        except asyncio.CancelledError:
            raise
        except asyncio.TimeoutError:
            found = Finding("unhealthy", f"no answer in {timeout:g} s")
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a thread, too
            found = Finding("unhealthy", f"{type(error).__name__}: {message_of(error)}")
        found = Finding(found.status, shown(found.detail)[:_LONGEST])
        if found.status != self.finding.status and found.status in {"unhealthy", "unknown"}:
            logger.warning("The health check %s: %s (%s)", self.name, *found)
        self.finding, self.checked = found, _clock.wall()

    async def _answer(self, timeout: float) -> Any:
        began = _clock.stopwatch()
        if is_async(self._check):
            return await self._wait(ensure_awaitable(self._check()), timeout)
        answer, self._thread = in_thread(self._check, f"resilience-health-{self.name}")
        found = await self._wait(answer, timeout)
        if isawaitable(found):  # of a function that only gives one
            found = await self._wait(
                ensure_awaitable(found), timeout - _clock.stopwatch() + began
            )
        return found

    async def _wait(self, work: Awaitable[Any], timeout: float) -> Any:
        self._work = asyncio.ensure_future(work)
        try:
            await asyncio.wait({self._work}, timeout=timeout)
            if self._work.done():
                return self._work.result()
        finally:
            self.leave()
        raise asyncio.TimeoutError

    def leave(self) -> None:
        """Nobody waits for it any more: it must not keep the process."""
        if self._work is not None and not self._work.done():
            self._work.add_done_callback(_forget)
            self._work.cancel()
        if self._thread is not None:
            let_go(self._thread)


def _forget(work: asyncio.Future[Any]) -> None:
    if not work.cancelled():
        work.exception()


class HealthRegistry:
    """The components of one crawl, from :func:`health_of`.

    :param timeout: seconds that a check of the user's may take
    :param interval: seconds for which its answer is good
    """

    def __init__(self, timeout: float = 5.0, interval: float = 10.0) -> None:
        self.timeout = timeout
        self.interval = interval
        self._watched: dict[str, _Watched] = {}
        self._checked: dict[str, _Checked] = {}

    def register(self, name: str, check: Check, recover: Check | None = None) -> None:
        """Have *check* asked, without arguments, as the component *name*.

        It may be a coroutine function; any other is called in a thread. None or True is
        healthy, False is unhealthy; ``"degraded"``, or ``("degraded", "why")``, says it in
        words. One that raises, or does not come back in time, is unhealthy.

        *recover* is kept for who tries to make it well again. A name that is known is replaced.
        Raises :exc:`TypeError` for what can't be called.
        """
        for function in (check, recover or check):
            if not callable(function):
                raise TypeError(f"{function!r} can't be called: give a function")
        if (before := self._checked.pop(name, None)) is not None:
            _stop(before)
        self._checked[name] = _Checked(name, check, recover)

    def watch(self, name: str, look: Look, *, informs: bool = False) -> None:
        """Have *look* judge a view: what the crawl knows of itself. None leaves it out.

        *informs*: whether it makes the whole degraded at most.
        """
        self._watched[name] = _Watched(name, look, informs)

    def recover_of(self, name: str) -> Check | None:
        """The function that may make a component well again."""
        return self._checked[name].recover if name in self._checked else None

    def view(self, crawl: View) -> Health:
        """How the crawl is, as far as it is known now; begins the checks that are due."""
        self._begin()
        found = [
            (Component(name=each.name, status=finding.status, detail=finding.detail,
                       checked=crawl.time), each.informs)
            for each in self._watched.values()
            if (finding := _looked(each, crawl)) is not None
        ]  # fmt: skip
        found += [
            (Component(name=each.name, status=each.finding.status, detail=each.finding.detail,
                       checked=each.checked), False)
            for each in self._checked.values()
        ]  # fmt: skip
        parts = [(component.status, informs) for component, informs in found]
        return Health(
            status=overall(parts),
            ready=is_ready(parts) and crawl.job.state == "running",
            components=[component for component, _ in found],
        )

    async def refresh(self, wait: float) -> None:
        """Run the checks that are due, and wait for so many seconds at most."""
        if running := self._begin():
            await asyncio.wait(running, timeout=wait)

    def close(self) -> None:
        """Ask nobody any more."""
        for each in self._checked.values():
            _stop(each)
        self._checked.clear()
        self._watched.clear()

    def _begin(self) -> list[asyncio.Task[None]]:
        now = _clock.monotonic()
        for each in self._checked.values():
            if now >= each.due and not each.is_under_way and _is_over(each.task):
                each.due = now + self.interval
                each.task = asyncio.ensure_future(each.run(self.timeout))
        return [
            each.task
            for each in self._checked.values()
            if each.task is not None and not each.task.done()
        ]


def _looked(watched: _Watched, crawl: View) -> Finding | None:
    try:
        return watched.look(crawl)
    except Exception:
        logger.exception("The health of %s can't be told", watched.name)
        return Finding("unknown", "it can't be told: see the log")


def _is_over(task: asyncio.Task[None] | None) -> bool:
    return task is None or task.done()


def _stop(check: _Checked) -> None:
    if check.task is not None:
        check.task.cancel()
    check.leave()


_registries: WeakKeyDictionary[Crawler, HealthRegistry] = WeakKeyDictionary()


def health_of(crawler: Crawler) -> HealthRegistry:
    """The components of a crawl."""
    return _registries.setdefault(crawler, HealthRegistry())


def register_health_check(
    crawler: Crawler, name: str, check: Check, recover: Check | None = None
) -> None:
    """Have *check* asked for the crawl's health: see :meth:`HealthRegistry.register`."""
    health_of(crawler).register(name, check, recover)
