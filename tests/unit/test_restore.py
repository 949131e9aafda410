"""A restore changes a job's store in one step, and keeps what was there."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import asdict, replace

import pytest
from snapshot_samples import KEY, dump, make_store, snapshots_of

from scrapy_resilience.checkpoint.state import META, StateRegistry
from scrapy_resilience.exceptions import (
    CheckpointError,
    JobLockedError,
    SnapshotError,
    SnapshotKeyError,
)
from scrapy_resilience.feeds import spool as spools
from scrapy_resilience.feeds.cutting import ending_of, recover
from scrapy_resilience.feeds.records import FeedRecord
from scrapy_resilience.files.layout import LOCK, STORE
from scrapy_resilience.files.lock import FileLock
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.sqlite import SQLiteStore
from scrapy_resilience.frontier.store import Changes
from scrapy_resilience.jobs import restore as module
from scrapy_resilience.jobs.progress import about
from scrapy_resilience.jobs.restore import restore


def registry(path):
    """Return the named state of a store."""
    with closing(SQLiteStore(path, read_only=True)) as store:
        return StateRegistry(store.state(), ValueCodec(allow_pickle=False))


def change(path, **state):
    """Commit named state to a store."""
    with closing(SQLiteStore(path)) as store:
        store.commit(Changes(state=state))


def feed_record(path, offset, **more):
    """Return the record that a commit made of a file, and its state."""
    ending = None
    if offset is not None:
        with path.open("rb") as file:
            ending = ending_of(file, offset)
    known = {"template": "t", "uri": "t", "base": 0, "existed": False, "overwrite": False}
    known |= {"batch_id": 1, "path": str(path), "offset": offset, "ending": ending}
    record = FeedRecord(**{**known, **more})
    return {record.name: ValueCodec().encode(asdict(record))}


@pytest.fixture
def store(tmp_path):
    """Return the path of a job's store."""
    return make_store(tmp_path)


def test_the_store_goes_back(tmp_path, store):
    """After a restore the store holds what it held, and the other one is kept aside."""
    made = snapshots_of(tmp_path).create(store, about)
    change(store, later=b"1")
    before = dump(store)

    done = restore(tmp_path, snapshots_of(tmp_path))

    assert {path.name for path in tmp_path.glob(STORE + "*")} == {STORE}
    assert "later" not in registry(store)._stored
    assert dump(done.aside) == before
    assert (done.snapshot, done.skipped) == (made, [])
    assert done.aside.parent.name == "replaced"


def test_an_older_one_by_its_id(tmp_path, store):
    """An id names the snapshot to go back to."""
    snapshots = snapshots_of(tmp_path)
    first = snapshots.create(store, about)
    change(store, later=b"1")
    snapshots.create(store, about)

    restore(tmp_path, snapshots, first.id)

    assert "later" not in registry(store)._stored


def test_a_store_that_is_gone(tmp_path, store):
    """A lost store comes back, and a log that was left of it is not replayed."""
    snapshots = snapshots_of(tmp_path)
    snapshots.create(store, about)
    before = registry(store)._stored
    writer = SQLiteStore(store)
    writer.commit(Changes(state={"late": b"x"}))
    log = store.with_name(STORE + "-wal")
    kept = log.read_bytes()
    writer.close()
    store.unlink()
    log.write_bytes(kept)

    done = restore(tmp_path, snapshots)

    assert done.aside is None
    assert registry(store)._stored.keys() == before.keys()


def test_commits_in_the_log_are_kept_aside(tmp_path, store):
    """What a kill left in the write-ahead log is part of what is kept, and of nothing else."""
    snapshots = snapshots_of(tmp_path)
    snapshots.create(store, about)
    writer = SQLiteStore(store)
    writer.commit(Changes(state={"late": b"x"}))
    names = [store.with_name(STORE + end) for end in ("", "-wal")]
    kept = [path.read_bytes() for path in names]
    writer.close()
    for path, content in zip(names, kept, strict=True):
        path.write_bytes(content)

    done = restore(tmp_path, snapshots)

    assert registry(done.aside)._stored["late"] == b"x"
    assert "late" not in registry(store)._stored


