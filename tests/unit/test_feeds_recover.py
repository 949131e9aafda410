"""What a resume does to the feeds of the last run before anything else opens them."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy import Spider
from scrapy.crawler import Crawler

from scrapy_resilience.checkpoint.state import StateRegistry
from scrapy_resilience.core.masking import mask_uri
from scrapy_resilience.exceptions import CheckpointError, JobLockedError
from scrapy_resilience.extensions.feedexport import ResilientFeedExporter
from scrapy_resilience.feeds import cutting as feeds
from scrapy_resilience.feeds.cutting import ending_of, recover
from scrapy_resilience.feeds.records import FeedRecord
from scrapy_resilience.files.lock import lock_fd
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.store import Changes
from scrapy_resilience.jobs.jobmeta import JobMeta
from scrapy_resilience.settings import Config
from scrapy_resilience.waits import Waits

KEPT, TAIL = b'{"a": 1}\n' * 3, b'{"a": 2}\n{"a"'


def record(path, **more) -> FeedRecord:
    """Return the record of a feed that was not there before the job."""
    known = {
        "template": str(path),
        "uri": str(path),
        "path": str(path),
        "base": 0,
        "existed": False,
        "overwrite": False,
        "batch_id": 1,
    }
    return FeedRecord(**{**known, **more})


def committed(path, offset=None, **more) -> FeedRecord:
    """Return the record that a commit made of a file."""
    offset = len(KEPT) if offset is None else offset
    with path.open("rb") as file:
        return record(path, offset=offset, ending=ending_of(file, offset), **more)


def resume(folder, *records, clean=False):
    """Recover, as a job does that finds *records* in its file."""
    codec = ValueCodec(allow_pickle=False)
    stored = {each.name: codec.encode(asdict(each)) for each in records}
    return recover(StateRegistry(stored, codec), folder, clean=clean)


def tails(folder):
    """Return what was cut off, by the name of its feed."""
    return {
        file.name.rsplit(".", 1)[0]: file.read_bytes() for file in (folder / "cut").glob("*")
    }


@pytest.fixture
def job(tmp_path):
    """Return the folder of the job."""
    folder = tmp_path / "job"
    folder.mkdir()
    return folder


@pytest.fixture
def feed(tmp_path):
    """Return a feed that has a committed part and a tail."""
    path = tmp_path / "items.jsonl"
    path.write_bytes(KEPT + TAIL)
    return path


def test_no_records_need_nothing(job):
    """A job without feeds cuts nothing and makes no folder."""
    assert resume(job) == []
    assert list(job.iterdir()) == []


def test_records_come_back_as_they_were(job, feed):
    """A resume goes on with the records that were committed."""
    kept = committed(feed, items=3, fields=["a", "b"], batch_id=4, overwrite=True)

    assert resume(job, kept) == [kept]


def test_what_grew_after_a_kill_is_cut_and_kept(job, feed):
    """The bytes behind the committed length go to a side file, each one of them."""
    resume(job, committed(feed))

    assert feed.read_bytes() == KEPT
    assert tails(job) == {"items.jsonl": TAIL}


@given(st.binary(max_size=300), st.integers(0, 300))
def test_no_byte_is_lost(tmp_path_factory, content, offset):
    """The feed and its side file together are what the feed was."""
    folder = tmp_path_factory.mktemp("job")
    feed = folder / "f.csv"
    feed.write_bytes(content)
    offset = min(offset, len(content))

    resume(folder, committed(feed, offset))

    assert feed.read_bytes() == content[:offset]
    assert tails(folder) == ({"f.csv": content[offset:]} if offset < len(content) else {})


def test_a_feed_stays_the_same_file(job, feed):
    """A cut feed keeps its inode: whoever reads it goes on reading."""
    before = feed.stat().st_ino
    resume(job, committed(feed))

    assert feed.stat().st_ino == before


@pytest.mark.parametrize("clean", [True, False])
def test_a_feed_of_its_committed_length_is_left_alone(job, feed, clean):
    """A feed that ends where the commit says is not touched."""
    times = feed.stat()
    resume(job, committed(feed, len(KEPT + TAIL)), clean=clean)

    assert feed.stat() == times
    assert tails(job) == {}


@pytest.mark.parametrize("clean", [True, False])
def test_a_shorter_feed_is_refused(job, feed, clean):
    """A feed that lost committed bytes is named, with both lengths, and not padded."""
    kept = committed(feed)
    os.truncate(feed, 5)

    with pytest.raises(CheckpointError, match=rf"{feed}.*shorter \(5 bytes\).*\({len(KEPT)}\)"):
        resume(job, kept, clean=clean)

    assert feed.stat().st_size == 5


@pytest.mark.parametrize("clean", [True, False])
def test_a_feed_that_is_gone_is_refused(job, feed, clean):
    """A feed that had committed bytes and is not there is named, and not made anew."""
    kept = committed(feed)
    feed.unlink()

    with pytest.raises(CheckpointError, match=f"{feed} is gone"):
        resume(job, kept, clean=clean)

    assert not feed.exists()


@pytest.mark.parametrize("offset", [None, 0])
def test_an_empty_feed_may_be_gone(job, feed, offset):
    """A feed that had no committed byte may be missing."""
    kept = replace(committed(feed), offset=offset)
    feed.unlink()

    assert resume(job, kept) == [kept]
    assert not feed.exists()


@pytest.mark.parametrize("clean", [True, False])
def test_a_replaced_feed_is_refused(job, feed, clean):
    """A file that does not hold what was committed is not cut, whatever its length."""
    kept = committed(feed, len(KEPT + TAIL))
    feed.write_bytes(feed.read_bytes().replace(b"1", b"3"))
    before = feed.read_bytes()

    with pytest.raises(CheckpointError, match=f"{feed} does not hold what the last run wrote"):
        resume(job, kept, clean=clean)

    assert feed.read_bytes() == before


def test_a_feed_that_was_copied_back_goes_on(job, feed):
    """A restored copy of a feed is as good as the feed: its content tells, not its inode."""
    kept = committed(feed)
    other = feed.with_name("backup")
    other.write_bytes(feed.read_bytes())
    other.replace(feed)

    resume(job, kept)

    assert feed.read_bytes() == KEPT


def test_a_folder_in_a_feeds_place_is_refused(job, feed):
    """What can't be read as a file is named."""
    kept = committed(feed)
    feed.unlink()
    feed.mkdir()

    with pytest.raises(CheckpointError, match=str(feed)):
        resume(job, kept)


