"""Disks that are full, read-only or slow while a crawl runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from crawls import SHOP, check_same, wait_until

pytestmark = pytest.mark.integration

TROUBLE = "trying again"
WELL = "is written again"
BIG = """
    from shop import Base
    class Shop(Base):
        def products(self, response):
            for item in super().products(response):
                yield {**item, "text": "x" * 3000}
"""


class Disk:
    """A small file system of its own."""

    def __init__(self, path):
        self.path = path

    def mount(self, options):
        """Mount it, or change how it is mounted."""
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.path)], check=True
        )

    def free(self):
        """Bytes that may still be written."""
        return shutil.disk_usage(self.path).free

    def remount(self, options):
        """Change its size, or whether it can be written."""
        self.mount(f"remount,{options}")


@pytest.fixture
def disk(tmp_path):
    """``disk.path``: a file system of 600 KB, which root alone may mount."""
    path = tmp_path / "disk"
    path.mkdir()
    disk = Disk(path)
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a small file system: only root may mount one, on Linux")
    try:
        disk.mount("size=600k")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small file system: this container may not mount one")
    yield disk
    subprocess.run(["umount", "-l", str(path)], check=True)


def on_disk(disk, feeds=("items.jsonl", "items.csv", "items.json")):
    """Settings with the job and all feeds on the small disk."""
    formats = {"jsonl": "jsonlines"}
    kinds = {
        name: formats.get(name.rpartition(".")[2], name.rpartition(".")[2]) for name in feeds
    }
    return {
        "JOBDIR": str(disk.path / "job"),
        "FEEDS": {str(disk.path / name): {"format": kind} for name, kind in kinds.items()},
    }


def skus(items):
    """What tells the items apart."""
    return [item["sku"] for item in items]


def check(job, disk):
    """All three feeds hold each item once."""
    expected = skus(job.site.expected_items())
    check_same(skus(job.items(disk.path / "items.jsonl")), expected)
    check_same(skus(job.csv_rows(disk.path / "items.csv")), expected)
    check_same(skus(json.loads((disk.path / "items.json").read_text())), expected)


def test_a_disk_that_is_enlarged(crawl, disk):
    """A crawl on a full disk stops asking, goes on when there is room, and loses nothing."""
    job = crawl(BIG, **on_disk(disk))

    with job.process() as process:
        wait_until(lambda: TROUBLE in job.last().log)
        wait_until(lambda: quiet(job))
        disk.remount("size=50m")
        run = job.ended(process)

    assert (run.code, run.reason) == (0, "finished"), run
    assert WELL in run.log
    check(job, disk)


def quiet(job, state={}):  # noqa: B006 - it remembers
    """Whether the server has not been asked between two looks."""
    before, state["asked"] = state.get("asked"), job.site.stats()["total"]["requests"]
    return before == state["asked"]


def test_a_disk_that_is_cleared(crawl, disk):
    """Room that somebody makes by removing another file is enough."""
    job = crawl(BIG, **on_disk(disk, ("items.jsonl",)))
    disk.remount("size=4m")
    ballast = disk.path / "ballast"
    ballast.write_bytes(b"x" * 3_600_000)

    with job.process() as process:
        wait_until(lambda: TROUBLE in job.last().log)
        ballast.unlink()
        run = job.ended(process)

    assert (run.code, run.reason) == (0, "finished"), run
    check_same(skus(job.items(disk.path / "items.jsonl")), skus(job.site.expected_items()))


HUGE = """
    from shop import Base
    class Shop(Base):
        def products(self, response):
            for item in super().products(response):
                yield {**item, "text": "x" * 36_000}
        def links(self, response):
            yield from super().links(response, meta={"text": "x" * 36_000})
