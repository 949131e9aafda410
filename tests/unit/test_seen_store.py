"""The store of pages that were seen, and what jobs take back of it."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from scrapy import Request
from scrapy.utils.request import RequestFingerprinter

from scrapy_resilience.exceptions import CheckpointError, DamagedError
from scrapy_resilience.files.lock import locked
from scrapy_resilience.seen.marks import (
    Batch,
    Entry,
    Mark,
    Validators,
    digests,
    ident_of_key,
    ident_of_page,
)
from scrapy_resilience.seen.store import SeenStore
from scrapy_resilience.seen.upkeep import add, entries, forget, summary

IDENTS = st.integers(-3, 3)
JOBS = st.sampled_from(["a", "b"])


class SharedStore(RuleBasedStateMachine):
    """Two jobs write to one store and go back: what is left is the last of what is left."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = SeenStore(Path(self.folder.name) / "pages.seen")
        self.log = []
        self.number = {"a": 0, "b": 0}
        self.floor = {"a": 0, "b": 0}
        self.time = 0

    @rule(job=JOBS, idents=st.sets(IDENTS, max_size=4), again=st.booleans())
    def write(self, job, idents, again):
        """Write a commit's marks, perhaps twice, as a resume does that does not know."""
        self.time += 1
        self.number[job] += 1
        batch = Batch(self.number[job], [mark(ident, self.time) for ident in idents])
        for _ in range(1 + again):
            self.store.write([batch], job, floor=self.floor[job], now=self.time)
        self.log += [(job, self.number[job], ident, self.time) for ident in idents]

    @rule(ident=IDENTS)
    def write_without_a_job(self, ident):
        """Nothing takes that back."""
        self.time += 1
        self.store.write([Batch(0, [mark(ident, self.time)])])
        self.log.append((None, 0, ident, self.time))

    @rule(job=JOBS)
    def finish(self, job):
        """The job has come to its end; it may be replayed, and go on."""
        self.store.finished(job, self.time)
        self.floor[job] = self.number[job]

    @rule(job=JOBS, kept=st.integers(0, 3))
    def give_up_going_back(self, job, kept):
        """Older snapshots of the job go, and what is kept for them."""
        self.floor[job] = max(self.floor[job], self.number[job] - kept)
        self.store.write([], job, floor=self.floor[job], now=self.time)

    @rule(job=JOBS, share=st.floats(0, 1))
    def go_back(self, job, share):
        """The job is restored."""
        floor, number = self.floor[job], self.number[job]
        commit = floor + int((number - floor) * share)
        gone = [each for each in self.log if each[0] == job and each[1] > commit]
        self.log = [each for each in self.log if each not in gone]
        self.number[job] = commit
        assert self.store.begin(job, commit, 0, self.time) in range(len(gone) + 1)

    @precondition(lambda self: self.log)
    @rule(ident=IDENTS)
    def forget(self, ident):
        """A user forgets a page, for good."""
        known = self.store.find(ident) is not None
        self.log = [each for each in self.log if each[2] != ident]
        assert forget(self.store.path, f"http://a.test/{ident}") == known

    @precondition(lambda self: self.log)
    @rule()
    def open_again(self):
        """Another process goes on."""
        self.store.close()
        self.store = SeenStore(self.store.path)

    @invariant()
    def the_last_mark_counts(self):
        """Each page is as its last mark that was not taken back says."""
        wanted = {ident: at for _, _, ident, at in self.log}
        for ident in range(-3, 4):
            found = self.store.find(ident)
            assert (found and found.at) == wanted.get(ident)

    def teardown(self):
        """Remove the files."""
        self.store.close()
        self.folder.cleanup()


TestSharedStore = SharedStore.TestCase
TestSharedStore.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)


def mark(ident, at, **more):
    """A mark of a page."""
    more.setdefault("url", f"http://a.test/{ident}")
    return Mark(ident, at, None, b"%06d" % at, ident, **more)


@pytest.fixture
def path(tmp_path):
    """Where a store is."""
    return tmp_path / "new" / "pages.seen"


