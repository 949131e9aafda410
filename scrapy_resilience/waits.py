"""Nothing is waited for in silence, and nothing for ever.

What others have written (handlers, storages, places of snapshots) may not come back. Who waits
for it says so after ten seconds, in the log and to ``scrapy resilience status``, and goes on
without it in the end.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakKeyDictionary

from scrapy.utils.defer import ensure_awaitable

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience.core.masking import shown
from scrapy_resilience.files.ownership import open_own

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from scrapy.crawler import Crawler

    from scrapy_resilience._clock import Timer

__all__ = ["Wait", "Waits", "forget", "in_thread", "let_go", "read_waiting", "waits_of"]

logger = get_logger(__name__)

_T = TypeVar("_T")
_TELL: Final = 10.0
_TELL_AGAIN: Final = 60.0
_LONGEST: Final = 65_536
"""Bytes of the file that are read."""


@dataclass(eq=False)
class Wait:
    """One of them."""

    who: str
    seconds: float | None
    level: int
    since: float
    began: float
    told: bool = False
    timer: Timer | None = None

    @property
    def passed(self) -> float:
        return _clock.monotonic() - self.began


class Waits:
    """What one crawl waits for.

    *path* is a file for ``status``: there while something is waited for that was told.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._open: list[Wait] = []
        self._writing = Lock()
        self.given_up = False
        """Whether something has not come back, and may be under way still."""
        self._save()

    async def bounded(
        self,
        work: Awaitable[_T],
        who: str,
        seconds: float | None,
        *,
        level: int = logging.WARNING,
    ) -> _T:
        """Await *work*, a coroutine, Future or Deferred, for so many seconds at most.

        Raises :exc:`TimeoutError` then, and cancels it; what can't be cancelled is left alone.
        None is for what nothing can go on without: it is only told. *level* is that of the line
        that is logged after ten seconds.
        """
        task: asyncio.Future[_T] = asyncio.ensure_future(ensure_awaitable(work))
        task.add_done_callback(forget)  # it may fail in the turn in which this is cut off
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        end = None if seconds is None else _clock.call_later(seconds, _set, over)
        wait = self._begin(who, seconds, level)
        try:
            either: set[asyncio.Future[Any]] = {task, over}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
        finally:
            if end is not None:
                end.cancel()
            self._finish(wait)
            task.cancel()
        self.given_up = True
        raise TimeoutError(f"{who}: not done in time ({seconds:g} s)")

    def waiting(self) -> list[dict[str, Any]]:
        """Who is waited for, since when, for those that were told."""
        return [{"for": wait.who, "since": wait.since} for wait in self._open if wait.told]

    def begin(self, who: str) -> Wait:
        """Say that the crawl waits for *who*, from any thread, until :meth:`end`.

        The caller logs it, and what became of it.
        """
        wait = Wait(who, None, logging.WARNING, _clock.wall(), _clock.monotonic(), told=True)
        self._open.append(wait)
        self._save()
        return wait

    def end(self, wait: Wait) -> None:
        """That is over."""
        if wait in self._open:
            self._open.remove(wait)
        self._save()

    def close(self) -> None:
        """The crawl has ended."""
        self._open.clear()
        self._save()

    def _begin(self, who: str, seconds: float | None, level: int) -> Wait:
        wait = Wait(who, seconds, level, _clock.wall(), _clock.monotonic())
        self._open.append(wait)
        wait.timer = _clock.call_later(_TELL, self._tell, wait)
        return wait

    def _tell(self, wait: Wait) -> None:
        most = "" if wait.seconds is None else f", for {wait.seconds:g} s at most"
        logger.log(wait.level, "Waiting for %s since %.0f s%s", wait.who, wait.passed, most)
        wait.timer = _clock.call_later(_TELL_AGAIN, self._tell, wait)
        if not wait.told:
            wait.told = True
            self._save()

    def _finish(self, wait: Wait) -> None:
        assert wait.timer is not None
        wait.timer.cancel()
        if wait in self._open:
            self._open.remove(wait)
        if wait.told:
            self._save()
            logger.log(wait.level, "Waited %.0f s for %s", wait.passed, wait.who)

    def _save(self) -> None:
        """A file of its own: no commit is made while one waits for the last."""
        if self._path is None:
            return
        with self._writing, suppress(OSError):
            if not self.waiting():
                self._path.unlink(missing_ok=True)
                return
            fd = open_own(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            with os.fdopen(fd, "w", encoding="ascii") as file:
                json.dump(self.waiting(), file)


def _set(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


def forget(task: asyncio.Future[Any]) -> None:
    """Nobody is there any more to hear of its error."""
    if not task.cancelled():
        task.exception()


def read_waiting(path: Path) -> list[dict[str, Any]]:
    """What :class:`Waits` of a running job has written; empty when there is nothing."""
    try:
        with os.fdopen(open_own(path, os.O_RDONLY), encoding="ascii") as file:
            found = json.loads(file.read(_LONGEST))
        return [
            {"for": shown(str(each["for"])), "since": float(each["since"])} for each in found
        ]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []


_WAITS: WeakKeyDictionary[Crawler, Waits] = WeakKeyDictionary()


def waits_of(crawler: Crawler, waits: Waits | None = None) -> Waits:
    """The waits of a crawler; *waits* are those of its job, once that is open."""
    if waits is not None:
        _WAITS[crawler] = waits
    return _WAITS.setdefault(crawler, waits or Waits())


def in_thread(function: Callable[[], _T], name: str) -> tuple[asyncio.Future[_T], Thread]:
    """Run *function* in a thread, which keeps the process until it ends or is let go."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def settle(settled: Callable[[Any], None], value: Any) -> None:
        if not future.done():
            settled(value)

    def run() -> None:
        try:
            outcome: tuple[Callable[[Any], None], Any] = (future.set_result, function())
        except StopIteration as error:  # which a future does not take, as a generator
            outcome = (future.set_exception, RuntimeError(f"{name} raised StopIteration"))
            outcome[1].__cause__ = error
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            outcome = (future.set_exception, error)
        with suppress(RuntimeError):  # the event loop has ended
            loop.call_soon_threadsafe(settle, *outcome)
        let_go(thread)

    thread = Thread(target=run, name=name, daemon=True)
    atexit.register(thread.join)
    thread.start()
    return future, thread


def let_go(thread: Thread) -> None:
    """The process may end without it."""
    atexit.unregister(thread.join)