def test_a_damaged_store_is_replaced(tmp_path, store):
    """A store that can't be read is kept aside as it is."""
    snapshots = snapshots_of(tmp_path)
    snapshots.create(store, about)
    store.write_bytes(b"garbage")

    done = restore(tmp_path, snapshots)

    assert done.aside.read_bytes() == b"garbage"
    assert registry(store).load(META)["spider"] == "shop"


def test_another_folder(tmp_path, store):
    """A snapshot may be restored to a new JOBDIR, which is made."""
    snapshots_of(tmp_path).create(store, about)
    jobdir = tmp_path / "deep" / "new"

    done = restore(jobdir, snapshots_of(jobdir, tmp_path / "snapshots"))

    assert done.aside is None
    assert registry(jobdir / STORE).load(META)["spider"] == "shop"


def test_a_restored_store_can_be_written(tmp_path, store):
    """It is a store as any other: in WAL mode, with its requests."""
    snapshots = snapshots_of(tmp_path)
    snapshots.create(store, about)
    restore(tmp_path, snapshots)

    with closing(SQLiteStore(store)) as opened:
        opened.commit(Changes(state={"a": b"1"}))
        assert opened.lanes() == [(1, "secret.example", 1)]
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_running_job_is_refused(tmp_path, store):
    """Nothing is changed while somebody has the job's lock."""
    snapshots = snapshots_of(tmp_path)
    snapshots.create(store, about)
    before = dump(store)
    lock = FileLock(tmp_path / LOCK)
    lock.acquire()
    try:
        with pytest.raises(JobLockedError):
            restore(tmp_path, snapshots)
    finally:
        lock.release()
    assert dump(store) == before


def test_the_lock_is_given_back(tmp_path, store):
    """After a restore, and after one that failed, the job can be run."""
    snapshots = snapshots_of(tmp_path)
    made = snapshots.create(store, about)
    restore(tmp_path, snapshots)
    with pytest.raises(SnapshotError):
        restore(tmp_path, snapshots, made.id + "x")

    lock = FileLock(tmp_path / LOCK)
    lock.acquire()
    lock.release()


def test_no_snapshot(tmp_path):
    """A folder without snapshots is named, and no JOBDIR is made."""
    jobdir = tmp_path / "typo"
    with pytest.raises(SnapshotError, match="there is no snapshot in"):
        restore(jobdir, snapshots_of(jobdir))

    assert not jobdir.exists()


def test_a_failed_restore_changes_nothing(tmp_path, store):
    """With a wrong key the store stays, and no draft is left."""
    snapshots_of(tmp_path, key=KEY).create(store, about)
    before, files = dump(store), set(tmp_path.iterdir())

    with pytest.raises(SnapshotKeyError):
        restore(tmp_path, snapshots_of(tmp_path))

    assert dump(store) == before
    assert set(tmp_path.iterdir()) - files <= {tmp_path / LOCK}


def test_another_spiders_job_is_not_replaced(tmp_path, store):
    """A snapshot of another spider does not go over a job that can be read."""
    other = tmp_path / "other"
    other.mkdir()
    snapshots = snapshots_of(other, tmp_path / "snapshots")
    snapshots.create(make_store(other, spider="else"), about)
    before = dump(store)

    with pytest.raises(CheckpointError, match="is a job of spider 'shop', the snapshot is of"):
        restore(tmp_path, snapshots_of(tmp_path))
    assert dump(store) == before


def test_a_place_of_several_jobs(tmp_path, store):
    """The newest is the job's own; without a store to tell, it must be named."""
    ours = snapshots_of(tmp_path).create(store, about)
    other = tmp_path / "other"
    other.mkdir()
    snapshots_of(other, tmp_path / "snapshots").create(make_store(other, created=9.0), about)

    assert restore(tmp_path, snapshots_of(tmp_path)).snapshot.id == ours.id
    store.unlink()
    with pytest.raises(SnapshotError, match="of several jobs") as caught:
        restore(tmp_path, snapshots_of(tmp_path))
    assert ours.id in str(caught.value)
    assert restore(tmp_path, snapshots_of(tmp_path), ours.id).snapshot.id == ours.id


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize(
    "name", ["resilience.lock", "resilience.db", "resilience.db-wal", "a/b", "spool/a/b"]
)
def test_a_file_that_is_no_spool(tmp_path, store, name):
    """A snapshot that brings other files than spools is passed over, and replaces nothing."""
    snapshots = snapshots_of(tmp_path)
    good = snapshots.create(store, about)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
    bad = snapshots.create(store, lambda state: replace(about(state), files={name: 0}))

    restored = module.restore(tmp_path, snapshots)

    assert restored.snapshot == good
    (why,) = restored.skipped
    assert bad.id in str(why)
    assert "not a spool" in str(why)


