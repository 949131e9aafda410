"""Logs as lines of JSON, in a crawl and outside of Scrapy: one line, one record.

Each line has the keys ``timestamp`` (UTC), ``level``, ``logger_name``, ``module``,
``function_name``, ``line_number``, ``trace_id``, ``request_id``, ``user_id``, ``component``,
``url``, ``duration_ms`` and ``message``; those that are not known are null. Behind them come
extra fields and, where something was raised, ``exception``. Passwords and tokens in URLs,
headers and settings are hidden.

In a crawl the settings ``RESILIENCE_LOG_*`` switch them on, and each line knows its request.
"""

from __future__ import annotations

import logging
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.observe.logs import log_context
from scrapy_resilience.observe.logs.jsonlog import JsonFormatter
from scrapy_resilience.observe.logs.log_calls import Reporting, Timing, around
from scrapy_resilience.observe.logs.log_formats import json_for, pretty_for
from scrapy_resilience.observe.logs.logfiles import LogFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping

__all__ = [
    "JsonFormatter",
    "clear_request_context",
    "get_logger",
    "log_exceptions",
    "log_execution_time",
    "set_request_context",
    "setup_logging",
]

F = TypeVar("F", bound="Callable[..., Any]")
_MOST_BYTES: Final = 100_000_000
_MOST_DAYS: Final = 30


class _Installed:
    """By the last :func:`setup_logging`."""

    console: logging.Handler | None = None
    files: LogFiles | None = None


def setup_logging(
    level: int | str = "INFO",
    *,
    json: bool | None = None,
    log_dir: str | Path = "",
    files: Iterable[str] = (),
    max_bytes: int = _MOST_BYTES,
    retention: int = _MOST_DAYS,
) -> None:
    """Log to stderr and, with *log_dir*, to files that rotate.

    :param level: the least level that is logged, by its name or number
    :param json: True for lines of JSON on stderr, False for short ones for people; by default
        JSON unless stderr is a terminal
    :param log_dir: folder of ``app.log`` and ``error.log``, in JSON; it is made when it is not
        there. Empty for no files
    :param files: names of loggers that have a file of their own there, too
    :param max_bytes: size at which a file is put aside, as it is each midnight (UTC)
    :param retention: days that such files are kept

    What an earlier call has installed is replaced; handlers of others stay. Raises
    :exc:`~scrapy_resilience.exceptions.ConfigurationError` for an unknown level and for a
    folder that can't be written.
    """
    number = _number_of(level)
    made = None
    if log_dir:
        folder = Path(log_dir).expanduser().resolve()
        made = LogFiles(
            folder, files, JsonFormatter(), level=number, most=max_bytes, days=retention
        )
    _take_away()
    console = logging.StreamHandler()
    console.setLevel(number)
    pretty = None if json else pretty_for(console, anywhere=json is False)
    console.setFormatter(pretty or json_for(console))
    logging.root.addHandler(console)
    logging.root.setLevel(min(number, logging.root.level or logging.CRITICAL))
    _Installed.console, _Installed.files = console, made
    log_context.want()


def _number_of(level: int | str) -> int:
    found = logging.getLevelName(level.upper()) if isinstance(level, str) else level
    if not isinstance(found, int):
        raise ConfigurationError(f"level={level!r}: use DEBUG, INFO, WARNING or ERROR.")
    return found


def _take_away() -> None:
    if _Installed.console is not None:
        logging.root.removeHandler(_Installed.console)
    if _Installed.files is not None:
        _Installed.files.close()
    _Installed.console = _Installed.files = None


# LoggerAdapter has a parameter since Python 3.11
class _Logger(logging.LoggerAdapter):  # type: ignore[type-arg]
    """Adds fields to each line, beside those of its own ``extra``."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


def get_logger(name: str | None = None, **fields: Any) -> logging.LoggerAdapter[logging.Logger]:
    """The logger *name*, whose lines all have *fields*, such as ``component="prices"``.

    Use it as one of :func:`logging.getLogger`; ``extra={…}`` adds fields to one line.
    """
    return _Logger(logging.getLogger(name), fields)


def set_request_context(**fields: Any) -> None:
    """Add *fields* to each line that is logged from here on, in this task and what it begins.

    ``trace_id``, ``request_id``, ``user_id``, ``component`` and ``url`` have their own keys,
    others become extra fields. A crawl sets all of them but ``user_id`` for itself; what a
    callback adds holds for its items, and ends with it.
    """
    log_context.update(fields)


def clear_request_context() -> None:
    """Forget what :func:`set_request_context` has added; what the crawl has set stays."""
    log_context.clear()


@overload
def log_execution_time(logger: F, /) -> F: ...
@overload
def log_execution_time(logger: Any = None) -> Callable[[F], F]: ...
def log_execution_time(logger: Any = None) -> Any:
    """Decorate a function so that each call logs its ``duration_ms``, at level INFO.

    :param logger: a logger; by default that of the function's module

    Coroutine functions, generators and asynchronous generators are timed to their end; of
    generators only the time that they run for themselves.
    """
    if callable(logger) and not hasattr(logger, "log"):
        return log_execution_time()(logger)
    return _decorator(lambda function: Timing(function, logger))


@overload
def log_exceptions(reraise: F, /) -> F: ...
@overload
def log_exceptions(reraise: bool = True) -> Callable[[F], F]: ...  # noqa: FBT001, FBT002
def log_exceptions(reraise: Any = True) -> Any:  # noqa: FBT002 - the name that users know
    """Decorate a function so that each exception that it raises is logged with its traceback.

    :param reraise: False gives back None instead, and ends a generator

    It works as :func:`log_execution_time` does. What ends a task or the process is no
    :exc:`Exception`, is not logged and goes on.
    """
    if callable(reraise):
        return log_exceptions()(reraise)
    return _decorator(lambda function: Reporting(function, reraise=bool(reraise)))


def _decorator(make: Callable[[Any], Any]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        if not callable(function):
            raise TypeError(f"{function!r} can't be called: decorate the function inside")
        return wraps(function)(around(function, make(function)))  # type: ignore[return-value]

    return decorate
