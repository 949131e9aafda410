"""The journal against a model: commits, kills, torn writes, full disks and ways back."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from journals import JOB, Notes, Run

from scrapy_resilience.files.layout import JOURNAL
from scrapy_resilience.observe.record import journalfile
from scrapy_resilience.observe.record.journal import stored_journal

KINDS = ("event", "error")


def no_space(*_):
    """A write to a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device")


class JournalModel(RuleBasedStateMachine):
    """A job that is run, killed and taken back, and what it has told up to each commit."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.durable = 0
        """Commits of the store."""
        self.told = []
        """(commit, kind, text), as they must be in the file."""
        self.counter = 0
        self.full = False
        self.begin()

    def begin(self):
        """Start a run."""
        self.run = Run(self.folder, self.durable)
        self.notes = {kind: Notes(self.run.journal, kind) for kind in KINDS}
        self.told = [entry for entry in self.told if entry[0] <= self.durable]
        for kind in KINDS:
            assert self.notes[kind].found == self.expected(kind, self.durable)
        self.durable += 1
        self.sealed = None
        self.waiting = []

    def expected(self, kind, commits):
        """The texts of a kind up to a commit."""
        return [text for at, of, text in self.told if of == kind and at <= commits]

    @rule(kind=st.sampled_from(KINDS), length=st.integers(1, 30))
    def tell(self, kind, length):
        """Something happens."""
        self.counter += 1
        text = str(self.counter).zfill(length)
        self.notes[kind].new.append(text)
        self.waiting.append((kind, text))

    @precondition(lambda self: self.sealed is None)
    @rule()
    def seal(self):
        """A commit begins: what has happened by now is in it."""
        self.run.seal()
        self.sealed, self.waiting = self.waiting, []

    @precondition(lambda self: self.sealed is not None)
    @rule()
    def write(self):
        """It is durable."""
        self.durable = self.run.commits
        write = no_space if self.full else os.write
        with mock.patch.object(journalfile.os, "write", write):
            self.run.journal.written()
            self.run.settle()
        if not self.full:
            self.told += [(self.durable, kind, text) for kind, text in self.sealed]
        self.sealed = None

    @rule()
    def change_disk(self):
        """It becomes full, or has room again."""
        self.full = not self.full

    @rule()
    def rewrite(self):
        """The file is written anew; nothing of these few entries goes."""
        self.run.settle()
        self.run.file.rewrite(self.run.journal._folded)

    @rule()
    def kill(self):
        """The process ends, and the next one begins."""
        self.run.kill()
        self.begin()

    @rule(lost=st.integers(1, 400))
    def tear(self, lost):
        """The file loses its end, as with a kill or a power loss."""
        self.run.kill()
        path = self.folder / JOURNAL
        os.truncate(path, max(path.stat().st_size - lost, 0))
        found = {
            text
            for kind in KINDS
            for text in Notes(stored_journal(self.folder, JOB, self.durable), kind).found
        }
        kept = [entry for entry in self.told if entry[2] in found]
        commits = {at for at, _, _ in kept}
        last = max(commits, default=0)
        assert kept == [entry for entry in self.told if entry[0] <= last]
        self.told = kept
        self.begin()

    @rule(data=st.data())
    def go_back(self, data):
        """A snapshot takes the place of the store."""
        self.run.kill()
        self.durable = data.draw(st.integers(0, self.durable))
        self.begin()

    @invariant()
    def a_reader_sees_what_is_durable(self):
        """At any moment, whatever is under way."""
        for kind in KINDS:
            found = Notes(stored_journal(self.folder, JOB, self.durable), kind).found
            assert found == self.expected(kind, self.durable)

    def teardown(self):
        """Leave nothing behind."""
        self.run.kill()
        shutil.rmtree(self.folder)


TestJournal = JournalModel.TestCase
TestJournal.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