@given(st.binary(max_size=9000), st.integers(0, 9000))
def test_the_ending_tells_the_last_bytes(tmp_path_factory, content, offset):
    """A feed's mark is made of the 4 kB before the offset, and of nothing behind it."""
    path = tmp_path_factory.mktemp("f") / "f"
    path.write_bytes(content)
    offset = min(offset, len(content))
    with path.open("rb") as file:
        before = ending_of(file, offset)
    path.write_bytes(content[:offset] + b"more")
    with path.open("rb") as file:
        assert ending_of(file, offset) == before
    if offset:
        path.write_bytes(content[: offset - 1] + bytes([content[offset - 1] ^ 1]))
        with path.open("rb") as file:
            assert ending_of(file, offset) != before


def test_a_feed_that_grew_after_a_clean_end_is_refused(job, feed):
    """Bytes that came when no run was there to write them are not ours to cut."""
    with pytest.raises(CheckpointError, match=rf"{feed} was {len(KEPT)} bytes long"):
        resume(job, committed(feed), clean=True)

    assert feed.read_bytes() == KEPT + TAIL
    assert tails(job) == {}


def test_a_feed_that_another_job_writes_is_refused(job, feed):
    """A feed that is locked by another job is named and left alone."""
    with feed.open("ab") as other:
        assert lock_fd(other.fileno())
        with pytest.raises(JobLockedError, match=str(feed)):
            resume(job, committed(feed))

    assert feed.read_bytes() == KEPT + TAIL


# --- before the first commit --------------------------------------------------------------


def test_a_feed_that_no_commit_has_seen_is_cut_to_nothing(job, feed):
    """What a feed got before the first commit is cut, when the job made the file."""
    resume(job, record(feed))

    assert feed.read_bytes() == b""
    assert tails(job) == {"items.jsonl": KEPT + TAIL}


def test_a_feed_that_was_appended_to_keeps_what_it_had(job, feed):
    """What the file held before the job stays."""
    resume(job, record(feed, base=len(KEPT), existed=True))

    assert feed.read_bytes() == KEPT
    assert tails(job) == {"items.jsonl": TAIL}


