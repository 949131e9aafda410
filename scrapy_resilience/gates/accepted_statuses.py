"""Which statuses the spider and its settings declare that they take as an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy.http.request import NO_CALLBACK
from scrapy.spidermiddlewares.httperror import HttpErrorMiddleware
from scrapy.utils.misc import load_object

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

__all__ = ["Handled"]

_ERROR = 400


class Handled:
    """Asks about statuses only: a ban page with status 200 is no concern of its."""

    def __init__(self, crawler: Crawler) -> None:
        settings = crawler.settings
        self._crawler = crawler
        self._all = settings.getbool("HTTPERROR_ALLOW_ALL")
        self._codes = settings.getlist("HTTPERROR_ALLOWED_CODES")
        self._filtered = _has_http_error_middleware(crawler)
        self._retries = settings.getbool("RETRY_ENABLED")
        is_own = bool(settings.getpriority("RETRY_HTTP_CODES"))
        self._retried = (
            {int(code) for code in settings.getlist("RETRY_HTTP_CODES")} if is_own else None
        )

    def is_answer(self, request: Request, response: Response) -> bool:
        """Whether a response with this status is not a failure of its domain.

        Because the callback gets it, or because nobody is to try it again: a breaker that held
        the domain for it would keep back what the spider wants.
        """
        if response.status < _ERROR:
            return True
        if not self._retries or request.meta.get("dont_retry", False):
            return True
        if self._retried is not None and response.status not in self._retried:
            return True
        return self.reaches_callback(request, response)

    def reaches_callback(self, request: Request, response: Response) -> bool:
        """Whether HttpErrorMiddleware lets it through: its rules, in its order.

        Media pipelines allow every status, because they look at it themselves: no callback
        is told.
        """
        if 200 <= response.status < 300:  # noqa: PLR2004 - HTTP
            return True
        if request.callback is NO_CALLBACK:
            return False
        meta = request.meta
        if meta.get("handle_httpstatus_all", False) or not self._filtered:
            return True
        if "handle_httpstatus_list" in meta:
            return _is_in(response.status, meta["handle_httpstatus_list"])
        if self._all:
            return True
        spider = self._crawler.spider  # asked late: callbacks may change it
        return _is_in(response.status, getattr(spider, "handle_httpstatus_list", self._codes))


def _is_in(status: int, allowed: Any) -> bool:
    try:
        return status in allowed
    except TypeError:  # it is not a list: HttpErrorMiddleware will say so
        return False


def _has_http_error_middleware(crawler: Crawler) -> bool:
    """Whether a user who has replaced it by None takes every status."""
    found = crawler.settings.get_component_priority_dict_with_base("SPIDER_MIDDLEWARES")
    return any(
        priority is not None and _is_http_error(component)
        for component, priority in found.items()
    )


def _is_http_error(component: Any) -> bool:
    found = load_object(component) if isinstance(component, str) else component
    return isinstance(found, type) and issubclass(found, HttpErrorMiddleware)
