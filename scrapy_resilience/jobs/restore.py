"""Restoring: a snapshot becomes the job's store again, and the old store is kept aside."""

from __future__ import annotations

import operator
import os
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scrapy_resilience.checkpoint.state import META, StateRegistry
from scrapy_resilience.exceptions import CheckpointError, DamagedError, SnapshotError
from scrapy_resilience.failpoints import failpoint
from scrapy_resilience.feeds.batches import begun_after, was_let_go
from scrapy_resilience.feeds.records import FeedRecord, records
from scrapy_resilience.feeds.spool import FOLDER, verify
from scrapy_resilience.files.layout import LOCK, STORE
from scrapy_resilience.files.lock import FileLock
from scrapy_resilience.files.ownership import make_jobdir
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.sqlite import SQLiteStore
from scrapy_resilience.frontier.store import Changes
from scrapy_resilience.jobs import watermark
from scrapy_resilience.jobs.jobmeta import JobMeta
from scrapy_resilience.jobs.progress import about
from scrapy_resilience.snapshots.places import sync_folder
from scrapy_resilience.snapshots.sealing import blocks

if TYPE_CHECKING:
    from scrapy_resilience.snapshots.store import Snapshot, SnapshotStore

__all__ = ["Restored", "restore", "restore_locked"]

_DRAFT: Final = STORE + ".restored"
_FILES: Final = "restored"
_ASIDE: Final = "replaced"


@dataclass(frozen=True)
class Restored:
    """What a restore has done, and what the next crawl will do."""

    snapshot: Snapshot
    skipped: list[SnapshotError]
    """What is wrong with newer snapshots."""
    aside: Path | None
    """Where the old store is now."""
    meta: JobMeta
    feeds: dict[str, int]
    """Path → bytes to which the next crawl cuts a feed back; others are produced anew."""


def restore(jobdir: Path, snapshots: SnapshotStore, ident: str | None = None) -> Restored:
    """Put a snapshot, the newest good one by default, in the place of a job's store.

    Raises :exc:`JobLockedError` while the job runs, :exc:`SnapshotError` for a snapshot
    that can't be used; nothing was changed then.
    """
    if not snapshots.ids():
        raise SnapshotError(f"there is no snapshot in {snapshots.place}")
    make_jobdir(jobdir)
    lock = FileLock(jobdir / LOCK)
    lock.acquire()
    try:
        return restore_locked(jobdir, snapshots, ident)
    finally:
        lock.release()


def restore_locked(
    jobdir: Path, snapshots: SnapshotStore, ident: str | None = None
) -> Restored:
    """Like :func:`restore`, for whoever has the job's lock."""
    draft, files, store = jobdir / _DRAFT, jobdir / _FILES, jobdir / STORE
    _remove(draft, files)
    try:
        if ident is None:
            job = _job(store, snapshots)
            snapshot, skipped = snapshots.load_newest(draft, job, files, _check_files)
        else:
            snapshot, skipped = snapshots.load(ident, draft, files, _check_files), []
        failpoint("restore/loaded")
        before = max(watermark.read(jobdir).commits, _commits(store))
        meta, feeds = _prepare(draft, store, before)
        failpoint("restore/prepared")
        aside = _set_aside(store, jobdir / _ASIDE)
        failpoint("restore/kept")
        _put_files(files, jobdir)
        failpoint("restore/files")
        draft.replace(store)
        failpoint("restore/replaced")
    finally:
        _remove(draft, files)
    sync_folder(jobdir)
    return Restored(snapshot, skipped, aside, meta, feeds)


def _check_files(files: Path) -> None:
    """A spool may have been damaged before it was copied; nothing else is put into a job."""
    for path in filter(Path.is_file, files.rglob("*")):
        if path.parent != files / FOLDER:
            raise DamagedError(f"{path.relative_to(files)} is not a spool")
        verify(path)


def _job(store: Path, snapshots: SnapshotStore) -> str | None:
    """Whose newest snapshot is meant: the store's own, or those of the only job there is."""
    jobs = {ident.rpartition("-")[2]: ident for ident in reversed(snapshots.ids())}
    own = about(_state(store)).job
    if own not in jobs and len(jobs) > 1:
        raise SnapshotError(
            f"{snapshots.place} holds snapshots of several jobs: name the one to restore, such "
            f"as {' or '.join(sorted(jobs.values(), reverse=True))}"
        )
    return own if own in jobs else None


def _state(store: Path) -> dict[str, bytes]:
    """Empty when there is no store, or a damaged one: that is why we are here."""
    try:
        with closing(SQLiteStore(store, read_only=True)) as opened:
            state = opened.state()
        JobMeta.of(state)
    except (CheckpointError, sqlite3.Error):
        return {}
    return state


