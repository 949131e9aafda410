"""What an abort policy is judged by in a crawl, and what is done where a condition is met."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import msgspec

from scrapy_resilience import _clock, names, signals
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import close_spider, engine_of, is_closing
from scrapy_resilience._scrapy.of_crawlers import WeakOfCrawlers
from scrapy_resilience.core.abort import COVERAGE, Condition, evaluate, sentence
from scrapy_resilience.core.abort_tally import Tally
from scrapy_resilience.deadletters import letters_of
from scrapy_resilience.gates.crawl_pauses import pauses_of
from scrapy_resilience.guard.abort_facts import AbortFacts
from scrapy_resilience.guard.abort_policy import UserCondition, abort_policy
from scrapy_resilience.observe.observer import observer_of
from scrapy_resilience.observe.view import AbortView, ConditionView, FailureView
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from scrapy_resilience.core.abort import Policy
    from scrapy_resilience.core.errorgroups import Cause
    from scrapy_resilience.core.recorded import FailureRecord
    from scrapy_resilience.deadletters import Told
    from scrapy_resilience.observe.view import View

__all__ = ["AbortMonitor", "abort_monitor_of"]

logger = get_logger(__name__)

_PAUSE: Final = "abort"
"""The reason, as pauses name it, and the kind of the event."""
_FAILURES: Final = frozenset({"permanent", "exhausted", "callback", "pipeline"})
"""Kinds of dead letters that are failures. What a middleware ignores, a failure handler drops
or a domain that is down holds back was left out on purpose, and was mostly never sent."""
_CONFIDENCE: Final = "confidence"
_RECORDED: Final = 10
"""Failures that code has recorded, in a view."""


class AbortMonitor:
    """Of one crawl, from :func:`abort_monitor_of`: keep a reference to it.

    Raises :exc:`ConfigurationError`.
    """

    def __init__(self, crawler: Crawler) -> None:
        config = Config.from_settings(crawler.settings)
        self.crawler = crawler
        self.policy: Policy | None = abort_policy(config)
        self.needed = config.abort_after
        fields = [] if self.policy is None else [*self.policy.coverage]
        windows = [_CONFIDENCE, *(f"{COVERAGE}.{name}" for name in fields)]
        self.tally = Tally(config.abort_window, windows)
        self._facts = AbortFacts(crawler, self.tally, fields, config.abort_after)
        self._function: UserCondition | None = None
        if self.policy is not None and self.policy.function is not None:
            self._function = UserCondition(self.policy, config.abort_timeout)
        self._interval = config.abort_interval
        self._judged: float | None = None
        self._judging = False
        self._acted: set[str] = set()
        self._ended = False
        """Whether the policy has closed or paused this run."""
        self._closed = False
        self._view = AbortView()
        self._given_up: WeakSet[Request] = WeakSet()
        self.recorded: deque[FailureView] = deque(maxlen=_RECORDED)
        self.snapshot: Callable[[str], Awaitable[None]] | None = None
        """Makes a snapshot, and never raises."""
        self.observer = observer_of(crawler)
        self.observer.fill.append(self._fill)
        self._pauses = pauses_of(crawler)
        letters_of(crawler).on_given_up.append(self._fail)

    # --- what is counted ---

    def ended(self, request: Request, came: bool) -> None:  # noqa: FBT001 - as hooks call it
        """A request is through; *came* is whether the spider was given a response."""
        if came and request not in self._given_up and not self._is_closing():
            self.tally.succeeded()

    def _fail(self, request: Request, response: Response | None, told: Told) -> None:
        """A request is given up: the first reason counts."""
        if told["kind"] in _FAILURES and self._facts.is_scheduled(request):
            self.count_failure(request)

    def count_failure(self, request: Request | None = None) -> None:
        """An operation has failed: that of a request counts once, whoever says so."""
        if request is not None:
            if request in self._given_up:
                return
            self._given_up.add(request)
        self.tally.failed()

    def record(
        self,
        failure: FailureRecord,
        cause: Cause,
        exception: BaseException | None,
        request: Request | None,
        counts: bool | None,  # noqa: FBT001 - what the user has said, or not
    ) -> None:
        """Code of the user's has noticed a failure: it is in the error groups and the view."""
        self.observer.errors.count(cause, exception, request, told=failure.text)
        self.recorded.append(
            FailureView(
                time=failure.time,
                severity=failure.severity,
                category=failure.category,
                source=failure.source,
                message=failure.message,
            )
        )
        if failure.severity == "error" if counts is None else counts:
            self.count_failure(request)

    # --- time ---

    def tick(self) -> None:
        """Some time has passed: look, and judge when it is time."""
        self._facts.look()
        if self.tally.since >= self._interval and not self._judging:
            self.tally.since = 0.0
            if self.policy is not None:
                self._begin_to_judge()

    def _begin_to_judge(self) -> None:
        self._judging = True
        self._task = asyncio.ensure_future(self.judge())

    async def judge(self) -> None:
        """Look at every condition, and do what the policy says where one is newly met."""
        try:
            if self.tally.operations >= self.needed and not self._is_closing():
                if self._function is not None:
                    await self._function.ask(self.observer.view())
                await self._act()
        except Exception:
            logger.exception("The abort policy can't be judged")
        finally:
            self._judging = False

    def look(self) -> tuple[Condition, ...]:
        """Every condition as it is at this moment."""
        self._facts.look()
        self.observer.renew()
        return self.conditions(self.observer.view())

    def conditions(self, view: View) -> tuple[Condition, ...]:
        """Every condition as it is now."""
        function = self._function
        asked, reason = (False, None) if function is None else (function.asked, function.reason)
        return evaluate(self.policy, self._facts.of(view, asked=asked, function=reason))

    # --- what is done ---

    async def _act(self) -> None:
        met = [each for each in self.look() if each.met]
        self._judged = _clock.wall()
        new = [each for each in met if each.name not in self._acted]
        self._acted = {each.name for each in met}
        if not met:
            self._pauses.resume(_PAUSE)
        if new and self.policy is not None:
            await self._do(self.policy, sentence(new))
        self.observer.renew()

    async def _do(self, policy: Policy, why: str) -> None:
        actions, reason = policy.actions, names.REASON_ABORT + policy.name
        text = f"The abort policy {policy.name} is against going on: {why}"
        logger.error("%s", text)
        if "snapshot" in actions and self.snapshot is not None:
            await self.snapshot(reason)
        if "notify" in actions:
            self.crawler.signals.send_catch_log(
                signals.crawl_event, kind=_PAUSE, text=text, severity="error", domain=""
            )
        if "pause" in actions:
            self._pause(policy, why)
        if "close" in actions and not self._is_closing():
            self._ended = True
            close_spider(self.crawler, reason)

    def _pause(self, policy: Policy, why: str) -> None:
        if not self._is_closing():
            self._ended = True
            self._pauses.pause(_PAUSE, f"the abort policy {policy.name} has found {why}")

    def is_end(self, reason: str) -> bool:
        """Whether a close reason is that of the policy."""
        return self.policy is not None and reason == names.REASON_ABORT + self.policy.name

    def resume(self) -> None:
        """Go on after a pause: conditions that are met still are not acted on again."""
        self._ended = False
        self._pauses.resume(_PAUSE)

    # --- the view ---

    def _fill(self, view: View) -> None:
        if not self._closed:
            self._view = self._made(view)
        view.abort = self._view

    def _made(self, view: View) -> AbortView:
        return AbortView(
            policy="" if self.policy is None else self.policy.name,
            conditions=[
                ConditionView(name=each.name, value=each.value, limit=each.limit, met=each.met,
                              text=each.text)
                for each in self.conditions(view)
            ],
            operations=self.tally.operations,
            needed=self.needed,
            judged=self._judged,
            acted=sorted(self._acted),
            failures=list(self.recorded),
        )  # fmt: skip

    # --- the end, and the next run ---

    def close(self) -> None:
        """The spider has closed: what was so then is kept, and the next run begins anew."""
        if self._function is not None:
            self._function.leave()
        self.observer.renew()
        try:
            self.observer.view()
        except Exception as error:  # noqa: BLE001 - the close goes on, whatever a view lacks
            logger.error("The conditions at the end are not known: %r", error)  # noqa: TRY400
        self._closed = True
        if self._ended:
            self.tally.begin_anew()

    def save(self) -> Any:
        """Plain values, for the commit."""
        return [self.tally.save(), msgspec.to_builtins(self._view)]

    def restore(self, saved: Any) -> None:
        """Go on from an earlier run; what can't be read is left out."""
        try:
            self.tally.restore(saved[0])
        except (msgspec.ValidationError, TypeError, LookupError) as error:
            logger.warning(
                "What the abort policy knows of earlier runs can't be read: %s", error
            )

    def _is_closing(self) -> bool:
        engine = engine_of(self.crawler)
        return engine is None or is_closing(engine)


_monitors: Final = WeakOfCrawlers(AbortMonitor)


def abort_monitor_of(crawler: Crawler) -> AbortMonitor:
    """The monitor of a crawler, made by whoever asks first, and kept by those who ask."""
    return _monitors.of(crawler)
