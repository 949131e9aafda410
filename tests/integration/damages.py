"""Damage to a job: each kind of it, to each of its files, at each moment of its life.

What is damaged is found by looking into the folder, so a new file is a new row. The verdict is
the same for all: the feeds hold what they hold without the damage, or the job is refused in
words, and goes on when the file is put back.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import TYPE_CHECKING, NamedTuple

from crawls import KILLED, Crawl, check_same

from scrapy_resilience.files.layout import STORE

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

LIMIT = 60.0
"""Seconds for a run: one that hangs is a failure."""
_PAGE = 4096
_ENDING = 4096
"""Bytes of a feed that a resume reads again."""
_FEEDS = {
    "items.jsonl": {"format": "jsonlines"},
    "items.csv": {"format": "csv"},
    "items.json": {"format": "json"},
}
_BATCHES = {"lines-%(batch_id)d.jsonl": {"format": "jsonlines", "batch_item_count": 50}}
"""What of them is full is the user's, and is not damaged here."""
_SOURCE = """
import killer
from shop import Base
class Shop(Base): pass
"""
_KILLER = """
import os
import signal
from scrapy_resilience.failpoints import reached
from scrapy_resilience.snapshots.places import Folder

def kill(name):
    if name == os.environ.get("KILL_AT"):
        os.kill(os.getpid(), signal.SIGKILL)

publish = Folder.publish
published = 0

def publish_or_die(self, draft, name):
    global published
    published += 1
    if published == int(os.environ.get("KILL_PUBLISHING", 0)):
        kill(os.environ.get("KILL_AT"))
    publish(self, draft, name)

reached.append(kill)
Folder.publish = publish_or_die
"""
_RESTORE = """
from pathlib import Path
import killer
from scrapy_resilience.jobs.restore import restore
from scrapy_resilience.settings import Config
from scrapy_resilience.snapshots.store import store_of

restore(Path("job"), store_of(Config(), Path("job")))
"""


# --- moments ----------------------------------------------------------------------------------


def _snapshots(job):
    return sorted(job.job.glob("snapshots/*.snapshot"))


def _killed(job):
    """In the middle, behind some snapshots; the store holds one run, its log the next."""
    _stopped(job)
    commits = job.commits()
    job.run_until(until=lambda: job.commits() > commits + 1, spread=0)
    assert job.kills == 2


def _stopped(job):
    """By a signal, with a clean end."""
    job.run_until(until=lambda: _snapshots(job))
    _keep_older(job)
    job.configure(CLOSESPIDER_PAGECOUNT=15)
    assert job.run().code in {0, 75}
    job.configure(CLOSESPIDER_PAGECOUNT=None)


def _held(job):
    """Because a domain did not recover."""
    job.run_until(until=lambda: _snapshots(job))
    _keep_older(job)
    assert job.run("resilience", "breakers", "job", "open", "h0.test").code == 0
    assert job.run().reason == "resilience_held"
    assert job.run("resilience", "breakers", "job", "reset", "h0.test").code == 0


def _finished(job):
    """With nothing left to do."""
    job.run_until(until=lambda: _snapshots(job))
    _keep_older(job)
    job.finish()


def _restoring(job):
    """Killed just before a snapshot takes the place of the store."""
    _killed(job)
    run = job.run(sys.executable, "restore.py", env={"KILL_AT": "restore/files"})
    assert run.code == KILLED, run


def _snapshotting(job):
    """Killed while a snapshot is made."""
    job.run_until(until=lambda: _snapshots(job))
    _keep_older(job)
    run = job.run(env={"KILL_PUBLISHING": "2", "KILL_AT": "publish"})
    assert run.code == KILLED, run


MOMENTS = {
    function.__name__.strip("_"): function
    for function in (_killed, _stopped, _held, _finished, _restoring, _snapshotting)
}


def _older(job) -> Path:
    return job.folder.with_suffix(".older")


def _kept(job) -> Path:
    return job.folder.with_suffix(".kept")


def _keep_older(job):
    shutil.copytree(job.folder, _older(job), symlinks=True)


class Damaged(NamedTuple):
    """A job at some moment, and what its feeds hold when nothing is damaged."""

    moment: str
    job: Crawl
    whole: dict[str, list[str]]


def make(folder, moment, site):
    """A job that is kept as it is at that moment."""
    site.reset()
    settings = {"RESILIENCE_SNAPSHOT_ITEMS": 40, "RESILIENCE_SNAPSHOT_INTERVAL": 0}
    settings |= {"RESILIENCE_HOLD_TIMEOUT": 0.5, "FEEDS": {**_FEEDS, **_BATCHES}}
    job = Crawl(folder / "job", _SOURCE, site, **settings)
    job.write("killer.py", _KILLER)
    job.write("restore.py", _RESTORE)
    MOMENTS[moment](job)
    job.keep()
    _end(job)
    job.check_items()
    whole = contents(job)
    job.restore()
    return Damaged(moment, job, whole)