def _commits(store: Path) -> int:
    """How many a store has seen; 0 when it can't say."""
    try:
        with closing(SQLiteStore(store, read_only=True)) as opened:
            return opened.commits()
    except (CheckpointError, sqlite3.Error):
        return 0


def _prepare(draft: Path, old: Path, before: int) -> tuple[JobMeta, dict[str, int]]:
    """Tell the restored store that its feeds have grown since, and of feeds that came since.

    It counts on from *before*, the commits of the store whose place it takes: so it is newer
    than what was noted of that one, whenever a kill comes.
    """
    values = ValueCodec(allow_pickle=False)
    with closing(SQLiteStore(draft)) as store:
        stored = store.state()
        state, meta = StateRegistry(stored, values), JobMeta.of(stored)
        feeds = records(state)
        feeds = [_without_what_was_taken(record, old.parent) for record in feeds]
        known_feeds = {record.name for record in feeds}
        later = _later_feeds(old, meta, known_feeds, store.commits())
        meta.clean = False  # or a longer feed would be refused as changed
        known = {record.name: values.encode(asdict(record)) for record in feeds + later}
        changes = Changes(state={META: meta.encode(), **known}, forced=True)
        store.commit(changes, after=before)
    cuts = {record.path: _length(record) for record in feeds + later if not record.spooled}
    return meta, cuts


def _length(record: FeedRecord) -> int:
    return record.base if record.offset is None else record.offset


def _later_feeds(old: Path, meta: JobMeta, known: set[str], commits: int) -> list[FeedRecord]:
    """Feeds that came after the snapshot, as the old store knows them, or the file beside it.

    They are cut back to what they held before the job. A store that is older than the
    snapshot, with its *commits*, knows none: its feeds are batches that were full by then.

    Raises :exc:`CheckpointError` when that store is of another job.
    """
    stored = _state(old)
    state = StateRegistry(stored, ValueCodec(allow_pickle=False))
    theirs = JobMeta.of(stored).spider
    if theirs not in {None, meta.spider}:
        raise CheckpointError(
            f"{old.parent} is a job of spider {theirs!r}, the snapshot is of "
            f"{meta.spider!r}: restore it to another JOBDIR"
        )
    in_store = records(state) if _commits(old) >= commits else []
    found = {
        record.name: record for record in [*begun_after(old.parent, meta.commits), *in_store]
    }
    return [_anew(record) for name, record in found.items() if name not in known]


def _anew(record: FeedRecord) -> FeedRecord:
    return replace(record, offset=None, ending=None, items=0, fields=None)


def _without_what_was_taken(record: FeedRecord, jobdir: Path) -> FeedRecord:
    """A full batch that was let go may have been taken away: what comes again is a new file."""
    gone = not record.spooled and not (jobdir / record.path).exists()
    if gone and was_let_go(jobdir, record):
        return replace(_anew(record), base=0, existed=False)
    return record


def _set_aside(store: Path, folder: Path) -> Path | None:
    """Keep the old store, and leave no log of it that would be replayed onto the new one.

    The store stays in its place until the new one takes it, so that a kill in between
    does not leave a job without a store, which would start anew.
    """
    if not store.exists():
        _remove_logs(store)
        return None
    aside = _aside(store, folder)
    _fold_log(store)
    for log in ("-wal", "-shm"):  # still there: the store is damaged
        if (left := store.with_name(store.name + log)).exists():
            left.replace(aside.with_name(aside.name + log))
    try:
        os.link(store, aside)
    except OSError:  # a file system without links
        shutil.copy2(store, aside)
    return aside


def _aside(path: Path, folder: Path) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%fZ")
    return folder / f"{path.name}.{stamp}"


def _put_files(restored: Path, jobdir: Path) -> None:
    """Put the job's files where they were, but for those that have only grown since."""
    for path in sorted(restored.rglob("*")):
        target = jobdir / path.relative_to(restored)
        if path.is_dir():
            target.mkdir(mode=0o700, exist_ok=True)
        elif not _begins_with(target, path):
            if os.path.lexists(target):
                target.replace(_aside(target, jobdir / _ASIDE))
            path.replace(target)


def _begins_with(path: Path, other: Path) -> bool:
    size = other.stat().st_size
    if path.is_symlink() or not path.is_file() or path.stat().st_size < size:
        return False
    return all(map(operator.eq, blocks(path, size), blocks(other, size)))


def _fold_log(store: Path) -> None:
    """Write what the log holds into the store; closing the last connection removes it."""
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(store, isolation_level=None)) as connection,
    ):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _remove_logs(store: Path) -> None:
    for log in ("-wal", "-shm"):
        store.with_name(store.name + log).unlink(missing_ok=True)


def _remove(draft: Path, files: Path) -> None:
    shutil.rmtree(files, ignore_errors=True)
    draft.unlink(missing_ok=True)
    _remove_logs(draft)
