"""Who may write a job: what somebody else could have written is neither read nor written."""

from __future__ import annotations

import os
import stat
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from snapshot_samples import KEY, make_store, snapshots_of

from scrapy_resilience.commands.jobs import open_job
from scrapy_resilience.commands.snapshots import list_snapshots
from scrapy_resilience.exceptions import CheckpointError, SnapshotError
from scrapy_resilience.feeds import spool
from scrapy_resilience.feeds.cutting import cut
from scrapy_resilience.files import ownership
from scrapy_resilience.files.layout import BATCHES, DAMAGED, LOCK, STORE, WAITING, WATERMARK
from scrapy_resilience.files.lock import FileLock, is_locked
from scrapy_resilience.files.ownership import check_jobdir, check_own, make_jobdir, open_own
from scrapy_resilience.jobs import watermark
from scrapy_resilience.jobs.job import Job
from scrapy_resilience.jobs.progress import about
from scrapy_resilience.jobs.quarantine import mark_damaged
from scrapy_resilience.jobs.report import read_report
from scrapy_resilience.jobs.restore import restore
from scrapy_resilience.settings import Config

pytestmark = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX's")

only_root = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="only root gives files away"
)
PRECIOUS = b"a file of the user's that a link leads to"


@pytest.fixture
def jobdir(tmp_path):
    """Return a job with a spool and a snapshot."""
    folder = tmp_path / "job"
    folder.mkdir(mode=0o700)
    snapshots_of(folder).create(make_store(folder), about)
    spool.open_spool(folder / "spool" / "feed").close()
    return folder


@pytest.fixture
def precious(tmp_path):
    """Return a file elsewhere, which nobody asked us to touch."""
    path = tmp_path / "precious"
    path.write_bytes(PRECIOUS)
    return path


def _list(folder):
    with open_job(folder):
        pass


def _change(folder):
    with open_job(folder, write=True):
        pass


OPENERS = {
    "checkpoints": lambda folder: list_snapshots(Config(), str(folder), ""),
    "crawl": lambda folder: Job(folder, "shop", Config()).close(),
    "status": read_report,
    "restore": lambda folder: restore(folder, snapshots_of(folder)),
    "deadletters": _list,
    "replay": _change,
}
openers = pytest.mark.parametrize("opened", OPENERS.values(), ids=OPENERS)


@openers
def test_ones_own_job_is_opened(jobdir, opened):
    """By whatever opens jobs, also through a link of the user's own."""
    link = jobdir.with_name("link")
    link.symlink_to(jobdir)

    opened(link)


@openers
@pytest.mark.parametrize("name", ["", STORE, "spool", "spool/feed"])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_what_others_can_write_is_refused(jobdir, opened, name, mode):
    """The folder and each file that may hold pickles, by whatever opens jobs."""
    path = jobdir / name
    path.chmod(path.stat().st_mode | mode)

    with pytest.raises(
        CheckpointError, match=rf"{path} can be written.*chmod -R go-w on {jobdir}"
    ):
        opened(jobdir)


@openers
def test_another_users_job_is_refused(jobdir, opened, monkeypatch):
    """Its mode is 0600, and it was written by somebody else all the same."""
    monkeypatch.setattr(ownership, "_trusted", lambda: {4711})

    with pytest.raises(CheckpointError, match=f"{jobdir} belongs to another user.*chown -R"):
        opened(jobdir)


def test_files_of_root_are_trusted():
    """Root could write everything anyhow; for root itself nobody else is trusted."""
    assert ownership._trusted() == {os.geteuid(), 0}


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="only root gives files away"
)
@pytest.mark.parametrize("name", [STORE, LOCK, "spool/feed"])
def test_one_file_of_another_user(jobdir, name):
    """In a folder of one's own too."""
    path = jobdir / name
    path.touch()
    os.chown(path, 4711, 4711)

    with pytest.raises(CheckpointError, match=f"{path} belongs to another user"):
        check_jobdir(jobdir)


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="only root gives files away"
)
def test_a_link_of_another_user(jobdir, tmp_path):
    """Where it leads to is the user's, and not what was asked for."""
    link = tmp_path / "link"
    link.symlink_to(jobdir)
    os.chown(link, 4711, 4711, follow_symlinks=False)

    with pytest.raises(CheckpointError, match=f"{link} belongs to another user"):
        check_own(link, link)