"""


@pytest.mark.parametrize("room", ["enlarged", "cleared"])
def test_a_disk_of_20_mb(crawl, disk, room):
    """20 MB that feeds and store fill in mid-crawl, more room, and each item comes once."""
    disk.remount("size=60m")
    ballast = disk.path / "ballast"
    ballast.write_bytes(bytes(40 * 2**20))
    if room == "enlarged":
        ballast.unlink()
        disk.remount("size=20m")
    job = crawl(HUGE, **on_disk(disk))

    with job.process() as process:
        wait_until(lambda: TROUBLE in job.last().log)
        wait_until(lambda: quiet(job))
        assert disk.free() < 64 * 1024
        feeds = [disk.path / "items.jsonl", disk.path / "items.csv", *job.job.glob("spool/*")]
        assert min(path.stat().st_size for path in feeds) > 1_000_000
        assert sum(path.stat().st_size for path in job.job.glob("resilience.db*")) > 1_000_000
        if room == "enlarged":
            disk.remount("size=60m")
        else:
            ballast.unlink()
        run = job.ended(process)

    assert (run.code, run.reason) == (0, "finished"), run
    assert WELL in run.log
    check(job, disk)


@pytest.mark.parametrize("kind", ["jsonlines", "csv"])
def test_batches_that_end_on_a_full_disk(crawl, disk, kind):
    """A batch whose last lines the disk did not take is completed when there is room."""
    job = crawl(BIG, **on_disk(disk, ()))
    batches = {"format": kind, "batch_item_count": 2}
    job.configure(FEEDS={str(disk.path / "batch-%(batch_id)03d"): batches})

    with job.process() as process:
        wait_until(lambda: TROUBLE in job.last().log)
        wait_until(lambda: quiet(job))
        disk.remount("size=50m")
        run = job.ended(process)

    assert (run.code, run.reason) == (0, "finished"), run
    read = job.items if kind == "jsonlines" else job.csv_rows
    found = [item for path in disk.path.glob("batch-*") for item in read(path)]
    check_same(skus(found), skus(job.site.expected_items()))


def test_batches_that_can_not_begin(crawl, disk):
    """A disk without room for another file is waited for as one without room for bytes."""
    kinds = {"jsonl": "jsonlines", "json": "json"}
    feeds = {
        str(disk.path / f"batch-%(batch_id)03d.{end}"): {"format": kind, "batch_item_count": 40}
        for end, kind in kinds.items()
    }
    disk.remount("size=20m,nr_inodes=7")
    job = crawl(SHOP, FEEDS=feeds)

    with job.process() as process:
        wait_until(lambda: TROUBLE in job.last().log)
        wait_until(lambda: quiet(job))
        disk.remount("nr_inodes=1000")
        run = job.ended(process)

    assert (run.code, run.reason) == (0, "finished"), run
    lines = [item for path in disk.path.glob("batch-*.jsonl") for item in job.items(path)]
    whole = [each for path in disk.path.glob("*.json") for each in json.loads(path.read_text())]
    check_same(skus(lines), skus(job.site.expected_items()))
    check_same(skus(whole), skus(job.site.expected_items()))


def test_a_kill_on_a_full_disk(crawl, disk):
    """A job that is killed while its disk is full goes on from its last commit."""
    job = crawl(BIG, **on_disk(disk))
    job.run_until(until=lambda: job.runs and TROUBLE in job.last().log)
    assert job.kills == 1

    disk.remount("size=50m")
    run = job.run()

    assert (run.code, run.reason) == (0, "finished"), run
    check(job, disk)


HEAVY = """
    from shop import Base
    class Shop(Base):
        def links(self, response):
            yield from super().links(response, meta={"text": "x" * 9000})
