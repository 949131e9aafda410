"""Something is done around each call of a function, whatever kind of function it is."""

from __future__ import annotations

import inspect
import logging
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol

from scrapy_resilience.callables import is_async

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

__all__ = ["Reporting", "Timing", "around"]


class Call(Protocol):
    """One call, from its first step to its last: a plain function has one step."""

    def __enter__(self) -> object:
        """A step begins."""

    def __exit__(
        self, kind: object, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """A step ends. True keeps what it has raised from going on."""

    def end(self, error: BaseException | None) -> None:
        """The call is over."""


class _Told:
    """Logs in the name of *function*, not of what is around it."""

    def __init__(self, function: Any, logger: Any = None) -> None:
        code = getattr(inspect.unwrap(function), "__code__", None)
        self.name = getattr(function, "__qualname__", type(function).__qualname__)
        module = getattr(function, "__module__", None)
        self._logger = logging.getLogger(module) if logger is None else logger
        self._file: str = getattr(code, "co_filename", "")
        self._line: int = getattr(code, "co_firstlineno", 0)

    def log(
        self, level: int, text: str, *args: Any, exc_info: Any = None, **extra: Any
    ) -> None:
        logger = self._logger
        if isinstance(logger, logging.LoggerAdapter):
            extra = {**(logger.extra or {}), **extra}
            logger = logger.logger
        if logger.isEnabledFor(level):
            name = self.name.rpartition(".")[2]
            logger.handle(
                logger.makeRecord(
                    logger.name,
                    level,
                    self._file,
                    self._line,
                    text,
                    args,
                    exc_info,
                    name,
                    extra,
                )
            )


class Timing:
    """Logs how long a call has taken."""

    def __init__(self, function: Any, logger: Any = None) -> None:
        self._told = _Told(function, logger)

    def __call__(self) -> Call:
        return _Timed(self._told)


class _Timed:
    def __init__(self, told: _Told) -> None:
        self._told = told
        self._taken = self._began = 0.0

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(self, *_: object) -> None:
        self._taken += perf_counter() - self._began

    def end(self, error: BaseException | None) -> None:
        took = round(self._taken * 1000, 3)
        text = "%s took %s ms" if error is None else "%s has failed after %s ms"
        self._told.log(logging.INFO, text, self._told.name, took, duration_ms=took)


class Reporting:
    """Logs what a call raises."""

    def __init__(self, function: Any, *, reraise: bool) -> None:
        self._told = _Told(function)
        self._reraise = reraise

    def __call__(self) -> Call:
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: object, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception) or _is_end(error):
            return False
        text = "%s has raised an exception"
        self._told.log(
            logging.ERROR, text, self._told.name, exc_info=(type(error), error, trace)
        )
        return not self._reraise

    def end(self, error: BaseException | None) -> None:
        pass


def _is_end(error: Exception) -> bool:
    return isinstance(error, (StopIteration, StopAsyncIteration))


def around(function: Any, begin: Callable[[], Call]) -> Callable[..., Any]:
    """*function* with a ``begin()`` for each call: a function of the same kind."""
    if inspect.isasyncgenfunction(function):
        return _async_generator(function, begin)
    if inspect.isgeneratorfunction(function):
        return _generator(function, begin)
    if is_async(function):
        return _coroutine(function, begin)

    def call(*args: Any, **kwargs: Any) -> Any:
        with _whole(begin()) as step, step:
            return function(*args, **kwargs)

    return call


@contextmanager
def _whole(call: Call) -> Iterator[Call]:
    failed = None
    try:
        yield call
    except GeneratorExit:  # nobody wants the rest
        raise
    except BaseException as error:
        failed = error
        raise
    finally:
        call.end(failed)


def _coroutine(function: Any, begin: Callable[[], Call]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with _whole(begin()) as step, step:
            return await function(*args, **kwargs)

    return call


_OVER: Final = object()


def _generator(function: Any, begin: Callable[[], Call]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        inner = function(*args, **kwargs)
        resume = partial(inner.send, None)
        with _whole(begin()) as step:
            while True:
                output: Any = _OVER
                try:
                    with step:
                        output = resume()
                except StopIteration as over:
                    return over.value
                if output is _OVER:
                    return None
                try:
                    resume = partial(inner.send, (yield output))
                except GeneratorExit:
                    inner.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - it is thrown into the function
                    resume = partial(inner.throw, error)

    return call


def _async_generator(function: Any, begin: Callable[[], Call]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        inner = function(*args, **kwargs)
        resume = partial(inner.asend, None)
        with _whole(begin()) as step:
            while True:
                output: Any = _OVER
                try:
                    with step:
                        output = await resume()
                except StopAsyncIteration:
                    return
                if output is _OVER:
                    return
                try:
                    resume = partial(inner.asend, (yield output))
                except GeneratorExit:
                    await inner.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 - as above
                    resume = partial(inner.athrow, error)

    return call
