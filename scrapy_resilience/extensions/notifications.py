"""The Notifications extension: tells the crawl's owner what has happened, and how it ended."""

from __future__ import annotations

import asyncio
import random
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from scrapy import signals
from scrapy.exceptions import NotConfigured

from scrapy_resilience import _clock, names
from scrapy_resilience import signals as ours
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.refusals import Refusing
from scrapy_resilience.checkpoint.exit_watchdog import exit_watchdog
from scrapy_resilience.checkpoint.parts import Part
from scrapy_resilience.core.masking import shown
from scrapy_resilience.core.notices import rank
from scrapy_resilience.core.outbox import Outbox
from scrapy_resilience.extensions.report import Report
from scrapy_resilience.guard.notify.channels import channels_of
from scrapy_resilience.guard.notify.notifier import Notifier
from scrapy_resilience.guard.notify.outages import Outages
from scrapy_resilience.guard.notify.saved_outbox import keep
from scrapy_resilience.guard.notify.senders import sender_of
from scrapy_resilience.guard.notify.summary import details_of, severity_of
from scrapy_resilience.jobs.crawl_job import is_skipped, job_of
from scrapy_resilience.observe.last_view import last_view
from scrapy_resilience.observe.observer import observer_of
from scrapy_resilience.observe.view import ChannelView
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience.core.notices import Notice
    from scrapy_resilience.observe.view import EventView, View

__all__ = ["Notifications"]

logger = get_logger(__name__)

_SPARED: Final = 1.0
"""Seconds before the end of the process that the rest of the close needs."""
_FOR_THE_REPORT: Final = 3.0


@contextmanager
def _only_logged() -> Iterator[None]:
    """The crawl is over, and its data is safe."""
    try:
        yield
    except Exception:
        logger.exception("The last notices can't be sent")


class Notifications(Refusing, Part):
    """Takes the events of the crawl, and sends what ``RESILIENCE_NOTIFY`` wants of them.

    What was not sent is in the journal of the job, from the next commit on.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.config = config = Config.from_settings(crawler.settings)
        channels = channels_of(config)
        self._observer = observer_of(crawler)
        self._job = job_of(crawler)
        self._stats: Any = crawler.stats
        self._scheduler: Any = None
        self._reason: str | None = None
        self._attaches = any(channel.attach_report for channel in channels)
        self.outbox = Outbox(
            {channel.name: channel.rule for channel in channels},
            new_id=lambda: uuid4().hex,
            random=random.random,
            about=self._about(),
            per_hour=config.notify_per_hour,
            group=config.notify_group,
            repeat_after=config.notify_repeat_after,
            vague={channel.name for channel in channels if channel.is_vague},
        )
        senders = {each.name: sender_of(each, config.notify_secret) for each in channels}
        self._notifier = Notifier(self.outbox, senders, self._stats.inc_value)
        self._outages = Outages(crawler, config.notify_open_after)
        self._listen()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        config = Config.from_settings(crawler.settings)
        job_of(crawler)  # refuses itself what can't run
        usable = config.notify and config.notify_enabled and config.observe_enabled
        if not usable or is_skipped(crawler):
            raise NotConfigured
        return super().from_crawler(crawler)

    def _about(self) -> dict[str, Any]:
        spider = shown(str(self.crawler.spidercls.name or ""))
        if self._job is None:
            return {"spider": spider}
        meta = self._job.meta
        return {"spider": spider, "job": meta.ident, "run": meta.runs}

    def _listen(self) -> None:
        observer, connect = self._observer, self.crawler.signals.connect
        keep(self.outbox, observer.journal)
        observer.events.each.append(self._event)
        observer.fill.append(self._fill)
        connect(self._spider_opened, signals.spider_opened)
        connect(self._started, signals.engine_started)
        connect(self._spider_closed, signals.spider_closed)
        if self._job is None:
            connect(self.ended, signals.engine_stopped)
        else:
            self._job.parts.append(self)

    # --- while the crawl runs ---

    def opened(self, scheduler: Any) -> None:
        self._scheduler = scheduler

    def _spider_opened(self) -> None:
        if self._job is not None and self._job.was_killed:
            run = self._job.meta.runs
            text = (
                f"Run {run - 1} did not come to its end: it was killed, or the job went back "
                f"to a snapshot. Run {run} goes on"
            )
            self.crawler.signals.send_catch_log(
                ours.crawl_event, kind="killed", text=text, severity="warning", domain=""
            )

    def _started(self) -> None:
        self._outages.start()
        self._notifier.start()

    def _event(self, event: EventView) -> None:
        """Nothing that happens here may harm whoever tells of an event."""
        try:
            notice = self.outbox.event(
                event.kind, event.text, event.severity, event.domain, event.time
            )
            if notice is not None:
                self._notifier.look()
                self._make_durable(notice)
        except Exception:
            logger.exception("An event can't be told to anybody")

    def _make_durable(self, notice: Notice) -> None:
        """What is worth a warning must not wait for the next commit: the process may die."""
        if self._scheduler is not None and rank(notice.severity) >= rank("warning"):
            self._scheduler.commit_soon()

    def _fill(self, view: View) -> None:
        view.guard.channels = [
            ChannelView(
                name=name,
                waiting=self.outbox.waiting(name),
                sent=channel.sent,
                failures=channel.failures,
                problem=channel.problem,
            )
            for name, channel in self.outbox.channels.items()
        ]
        view.guard.dropped_notices = self.outbox.dropped

    # --- the end ---

    def _spider_closed(self, reason: str) -> None:
        self._reason = reason
        self._outages.stop()
        if dropped := self.outbox.dropped:
            self._stats.set_value(names.STAT_NOTIFY_DROPPED, dropped)

    async def ended(self) -> None:
        """Everything is counted, and in a job committed."""
        began = _clock.stopwatch()
        with _only_logged():
            await self._say_how_it_ended()
        with _only_logged():
            await self._send_the_rest(began)

    async def _send_the_rest(self, began: float) -> None:
        self._observer.journal.publish_rest()  # first: the process may be killed meanwhile
        passed = _clock.stopwatch() - began
        await self._notifier.finish(max(self._seconds() - passed, 0.0))
        self._tell_what_is_left()

    def _tell_what_is_left(self) -> None:
        if not (count := self.outbox.waiting()):
            return
        kept = self._job is not None and self._observer.journal.is_kept
        then = "wait for the next run of the job" if kept else "are lost"
        logger.warning("Notices that could not be sent in time %s: %d", then, count)

    async def _say_how_it_ended(self) -> None:
        if self._reason is None:  # it has not begun
            return
        view = last_view(self._observer, self._job, self._reason)
        failed = self._job is not None and self._job.incomplete
        severity = severity_of(view, self.config, failed=failed)
        self.outbox.tell(
            "finished", view.job.sentence, severity, _clock.wall(),
            details=details_of(view), report=await self._report(),
        )  # fmt: skip

    async def _report(self) -> str:
        """Its path, once it is written; empty where nobody wants it."""
        report = self.crawler.get_extension(Report) if self._attaches else None
        if report is None:
            return ""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(report.over.wait(), _FOR_THE_REPORT)
        return str(report.path.resolve())

    def _seconds(self) -> float:
        """That are left: a stop by a signal has an end, too."""
        wanted, left = self.config.notify_timeout, exit_watchdog.seconds_left()
        return wanted if left is None else min(wanted, left - _SPARED)
