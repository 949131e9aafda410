"""Which folder a JOBDIR names, and what becomes of a job that has finished."""

from __future__ import annotations

import os
import re
from contextlib import closing

import pytest

from scrapy_resilience import failpoints
from scrapy_resilience.checkpoint.state import META
from scrapy_resilience.exceptions import CheckpointError, ConfigurationError, JobLockedError
from scrapy_resilience.files.layout import LOCK, STORE
from scrapy_resilience.files.lock import FileLock
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.sqlite import SQLiteStore
from scrapy_resilience.frontier.store import Changes
from scrapy_resilience.jobs.job import Job
from scrapy_resilience.jobs.jobdir import begin_anew, expand, finished_meta
from scrapy_resilience.settings import Config

NOW = 1764375633.0  # 2025-11-29 00:20:33 UTC


def job(path, *, finished, ended=NOW):
    """A job's folder."""
    path.mkdir(parents=True)
    changes = Changes()
    meta = {"finished": finished, "items": 3, "dead_letters": 1, "last_checkpoint": ended}
    changes.state[META] = ValueCodec(allow_pickle=False).encode(meta)
    with closing(SQLiteStore(path / STORE)) as store:
        store.commit(changes)
    return path


def listed(folder):
    """The names in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("crawls/%(spider)s", "crawls/books"),
        ("crawls/%(spider)s/%(date)s", "crawls/books/2025-11-29"),
        ("%(date)s_%(time)s-%(spider)s/%(date)s", "2025-11-29_00-20-33-books/2025-11-29"),
        ("[a]/%(date)s", "[a]/2025-11-29"),
        ("100%", "100%"),
        ("%s-%%", "%s-%%"),
    ],
)
def test_names(template, path, tmp_path, monkeypatch):
    """The spider, the date and the time in UTC have names; other text stays."""
    monkeypatch.chdir(tmp_path)

    assert expand(template, "books", NOW) == path


@pytest.mark.parametrize("name", ["%(spidr)s", "%(spider)", "%(spider", "%(date)d"])
def test_a_misspelt_name(name):
    """Each spider would have the same folder, and be refused for another reason."""
    with pytest.raises(ConfigurationError, match=rf"{re.escape(name)}: use %\(spider\)s, "):
        expand(f"crawls/{name}/%(spider)s", "books", NOW)


def test_the_newest_unfinished_job(tmp_path):
    """What was not finished yesterday comes before today."""
    template = f"{tmp_path}/[x]/%(spider)s-%(date)s/%(time)s"
    root = tmp_path / "[x]"
    job(root / "books-2025-11-26" / "09-00-00", finished=False)
    wanted = job(root / "books-2025-11-27" / "09-00-00", finished=False)
    job(root / "books-2025-11-27" / "08-59-59", finished=False)
    job(root / "books-2025-11-28" / "00-00-00", finished=True)
    job(root / "books-today" / "00-00-00", finished=False)
    job(root / "other-2025-11-28" / "00-00-00", finished=False)
    (root / "books-2025-11-28" / "01-00-00").mkdir()

    assert expand(template, "books", NOW) == str(wanted)


def test_all_have_finished(tmp_path):
    """Then today's begins, or is the one that has finished today."""
    job(tmp_path / "2025-11-28", finished=True)
    job(tmp_path / "2025-11-29", finished=True)

    assert expand(f"{tmp_path}/%(date)s", "books", NOW) == str(tmp_path / "2025-11-29")


@pytest.mark.parametrize("kind", ["nothing", "empty", "other", "unfinished", "damaged"])
def test_what_has_not_finished(tmp_path, kind):
    """Only a job that says so has finished."""
    path = tmp_path / "job"
    if kind == "unfinished":
        job(path, finished=False)
    elif kind != "nothing":
        path.mkdir()
        if kind != "empty":
            name = STORE if kind == "damaged" else "other"
            (path / name).write_bytes(b"SQLite format 3\0" + bytes(5000))
    before = {*tmp_path.glob("*"), *tmp_path.glob("*/*")}

    assert finished_meta(path) is None
    begin_anew(path, 3)

    assert before <= {*tmp_path.glob("*"), *tmp_path.glob("*/*")}
    assert len(listed(tmp_path)) <= 1