def test_a_feed_that_was_to_be_overwritten_and_never_was_is_left_alone(job, feed):
    """Before the first item -O has not touched the file yet, nor does the resume."""
    resume(job, record(feed, existed=True, overwrite=True))

    assert feed.read_bytes() == KEPT + TAIL
    assert tails(job) == {}


@pytest.mark.parametrize("base", [0, len(KEPT)])
def test_what_was_made_of_a_forgotten_spool_is_taken_back(job, feed, base):
    """After a restore from a snapshot, a batch that came later is not there twice."""
    made = {"uri": str(feed), "spooled": True, "produced": True, "target_base": base}
    resume(job, record("spool/one", **made))

    assert feed.exists() is bool(base)
    assert not base or feed.read_bytes() == KEPT
    assert tails(job) == {"items.jsonl": (KEPT + TAIL)[base:]}


def test_an_overwritten_feed_is_cut_as_any_other(job, feed):
    """Once a commit has seen it, a feed is cut back whatever overwrite says."""
    resume(job, committed(feed, existed=True, overwrite=True))

    assert feed.read_bytes() == KEPT


# --- more than one ------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["shorter", "gone", "replaced"])
def test_nothing_is_cut_when_any_check_fails(job, feed, tmp_path, trouble):
    """One feed that can't go on keeps all others as they are."""
    paths = [feed, *(tmp_path / f"{name}.csv" for name in "abc")]
    for path in paths[1:]:
        path.write_bytes(KEPT + TAIL)
    records = [committed(path) for path in paths]
    bad = paths[2]
    if trouble == "shorter":
        os.truncate(bad, 1)
    else:
        bad.unlink()
    if trouble == "replaced":
        bad.write_bytes(KEPT[::-1] + TAIL)

    with pytest.raises(CheckpointError, match=bad.name):
        resume(job, *records)

    assert all(path.read_bytes() == KEPT + TAIL for path in paths if path != bad)
    assert tails(job) == {}


def test_two_feeds_of_one_name_have_their_own_side_files(job, tmp_path):
    """Feeds of one name in two folders don't overwrite each other's tail."""
    paths = [tmp_path / folder / "items.csv" for folder in "ab"]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(KEPT + bytes(path.parent.name, "ascii"))

    resume(job, *map(committed, paths))

    cut = sorted(file.read_bytes() for file in (job / "cut").iterdir())
    assert cut == [b"a", b"b"]


def test_two_cuts_at_one_tick_of_the_clock(job, tmp_path, monkeypatch):
    """Side files have names of their own also when the clock stands still."""
    for clock in ("time", "time_ns", "monotonic_ns"):
        monkeypatch.setattr(f"time.{clock}", lambda: 1)
    test_two_feeds_of_one_name_have_their_own_side_files(job, tmp_path)


# --- killed while it recovers ----------------------------------------------------------------


class KilledError(BaseException):
    """SIGKILL, as far as the code can tell."""


@pytest.mark.parametrize("moment", ["while copying", "before truncating", "between feeds"])
def test_a_resume_that_was_killed_can_be_run_again(job, feed, tmp_path, monkeypatch, moment):
    """A second resume ends as the first should have, and the whole tail is kept."""
    second = tmp_path / "second.csv"
    second.write_bytes(KEPT + TAIL)
    records = committed(feed), committed(second)
    copy, cut, calls = feeds.shutil.copyfileobj, feeds._cut, []

    def copyfileobj(source, target):
        calls.append(target)
        if moment == "while copying":
            target.write(source.read(3))
            raise KilledError
        copy(source, target)
        if moment == "before truncating":
            raise KilledError

    def cut_one(one, folder):
        if moment == "between feeds" and calls:
            raise KilledError
        cut(one, folder)

    with monkeypatch.context() as patch:
        patch.setattr(feeds.shutil, "copyfileobj", copyfileobj)
        patch.setattr(feeds, "_cut", cut_one)
        with pytest.raises(KilledError):
            resume(job, *records)

    resume(job, *records)
    resume(job, *records)

    assert (feed.read_bytes(), second.read_bytes()) == (KEPT, KEPT)
    for path in (feed, second):
        assert TAIL in [file.read_bytes() for file in (job / "cut").glob(f"{path.name}.*")]


# --- the record and the exporter that makes it ---------------------------------------------


