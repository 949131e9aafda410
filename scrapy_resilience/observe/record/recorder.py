"""Listens to a crawl, and writes down what its owner may want to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from scrapy import signals
from scrapy.http import Response

from scrapy_resilience import names
from scrapy_resilience import signals as ours
from scrapy_resilience._log import get_logger
from scrapy_resilience.checkpoint.parts import Part
from scrapy_resilience.core.breaker import State
from scrapy_resilience.deadletters import letters_of
from scrapy_resilience.jobs.crawl_job import job_of
from scrapy_resilience.observe.record.journal import Journal
from scrapy_resilience.observe.record.record import Record, record_of_job

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from twisted.python.failure import Failure

    from scrapy_resilience.core.drift import Alarm
    from scrapy_resilience.core.errorgroups import Group
    from scrapy_resilience.deadletters import Told
    from scrapy_resilience.observe.record.errors import ErrorGroups
    from scrapy_resilience.observe.record.events import EventLog
    from scrapy_resilience.observe.record.history import CrawlHistory
    from scrapy_resilience.observe.view import Severity

__all__ = ["Recorded", "Recorder"]

logger = get_logger(__name__)

_RAISED: frozenset[str] = frozenset({"callback", "pipeline"})
"""Kinds of dead letters of whose exceptions Scrapy's signals tell."""


class Recorder(Part):
    """Of one crawl: ``record`` is what is written down, in memory until :meth:`follow`."""

    def __init__(self) -> None:
        self.record = Record(Journal())
        self.given_up = 0
        """Requests of this run that were given up and have come to no callback."""
        self._run = 1
        self._known: WeakSet[Request] = WeakSet()
        """Of which it was told that they are given up: the first reason counts."""

    def follow(self, crawler: Crawler) -> None:
        """The settings are complete: go on with what the job has, and listen."""
        job = job_of(crawler)
        self.record = record_of_job(job)
        self.record.errors.heard = self._new_group
        letters_of(crawler).on_given_up.append(self._given_up)
        connect = crawler.signals.connect
        connect(self._opened, signals.spider_opened)
        connect(self._closed, signals.spider_closed)
        connect(self._note_raised, signals.spider_error)
        connect(self._note_raised, signals.item_error)
        connect(self._breaker_changed, ours.breaker_changed)
        connect(self._drift, ours.selector_drift)
        connect(self._happened, ours.crawl_event)
        if job is not None:
            self._run = job.meta.runs
            job.parts.append(self)

    def _event(
        self, kind: str, text: str, severity: Severity = "info", domain: str = ""
    ) -> None:
        self.record.events.event(kind, text, severity=severity, domain=domain)

    # --- the run ---

    def opened(self, scheduler: Any) -> None:
        """The job is ours: hear of its commits."""
        self.record.errors.begin()
        if scheduler.committer is not None:
            scheduler.committer.on_trouble = self._trouble
            scheduler.committer.on_recovery = self._recovery

    def _opened(self) -> None:
        self._event("run", f"Run {self._run} has begun")

    def _closed(self, reason: str) -> None:
        severity: Severity = "info" if reason in {*names.COMPLETE, "shutdown"} else "warning"
        severity = "error" if reason in names.FAILURES else severity
        self._event("run", f"Run {self._run} ends: {reason}", severity)

    def _trouble(self, error: Exception) -> None:
        self._event("commit", f"The checkpoint can't be written: {error}", "error")
        self._note(error)

    def _recovery(self, seconds: float) -> None:
        self._event("commit", f"The checkpoint is written again, after {seconds:.1f} s")

    # --- domains and pages ---

    def _happened(
        self, kind: str, text: str, severity: Severity = "info", domain: str = ""
    ) -> None:
        self._event(str(kind), str(text), severity, str(domain))

    def _breaker_changed(self, domain: str, old: str, new: str, reason: str) -> None:
        severity: Severity = "warning" if new == State.OPEN.value else "info"
        text = f"The circuit breaker of {domain} is {new}: {reason}"
        self._event("breaker", text, severity, domain)

    def _drift(self, alarm: Alarm) -> None:
        self._event("drift", str(alarm), "warning", alarm.domain)

    # --- errors ---

    def _new_group(self, group: Group) -> None:
        place, kind, message = group.cause
        where = f" in {place}" if place else ""
        domain = next(iter(group.domains), "")
        text = f"New errors: {kind}{where}: {message}"
        self._event("error", text, "warning", domain)

    def _note_raised(self, failure: Failure, response: Any) -> None:
        """Of a callback or a pipeline; an errback has a Failure for a response."""
        request = getattr(response, "request", None)
        page = response if isinstance(response, Response) else None
        self._note(failure, request, page)

    def _given_up(self, request: Request, response: Response | None, told: Told) -> None:
        if told["kind"] in _RAISED or request in self._known:
            return
        self._known.add(request)
        self.given_up += 1
        self._note(
            told.get("exception"),
            request,
            response,
            failure_class=told["failure_class"],
            reason=told["reason"],
        )

    def _note(self, *args: Any, **told: Any) -> None:
        """Whoever gives a request up, or commits, must not fail for that."""
        try:
            self.record.errors.note(*args, **told)
        except Exception:
            logger.exception("An error can't be written down")


class Recorded:
    """What whoever has a recorder shows of it."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    @property
    def journal(self) -> Journal:
        return self.recorder.record.journal

    @property
    def errors(self) -> ErrorGroups:
        return self.recorder.record.errors

    @property
    def events(self) -> EventLog:
        return self.recorder.record.events

    @property
    def history(self) -> CrawlHistory:
        return self.recorder.record.history

    def event(
        self, kind: str, text: str, *, severity: Severity = "info", domain: str = ""
    ) -> None:
        """Write down that something has happened: *text* is one sentence."""
        self.events.event(kind, text, severity=severity, domain=domain)