@pytest.mark.parametrize("name", ["_prepare", "_set_aside", "sync_folder", "_fold_log"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_step(tmp_path, store, monkeypatch, name, after):
    """There is a whole store at any moment, the old or the new, and a second try works."""
    snapshots = snapshots_of(tmp_path)
    made = snapshots.create(store, about)
    change(store, later=b"1")
    old = dump(store)
    do = getattr(module, name)

    def killed(*args):
        if after:
            do(*args)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, name, killed)
        patch.setattr(module, "_remove", lambda *_: None)
        with pytest.raises(Killed):
            restore(tmp_path, snapshots)

    assert dump(store) == old or "later" not in registry(store)._stored
    assert restore(tmp_path, snapshots).snapshot == made
    assert "later" not in registry(store)._stored


# --- items that wait for their feed -------------------------------------------------------


@pytest.mark.parametrize("now", [None, b"committed and more", b"another thing", b"comm"])
def test_a_spool_comes_back(tmp_path, store, now):
    """A spool that is lost or another one is put back; one that has grown stays, to be cut."""
    spool = tmp_path / "spool" / "one"
    spool.parent.mkdir()
    spool.write_bytes(b"committed and more")
    record = {"path": "spool/one", "offset": 9, "spooled": True}
    change(store, **{"resilience.feed/1": ValueCodec().encode(record)})
    snapshots = snapshots_of(tmp_path)
    made = snapshots.create(store, about)
    change(store, **{"resilience.feed/1": None})
    spool.unlink()
    if now is not None:
        spool.write_bytes(now)

    module._put_files(_loaded(snapshots, made, tmp_path), tmp_path)

    grown = now == b"committed and more"
    assert spool.read_bytes() == (now if grown else b"committed")
    kept = [path.read_bytes() for path in (tmp_path / "replaced").glob("one.*")]
    assert kept == ([] if grown or now is None else [now])


def spool_record():
    """The record of a spool of nine bytes, as a store has it."""
    record = FeedRecord(
        template="j",
        uri="j",
        path="spool/one",
        base=0,
        existed=False,
        overwrite=False,
        batch_id=1,
        offset=9,
        spooled=True,
    )
    return {record.name: ValueCodec().encode(asdict(record))}


def test_a_snapshot_of_a_damaged_spool_is_not_used(tmp_path, store):
    """The damage was copied with the spool: an older snapshot is used."""
    spool = tmp_path / "spool" / "one"
    with spools.open_spool(spool) as file:
        spools.append(file, b"c")
    change(store, **spool_record())
    snapshots = snapshots_of(tmp_path)
    good = snapshots.create(store, about)
    spool.write_bytes(b"committed")
    bad = snapshots.create(store, about)

    done = restore(tmp_path, snapshots)

    assert done.snapshot.id == good.id
    (problem,) = map(str, done.skipped)
    assert f"the snapshot {bad.id} has a damaged file: " in problem
    assert "spool/one is damaged: it holds what was not written" in problem
    assert next(spools.read(spool)) == b"c"


def _loaded(snapshots, made, folder):
    """Return the folder with the files of a snapshot."""
    snapshots.load(made.id, folder / "loaded.db", folder / "restored")
    return folder / "restored"


# --- feeds ------------------------------------------------------------------------------


def cut_back(tmp_path, store):
    """Recover the feeds, as the next crawl does."""
    state = registry(store)
    return recover(state, tmp_path, clean=state.load(META).get("clean", False))


def _link(path):
    path.with_name("other").write_bytes(b"committed and more")
    path.symlink_to("other")


@pytest.mark.skipif(os.name != "posix", reason="pipes are of POSIX")
@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, _link, lambda path: path.symlink_to("no")]
)
def test_a_spool_comes_back_as_a_file(tmp_path, store, make):
    """Whatever is in its place is set aside, and not waited for."""
    spool = tmp_path / "spool" / "one"
    spool.parent.mkdir()
    spool.write_bytes(b"committed")
    record = {"path": "spool/one", "offset": 9, "spooled": True}
    change(store, **{"resilience.feed/1": ValueCodec().encode(record)})
    snapshots = snapshots_of(tmp_path)
    made = snapshots.create(store, about)
    spool.unlink()
    make(spool)

    module._put_files(_loaded(snapshots, made, tmp_path), tmp_path)

    assert not spool.is_symlink()
    assert spool.read_bytes() == b"committed"


