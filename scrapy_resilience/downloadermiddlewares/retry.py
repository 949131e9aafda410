"""Scrapy's retries, by classes of failures and with patience."""

from __future__ import annotations

import sys
from copy import copy
from typing import TYPE_CHECKING, Any, Final

import msgspec
from scrapy import signals
from scrapy.downloadermiddlewares.retry import RetryMiddleware, get_retry_request
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.utils.response import response_status_message

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import close_spider, is_closing
from scrapy_resilience._scrapy.refusals import Refusing
from scrapy_resilience.components import refuse_both
from scrapy_resilience.core.backoff import RetryBudgets
from scrapy_resilience.core.classify import exception_text
from scrapy_resilience.core.failures import BLOCKED, PERMANENT, THROTTLED
from scrapy_resilience.deadletters import letters_of
from scrapy_resilience.exceptions import (
    MaxRetriesExceededError,
    PermanentFailureError,
)
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.gates.outcomes import BAD_PAGES
from scrapy_resilience.gates.policies import PolicyChooser
from scrapy_resilience.gates.retry_delays import Tries
from scrapy_resilience.gates.waiting import RetryThrottle
from scrapy_resilience.handlers import handlers_of
from scrapy_resilience.scheduling.requests import is_robots
from scrapy_resilience.scheduling.scrapy_settings import check_retries
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from scrapy import Request
    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience.core.backoff import RetryPolicy
    from scrapy_resilience.core.classify import Verdict
    from scrapy_resilience.handlers import Answer

__all__ = ["BannedError", "ClassifiedRetryMiddleware", "DroppedError"]

logger = get_logger(__name__)

_UNSAFE: Final = frozenset({"POST", "PATCH"})
_NO_LIMIT: Final = sys.maxsize
_ERROR: Final = 400
_BY_HAND: Final = {
    "max_retry_times": "RETRY_TIMES",
    "retry_http_codes": "RETRY_HTTP_CODES",
    "exceptions_to_retry": "RETRY_EXCEPTIONS",
}
"""Attributes of Scrapy's middleware that others may set, and the settings they come from."""
_TOLD_FROM: Final = 2.0
"""Seconds of a wait from which the log says why nothing happens."""


class BannedError(MaxRetriesExceededError, IgnoreRequest):
    """A banned request was given up; an errback gets this instead of the ban page."""


class DroppedError(PermanentFailureError, IgnoreRequest):
    """A failure handler has dropped a request."""


