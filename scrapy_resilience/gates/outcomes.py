"""What became of a request: for its domain, and for the page that it asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrapy.exceptions import IgnoreRequest

from scrapy_resilience.core.breaker import Outcome
from scrapy_resilience.core.failures import (
    BLOCKED,
    CONTENT,
    PERMANENT,
    SUCCESS,
    THROTTLED,
)
from scrapy_resilience.core.gate import KnownPage
from scrapy_resilience.gates.accepted_statuses import Handled
from scrapy_resilience.gates.judge import Judge
from scrapy_resilience.scheduling.requests import is_robots

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from scrapy_resilience.core.failures import Verdict
    from scrapy_resilience.settings import Config

__all__ = ["BAD_PAGES", "Outcomes", "is_overloaded", "known_page"]

BAD_PAGES: Final = frozenset({BLOCKED, CONTENT})
"""Failures of the text of a page, whatever its status: nobody takes them for an answer."""
_OK: Final = 200
_ERROR: Final = 500
_OVERLOADED: Final = 503
_CONTEXT: Final = "playwright_context"
_USUAL_CONTEXT: Final = "default"
"""scrapy-playwright's name of it, which its handler sets where there is none."""


class Outcomes:
    """Judges for two middlewares that ask in turn, so it remembers the last judgement."""

    def __init__(self, crawler: Crawler, config: Config) -> None:
        self.handled = Handled(crawler)
        self._judge = Judge(config)
        self._judged: tuple[Request, object, Verdict] | None = None

    def judge(self, request: Request, result: Response | Exception) -> Verdict:
        """The verdict on what came back for a request."""
        last = self._judged
        if last is not None and last[0] is request and last[1] is result:
            self._judged = None  # a response is large
            return last[2]
        verdict = self._judge(result)
        if verdict.failure_class == PERMANENT and _says_all_is_allowed(request, result):
            verdict = SUCCESS
        self._judged = request, result, verdict
        return verdict

    def of(self, request: Request, result: Response | Exception, verdict: Verdict) -> Outcome:
        """What the gates of its domain are to hear."""
        if verdict.ignored or _says_nothing(result):
            return Outcome.IGNORED
        if verdict.counts_against_domain:
            is_answer = self.is_answer(request, result, verdict)
            return Outcome.SUCCESS if is_answer else Outcome.FAILURE
        if verdict.failure_class == THROTTLED:
            return Outcome.THROTTLED
        return Outcome.IGNORED if isinstance(result, Exception) else Outcome.SUCCESS

    def is_about_the_page(
        self, request: Request, result: Response | Exception, verdict: Verdict
    ) -> bool:
        """Whether a failure is one of the page, whatever else its domain answers.

        A status of 500 is (RFC 9110, section 15.6.1), as a page that was cut off is. A ban
        is not: it meets whatever is asked next.
        """
        if verdict.failure_class == CONTENT:
            return True
        is_error = not isinstance(result, Exception) and result.status == _ERROR
        return is_error or self.is_answer(request, result, verdict)

    def is_answer(
        self, request: Request, result: Response | Exception, verdict: Verdict
    ) -> bool:
        """Whether the spider or its settings take a failure for an answer."""
        if isinstance(result, Exception) or verdict.failure_class in BAD_PAGES:
            return False
        return self.handled.is_answer(request, result)


def _says_nothing(result: Response | Exception) -> bool:
    if isinstance(result, Exception):
        return isinstance(result, IgnoreRequest)
    return "cached" in result.flags


def _says_all_is_allowed(request: Request, result: Response | Exception) -> bool:
    """Whether it is the answer that there is no robots.txt (RFC 9309, section 2.3.1.3)."""
    return not isinstance(result, Exception) and result.status < _ERROR and is_robots(request)


def known_page(request: Request, result: Response | Exception) -> KnownPage | None:
    """The page as one that a trial may ask for, if it may."""
    if isinstance(result, Exception) or result.status != _OK or request.method != "GET":
        return None
    meta = request.meta
    if f"{_CONTEXT}_kwargs" in meta or meta.get(_CONTEXT, _USUAL_CONTEXT) != _USUAL_CONTEXT:
        return None  # what that has, such as a proxy, a trial lacks
    return KnownPage(request.url, bool(request.meta.get("playwright")))


def is_overloaded(result: Response | Exception) -> bool:
    """Whether it says that too much was asked, perhaps."""
    return not isinstance(result, Exception) and result.status == _OVERLOADED
