"""Requests as the frontier keeps them: as bytes in a job, as they are without one."""

from __future__ import annotations

from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Any, Final

from scrapy import Request

from scrapy_resilience._log import get_logger
from scrapy_resilience.exceptions import CheckpointError, ResilienceError
from scrapy_resilience.frontier.codec import IncompleteError, UnserializableError, edit_request
from scrapy_resilience.names import STAT_UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.crawler import Crawler

    from scrapy_resilience.frontier.codec import RequestCodec
    from scrapy_resilience.frontier.store import Row

__all__ = ["StoredRequests"]

logger = get_logger(__name__)

_TOLD: Final = 100
"""Different texts that are logged."""


class StoredRequests:
    """*durable*: whether there is a job. *is_under_way* tells of a request as an object."""

    def __init__(
        self,
        crawler: Crawler,
        codec: RequestCodec,
        is_under_way: Callable[[Request], bool],
        *,
        durable: bool,
    ) -> None:
        self._codec = codec
        self._is_under_way = is_under_way
        self._durable = durable
        self._stats: Any = crawler.stats
        self._log_unserializable = crawler.settings.getbool("SCHEDULER_DEBUG")
        self._incomplete: set[str] = set()
        self._unreadable: set[str] = set()
        self.is_any_unreadable = False
        """Whether a request of the job can't run with today's code."""

    def payload(self, request: Request) -> bytes | Request:
        """The request itself where it can live in memory only.

        Raises :exc:`TypeError` and :exc:`ValueError` for a priority that is no number.
        """
        if not self._durable:
            return request
        # Scrapy looks at it only when a request is made: another number could not be stored
        request.priority = int(request.priority)
        try:
            return self._codec.encode(request)
        except UnserializableError as error:
            self._stats.inc_value("scheduler/unserializable")
            if isinstance(error, IncompleteError) and _is_new(error, self._incomplete):
                logger.warning("%s. Until then such requests are kept in memory only", error)
            if self._log_unserializable:
                self._log_unserializable = False
                logger.warning(
                    "Unable to serialize request: %s - reason: %s - it stays in memory, and "
                    "the request that made it runs again after a kill - no more unserializable "
                    "requests will be logged (stats being collected)",
                    request,
                    error,
                )
            return request

    def request(self, row: Row) -> Request | None:
        """None, and a line in the log, for a request that today's code can't run."""
        if not isinstance(row.data, bytes):
            request: Request = row.data
            # the engine knows requests by the object
            return _another(request) if self._is_under_way(request) else request
        try:
            return self._codec.decode(row.data)
        except (ResilienceError, TypeError, ValueError) as error:
            self._stats.inc_value(STAT_UNREADABLE)
            self.is_any_unreadable = True
            if _is_new(error, self._unreadable):
                logger.error(  # noqa: TRY400 - one line
                    "A stored request can't run, it stays in the job: %s. Others for the same "
                    "reason are counted in %s",
                    _named(row.data, error),
                    STAT_UNREADABLE,
                )
            return None


def _named(data: bytes, error: Exception) -> str:
    """With the request's URL, which is read without a pickle or a class of the project."""
    urls: list[str] = []
    with suppress(CheckpointError):
        edit_request(data, lambda plain: urls.append(plain["url"]))
    return ": ".join([*(url for url in urls if url not in str(error)), str(error)])


def _another(request: Request) -> Request:
    return request.copy() if type(request) is Request else copy(request)


def _is_new(error: Exception, told: set[str]) -> bool:
    """Whether to tell of it: the same text once, and not more than some texts."""
    text = str(error)
    if text in told or len(told) >= _TOLD:
        return False
    told.add(text)
    return True
