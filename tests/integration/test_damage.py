"""Stores that were damaged between two runs, or while one ran."""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing

import damages
import pytest
from crawls import SHOP, Crawl

from scrapy_resilience.files.layout import DAMAGED, STORE
from scrapy_resilience.jobs import watermark
from scrapy_resilience.jobs.progress import about
from scrapy_resilience.snapshots.places import Folder
from scrapy_resilience.snapshots.store import SnapshotStore

pytestmark = pytest.mark.integration

ITEMS = 60
"""Between two snapshots, of 240."""
_FRAME = 32
"""Where the first frame of a write-ahead log begins."""


@pytest.fixture(scope="module")
def killed(tmp_path_factory, site_process):
    """A job that was killed behind some snapshots."""
    site_process.reset()
    settings = {"RESILIENCE_SNAPSHOT_ITEMS": ITEMS, "RESILIENCE_SNAPSHOT_INTERVAL": 0}
    job = Crawl(tmp_path_factory.mktemp("killed") / "job", SHOP, site_process, **settings)
    job.run_until(until=lambda: len(snapshots(job)) >= 2)
    assert job.kills == 1
    return job.keep()


@pytest.fixture
def job(killed):
    """The killed job, as it was left."""
    return killed.restore()


def snapshots(job):
    """The snapshots in the JOBDIR, the oldest first."""
    return sorted(job.job.glob("snapshots/*.snapshot"))


def flip(path, bits=200):
    """Flip bits all over a file."""
    data = bytearray(path.read_bytes())
    rng = random.Random(1)
    for _ in range(bits):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def one_file(job):
    """The path of the store, with its write-ahead log folded in."""
    path = job.job / STORE
    with closing(sqlite3.connect(path)) as store:
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def flipped(job):
    """Flip bits of the store."""
    flip(one_file(job))


def torn(job):
    """Cut the store in half."""
    path = one_file(job)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(job):
    """Leave a file of no bytes."""
    one_file(job).write_bytes(b"")


def gone(job):
    """Remove the store."""
    one_file(job).unlink()


def foreign(job):
    """Put another program's file in its place."""
    gone(job)
    with sqlite3.connect(job.job / STORE) as other:
        other.execute("CREATE TABLE mine (something TEXT)")


def without_log(job):
    """Remove the latest commits, which are in the log only."""
    log = job.job / f"{STORE}-wal"
    assert log.stat().st_size > 0
    log.unlink()


def log_emptied(job):
    """Do the same with a log that stays, as of no bytes."""
    without_log(job)
    (job.job / f"{STORE}-wal").touch()


def log_flipped(job):
    """Flip one bit at the beginning of the log: SQLite ignores what comes behind it."""
    log = job.job / f"{STORE}-wal"
    data = bytearray(log.read_bytes())
    data[_FRAME + 100] ^= 1
    log.write_bytes(data)


def living(data):
    """How many bytes of a log count: behind them are frames of an earlier round."""
    page, salts, end = int.from_bytes(data[8:12], "big"), data[16:24], 32
    while data[end + 8 : end + 16] == salts:
        end += 24 + page
    assert end > 32
    return end


