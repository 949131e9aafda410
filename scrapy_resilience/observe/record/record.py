"""What is told of a job, over all its runs: errors, events and the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy_resilience.files.layout import ERRORS
from scrapy_resilience.observe.record.errors import ErrorGroups
from scrapy_resilience.observe.record.events import EventLog
from scrapy_resilience.observe.record.history import CrawlHistory
from scrapy_resilience.observe.record.journal import Journal, journal_of_job, stored_journal
from scrapy_resilience.observe.record.samples import Samples

if TYPE_CHECKING:
    from pathlib import Path

    from scrapy_resilience.jobs.job import Job

__all__ = ["Record", "record_of_job", "stored_record"]


class Record:
    """All of it, and the journal in which it is kept.

    *folder* is where samples of errors are; None where there is no JOBDIR.
    """

    def __init__(self, journal: Journal, folder: Path | None = None) -> None:
        self.journal = journal
        self.events = EventLog(journal)
        self.history = CrawlHistory(journal)
        self.errors = ErrorGroups(journal, Samples(folder))


def record_of_job(job: Job | None) -> Record:
    """Of a crawl that begins; without a job it is forgotten with the process."""
    journal = Journal() if job is None else journal_of_job(job)
    folder = job.path / ERRORS if job is not None and journal.is_kept else None
    return Record(journal, folder)


def stored_record(jobdir: Path, job: str, commits: int) -> Record:
    """Of a job as it was at a commit, to be looked at: it may run meanwhile."""
    return Record(stored_journal(jobdir, job, commits), jobdir / ERRORS)