@pytest.fixture
def store(path):
    """An empty one."""
    with closing(SeenStore(path)) as found:
        yield found


def test_what_is_written_is_found(store):
    """All of it; the file is nobody else's."""
    store.write([Batch(0, [Mark(7, 100, 60, b"abcdefghijkl", 9, b'"1"', b"Mon", url="u")])])
    assert store.find(7) == Entry(100, 60, b"abcdefghijkl")
    assert digests(store.find(7).content) == {b"abcdef", b"ghijkl"}
    assert store.validators(9) == Validators(b'"1"', b"Mon")
    assert (store.find(9), store.validators(7)) == (None, None)
    assert store.path.stat().st_mode & 0o777 == 0o600


def test_validators_are_those_of_the_last_full_answer(store):
    """A 304 keeps them; an answer without any takes them away."""
    store.write([Batch(0, [mark(1, 1, etag=b"x")])])
    store.write([Batch(0, [mark(1, 2, keeps=True)])])
    assert store.validators(1) == Validators(b"x", None)
    store.write([Batch(0, [mark(1, 3)])])
    assert store.validators(1) is None


def test_what_is_taken_back_is_asked_for_in_full(store):
    """Validators that came with it would say that it has not changed since."""
    store.write([Batch(1, [mark(1, 1, etag=b"old")])], "a")
    store.write([Batch(2, [mark(1, 2, etag=b"new")])], "a")
    assert store.begin("a", 1, 0, 3) == 1
    assert (store.find(1).at, store.validators(1)) == (1, None)


def test_a_job_that_goes_back_too_far_forgets_by_the_time(store):
    """What it has written over is not known any more: all of that time is asked for again."""
    store.write([Batch(1, [mark(1, 10)])], "a")
    store.write([Batch(5, [mark(2, 20)])], "b")
    store.write([Batch(2, [mark(3, 30, etag=b"x")])], "a", floor=2)
    store.finished("b", 30)
    assert store.begin("a", 1, 15, 40) is None
    assert [store.find(ident) is not None for ident in (1, 2, 3)] == [True, False, False]
    assert store.validators(3) is None
    assert store.begin("a", 1, 15, 40) == 0


def test_what_is_written_over_is_bounded(store, path):
    """It goes with the snapshots, at the end of a job, and of an old job after 30 days."""
    for number in range(1, 11):
        store.write([Batch(number, [mark(number, number)])], "a", floor=number - 3, now=100)
    assert summary(path)["undo"] == 3
    store.write([Batch(1, [mark(1, 1)])], "b", now=100)
    store.begin("c", 0, 0, 100 + 31 * 86_400)
    assert summary(path)["undo"] == 0
    store.write([Batch(2, [mark(1, 1)])], "b", now=100)
    store.finished("b", 100)
    assert (summary(path)["undo"], summary(path)["pages"]) == (0, 10)


def test_two_jobs_see_each_other(store, path):
    """At once; one that waits for the other too long says so, and has done nothing."""
    with closing(SeenStore(path)) as other:
        other.write([Batch(0, [mark(1, 1)])])
        assert store.find(1).at == 1


def test_a_lock_that_is_held_too_long(tmp_path):
    """Whoever waits for it says so."""
    path = tmp_path / "lock"
    with locked(path, 1):
        waiting = locked(path, 0.05)
        with pytest.raises(TimeoutError, match=r"another process has .*lock locked for more"):
            waiting.__enter__()


def test_a_batch_is_written_whole_or_not_at_all(store):
    """Such as on a full disk."""
    with pytest.raises(sqlite3.Error):
        store.write([Batch(1, [mark(1, 1), mark(2, 2)._replace(at=None)])], "a")
    assert store.find(1) is None
    store.write([Batch(1, [mark(1, 1)])], "a")
    assert store.find(1).at == 1


