"""Abort policies from code: ask how far a crawl is from its end, and tell of failures.

>>> from scrapy_resilience.abort import evaluate_abort, record_failure
>>> def parse(self, response):
...     if "please log in" in response.text:
...         record_failure(
...             self.crawler, "logged out", category="login", request=response.request
...         )
...     if evaluate_abort(self.crawler).should_abort:
...         return  # the policy will say so itself, at its next look

Call these functions in the event loop, as spiders and pipelines do, and not in a thread.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from inspect import currentframe
from typing import TYPE_CHECKING, Any

from scrapy_resilience import _clock
from scrapy_resilience.core.abort import Condition
from scrapy_resilience.core.errorgroups import Cause, same_for_all
from scrapy_resilience.core.masking import message_of
from scrapy_resilience.core.recorded import FailureRecord, made
from scrapy_resilience.guard.abort import abort_monitor_of
from scrapy_resilience.observe.record.causes import cause_of, place_in, traceback_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy import Request
    from scrapy.crawler import Crawler

__all__ = [
    "AbortEvaluation", "Condition", "FailureRecord", "evaluate_abort", "record_failure",
    "resume_abort",
]  # fmt: skip


@dataclass(frozen=True)
class AbortEvaluation:
    """Every condition as it is at this moment; nothing is done about it."""

    policy: str
    """Empty where none is on: then no condition has a limit, and none is met."""
    operations: int
    """Requests that have ended, well or not, and failures that code has recorded."""
    needed: int
    """Operations from which on the policy is judged: ``RESILIENCE_ABORT_AFTER``."""
    conditions: tuple[Condition, ...]
    """All of them, those that the policy does not have included."""

    @property
    def met(self) -> tuple[Condition, ...]:
        """Those that are met."""
        return tuple(each for each in self.conditions if each.met)

    @property
    def should_abort(self) -> bool:
        """Whether the policy would act now: one is met, after enough operations."""
        return self.operations >= self.needed and bool(self.met)

    def __getitem__(self, name: str) -> Condition:
        """A condition by its name, such as ``"failure_rate"`` or ``"coverage.price"``."""
        for each in self.conditions:
            if each.name == name:
                return each
        raise KeyError(name)


def evaluate_abort(crawler: Crawler) -> AbortEvaluation:
    """How far the crawl is from its end.

    A function of yours is not called: its last answer counts.
    """
    monitor = abort_monitor_of(crawler)
    policy = monitor.policy
    return AbortEvaluation(
        policy="" if policy is None else policy.name,
        operations=monitor.tally.operations,
        needed=monitor.needed,
        conditions=monitor.look(),
    )


def record_failure(
    crawler: Crawler,
    message: str = "",
    *,
    severity: str = "error",
    category: str = "",
    source: str = "",
    context: Mapping[str, Any] | None = None,
    exception: BaseException | None = None,
    request: Request | None = None,
    counts: bool | None = None,
) -> FailureRecord:
    """Write a failure down that no exception or dead letter tells of.

    It comes into the error groups of the crawl (``scrapy resilience errors``), together with
    those alike, and is returned bounded and without its secrets.

    :param message: what is wrong; by default what the *exception* says
    :param severity: ``"info"``, ``"warning"`` or ``"error"``
    :param category: what kind of failure it is; by default the class of the *exception*
    :param source: where it was noticed; by default the place in your code
    :param context: values that say more; those with names of secrets are hidden
    :param exception: what was raised; without one the stack is that of the call
    :param request: whose failure it is: it counts once, even if it is a dead letter, too
    :param counts: whether it is a failed operation for the abort policy; by default if it is an
        error

    Raises :exc:`ValueError` for another severity.
    """
    place, kind, said = ("", "", "") if exception is None else cause_of(exception)
    caller = None if (here := currentframe()) is None else here.f_back
    stack = traceback.format_stack(caller, limit=20)
    record = made(
        _clock.wall(),
        message or ("" if exception is None else message_of(exception)) or said,
        severity=severity,
        category=category or kind or "failure",
        source=source or place or place_in(traceback.walk_stack(caller)),
        context=context or {},
        stack_trace=traceback_of(exception) if exception else "".join(stack),
    )
    abort_monitor_of(crawler).record(record, _cause(record), exception, request, counts)
    return record


def resume_abort(crawler: Crawler) -> None:
    """Go on after a policy has paused the crawl.

    A condition that is still met is acted on again when it has not been met in between.
    """
    abort_monitor_of(crawler).resume()


def _cause(record: FailureRecord) -> Cause:
    return Cause(record.source, record.category, same_for_all(record.message))
