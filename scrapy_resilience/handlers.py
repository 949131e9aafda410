"""Functions of yours that decide what is done about a failure.

>>> from scrapy_resilience.handlers import hold, retry
>>> def on_throttled(request, verdict, attempts, spider):
...     return hold(60, "night shift") if attempts > 2 else retry(5)

``RESILIENCE_FAILURE_HANDLERS = {"throttled": "project.handlers.on_throttled"}`` plugs it
in, or :func:`register_failure_handler` from code.
"""

from __future__ import annotations

import inspect
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import msgspec
from scrapy.utils.misc import load_object

from scrapy_resilience import names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.of_crawlers import OfCrawlers
from scrapy_resilience.core.failures import FAILURE_CLASSES
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.waits import waits_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrapy import Request, Spider
    from scrapy.crawler import Crawler

    from scrapy_resilience.core.classify import Verdict

__all__ = [
    "Answer",
    "FailureHandlers",
    "abort",
    "drop",
    "handlers_of",
    "hold",
    "register_failure_handler",
    "retry",
]

logger = get_logger(__name__)


class Answer(msgspec.Struct, frozen=True):
    """What a handler wants: made by the functions below."""

    action: str
    delay: float = 0.0
    reason: str = ""


def retry(delay: float, reason: str = "") -> Answer:
    """Try the request again in *delay* seconds, however often it was tried."""
    return Answer("retry", _seconds(delay), reason)


def hold(seconds: float, reason: str = "") -> Answer:
    """Ask nothing of the domain for *seconds*, then try again; this try does not count."""
    return Answer("hold", _seconds(seconds), reason)


def drop(reason: str) -> Answer:
    """Give the request up: it goes to the dead letters."""
    return Answer("drop", reason=reason)


def abort(reason: str) -> Answer:
    """Close the spider; the request stays pending for the next run."""
    return Answer("abort", reason=reason)


def _seconds(value: float) -> float:
    if not isfinite(value) or value < 0:
        raise ValueError(f"{value!r}: use seconds, 0 or more")
    return float(value)


_TIMEOUT: Final[float] = 300.0
"""Seconds, where no setting says otherwise."""


class FailureHandlers:
    """The handlers of one crawl, at most one for each failure class."""

    def __init__(self) -> None:
        self._by_class: dict[str, Callable[..., Any]] = {}
        self.timeout: float = _TIMEOUT
        """Seconds that an asynchronous one may take."""

    def load(self, paths: Mapping[str, Any]) -> None:
        """Take the handlers of a setting; those that code has registered stay."""
        for failure_class, path in paths.items():
            handler = _loaded(failure_class, path)
            self._by_class.setdefault(failure_class, handler)

    def register(self, failure_class: str, handler: Callable[..., Any]) -> None:
        _check_class(failure_class, "register_failure_handler()")
        self._by_class[failure_class] = handler

    async def ask(
        self, request: Request, verdict: Verdict, attempts: int, spider: Spider
    ) -> Answer | None:
        """What the handler says; None for the default, also when it fails."""
        handler = self._by_class.get(verdict.failure_class or "")
        if handler is None:
            return None
        try:
            answer = handler(request, verdict, attempts, spider)
            if inspect.isawaitable(answer):
                who = f"the failure handler of {verdict.failure_class}, {handler!r}"
                answer = await waits_of(spider.crawler).bounded(answer, who, self.timeout)
            if answer is None or isinstance(answer, Answer):
                return answer
            raise TypeError(f"{answer!r}: use retry(), hold(), drop(), abort() or None")  # noqa: TRY301
        except Exception:
            logger.exception("The failure handler of %s failed", verdict.failure_class)
            assert spider.crawler.stats is not None
            spider.crawler.stats.inc_value(names.STAT_HANDLER_ERRORS)
            return None

    def __contains__(self, failure_class: object) -> bool:
        return failure_class in self._by_class


_SETTING = "RESILIENCE_FAILURE_HANDLERS"


def _loaded(failure_class: str, path: Any) -> Callable[..., Any]:
    _check_class(failure_class, _SETTING)
    try:
        handler = load_object(path) if isinstance(path, str) else path
    except (ImportError, NameError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{_SETTING}[{failure_class!r}]={path!r}: {error}.") from None
    if not callable(handler):
        raise ConfigurationError(
            f"{_SETTING}[{failure_class!r}]={path!r}: use a function, or its import path."
        )
    found: Callable[..., Any] = handler
    return found


def _check_class(failure_class: str, where: str) -> None:
    if failure_class not in FAILURE_CLASSES:
        raise ConfigurationError(
            f"{where}: {failure_class!r} is not a failure class: use one of "
            f"{', '.join(FAILURE_CLASSES)}."
        )


_handlers = OfCrawlers["FailureHandlers"]("failure_handlers")


def handlers_of(crawler: Crawler) -> FailureHandlers:
    """The handlers of a crawler."""
    return _handlers.of(crawler, FailureHandlers)


def register_failure_handler(
    crawler: Crawler, failure_class: str, handler: Callable[..., Any]
) -> None:
    """Have *handler* called with (request, verdict, attempts, spider) for each such failure.

    It may be a coroutine function. *failure_class* is one of ``transient``, ``throttled``,
    ``server_error``, ``blocked``, ``permanent`` and ``content``. It replaces the handler
    that a setting or an earlier call has given.
    """
    handlers_of(crawler).register(failure_class, handler)