"""


@pytest.mark.parametrize("end", ["kill", "timeout"])
@pytest.mark.parametrize("kind", ["jsonlines", "json"])
def test_batches_while_the_disk_of_the_job_is_full(crawl, disk, kind, end):
    """Batches elsewhere, which no commit can tell of, are not there when the job goes on."""
    feeds = {"b-%(batch_time)s-%(batch_id)03d": {"format": kind, "batch_item_count": 5}}
    job = crawl(HEAVY, JOBDIR=str(disk.path / "job"), FEEDS=feeds, RESILIENCE_STORAGE_TIMEOUT=2)

    if end == "kill":
        job.run_until(until=lambda: job.runs and TROUBLE in job.last().log, spread=1.0)
    else:
        assert job.run().reason == "resilience_storage"

    disk.remount("size=50m")
    run = job.run()

    assert (run.code, run.reason) == (0, "finished"), run
    read = job.items if kind == "jsonlines" else lambda path: json.loads(path.read_text())
    found = [item for path in job.folder.glob("b-*") for item in read(path)]
    check_same(skus(found), skus(job.site.expected_items()))


def test_a_disk_that_stays_full(crawl, disk):
    """After RESILIENCE_STORAGE_TIMEOUT the crawl closes with resilience_storage and exit 1."""
    job = crawl(BIG, **on_disk(disk), RESILIENCE_STORAGE_TIMEOUT=1)

    run = job.run()

    assert (run.code, run.reason) == (1, "resilience_storage"), run
    assert "nothing could be written for 1 s" in run.log
    disk.remount("size=50m")
    run = job.run()
    assert (run.code, run.reason) == (0, "finished"), run
    check(job, disk)


def test_ctrl_c_on_a_full_disk(crawl, disk):
    """A stop on a full disk ends, says where the next run goes on, and exits with 1."""
    job = crawl(BIG, **on_disk(disk))

    run = job.run_until(
        until=lambda: job.runs and TROUBLE in job.last().log, number=signal.SIGINT
    )

    assert run.code == 1, run
    assert "the next run goes on from there" in run.log
    disk.remount("size=50m")
    assert job.run().code == 0
    check(job, disk)


FAILING = """
    import errno, os, sqlite3
    from pathlib import Path

    from scrapy_resilience.frontier import sqlite
    from shop import Base

    class Shop(Base):
        pass

    def failing(call, error):
        def failing_call(*args):
            if Path("broken").exists():
                raise error
            return call(*args)
        return failing_call

    os.write = failing(os.write, OSError(errno.EIO, "Input/output error"))
    sick = sqlite3.OperationalError("disk I/O error")
    sqlite.write_changes = failing(sqlite.write_changes, sick)
"""


def test_a_disk_with_errors(crawl):
    """While reads and writes fail nothing is asked for, and afterwards the crawl goes on."""
    job = crawl(FAILING)

    with job.process() as process:
        wait_until(lambda: job.commits() >= 2)
        job.write("broken", "")
        wait_until(lambda: TROUBLE in job.last().log)
        wait_until(lambda: quiet(job))
        job.path("broken").unlink()
        run = job.ended(process)

    assert (run.code, run.reason) == (0, "finished"), run
    assert WELL in run.log
    job.check_items()


def test_a_disk_that_is_read_only(crawl, disk):
    """A JOBDIR on a disk that can't be written is refused before the crawl begins."""
    job = crawl(SHOP, **on_disk(disk))
    disk.remount("ro")

    job.run().check_refused("can't be used as JOBDIR", "Read-only file system")


def test_a_disk_without_room_for_a_job(crawl, disk):
    """A JOBDIR in which no store can be made is refused in one line, and works with room."""
    disk.remount("size=64k")  # enough for the lock
    job = crawl(SHOP, **on_disk(disk))

    job.run().check_refused("can't be used as JOBDIR", "disk is full")

    disk.remount("size=50m")
    assert job.run().code == 0


ORDER = """
    import os
    from pathlib import Path

    from scrapy_resilience.frontier import sqlite
    from shop import Base

    class Shop(Base):
        pass

    def log(text):
        with Path("order").open("a") as file:
            file.write(text + chr(10))

    fsync, write = os.fsync, sqlite.write_changes

    def logging_fsync(fd):
        log("sync " + Path(os.readlink(f"/proc/self/fd/{fd}")).name)
        fsync(fd)

    def logging_write(writer, changes):
        log("commit %d" % writer.execute("PRAGMA synchronous").fetchone())
        write(writer, changes)

    os.fsync, sqlite.write_changes = logging_fsync, logging_write
"""


