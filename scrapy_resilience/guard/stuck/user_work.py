"""Callbacks, errbacks and pipelines that wait for too long: told, or cancelled.

What counts is one wait: for a callback that is a coroutine, for the next output of one that is
an async generator, for the pipelines of an item. What a callback downloads for itself is not
counted, which has time-outs of its own. A callback that computes blocks the loop instead: see
:mod:`.loop_watch`.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.canceller import cancel_with, forget_cancel
from scrapy_resilience.core.masking import clipped
from scrapy_resilience.exceptions import WorkTimeoutError
from scrapy_resilience.guard.stuck.stacks import (
    task_stack,
    told_place,
    told_stack,
    waits_for_another,
)
from scrapy_resilience.observe.view import StuckView
from scrapy_resilience.signals import crawl_event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scrapy import Request
    from scrapy.crawler import Crawler

    from scrapy_resilience.core.errorgroups import Frame
    from scrapy_resilience.guard.stuck.sweep import Sweep

__all__ = ["UserWork"]

logger = get_logger(__name__)

_PLURAL: Final = {
    "callback": names.STAT_STUCK_CALLBACKS,
    "errback": names.STAT_STUCK_CALLBACKS,
    "pipeline": names.STAT_STUCK_PIPELINES,
}
_ARTICLES: Final = {
    "callback": "a callback",
    "errback": "an errback",
    "pipeline": "a pipeline",
}
_LONGEST: Final = 200
"""Characters of a request."""


class _Work:
    """Code of the user, and one wait for it: for a generator there is one after the other."""

    __slots__ = ("_all", "_outer", "_sweep", "cancelled", "downloads", "kind", "request",
                 "since", "task", "told", "wall")  # fmt: skip

    def __init__(
        self, all_: UserWork, sweep: Sweep, kind: str, request: Request | None
    ) -> None:
        self._all = all_
        self._sweep = sweep
        self.kind = kind
        self.request = request
        self.downloads = 0
        """That it waits for."""
        self.wall = 0.0

    def __enter__(self) -> None:
        self.told = ""
        self.cancelled = False
        self.since = self._sweep.now
        self.task = asyncio.current_task()
        self._all.under_way.add(self)
        self._outer = _current.get()
        _current.set(self)

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        _current.set(self._outer)  # not by a token: a generator may be closed elsewhere
        self._all.under_way.discard(self)
        if self.told:
            self._all.ended(self)
        if self.cancelled and self.task is not None and kind is not asyncio.CancelledError:
            forget_cancel(self.task)

    def download_ended(self) -> None:
        self.downloads -= 1
        self.since = self._sweep.now


_current: ContextVar[_Work | None] = ContextVar("scrapy_resilience_user_work", default=None)


def _nothing() -> None:
    return None


class UserWork:
    """Of one crawl; *timeout* in seconds, 0 for none."""

    def __init__(
        self, crawler: Crawler, sweep: Sweep, timeout: float, *, cancels: bool
    ) -> None:
        self._crawler = crawler
        self._sweep = sweep
        self._timeout = timeout
        self._cancels = cancels
        self._stats: Any = crawler.stats
        self.under_way: set[_Work] = set()
        if timeout:
            sweep.looks.append(self._look)

    def begin(self, kind: str, request: Request | None) -> _Work:
        """A context: code of the user is waited for meanwhile."""
        return _Work(self, self._sweep, kind, request)

    def download_begins(self) -> Callable[[], None]:
        """Whoever runs now waits for a download; what is returned is to tell its end."""
        work = _current.get()
        if work is None:
            return _nothing
        work.downloads += 1
        return work.download_ended

    def waits(self, now: float) -> tuple[list[str], int]:
        """What waits for too long, in words, and how many are within their time."""
        late = [each for each in self.under_way if self._is_late(each, now)]
        texts = [
            f"{_ARTICLES[each.kind]} at {told_place(_stack_of(each))}" for each in late[:3]
        ]
        return texts, len(self.under_way) - len(late)

    def view(self) -> list[StuckView]:
        """Those that were told and wait still."""
        return [
            StuckView(kind=each.kind, text=each.told, since=each.wall)
            for each in self.under_way
            if each.told
        ]

    def cancel_all(self, reason: str) -> None:
        """What waits fails, whatever it waits for: the crawl goes on without."""
        for each in self.under_way:
            self._cancel(each, reason)

    # --- looks ---

    def _is_late(self, work: _Work, now: float) -> bool:
        # what began between two looks is up to an interval younger than it seems
        allowed = self._timeout + self._sweep.interval
        return bool(self._timeout) and not work.downloads and now - work.since >= allowed

    def _look(self, now: float) -> None:
        for each in [each for each in self.under_way if self._is_late(each, now)]:
            stack = () if each.told else _stack_of(each)
            if each.told or waits_for_another(stack):  # which is told itself
                continue
            self._tell(each, stack)
            if self._cancels:
                self._stats.inc_value(names.STAT_STUCK_CANCELLED)
                self._cancel(each, f"{each.told}: cancelled")

    def _tell(self, work: _Work, stack: Sequence[Frame]) -> None:
        whose = "start()" if work.request is None else clipped(str(work.request), _LONGEST)
        work.told = (
            f"{_ARTICLES[work.kind]} of {whose} has waited for {self._timeout:g} s at "
            f"{told_place(stack)}"
        )
        work.wall = _clock.wall() - self._timeout
        logger.warning("%s. It waits in %s", _sentence(work.told), told_stack(stack))
        self._stats.inc_value(_PLURAL[work.kind])
        self._event(_sentence(work.told), "warning")

    def ended(self, work: _Work) -> None:
        """One that was told has come to its end."""
        if not work.cancelled:
            seconds = self._sweep.now - work.since
            text = f"it has ended after about {seconds:.0f} s: {work.told}"
            logger.info("%s", _sentence(text))
            self._event(_sentence(text), "info")

    def _cancel(self, work: _Work, reason: str) -> None:
        if work.task is not None and not work.cancelled:
            work.cancelled = True
            cancel_with(work.task, WorkTimeoutError(reason))

    def _event(self, text: str, severity: str) -> None:
        self._crawler.signals.send_catch_log(
            crawl_event, kind="stuck", text=text, severity=severity, domain=""
        )


def _stack_of(work: _Work) -> Sequence[Frame]:
    return () if work.task is None else task_stack(work.task)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
