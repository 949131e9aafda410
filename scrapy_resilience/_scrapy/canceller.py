"""What runs for a request can be cut off; a cancellation that nobody asked for is an error.

Scrapy handles exceptions, and ``asyncio.CancelledError`` is none: a callback that awaits what
was cancelled, or a pipeline that raises it, ends its task without a word, and its item is gone
or its request never ends. Only a stop that cuts off what runs means it. Other classes that are
no :exc:`Exception` do the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakKeyDictionary

from scrapy_resilience._scrapy.contexts import NOTHING
from scrapy_resilience.exceptions import WorkCancelledError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
    from contextlib import AbstractContextManager

__all__ = ["ENDS", "Canceller", "as_error", "as_exception", "cancel_with", "forget_cancel"]

_T = TypeVar("_T")
ENDS: Final = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""What ends the process, or a generator."""


def _nothing() -> None:
    return None


class Canceller:
    """Runs coroutines until :meth:`cut`; those that run are cancelled then, quietly.

    That cancellation ends no further up than the coroutine that was given to :meth:`run`: its
    caller goes on as if it had come to its end. Any other one is raised as an exception.
    """

    def __init__(self) -> None:
        self._over = False
        self._tasks: set[asyncio.Task[Any]] = set()

    def is_over(self) -> bool:
        return self._over

    async def run(
        self,
        work: Coroutine[Any, Any, _T],
        instead: Callable[[], _T],
        error: type[Exception] = WorkCancelledError,
    ) -> _T:
        """What *work* returns; when it is cut, what *instead* returns.

        Raises *error* when it was cancelled by anybody else.
        """
        if self.is_over():
            work.close()
            return instead()
        task = asyncio.current_task()
        assert task is not None
        outermost = task not in self._tasks
        self._tasks.add(task)
        try:
            return await work
        except asyncio.CancelledError as cancelled:
            if self.is_over():
                return instead()
            raise as_error(error) from cancelled
        except (Exception, *ENDS):
            raise
        except BaseException as odd:
            raise as_exception(odd, error) from odd
        finally:
            if outermost:
                self._tasks.discard(task)

    def quietly(self, work: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
        """Like :meth:`run`, for a coroutine that returns nothing."""
        return self.run(work, _nothing)

    async def within(
        self, work: Awaitable[_T], error: type[Exception] = WorkCancelledError
    ) -> _T:
        """What *work* returns, inside of a :meth:`run` which ends it when it is cut.

        Raises *error* when it was cancelled by anybody else.
        """
        try:
            return await work
        except asyncio.CancelledError as cancelled:
            if self.is_over():
                raise
            raise as_error(error) from cancelled
        except (Exception, *ENDS):
            raise
        except BaseException as odd:
            raise as_exception(odd, error) from odd

    def outputs(
        self,
        result: Iterable[Any] | AsyncIterator[Any],
        waiting: AbstractContextManager[Any] = NOTHING,
    ) -> Any:
        """The outputs of a callback, until the cut; in *waiting*, again and again, for each.

        Raises :exc:`WorkCancelledError` where making one was cancelled by anybody else.
        """
        if isinstance(result, AsyncIterator):
            return self._async(result, waiting)
        return self._sync(result)

    def _sync(self, result: Iterable[Any]) -> Iterator[Any]:
        try:
            for output in result:
                if self.is_over():
                    return
                yield output
        except asyncio.CancelledError as cancelled:
            if self.is_over():
                raise
            raise as_error() from cancelled
        except (Exception, *ENDS):
            raise
        except BaseException as odd:
            raise as_exception(odd) from odd

    async def _async(
        self,
        elements: AsyncIterator[Any],
        waiting: AbstractContextManager[Any],
    ) -> AsyncIterator[Any]:
        """Only the wait for an element is cut: who takes it may have to wait as well."""
        task = asyncio.current_task()
        assert task is not None
        while not self.is_over():
            outermost = task not in self._tasks
            self._tasks.add(task)
            try:
                with waiting:
                    output = await elements.__anext__()
            except StopAsyncIteration:
                return
            except asyncio.CancelledError as cancelled:
                if self.is_over():
                    return
                raise as_error() from cancelled
            except (Exception, *ENDS):
                raise
            except BaseException as odd:
                raise as_exception(odd) from odd
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


def as_error(error: type[Exception] = WorkCancelledError) -> Exception:
    """What is to be raised in the place of a cancellation; its task goes on."""
    task = asyncio.current_task()
    if task is not None and hasattr(task, "uncancel"):
        task.uncancel()
    given = None if task is None else _given.pop(task, None)
    return given or error("what it was waiting for was cancelled")


def as_exception(odd: BaseException, error: type[Exception] = WorkCancelledError) -> Exception:
    """What is to be raised in the place of what Scrapy does not handle."""
    return error(f"{type(odd).__qualname__} was raised, which is no Exception")


_given: WeakKeyDictionary[asyncio.Task[Any], Exception] = WeakKeyDictionary()


def cancel_with(task: asyncio.Task[Any], error: Exception) -> None:
    """Cancel what *task* waits for, and have *error* raised in its place."""
    _given[task] = error
    task.cancel()


def forget_cancel(task: asyncio.Task[Any]) -> None:
    """What was waited for has ended, in spite of :func:`cancel_with`, without an error."""
    _given.pop(task, None)
