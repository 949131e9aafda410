"""Nothing of a browser is waited for without an end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["Background", "LateError", "within"]

_T = TypeVar("_T")


class LateError(Exception):
    """Something took longer than it may: no time-out of what it does itself."""


async def within(work: Coroutine[Any, Any, _T], seconds: float | None) -> _T:
    """What *work* returns.

    Raises :exc:`LateError` after *seconds*; what does not heed that it is cancelled is left
    alone, which ``asyncio.wait_for()`` would wait for.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
        raise LateError
    finally:
        if not task.done():
            task.add_done_callback(_forget)
            task.cancel()


def _forget(task: asyncio.Future[Any]) -> None:
    """Nobody is there any more to hear of its error."""
    if not task.cancelled():
        task.exception()


class Background:
    """Work that nobody waits for, until the end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def run(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Begin it; its error is nobody's, but for who waits for the task."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_forget)
        return task

    async def finish(self, seconds: float) -> None:
        """Wait for what is under way, for so long; then cut it off."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=seconds)
        for task in list(self._tasks):
            task.cancel()