def test_power_loss_safe(crawl):
    """With RESILIENCE_POWER_LOSS_SAFE each feed is forced to the disk before its commit is."""
    job = crawl(ORDER, RESILIENCE_POWER_LOSS_SAFE=True)

    run = job.finish()

    order = job.path("order").read_text().splitlines()
    commits = run.stats["resilience/checkpoint/commits"]
    assert order.count("commit 2") >= commits > 1
    last = len(order) - order[::-1].index("commit 2") - 1
    before = order[:last]
    for feed in ("items.jsonl", "items.csv"):
        assert before.count(f"sync {feed}") >= commits
        assert f"sync {feed}" in before[-8:]


SLOW = """
    import time
    from pathlib import Path

    from scrapy_resilience.frontier import sqlite
    from shop import Base

    class Shop(Base):
        pass

    commit = sqlite.SQLiteStore.commit

    def slow(self, changes):
        with Path("sizes").open("a") as file:
            print(len(changes.fingerprints), file=file)
        time.sleep(0.5)
        commit(self, changes)

    sqlite.SQLiteStore.commit = slow
"""


def test_a_slow_disk(crawl):
    """A disk that is slower than the crawl slows it down: what waits in memory is bounded."""
    job = crawl(SLOW, RESILIENCE_CHECKPOINT_MAX_CHANGES=5, RESILIENCE_CHECKPOINT_INTERVAL=0.05)

    job.survive(kills=1, commits=2)

    job.check_items()
    fingerprints = [int(line) for line in job.path("sizes").read_text().split()]
    assert max(fingerprints) < 70  # three commits of 5, and what the pages under way put out


LONG = """
    import sqlite3
    from pathlib import Path

    from scrapy import Request, Spider
    from scrapy_resilience.frontier import sqlite

    class Shop(Spider):
        name = "shop"

        async def start(self):
            yield Request("data:,list")

        def parse(self, response):
            if not Path("begun").exists():
                Path("begun").touch()
                Path("full").touch()
            with Path("put_out").open("w") as log:
                for number in range(1000):
                    print(number, file=log, flush=True)
                    yield Request(f"data:,{number}", self.parse_page)
                    yield {"sku": f"of the list: {number}"}

        def parse_page(self, response):
            yield {"sku": response.text}

    write = sqlite.write_changes

    def write_changes(*args):
        if Path("full").exists():
            raise sqlite3.OperationalError("database or disk is full")
        write(*args)

    sqlite.write_changes = write_changes
"""


def put_out(job):
    """How many pages the long callback has put out."""
    path = job.path("put_out")
    return len(path.read_text().split()) if path.exists() else 0


@pytest.mark.parametrize("items_at_once", [1, 100])
@pytest.mark.parametrize("end", ["room", "timeout", "signal"])
def test_a_long_callback_on_a_full_disk(crawl, end, items_at_once):
    """One callback that puts out very much waits while nothing can be written."""
    seen = []
    job = crawl(
        LONG,
        RESILIENCE_CHECKPOINT_MAX_CHANGES=20,
        RESILIENCE_STORAGE_TIMEOUT=1 if end == "timeout" else 300,
        CONCURRENT_ITEMS=items_at_once,
    )

    with job.process() as process:
        wait_until(lambda: TROUBLE in job.last().log)
        if end == "room":
            wait_until(lambda: held(job, seen))
            assert put_out(job) < 500  # three commits of 20, and what was on its way
            job.path("full").unlink()
        elif end == "signal":
            process.send_signal(signal.SIGINT)
        run = job.ended(process)

    expected = {"room": (0, "finished"), "timeout": (1, "resilience_storage")}
    assert (run.code, run.reason) == expected.get(end, (1, "shutdown")), run
    if end != "room":
        job.path("full").unlink()
        run = job.run()
        assert (run.code, run.reason) == (0, "finished"), run
    texts = [text for number in range(1000) for text in (f"of the list: {number}", f"{number}")]
    check_same(skus(job.items()), texts)


def held(job, seen):
    """Whether the long callback has put out nothing for twenty looks."""
    seen.append(put_out(job))
    return seen[-1] > 0 and seen[-20:] == [seen[-1]] * 20