def test_the_summary_and_the_export(store, path):
    """What a store holds."""
    store.write([Batch(0, [mark(1, 5), mark(-1, 6, url=None)._replace(period=0)])])
    assert summary(path) == {
        "pages": 2,
        "oldest": 5,
        "newest": 6,
        "linking": 1,
        "validators": 0,
        "urls": 1,
        "undo": 0,
        "bytes": path.stat().st_size,
    }
    found = sorted(entries(path), key=lambda each: each["seen"])
    assert [each["url"] for each in found] == ["http://a.test/1", None]
    assert found[1] == {"id": "f" * 16, "url": None, "seen": 6, "period": 0, "items": 1}


def test_what_others_have_brought_is_added(path):
    """URLs as requests of theirs are known, and keys; the store is made."""
    url = "http://a.test/?b=1&a=2"
    page = ident_of_page(RequestFingerprinter().fingerprint(Request("http://a.test/?a=2&b=1")))
    lines = [f"{url}\n", "sku 1\r\n", "\n", "sku 1", *(f"key {n}" for n in range(10_000))]
    assert add(path, lines, 7) == 10_003
    with closing(SeenStore(path)) as store:
        assert store.find(page).at == store.find(ident_of_key("sku 1")).at == 7
        assert summary(path)["pages"] == 10_002


@pytest.mark.parametrize("line", ["http://[bad", "http://a.test:99999999/"])
def test_a_line_that_is_no_url(path, line):
    """It is told, with its number."""
    with pytest.raises(CheckpointError, match=r"line 3 is no URL .*: http"):
        add(path, ["http://a.test/\n", "\n", f"{line}\n"], 7)
    assert add(path, ["a key \udcff"], 7) == 1


def test_pages_are_forgotten_by_pattern(store, path):
    """Of URLs, as a shell has it; a star is all, those without a URL too."""
    marks = [mark(n, 1, url=f"http://{n % 2}.test/{n}") for n in range(10)]
    store.write([Batch(0, [*marks, mark(99, 1, url=None)])])
    assert forget(path, "http://0.*") == 5
    assert (store.find(1).at, store.find(2)) == (1, None)
    assert forget(path, "*") == 6
    with pytest.raises(CheckpointError, match="no URLs"):
        forget(path, "http*")


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"nothing like it" * 100, "damaged"), (b"SQLite format 3\0" + b"\0" * 4000, "damaged")],
)
def test_a_file_that_is_no_database_is_refused(path, content, words):
    """It stays as it is."""
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(DamagedError, match=words):
        SeenStore(path)
    assert path.read_bytes() == content


def test_another_database_is_refused(path):
    """It stays as it is."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine(x)")
    with pytest.raises(CheckpointError, match="not a store of pages"):
        SeenStore(path)


def test_a_newer_store_is_refused(store, path):
    """Whoever wrote it knows better."""
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=2")
    with pytest.raises(CheckpointError, match="newer version"):
        SeenStore(path)


@pytest.mark.usefixtures("store")
def test_a_link_is_refused(path):
    """It may lead to the file of somebody else."""
    link = path.with_name("link.seen")
    link.symlink_to(path)
    with pytest.raises(PermissionError, match="link"):
        SeenStore(link)


def test_a_damaged_page_is_told(store, path):
    """Of a store that was sound when it was opened, too."""
    store.write([Batch(0, [mark(n, 1) for n in range(3000)])])
    store.close()
    data = bytearray(path.read_bytes())
    data[8192:-4096] = b"\xff" * (len(data) - 12_288)
    path.write_bytes(data)
    with pytest.raises(DamagedError, match=r"damaged: .* Put a copy in its place"):
        SeenStore(path)


def test_what_is_no_store_is_not_made(path):
    """A command that is given a wrong name says so."""
    with pytest.raises(CheckpointError, match="no file"):
        summary(path)
    assert not path.exists()


def test_a_store_that_was_killed_while_it_was_made(path):
    """It is made the next time."""
    path.parent.mkdir()
    path.touch()
    with closing(SeenStore(path)) as store:
        assert store.find(1) is None


def test_idents_are_64_bits_and_of_their_kind():
    """A key that is a page's fingerprint is another one."""
    assert ident_of_page(b"x") != ident_of_key("x")
    assert -(2**63) <= ident_of_key("\udc80") < 2**63