def test_a_link_that_leads_nowhere(tmp_path):
    """One of the user's own is followed, but no further than to a folder that is there."""
    link, place = tmp_path / "link", tmp_path / "disk" / "job"
    link.symlink_to(place)

    with pytest.raises(FileNotFoundError):
        make_jobdir(link)
    place.parent.mkdir()
    make_jobdir(link)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


@only_root
def test_a_link_of_another_user_that_leads_nowhere(tmp_path):
    """Nothing is made where it leads to."""
    link, place = tmp_path / "link", tmp_path / "job"
    link.symlink_to(place)
    os.chown(link, 4711, 4711, follow_symlinks=False)

    with pytest.raises(FileExistsError):
        make_jobdir(link)
    assert not place.exists()


@openers
@pytest.mark.parametrize(
    "name", [LOCK, WATERMARK, STORE + "-wal", STORE + "-shm", "spool/other"]
)
def test_links_within_a_job_are_refused(jobdir, precious, opened, name):
    """Whatever they lead to stays as it is."""
    link = jobdir / name
    link.unlink(missing_ok=True)
    link.symlink_to(precious)

    with pytest.raises(CheckpointError, match=f"{link} is a link"):
        opened(jobdir)
    assert precious.read_bytes() == PRECIOUS


@openers
@pytest.mark.parametrize("name", ["spool", "restored", "replaced", "cut"])
def test_a_folder_of_a_job_that_is_a_link(jobdir, tmp_path, precious, opened, name):
    """A job of an archive may have one: what it leads to is not emptied, nor moved."""
    folder = tmp_path / "letters"
    folder.mkdir()
    precious.rename(folder / "precious")
    if (jobdir / name).is_dir():
        (jobdir / name).rename(tmp_path / "old")
    (jobdir / name).symlink_to(folder)

    with pytest.raises(CheckpointError, match=f"{jobdir / name} is a link"):
        opened(jobdir)
    assert (folder / "precious").read_bytes() == PRECIOUS


def _lock(path):
    FileLock(path).acquire()