def contents(job):
    """The items of each feed, and those of all batches, in an order of their own."""
    batches = (job.items(path.name) for path in job.folder.glob("lines-*.jsonl"))
    feeds = {
        "lines": job.items("items.jsonl"),
        "table": job.csv_rows("items.csv"),
        "array": json.loads(job.path("items.json").read_text("utf-8")),
        "batches": [item for batch in batches for item in batch],
    }
    return {
        kind: sorted(json.dumps(item, sort_keys=True) for item in items)
        for kind, items in feeds.items()
    }


# --- damages ----------------------------------------------------------------------------------


def _place(path: Path, rng: Random) -> int:
    """Of a feed only the end is read again."""
    size = path.stat().st_size
    return rng.randrange(max(size - _ENDING, 0) if path.name in _FEEDS else 0, size)


def _overwrite(path: Path, place: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data[: path.stat().st_size - place])


def flipped_bit(path: Path, rng: Random) -> None:
    """One."""
    place = _place(path, rng)
    _overwrite(path, place, bytes([path.read_bytes()[place] ^ 1 << rng.randrange(8)]))


def cut(path: Path, rng: Random) -> None:
    """It ends early."""
    os.truncate(path, rng.randrange(path.stat().st_size))


def emptied(path: Path, _: Random) -> None:
    """It is there, and that is all."""
    os.truncate(path, 0)


def zeroed_page(path: Path, rng: Random) -> None:
    """A block of zeros."""
    place = _place(path, rng)
    if path.name not in _FEEDS:
        place -= place % _PAGE
    _overwrite(path, place, bytes(_PAGE))


def noise(path: Path, rng: Random) -> None:
    """A block of random bytes."""
    _overwrite(path, _place(path, rng), rng.randbytes(_PAGE))


def gone(path: Path, _: Random) -> None:
    """It is not there."""
    path.unlink()


def folder(path: Path, _: Random) -> None:
    """It is a folder."""
    path.unlink()
    path.mkdir()


def fifo(path: Path, _: Random) -> None:
    """It is a pipe that nobody writes to."""
    path.unlink()
    os.mkfifo(path)


def link(path: Path, _: Random) -> None:
    """It is somewhere else."""
    other = path.parent.parent / f"elsewhere-{path.name}"
    path.rename(other)
    path.symlink_to(other)


def other_owner(path: Path, _: Random) -> None:
    """It belongs to somebody else."""
    os.chown(path, 12345, 12345)


_WHOLE = (gone, folder, fifo, link)
KINDS = {
    kind.__name__: kind
    for kind in (flipped_bit, cut, emptied, zeroed_page, noise, *_WHOLE, other_owner)
}
OLDER = "older_copy"


def cells(damaged):
    """Each file, by its path in the project, with each kind of damage to it.

    Feeds of a finished job are the user's.
    """
    job = damaged.job
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    kinds = [OLDER, *(name for name in KINDS if root or name != other_owner.__name__)]
    names = [name for name in _files(job) if damaged.moment != "finished" or name not in _FEEDS]
    return [(name, kind) for name in names for kind in kinds if _can_be(job, name, kind)]


def _files(job):
    found = [path for path in job.job.rglob("*") if path.is_file()]
    found += [job.path(feed) for feed in _FEEDS if job.path(feed).exists()]
    return sorted(str(path.relative_to(job.folder)) for path in found)


def _can_be(job, name, kind):
    """Whether that makes a difference."""
    path = _kept(job) / name
    if kind == OLDER:
        older = _older(job) / name
        return older.is_file() and older.read_bytes() != path.read_bytes()
    by_content = KINDS[kind] not in {*_WHOLE, other_owner}
    return path.stat().st_size > 0 or not by_content


def _damage(job, name, kind, rng):
    if kind == OLDER:
        shutil.copyfile(_older(job) / name, job.path(name))
    else:
        KINDS[kind](job.path(name), rng)


# --- the verdict ------------------------------------------------------------------------------


def _end(job):
    """Run to the end, which may have been reached before."""
    run = job.run(limit=LIMIT)
    if run.reason == "resilience_held":  # by hand: a snapshot knows nothing of a reset
        assert job.run("resilience", "breakers", "job", "reset", "h0.test").code == 0
        run = job.run(limit=LIMIT)
    if "has finished" not in run.log:
        assert (run.code, run.reason) == (0, "finished"), run
    assert "Traceback" not in run.log, run


def check(damaged, name, kind, rng):
    """Damage one file, and run: right data, or a refusal in words that is no harm."""
    _, job, whole = damaged
    job.restore()
    _damage(job, name, kind, rng)

    run = job.run(limit=LIMIT)

    assert "Traceback" not in run.log, run
    if run.code != 0 and "has finished" not in run.log:
        _check_words(job, run)
        if "going on from the snapshot" not in run.log:
            _put_back(job, name)
        _end(job)
    found = contents(job)
    for feed, items in whole.items():
        check_same(found[feed], items)


def _check_words(job, run):
    """It says what is wrong with which file, in a line that is not a traceback."""
    assert run.code not in {KILLED, None}, run
    files = [str(job.job), STORE, *_FEEDS, "job/", "spool/", ": job "]
    assert any(file in line for line in run.errors for file in files), run


def _put_back(job, name):
    """From a backup, as the words ask for."""
    path = job.path(name)
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    shutil.copy2(_kept(job) / name, path)