def test_only_feeds_are_named(tmp_path, store):
    """What a restore says is cut are the user's files, not the spools of the job."""
    feed, spool = tmp_path / "items.jsonl", tmp_path / "spool" / "one"
    feed.write_bytes(b"1\n2\n")
    with spools.open_spool(spool) as file:
        spools.append(file, b"c")
    store.unlink()
    make_store(tmp_path, state={**feed_record(feed, 4), **spool_record()})
    snapshots = snapshots_of(tmp_path)
    snapshots.create(store, about)

    assert restore(tmp_path, snapshots).feeds == {str(feed): 4}


def test_a_feed_goes_back_to_the_snapshot(tmp_path, store):
    """A feed that has grown since a clean end is cut, and what is cut off is kept."""
    feed = tmp_path / "items.jsonl"
    feed.write_bytes(b"1\n2\n")
    store.unlink()
    make_store(tmp_path, clean=True, state=feed_record(feed, 4))
    snapshots = snapshots_of(tmp_path)
    snapshots.create(store, about)
    feed.write_bytes(b"1\n2\n3\n")
    change(store, **feed_record(feed, 6))

    done = restore(tmp_path, snapshots)
    cut_back(tmp_path, store)

    assert done.feeds == {str(feed): 4}
    assert feed.read_bytes() == b"1\n2\n"
    assert [tail.read_bytes() for tail in (tmp_path / "cut").iterdir()] == [b"3\n"]


@pytest.mark.parametrize("content", [b"9\n8\n7\n", b"1\n"])
def test_a_foreign_feed_is_refused_still(tmp_path, store, content):
    """A feed that does not hold what the snapshot knows of it is not cut."""
    feed = tmp_path / "items.jsonl"
    feed.write_bytes(b"1\n2\n")
    change(store, **feed_record(feed, 4))
    snapshots = snapshots_of(tmp_path)
    snapshots.create(store, about)
    feed.write_bytes(content)

    restore(tmp_path, snapshots)
    with pytest.raises(CheckpointError, match=r"does not hold|is shorter"):
        cut_back(tmp_path, store)
    assert feed.read_bytes() == content


def test_a_batch_that_an_older_store_knows(tmp_path, store):
    """One that was full before the snapshot stays, though an older copy was still at it."""
    batch = tmp_path / "batch-1.jsonl"
    batch.write_bytes(b"1\n2\n")
    state = feed_record(batch, 2)
    change(store, **state)
    older = store.read_bytes()
    change(store, **dict.fromkeys(state))
    snapshots = snapshots_of(tmp_path)
    snapshots.create(store, about)
    store.write_bytes(older)

    done = restore(tmp_path, snapshots)
    cut_back(tmp_path, store)

    assert done.feeds == {}
    assert batch.read_bytes() == b"1\n2\n"


def test_a_feed_that_came_later_goes_back_to_what_it_was(tmp_path, store):
    """A batch that was begun after the snapshot is cut to what its file had before the job."""
    snapshots = snapshots_of(tmp_path)
    snapshots.create(store, about)
    feed = tmp_path / "batch-2.jsonl"
    feed.write_bytes(b"mine\n1\n2\n")
    change(store, **feed_record(feed, 9, base=5, existed=True, batch_id=2))

    restore(tmp_path, snapshots)
    cut_back(tmp_path, store)

    assert feed.read_bytes() == b"mine\n"
    assert [tail.read_bytes() for tail in (tmp_path / "cut").iterdir()] == [b"1\n2\n"]
