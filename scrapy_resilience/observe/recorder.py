"""Listens to a crawl, and writes down what its owner may want to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy import signals
from scrapy.http import Response

from scrapy_resilience import names
from scrapy_resilience import signals as ours
from scrapy_resilience._log import get_logger
from scrapy_resilience.checkpoint.parts import Part
from scrapy_resilience.core.breaker import State
from scrapy_resilience.deadletters import letters_of
from scrapy_resilience.jobs.job import job_of
from scrapy_resilience.observe.record import record_of_job

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from twisted.python.failure import Failure

    from scrapy_resilience.core.drift import Alarm
    from scrapy_resilience.core.errorgroups import Group
    from scrapy_resilience.deadletters import Told

__all__ = ["Recorder"]

logger = get_logger(__name__)

_RAISED: frozenset[str] = frozenset({"callback", "pipeline"})
"""Kinds of dead letters of whose exceptions Scrapy's signals tell."""


class Recorder(Part):
    """Of one crawl: ``record`` is what it has written down."""

    def __init__(self, crawler: Crawler) -> None:
        job = job_of(crawler)
        self.record = record_of_job(job)
        self.given_up = 0
        """Requests of this run that were given up and have come to no callback."""
        self._run = 1 if job is None else job.meta.runs
        self._event = self.record.events.event
        self.record.errors.heard = self._new_group
        letters_of(crawler).on_given_up = self._given_up
        connect = crawler.signals.connect
        connect(self._opened, signals.spider_opened)
        connect(self._closed, signals.spider_closed)
        connect(self._spider_error, signals.spider_error)
        connect(self._item_error, signals.item_error)
        connect(self._breaker_changed, ours.breaker_changed)
        connect(self._drift, ours.selector_drift)
        connect(self._happened, ours.crawl_event)
        if job is not None:
            job.parts.append(self)

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
        severity = "error" if reason in names.FAILURES else "info"
        self._event("run", f"Run {self._run} ends: {reason}", severity=severity)

    def _trouble(self, error: Exception) -> None:
        self._event("commit", f"The checkpoint can't be written: {error}", severity="error")
        self.record.errors.note(error)

    def _recovery(self, seconds: float) -> None:
        self._event("commit", f"The checkpoint is written again, after {seconds:.1f} s")

    # --- domains and pages ---

    def _happened(self, kind: str, text: str, severity: str = "info", domain: str = "") -> None:
        self._event(str(kind), str(text), severity=severity, domain=str(domain))

    def _breaker_changed(self, domain: str, old: str, new: str, reason: str) -> None:
        severity = "warning" if new == State.OPEN.value else "info"
        text = f"The circuit breaker of {domain} is {new}: {reason}"
        self._event("breaker", text, severity=severity, domain=domain)

    def _drift(self, alarm: Alarm) -> None:
        self._event("drift", str(alarm), severity="warning", domain=alarm.domain)

    # --- errors ---

    def _new_group(self, group: Group) -> None:
        place, kind, message = group.cause
        where = f" in {place}" if place else ""
        domain = next(iter(group.domains), "")
        text = f"New errors: {kind}{where}: {message}"
        self._event("error", text, severity="warning", domain=domain)

    def _spider_error(self, failure: Failure, response: Any) -> None:
        """Of a callback, of an errback, which has a Failure for a response, or of start()."""
        self._note_raised(failure, response)

    def _item_error(self, failure: Failure, response: Any) -> None:
        self._note_raised(failure, response)

    def _note_raised(self, failure: Failure, response: Any) -> None:
        request = getattr(response, "request", None)
        page = response if isinstance(response, Response) else None
        self.record.errors.note(failure, request, page)

    def _given_up(self, request: Request, response: Response | None, told: Told) -> None:
        """Whoever gives a request up must not fail for that."""
        if told["kind"] in _RAISED:
            return
        self.given_up += 1
        try:
            self.record.errors.note(
                told.get("exception"),
                request,
                response,
                failure_class=told["failure_class"],
                reason=told["reason"],
            )
        except Exception:
            logger.exception("An error can't be written down")
