"""What runs for a request can be cut off, so that nothing of it comes out any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

__all__ = ["Cutter"]

_T = TypeVar("_T")


def _nothing() -> None:
    return None


class Cutter:
    """Runs coroutines until :meth:`cut`; those that run are cancelled then, quietly.

    A cancellation ends no further up than the coroutine that was given to :meth:`run`: its
    caller goes on as if it had come to its end.
    """

    def __init__(self) -> None:
        self._over = False
        self._tasks: set[asyncio.Task[Any]] = set()

    def is_over(self) -> bool:
        return self._over

    async def run(self, work: Coroutine[Any, Any, _T], instead: Callable[[], _T]) -> _T:
        """What *work* returns; when it is cut, what *instead* returns."""
        if self.is_over():
            work.close()
            return instead()
        task = asyncio.current_task()
        assert task is not None
        outermost = task not in self._tasks
        self._tasks.add(task)
        try:
            return await work
        except asyncio.CancelledError:
            if not self.is_over():
                raise
            return instead()
        finally:
            if outermost:
                self._tasks.discard(task)

    async def quietly(self, work: Coroutine[Any, Any, None]) -> None:
        """Like :meth:`run`, for a coroutine that returns nothing."""
        await self.run(work, _nothing)

    def outputs(self, result: Any) -> Any:
        """The elements of an iterable or asynchronous one, until the cut."""
        return self._async(result) if hasattr(result, "__aiter__") else self._sync(result)

    def _sync(self, result: Any) -> Iterator[Any]:
        for output in result:
            if self.is_over():
                return
            yield output

    async def _async(self, result: Any) -> AsyncIterator[Any]:
        """Only the wait for an element is cut: who takes it may have to wait as well."""
        elements, task = result.__aiter__(), asyncio.current_task()
        assert task is not None
        while not self.is_over():
            outermost = task not in self._tasks
            self._tasks.add(task)
            try:
                output = await elements.__anext__()
            except StopAsyncIteration:
                return
            except asyncio.CancelledError:
                if not self.is_over():
                    raise
                return
            finally:
                if outermost:
                    self._tasks.discard(task)
            yield output
        if hasattr(elements, "aclose"):
            await elements.aclose()

    def cut(self) -> None:
        """Cancel everything that runs, and let nothing new begin."""
        self._over = True
        for task in list(self._tasks):
            task.cancel()