WRITERS = {
    DAMAGED: lambda path: mark_damaged(path.parent, "it is"),
    LOCK: _lock,
    WATERMARK: lambda path: watermark.write(path.parent, watermark.Note(5)),
    "feed": lambda path: spool.open_spool(path).close(),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_link_that_comes_while_a_job_runs_is_not_followed(tmp_path, precious, name, link):
    """Files are opened without following links, so what was checked is what is written."""
    link(tmp_path / name, precious)

    try:
        WRITERS[name](tmp_path / name)
    except OSError as error:
        assert "link" in str(error)  # noqa: PT017 - a watermark may fail in silence
    assert precious.read_bytes() == PRECIOUS
    assert not is_locked(tmp_path / LOCK)


def test_a_pipe_in_the_place_of_a_file_blocks_nobody(tmp_path):
    """A lock that is not a file is not opened, and not waited for."""
    os.mkfifo(tmp_path / LOCK)

    assert not is_locked(tmp_path / LOCK)
    with pytest.raises(PermissionError):
        _lock(tmp_path / LOCK)


@openers
@pytest.mark.parametrize("name", [DAMAGED, WATERMARK, BATCHES, WAITING, LOCK])
def test_files_with_holes_take_no_memory(jobdir, opened, name):
    """An archive of some kilobytes may hold a file of terabytes."""
    with (jobdir / name).open("w") as file:
        os.truncate(file.fileno(), 1 << 31)
    tracemalloc.start()
    with suppress(CheckpointError):
        opened(jobdir)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 50_000_000


def test_a_new_folder_is_the_users_alone(tmp_path):
    """Also where new folders can be written by the group."""
    before = os.umask(0o002)
    try:
        Job(tmp_path / "crawls" / "job", "shop", Config()).close()
    finally:
        os.umask(before)

    assert (tmp_path / "crawls" / "job").stat().st_mode & 0o777 == 0o700


def test_what_is_cut_off_a_feed_is_the_users_alone(tmp_path):
    """It may hold what the feed's own folder keeps from others."""
    feed = tmp_path / "items.jsonl"
    feed.write_bytes(b"committed, and more")
    before = os.umask(0)
    try:
        cut(feed, 9, tmp_path)
    finally:
        os.umask(before)

    modes = [path.stat().st_mode & 0o777 for path in (tmp_path / "cut").rglob("*")]
    assert ((tmp_path / "cut").stat().st_mode & 0o777, modes) == (0o700, [0o600])


# --- snapshots -------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", KEY])
@pytest.mark.parametrize("others", ["can write it", "have made it"])
def test_a_plain_snapshot_must_be_ones_own(jobdir, monkeypatch, key, others):
    """One that was encrypted was made by somebody with the key, whoever has written it."""
    snapshots = snapshots_of(jobdir, key=key)
    made = snapshots.create(jobdir / STORE, about)
    if others == "can write it":
        (jobdir / "snapshots" / f"{made.id}.snapshot").chmod(0o666)
    else:
        monkeypatch.setattr(ownership, "_trusted", lambda: {4711})

    if key:
        assert snapshots.load(made.id, jobdir / "loaded.db") == made
    else:
        with pytest.raises(SnapshotError, match=f"{made.id} is not encrypted, and belongs to"):
            snapshots.load(made.id, jobdir / "loaded.db")


def test_a_draft_that_becomes_a_link_is_not_written(jobdir, precious, monkeypatch):
    """Anybody may write to a folder of encrypted snapshots, also while one is made there."""

    def swap(path, *arguments):
        fd = opened(path, *arguments)
        if str(path).endswith(".snapshot.draft"):
            path.unlink()
            path.symlink_to(precious)
        return fd

    snapshots, opened = snapshots_of(jobdir, key=KEY), os.open
    monkeypatch.setattr("scrapy_resilience.snapshots.copying.os.open", swap)
    with pytest.raises(PermissionError):
        snapshots.create(jobdir / STORE, about)

    assert precious.read_bytes() == PRECIOUS


def test_a_pipe_in_the_place_of_a_snapshot_blocks_nobody(jobdir):
    """It is refused, and not waited for."""
    snapshots = snapshots_of(jobdir, key=KEY)
    (ident,) = snapshots.ids()
    path = jobdir / "snapshots" / f"{ident}.snapshot"
    path.unlink()
    os.mkfifo(path)

    with pytest.raises(OSError, match="it is not a file"):
        snapshots.load(ident, jobdir / "loaded.db")


def test_what_others_leave_among_snapshots_stops_none(jobdir, monkeypatch):
    """What can't be removed from a folder that is open to all stays."""
    snapshots = snapshots_of(jobdir, key=KEY, retention=1)
    first = snapshots.create(jobdir / STORE, about)
    (jobdir / "snapshots" / f"x-{first.job}.snapshot.draft").mkdir()
    unlink = Path.unlink

    def refuse(path, **options):
        if path.name == f"{first.id}.snapshot":
            raise PermissionError
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", refuse)
    made = [snapshots.create(jobdir / STORE, about).id for _ in range(2)]

    assert snapshots.ids(first.job) == [made[-1], first.id]


def _link(path, precious):
    path.symlink_to(precious)


def _hard_link(path, precious):
    os.link(precious, path)


def _pipe(path, _):
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_link, "this is a link, which is not followed: put the file itself there"),
        (_hard_link, r"this file has a second name \(a hard link\).*: put a copy in its place"),
        (_pipe, "this is not a regular file: put back what was there"),
    ],
)
def test_why_a_file_is_not_opened(tmp_path, precious, make, why):
    """The error says which it is and what to do, and the file is as it was."""
    path = tmp_path / "file"
    make(path, precious)

    with pytest.raises(PermissionError, match=why):
        open_own(path, os.O_RDWR | os.O_TRUNC)

    assert precious.read_bytes() == PRECIOUS
