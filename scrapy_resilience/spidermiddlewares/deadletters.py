"""Records the requests that nobody will try again: what Scrapy only logs."""

from __future__ import annotations

from traceback import walk_tb
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from scrapy import signals
from scrapy.downloadermiddlewares import httpcache, offsite, robotstxt
from scrapy.exceptions import IgnoreRequest, NotConfigured
from scrapy.http import Response
from scrapy.spidermiddlewares.httperror import HttpError

from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience._scrapy.watching import watch_media
from scrapy_resilience.core.deadletter import DATABASE
from scrapy_resilience.core.masking import message_of
from scrapy_resilience.deadletters import letters_of
from scrapy_resilience.exceptions import ItemRefusedError, RowRefusedError
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.jobs.crawl_job import job_of
from scrapy_resilience.names import SCRAPY_RETRY_TIMES
from scrapy_resilience.observe.trace_ids import give_ids
from scrapy_resilience.scheduling.item_context import item_failed, item_refused, item_written
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from twisted.python.failure import Failure
    from typing_extensions import Self

__all__ = ["DeadLettersMiddleware"]

logger = get_logger(__name__)

_INTENDED: Final = {module.__name__ for module in (httpcache, offsite, robotstxt)}
"""Modules that ignore requests because they were told to."""


class DeadLettersMiddleware:
    """Must be the spider middleware next to HttpErrorMiddleware: the add-on gives it order 51.

    It comes last of those that may handle an HttpError, and sees what is left. Failed
    downloads that a retry middleware has recorded are not recorded again.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._letters = letters_of(crawler)
        self._sent: WeakSet[Request] = WeakSet()
        self._letters.sent = self._sent
        self._retried = {int(code) for code in crawler.settings.getlist("RETRY_HTTP_CODES")}
        connect = crawler.signals.connect
        connect(self._opened, signals.spider_opened)
        connect(self._spider_error, signals.spider_error)
        connect(self._item_error, signals.item_error)
        connect(self._closed, signals.spider_closed)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        if not Config.from_settings(crawler.settings).deadletters_enabled:
            raise NotConfigured
        return cls(crawler)

    def _opened(self) -> None:
        engine: Any = self._crawler.engine
        hooks = hooks_of(engine)
        hooks.download_failed = self._failed
        hooks.bypassing_failed = self._bypassing_failed
        hooks.sent.append(self._sent.add)
        give_ids(hooks)
        watch_media(engine, self._no_file)

    def _closed(self) -> None:
        count = self._letters.count
        if not count:
            return
        if (job := job_of(self._crawler)) is None:
            needs = "ResilientScheduler" if self._crawler.settings["JOBDIR"] else "a JOBDIR"
            logger.warning("Requests given up: %d. With %s they can be replayed", count, needs)
        else:
            logger.warning(
                "Requests given up: %d. `scrapy resilience deadletters %s` lists them",
                count,
                job.path,
            )

    # --- what is given up ---

    def process_spider_exception(self, response: Response, exception: Exception) -> None:
        """A response that no middleware has let through, and no errback taken."""
        request = response.request
        if isinstance(exception, HttpError) and request is not None:
            again = response.status in self._retried and SCRAPY_RETRY_TIMES in request.meta
            self._letters.add(
                request,
                response=response,
                kind="exhausted" if again else "permanent",
                failure_class="http",
                reason=f"HTTP {response.status} is not handled",
                status=response.status,
            )

    def _failed(self, request: Request, exception: BaseException) -> None:
        """A download that ended with an exception; what was ignored is left to an errback."""
        if not isinstance(exception, IgnoreRequest):
            kind = "exhausted" if SCRAPY_RETRY_TIMES in request.meta else "permanent"
            self._letters.add(
                request,
                kind=kind,
                failure_class="download",
                reason="the download failed",
                exception=exception,
                anew=True,  # an errback may have put something out, and a replay calls back
            )
        elif not request.errback and _raised_in(exception) not in _INTENDED:
            self._letters.add(
                request,
                kind="ignored",
                failure_class="ignored",
                reason=message_of(exception) or "a middleware has ignored it",
                exception=exception,
            )

    def _bypassing_failed(self, request: Request, exception: BaseException) -> None:
        """An image, or a download of a callback: whoever waits for it may say nothing."""
        if not gatekeeper_of(self._crawler).is_for_nobody(request):
            self._failed(request, exception)

    def _no_file(
        self, request: Request, response: Response | None, exception: Exception
    ) -> None:
        """Such as an image that is answered with 404: its item goes on without it."""
        asked = response.request if response is not None and response.request else request
        status = response.status if response is not None else None
        self._letters.add(
            asked,
            response=response,
            kind="permanent",
            failure_class="http" if status not in {None, 200} else "pipeline",
            reason="a media pipeline has made no file of it",
            status=status,
            exception=exception,
        )

    def _spider_error(self, failure: Failure, response: Response | Failure | None) -> None:
        request = _request_of(response)
        if request is not None:  # else start() has raised, and the job goes on with it
            called_back = isinstance(response, Response)
            self._letters.add(
                request,
                kind="callback",
                failure_class="callback" if called_back else "errback",
                reason="the spider has raised an exception",
                status=_status_of(response),
                exception=failure.value,
                anew=not called_back,  # a replay may reach the callback
            )

    def _item_error(self, failure: Failure, response: Response | Failure | None) -> None:
        request = _request_of(response)
        told: dict[str, Any] = {"kind": "pipeline", **_about_item(failure.value)}
        if request is None:  # an item of start()
            self._letters.add_encoded(None, url="", **told)
            item_refused()
            item_written()  # in the same commit: start() puts it out once
        else:
            self._letters.add(request, status=_status_of(response), **told)
            item_failed()


def _about_item(error: BaseException | None) -> dict[str, Any]:
    """What is told of an item that was not written."""
    found = "pipeline", "a pipeline has raised an exception"
    if isinstance(error, RowRefusedError):
        found = DATABASE, message_of(error)
    elif isinstance(error, ItemRefusedError):
        found = "pipeline", "a feed has refused the item"
    return {"failure_class": found[0], "reason": found[1], "exception": error}


def _request_of(response: Response | Failure | None) -> Request | None:
    return getattr(response, "request", None)


def _status_of(response: Response | Failure | None) -> int | None:
    return response.status if isinstance(response, Response) else None


def _raised_in(exception: BaseException) -> str:
    """The name of the module whose code has raised it."""
    name = ""
    for frame, _ in walk_tb(exception.__traceback__):
        name = frame.f_globals.get("__name__", "")
    return name