def test_a_record_is_named_by_its_path():
    """Two paths have two records, one path has one."""
    one, other = record(Path("/a/x.csv")), record(Path("/b/x.csv"))

    assert one.name != other.name
    assert one.name == replace(one, batch_id=9, uri="x").name


class Exporting:
    """A feed exporter of a job, up to a moment of the test's choice."""

    def __init__(self, feed, records=(), **options):
        crawler = Crawler(
            Spider,
            {"FEEDS": {str(feed): {"format": "jsonlines", **options}}, "LOG_ENABLED": False},
        )
        crawler.spider = Spider("feeds")
        crawler.spider.crawler = crawler
        crawler._apply_settings()
        self.spider = crawler.spider
        self.codec = ValueCodec(allow_pickle=False)
        self.state = {}
        self.exporter = ResilientFeedExporter(crawler)
        job = SimpleNamespace(
            waits=Waits(),
            state=StateRegistry({}, self.codec),
            feeds=list(records),
            meta=JobMeta(),
            path=feed.parent,
            config=Config(),
        )
        self.exporter.attach(job, self.write, lambda: None)
        self.exporter.open_spider(self.spider)

    def write(self, changes):
        """Take what a commit writes."""
        self.state.update(changes.state)

    def commit(self):
        """Commit; return the only record."""
        changes = Changes()
        self.exporter.contribute(changes)
        self.write(changes)
        return self.record

    @property
    def record(self):
        """Return the only record, as a resume reads it."""
        (data,) = self.state.values()
        return FeedRecord(**self.codec.decode(data))

    def scrape(self, **item):
        """Put an item into the feed."""
        self.exporter.take(item)

    def kill(self):
        """Leave the file as a kill leaves it: what was flushed is there."""
        for slot in self.exporter.slots:
            slot.file.close()


@pytest.mark.parametrize("existed", [True, False])
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_killed_run_goes_on_at_the_committed_item(job, tmp_path, existed, overwrite):
    """Items up to the commit are there once, those behind it are cut."""
    feed = tmp_path / "f.jsonl"
    if existed:
        feed.write_bytes(b"old\n")
    first = Exporting(feed, overwrite=overwrite)
    first.scrape(n=1)
    kept = first.commit()
    first.scrape(n=2)
    first.kill()

    records = resume(job, kept)
    second = Exporting(feed, records, overwrite=overwrite)
    second.scrape(n=3)
    second.kill()

    old = b"old\n" if existed and not overwrite else b""
    assert feed.read_bytes() == old + b'{"n": 1}\n{"n": 3}\n'


@pytest.mark.parametrize("items", [0, 1])
def test_a_run_killed_before_its_first_commit_starts_its_feed_anew(job, tmp_path, items):
    """A feed to overwrite that no commit has seen is overwritten by the second run."""
    feed = tmp_path / "f.jsonl"
    feed.write_bytes(b"old\n" * 9)
    first = Exporting(feed, overwrite=True)
    for _ in range(items):
        first.scrape(n=1)
    first.kill()

    second = Exporting(feed, resume(job, first.record), overwrite=True)
    second.scrape(n=3)
    second.kill()

    assert feed.read_bytes() == b'{"n": 3}\n'


@pytest.mark.parametrize("items", [0, 1])
def test_a_commit_before_the_first_item_does_not_keep_the_old_content(job, tmp_path, items):
    """With -O nothing of the old file survives, however early the first commit comes."""
    feed = tmp_path / "f.jsonl"
    feed.write_bytes(b"old\n" * 9)
    first = Exporting(feed, overwrite=True)
    kept = first.commit()
    for _ in range(items):
        first.scrape(n=1)
    first.kill()

    second = Exporting(feed, resume(job, kept), overwrite=True)
    second.scrape(n=3)
    second.kill()

    assert feed.read_bytes() == b'{"n": 3}\n'


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("s3://key:secret@bucket/x.json", "s3://***@bucket/x.json"),
        ("ftp://me:p@ss@host/x", "ftp://***@host/x"),
        ("items.json", "items.json"),
        ("file:///a@b.json", "file:///a@b.json"),
        ("s3://bucket/x.json", "s3://bucket/x.json"),
    ],
)
def test_a_uri_is_shown_without_its_secrets(uri, shown):
    """What stands before the host is masked, and only that."""
    assert mask_uri(uri) == shown