class ClassifiedRetryMiddleware(Refusing, RetryMiddleware):
    """Replaces Scrapy's RetryMiddleware at its order, 550.

    What ``RETRY_*`` settings and meta keys say still holds. A retry waits in the frontier
    of :class:`~scrapy_resilience.ResilientScheduler`, on disk; with another scheduler, or
    when its request bypassed the scheduler, in this process.
    """

    def __init__(self, crawler: Crawler) -> None:
        check_retries(crawler.settings)
        super().__init__(crawler.settings)
        self._given = {name: copy(getattr(self, name)) for name in _BY_HAND}
        config = Config.from_settings(crawler.settings)
        self.crawler = crawler
        self._config = config
        self._policies = PolicyChooser(config, crawler.settings)
        self._keeper = gatekeeper_of(crawler)
        self._handlers = handlers_of(crawler)
        self._handlers.load(config.failure_handlers)
        self._handlers.timeout = config.handler_timeout
        self._tries = Tries(self._keeper)
        self._keeper.decided = self._handlers
        self._keeper.probes.active = True
        self._letters = letters_of(crawler)
        self._queue = RetryThrottle(crawler, config.retry_concurrency)
        self._budgets = RetryBudgets(config.retry_budget) if config.retry_budget else None
        self._caches = crawler.settings.getbool("HTTPCACHE_ENABLED")
        if self._caches:
            crawler.signals.connect(self._downloaded, signals.response_downloaded)
        self._stats: Any = crawler.stats

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        refuse_both(crawler, "DOWNLOADER_MIDDLEWARES", cls, RetryMiddleware)
        return super().from_crawler(crawler)

    # --- Scrapy's hooks ---

    def process_request(self, request: Request) -> Awaitable[Request | None] | None:
        if names.META_FAILED_AT not in request.meta:
            return None
        ticket = self._keeper.ticket(request)
        if ticket is not None and ticket.is_retry:
            return None  # the gates have seen to it that there is room
        return self._queue.enter(request)

    def process_response(  # type: ignore[override]
        self, request: Request, response: Response
    ) -> Awaitable[Request | Response | None] | Response:
        self._queue.leave(request)
        verdict = self._keeper.judge(request, response)
        if verdict.failed:
            return self._failed(request, response, verdict)
        if self._budgets is not None:
            self._budgets.answered(self._keeper.domain(request), _clock.monotonic())
        return response

    def process_exception(  # type: ignore[override]
        self, request: Request, exception: Exception
    ) -> Awaitable[Request | Response | None] | None:
        self._queue.leave(request)
        verdict = self._keeper.judge(request, exception)
        return self._failed(request, exception, verdict) if verdict.failed else None

    def _downloaded(self, request: Request) -> None:
        """The HTTP cache may keep what the site itself has answered."""
        if request.meta.pop(names.META_UNCACHED, False):
            request.meta.pop("dont_cache", None)

    # --- what is done about a failure ---

    async def _failed(
        self, request: Request, outcome: Response | Exception, verdict: Verdict
    ) -> Request | Response | None:
        if self._keeper.is_for_nobody(request):
            return outcome if isinstance(outcome, Response) else None
        failure = self._look_at(request, outcome, verdict)
        verdict = failure.verdict
        self._stats.inc_value(f"{names.STAT_FAILURES_PREFIX}{verdict.failure_class}")
        spider: Any = self.crawler.spider
        answer = await self._handlers.ask(request, verdict, failure.attempts, spider)
        self._keeper.settle(request, outcome, verdict, decided=answer is not None)
        if answer is not None:
            return await self._obey(failure, answer)
        self._pause(failure)
        if not self._wants_retry(failure):
            return self._leave(failure)
        if not self._may_repeat(failure):
            self._stats.inc_value(names.STAT_RETRY_UNSAFE)
            return self._give_up(failure, f"{request.method} is not repeated")
        if self._asks_too_long(failure):
            return self._give_up(failure, "Retry-After is too long")
        return await self._again(failure)

    def _look_at(
        self, request: Request, outcome: Response | Exception, verdict: Verdict
    ) -> _Failure:
        is_own = self._is_changed("max_retry_times") or is_robots(request)
        own = self.max_retry_times if is_own else None
        choice = self._policies.of(request, self.crawler.spider, own)
        verdict = choice.policy.refine(verdict)
        attempts = request.meta.get("retry_times", 0) + 1
        counts = self._tries.costs_one(
            request, outcome, verdict, limited=choice.retries is not None
        )
        return _Failure(
            request=request,
            outcome=outcome,
            verdict=verdict,
            attempts=attempts,
            counts=counts,
            retries=self._tries.retries(request, choice, verdict) if counts else _NO_LIMIT,
            delay=max(
                self._tries.delay(request, choice, verdict, attempts), verdict.retry_after or 0
            ),
            policy=choice.policy,
        )

    def _is_own(self, name: str) -> bool:
        """Whether the user has set a list, by its setting or on this object."""
        return bool(self.crawler.settings.getpriority(_BY_HAND[name])) or self._is_changed(name)

    def _is_changed(self, name: str) -> bool:
        """Whether somebody has set an attribute of Scrapy's middleware on this object."""
        return bool(getattr(self, name) != self._given[name])

    def _pause(self, failure: _Failure) -> None:
        """Leave the whole domain alone, not this request only, where it means that."""
        failure_class, asked = failure.verdict.failure_class, failure.verdict.retry_after
        if failure_class not in {THROTTLED, BLOCKED}:
            return
        if asked:
            self._stats.inc_value(names.STAT_RETRY_AFTER)
        if failure_class == BLOCKED or (asked and self._means_all(failure.request, asked)):
            self._keeper.hold(failure.request, asked or failure.delay, failure.verdict.reason)

    def _means_all(self, request: Request, asked: float) -> bool:
        """Whether ``Retry-After`` is about the domain: nobody else gets an answer of it."""
        is_long = asked > self._config.retry_after_max
        gate = self._keeper.known(request)
        nobody = not gate.answers or gate.mostly_throttles
        return is_long or nobody

    def _wants_retry(self, failure: _Failure) -> bool:
        if failure.request.meta.get("dont_retry", False):
            return False
        if self._keeper.is_failed_by_proxy(failure.request):
            return True
        if failure.response is None and self._keeper.probes.was_cut_short(failure.request):
            return True
        failure_class, outcome = failure.verdict.failure_class, failure.outcome
        if isinstance(outcome, Response):
            if failure_class in BAD_PAGES:
                return True
            listed, name = outcome.status in self.retry_http_codes, "retry_http_codes"
        else:
            listed, name = isinstance(outcome, self.exceptions_to_retry), "exceptions_to_retry"
        return listed if self._is_own(name) else failure_class != PERMANENT

    def _may_repeat(self, failure: _Failure) -> bool:
        """RFC 9110 §9.2.2: what may have been done is not done twice by a guess."""
        request = failure.request
        if request.method.upper() not in _UNSAFE or failure.verdict.unsent:
            return True
        allowed = request.meta.get(names.META_RETRY_NON_IDEMPOTENT)
        return bool(self._config.retry_non_idempotent if allowed is None else allowed)

    def _asks_too_long(self, failure: _Failure) -> bool:
        asked = failure.verdict.retry_after or 0
        if self._queue.bypasses(failure.request):
            return asked > self._config.bypass_timeout
        too_long = asked > self._config.retry_after_max
        return too_long and self._keeper.open_action(failure.request) == "fail"

    async def _obey(self, failure: _Failure, answer: Answer) -> Request | Response | None:
        reason = answer.reason or failure.verdict.reason
        if answer.action == "drop":
            self._record(failure, "dropped", reason)
            raise DroppedError(f"{failure.request}: {reason}")
        if answer.action == "abort":
            self._abort(reason)
        if answer.action == "hold":
            self._keeper.hold(failure.request, answer.delay, reason)
        failure.retries = _NO_LIMIT
        failure.counts = answer.action == "retry"
        failure.delay = answer.delay
        return await self._again(failure)

    def _abort(self, reason: str) -> None:
        if is_closing(self.crawler.engine):
            return  # each request that is under way is told the same
        logger.error("A failure handler closes the spider: %s", reason)
        close_spider(self.crawler, names.REASON_ABORT_HANDLER)

    # --- how it ends ---

    async def _again(self, failure: _Failure) -> Request | Response | None:
        request = failure.request
        spider: Any = self.crawler.spider
        new = get_retry_request(
            request,
            spider=spider,
            reason=failure.stat_reason,
            max_retry_times=failure.retries,
            priority_adjust=request.meta.get("priority_adjust", self._adjust(request)),
            give_up_log_level=request.meta.get("give_up_log_level", self.give_up_log_level),
        )
        if new is None:
            return self._give_up(failure)
        new.meta.setdefault(names.META_FAILED_AT, _clock.wall())
        new.meta.pop("playwright_page", None)  # a page that has failed is no help
        if self._keeper.is_failed_by_proxy(request):
            is_other = self._keeper.drop_chosen_proxy(request, new)
            failure.delay = 0.0 if is_other else failure.delay
        new.meta[names.META_ANSWERS_BEFORE] = self._keeper.known(request).answers
        self._tries.ask_if_alone(request, failure.verdict)
        if not failure.counts:
            new.meta["retry_times"] = failure.attempts - 1
        elif not (failure.retries == _NO_LIMIT or self._keeper.is_failed_by_proxy(request)):
            self._wait_for_budget(failure)
        if self._caches and not new.meta.get("dont_cache", False):
            new.meta["dont_cache"] = new.meta[names.META_UNCACHED] = True
        if self._queue.bypasses(request):
            self._shorten(failure)
        return await self._queue.delay(new, failure.delay, request)

    def _shorten(self, failure: _Failure) -> None:
        """Somebody waits in the process: it is bounded, and told."""
        failure.delay = min(failure.delay, self._config.bypass_timeout)
        if failure.delay >= _TOLD_FROM:
            logger.info(
                "%s bypasses the scheduler, and is tried again in %.0f s: %s",
                failure.request,
                failure.delay,
                failure.verdict.reason,
            )

    def _adjust(self, request: Request) -> int:
        """A lane of their own says when retries go, not a lower priority."""
        has_lane = self._keeper.lane_names.has_retries and not self._queue.waits_here(request)
        return 0 if has_lane else self.priority_adjust

    def _wait_for_budget(self, failure: _Failure) -> None:
        is_answer = self._keeper.is_answer(failure.request, failure.outcome, failure.verdict)
        if self._budgets is None or is_answer:
            return
        wait = self._budgets.retry(self._keeper.domain(failure.request), _clock.monotonic())
        wait = min(wait, failure.policy.max_delay)
        if wait > failure.delay:
            self._stats.inc_value(names.STAT_RETRY_BUDGET)
            failure.delay = wait

    def _leave(self, failure: _Failure) -> Response | None:
        """It is not for us: what Scrapy does then, but a ban page with HTTP 200 stops here."""
        response, failure_class = failure.response, failure.verdict.failure_class
        if response is None:
            self._record(failure, "permanent" if failure_class == PERMANENT else "exhausted")
            return None
        if failure_class == BLOCKED and response.status < _ERROR:
            return self._give_up(failure)
        return response

    def _give_up(self, failure: _Failure, why: str = "") -> Response | None:
        reason = f"{failure.verdict.reason} ({why})" if why else failure.verdict.reason
        if not self._is_handled(failure):
            self._record(failure, "exhausted", reason)
        if failure.verdict.failure_class == BLOCKED:
            raise BannedError(f"{failure.request}: {reason}", failure.attempts)
        return failure.response

    def _is_handled(self, failure: _Failure) -> bool:
        """Whether the callback gets it, as an answer with a status that it has asked for."""
        response = failure.response
        if response is None or failure.verdict.failure_class in BAD_PAGES:
            return False
        return self._keeper.handled.reaches_callback(failure.request, response)

    def _record(self, failure: _Failure, kind: str, reason: str = "") -> None:
        outcome, verdict = failure.outcome, failure.verdict
        self._letters.add(
            failure.request,
            response=failure.response,
            kind=kind,
            failure_class=str(verdict.failure_class),
            reason=reason or verdict.reason,
            attempts=failure.attempts,
            status=outcome.status if isinstance(outcome, Response) else None,
            exception=exception_text(outcome) if isinstance(outcome, Exception) else None,
        )


class _Failure(msgspec.Struct):
    """One failure, and what is to become of its request."""

    request: Request
    outcome: Response | Exception
    verdict: Verdict
    policy: RetryPolicy
    attempts: int
    retries: int
    delay: float
    counts: bool

    @property
    def response(self) -> Response | None:
        return self.outcome if isinstance(self.outcome, Response) else None

    @property
    def stat_reason(self) -> str | Exception:
        """What Scrapy's own middleware counts it as, where that knows the failure."""
        if not isinstance(self.outcome, Response):
            return self.outcome
        if self.verdict.failure_class in BAD_PAGES:
            return self.verdict.reason
        return response_status_message(self.outcome.status)