def log_cut(job):
    """Lose the end of the log."""
    log = job.job / f"{STORE}-wal"
    os.truncate(log, living(log.read_bytes()) * 3 // 4)


def log_page_zeroed(job):
    """Lose a page in the middle of the log."""
    log = job.job / f"{STORE}-wal"
    data = bytearray(log.read_bytes())
    start = living(data) * 3 // 4
    data[start : start + 4096] = bytes(4096)
    log.write_bytes(data)


def log_header_flipped(job):
    """Flip one bit of the log's first bytes: for SQLite there is no log then."""
    log = job.job / f"{STORE}-wal"
    data = bytearray(log.read_bytes())
    data[17] ^= 1
    log.write_bytes(data)


LOG_DAMAGES = [
    without_log,
    log_emptied,
    log_flipped,
    log_cut,
    log_page_zeroed,
    log_header_flipped,
]
IN_PART = {log_cut, log_page_zeroed}
"""They lose a part of the log, which may be in the store already: then nothing is lost."""
DAMAGES = [flipped, torn, emptied, gone, foreign, *LOG_DAMAGES]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_gives_way_to_a_snapshot(job, damage):
    """The job goes on from its newest snapshot, says so once, and loses and doubles nothing."""
    damage(job)

    run = job.run()

    assert (run.code, run.reason) == (0, "finished"), run
    if damage in IN_PART and not run.errors:
        job.check_items()
        return
    assert len(run.errors) == 1
    assert f"going on from the snapshot {snapshots(job)[1].stem}" in run.errors[0]
    assert bool(list(job.job.glob("replaced/resilience.db.*"))) is (damage is not gone)
    job.check_items()


def test_a_snapshot_whose_key_is_missing(job):
    """The refusal says what is wrong with the store, and that a key is needed."""
    for path in snapshots(job):
        path.unlink()
    job.finish(env={"RESILIENCE_ENCRYPTION_KEY": "correct horse battery"})
    torn(job)

    job.run().check_refused(f"{STORE} can't be read as a job", "is encrypted: set")


def test_generation_by_generation(job):
    """A newest snapshot that is damaged as well is passed over."""
    flipped(job)
    flip(snapshots(job)[-1], bits=3)
    older = snapshots(job)[-2].stem

    run = job.run()

    assert (run.code, run.reason) == (0, "finished"), run
    assert f"going on from the snapshot {older}" in run.errors[0]
    assert "could not be used: 1." in run.errors[0]
    assert "is damaged: it is not what was written" in run.errors[1]
    job.check_items()


def test_a_plain_snapshot_is_passed_over_with_a_key(job):
    """With a key, one that anybody may have put there is named and not used."""
    key = {"RESILIENCE_ENCRYPTION_KEY": "correct horse battery"}
    for path in snapshots(job):
        path.unlink()
    job.run_until(until=lambda: len(snapshots(job)) >= 1, env=key)
    good = snapshots(job)[-1].stem
    folder = job.job / "snapshots"
    planted = SnapshotStore(Folder(folder), job.job).create(job.job / STORE, about)
    torn(job)

    run = job.run(env=key)

    assert (run.code, run.reason) == (0, "finished"), run
    assert f"going on from the snapshot {good}" in run.errors[0]
    assert f"{planted.id} is not encrypted" in run.errors[1]
    job.check_items()


@pytest.mark.parametrize("damage", [flipped, torn, emptied, foreign, *LOG_DAMAGES])
def test_without_a_snapshot(job, damage):
    """A damaged store without a snapshot is refused in one line, and left as it is."""
    for path in snapshots(job):
        path.unlink()
    damage(job)
    files = [path for path in job.job.glob(STORE + "*") if not path.name.endswith("-shm")]
    before = [path.read_bytes() for path in files]
    items = job.path("items.jsonl").read_bytes()

    run = job.run()

    if damage in IN_PART and not run.errors:
        job.check_items()
        return
    run.check_refused(STORE, "to start anew")
    assert [path.read_bytes() for path in files] == before
    assert job.path("items.jsonl").read_bytes() == items


def test_a_store_that_is_gone_without_a_snapshot(job):
    """A job whose store was removed does not begin anew behind the items of its feeds."""
    for path in snapshots(job):
        path.unlink()
    gone(job)
    items = job.path("items.jsonl").read_bytes()

    job.run().check_refused(STORE, "is gone", "to start anew")

    assert job.path("items.jsonl").read_bytes() == items


def test_a_log_that_was_written_into_the_store(job):
    """A job whose log somebody has folded into the store with sqlite3 goes on from there."""
    one_file(job)
    for log in job.job.glob(f"{STORE}-*"):
        log.unlink()

    job.finish()

    job.check_items()


def test_a_log_that_a_power_loss_has_torn(job):
    """After a boot, commits that are missing at the end of a log are said, and done again."""
    log_cut(job)
    noted = watermark.read(job.job)
    watermark.write(job.job, noted._replace(boot="another"))

    run = job.run()

    run.check_finished()
    assert "a power loss" in run.log
    job.check_items()


def test_a_power_loss_takes_no_feed(job):
    """The record of a feed is forced to the disk: a store without it was damaged."""
    for path in snapshots(job):
        path.unlink()
    log_flipped(job)
    noted = watermark.read(job.job)
    watermark.write(job.job, noted._replace(boot="another"))

    job.run().check_refused(STORE, "to start anew")


LARGE = """
    from scrapy_resilience.snapshots import verification
    from shop import Base

    class Shop(Base):
        pass

    verification._SMALL = 0
"""


def test_damage_that_is_found_while_the_crawl_runs(job):
    """A large store is verified beside the crawl: it closes, and the next run goes back."""
    with sqlite3.connect(one_file(job)) as store:
        store.execute("UPDATE fingerprints SET \"check\" = x'00000000'")
    job.write("spider.py", LARGE.replace("\n    ", "\n"))
    job.configure(DOWNLOAD_DELAY=0.1)

    run = job.run()

    assert (run.code, run.reason) == (1, "resilience_storage"), run
    assert "is damaged: a row is not what was written: closing the spider" in run.log
    assert (job.job / DAMAGED).exists()

    job.configure(DOWNLOAD_DELAY=None)
    run = job.run()
    assert (run.code, run.reason) == (0, "finished"), run
    assert not (job.job / DAMAGED).exists()
    job.check_items()


def test_a_crawl_does_not_wait_for_a_verification(job):
    """One that ends before its large store was read ends at once."""
    forever = LARGE + "\n    verification._REST = 1e6\n"
    job.write("spider.py", forever.replace("\n    ", "\n"))

    run = job.run()

    assert (run.code, run.reason) == (0, "finished"), run
    job.check_items()


def test_some_of_all_damages(tmp_path, site_process, rng):
    """Any file, damaged in any way at any moment: right data, or a refusal in words."""
    moment = rng.choice([*damages.MOMENTS])
    damaged = damages.make(tmp_path, moment, site_process)
    for name, kind in rng.sample(damages.cells(damaged), 8):
        print(moment, name, kind)  # noqa: T201 - pytest shows it at a failure
        damages.check(damaged, name, kind, rng)