def test_put_aside_under_its_end(tmp_path):
    """A finished job goes aside, and so many stay: the latest."""
    path = tmp_path / "job"
    other = tmp_path / "job.2020-01-01T00-00-00Z"
    other.mkdir()
    for day in range(4):
        path.exists() and path.rmdir()
        job(path, finished=True, ended=NOW + 86400 * (day // 2))
        begin_anew(path, 3)

    assert listed(path) == []
    assert listed(tmp_path) == [
        "job",
        "job.2020-01-01T00-00-00Z",  # holds no job: not ours to remove
        "job.2025-11-29T00-20-33Z-2",
        "job.2025-11-30T00-20-33Z",
        "job.2025-11-30T00-20-33Z-2",
    ]


def test_the_new_folder_is_the_users_alone(tmp_path):
    """Also where new folders can be written by the group: its job would be refused."""
    job(tmp_path / "job", finished=True)
    before = os.umask(0o002)
    try:
        begin_anew(tmp_path / "job", 3)
    finally:
        os.umask(before)

    assert (tmp_path / "job").stat().st_mode & 0o777 == 0o700


def test_none_is_kept(tmp_path):
    """With 0 the old job is removed at once."""
    begin_anew(job(tmp_path / "job", finished=True), 0)

    assert listed(tmp_path) == ["job"]


def test_a_link_stays(tmp_path):
    """A JOBDIR that is a link to a folder on another disk stays one."""
    place = job(tmp_path / "disk" / "job", finished=True)
    link = tmp_path / "link"
    link.symlink_to(place)

    begin_anew(link, 3)

    assert link.is_symlink()
    assert listed(link) == []
    assert len(listed(place.parent)) == 2


def test_a_kill_while_a_linked_job_begins_anew(tmp_path, monkeypatch):
    """The link leads nowhere then: the next run makes the folder that it names."""
    place = job(tmp_path / "disk" / "job", finished=True)
    link = tmp_path / "link"
    link.symlink_to(place)

    def killed(step):
        raise KeyboardInterrupt(step)

    monkeypatch.setattr(failpoints, "reached", [killed])
    with pytest.raises(KeyboardInterrupt, match="anew/aside"):
        begin_anew(link, 3)
    monkeypatch.undo()
    assert not link.exists()
    begin_anew(link, 3)
    Job(link, "books", Config()).close()

    assert link.is_symlink()
    assert (place / STORE).is_file()
    assert len(listed(place.parent)) == 2


def test_a_job_in_use(tmp_path):
    """A job that another process has open is left alone."""
    path = job(tmp_path / "job", finished=True)
    lock = FileLock(path / LOCK)
    lock.acquire()
    try:
        with pytest.raises(JobLockedError, match="in use by process"):
            begin_anew(path, 3)
    finally:
        lock.release()

    assert finished_meta(path)


def test_it_can_not_be_moved(tmp_path, monkeypatch):
    """The error names both folders and what to do."""
    path = job(tmp_path / "job", finished=True)

    def busy(*_):
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr("pathlib.Path.rename", busy)

    with pytest.raises(
        CheckpointError, match=r"job has finished .* aside as .*busy\. Use a JOBDIR"
    ):
        begin_anew(path, 3)


def test_a_lock_whose_folder_was_put_aside(tmp_path, monkeypatch):
    """Who waited for the lock of a folder that is another one by then locks the new one."""
    folder = tmp_path / "job"
    folder.mkdir()
    real = os.open
    moved = []

    def move_once(path, *args, **more):
        fd = real(path, *args, **more)
        if not moved:
            moved.append(folder.rename(tmp_path / "aside"))
            folder.mkdir()
        return fd

    monkeypatch.setattr("os.open", move_once)
    lock = FileLock(folder / "lock")
    lock.acquire()
    monkeypatch.undo()

    with pytest.raises(JobLockedError):
        FileLock(folder / "lock").acquire()
    lock.release()
