"""Journals of a job that is not there."""

from __future__ import annotations

from collections import deque

from scrapy_resilience.observe.record.journal import Journal
from scrapy_resilience.observe.record.journalfile import JournalFile

JOB = "0123abcd"


class Notes:
    """A kind of entries, which are texts: ``new`` are to be kept, ``found`` were."""

    def __init__(self, journal, kind="note", *, fold=list, **told):
        self.new = deque()
        self.found = None
        journal.register(kind, str, self.collect, self.restore, fold, **told)

    def collect(self):
        """Give the next one."""
        return self.new.popleft() if self.new else None

    def restore(self, values):
        """Take those of earlier runs."""
        self.found = values


class Run:
    """A run of a job that has seen so many commits."""

    def __init__(self, folder, commits=0, *, job=JOB, limit=4_000_000):
        self.commits = commits
        self.file = JournalFile(folder / "resilience.journal", job, commits, limit)
        self.journal = Journal(
            self.file.read.batches, file=self.file, job=job, commits=lambda: self.commits
        )
        self.commits += 1  # the one that says that the run has begun

    def seal(self):
        """Begin a commit."""
        self.commits += 1
        self.journal.prepare()

    def commit(self):
        """Make one, with all that follows it."""
        self.seal()
        self.journal.written()
        self.settle()

    def settle(self):
        """Wait for the disk."""
        self.journal._thread.submit(lambda: None).result()

    def kill(self):
        """Leave the file as it is."""
        self.settle()
        self.file.close()
