"""Snapshots of real crawls, and crawls that go on from them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import time

import pytest
from crawls import SHOP, TIME_LIMIT, check_same, wait_until

from scrapy_resilience.files.layout import STORE
from scrapy_resilience.snapshots.places import Folder
from scrapy_resilience.snapshots.store import SnapshotStore

pytestmark = pytest.mark.integration

KEY = {"RESILIENCE_ENCRYPTION_KEY": "correct horse battery staple"}
OFTEN = {"RESILIENCE_SNAPSHOT_INTERVAL": 0.1, "RESILIENCE_SNAPSHOT_RETENTION": 1000}


def found(job, folder=None):
    """The snapshots of a job, the newest first, each read in full."""
    return SnapshotStore(Folder(folder or job.job / "snapshots"), job.job).newest(verify=True)


def restore(job, *args, env=None):
    """Run ``scrapy resilience restore`` to a good end."""
    run = job.run("resilience", "restore", "job", *args, "--json", env=env)
    assert run.code == 0, run
    return json.loads(run.out)


def lose_store(job):
    """What a lost volume does."""
    for path in job.job.glob(STORE + "*"):
        path.unlink()


# --- going back -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("env", [KEY, None], ids=["encrypted", "plain"])
def test_a_killed_crawl_whose_store_is_lost(crawl, env):
    """Restored from a snapshot, it ends with every item exactly once."""
    job = crawl(SHOP, DOWNLOAD_DELAY=0.05, **OFTEN)
    job.run_until(until=lambda: len(found(job)) >= 2, env=env)
    lose_store(job)

    done = restore(job, env=env)
    run = job.finish(env=env)

    assert done["snapshot"]["encrypted"] == (env is not None)
    assert run.stats["resilience/resumed"] == 1
    job.check_items()
    if env:
        content = b"".join(p.read_bytes() for p in (job.job / "snapshots").iterdir())
        assert b"h0.test" not in content


def test_a_finished_job_goes_back(plain_crawl):
    """An older snapshot of a finished job runs again; what is cut off the feeds is kept."""
    job = plain_crawl(SHOP, **OFTEN)
    job.finish()
    before = job.path("items.jsonl").read_bytes()
    assert job.run("crawl", "shop").code == 1
    newest, *older = found(job)
    assert (newest.kind, newest.reason) == ("close", "finished")
    middle = older[len(older) // 2]

    done = restore(job, middle.id)
    job.finish()

    assert done["pending"] > 0
    assert done["replaced"]
    job.check_items()
    (tail,) = (job.job / "cut").glob("items.jsonl.*")
    offset = {feed["path"]: feed["bytes"] for feed in done["feeds"]}
    assert before[offset[str(job.path("items.jsonl"))] :] == tail.read_bytes() != b""


def test_a_job_that_was_stopped_goes_back_to_its_close(plain_crawl):
    """The snapshot at a clean stop goes on although the feeds have grown since."""
    job = plain_crawl(SHOP, RESILIENCE_SNAPSHOT_INTERVAL=0)
    job.run_until(commits=3, number=signal.SIGTERM)
    (closed,) = found(job)
    assert (closed.kind, closed.reason) == ("close", "shutdown")
    job.run_until(commits=3)

    restore(job, closed.id)  # the second run may have come to its end
    job.finish()

    job.check_items()


def test_restore_to_another_jobdir(plain_crawl):
    """A lost folder comes back under another path, from snapshots elsewhere."""
    job = plain_crawl(SHOP, RESILIENCE_SNAPSHOT_DIR="safe", **OFTEN)
    job.run_until(until=lambda: len(found(job, job.path("safe"))) >= 2)
    shutil.rmtree(job.job)
    job.configure(JOBDIR="elsewhere", RESILIENCE_SNAPSHOT_DIR=None)

    run = job.run("resilience", "restore", "elsewhere", "--from", "safe")
    assert run.code == 0, run
    job.finish()

    assert "the next `scrapy crawl shop` goes on with" in run.out
    job.check_items()


def test_restore_of_a_running_job(plain_crawl):
    """A job that runs is refused, and goes on."""
    job = plain_crawl(SHOP, **OFTEN)
    with job.process() as process:
        wait_until(lambda: found(job))
        process.send_signal(signal.SIGSTOP)
        run = job.run("resilience", "restore", "job")
        process.send_signal(signal.SIGCONT)
        assert process.wait(TIME_LIMIT) == 0

    assert run.code == 1
    assert "is in use by process" in run.log
    assert len(run.log.splitlines()) == 1
    job.check_items()


def test_restore_without_the_key(plain_crawl):
    """A missing and a wrong key end with one line and exit code 1."""
    job = plain_crawl(SHOP)
    job.finish(env=KEY)

    missing = job.run("resilience", "restore", "job")
    wrong = job.run("resilience", "restore", "job", env={next(iter(KEY)): "x" * 16})

    for run, words in ((missing, "is encrypted: set"), (wrong, "with another key")):
        assert run.code == 1
        assert words in run.log
        assert len(run.log.splitlines()) == 1


def test_what_the_list_says_of_an_encrypted_one(plain_crawl):
    """With the right key it is good; with another one, or none, all that is known is a lock."""
    job = plain_crawl(SHOP)
    job.finish(env=KEY)
    (name,) = KEY

    for env, state in ((KEY, "good"), ({name: "x" * 16}, "encrypted"), (None, "encrypted")):
        shown = job.run("resilience", "checkpoints", "job", env=env)
        assert shown.out.splitlines()[1].split()[-1] == state, shown.out
        (row,) = json.loads(job.run("resilience", "checkpoints", "job", "--json", env=env).out)
        assert (row["encrypted"], row["readable"]) == (True, state == "good")


def check_produced(job, text):
    """A feed that was produced at the close holds each item once."""
    found = re.findall(r"sku\W+(H\d[\w-]+)", text)
    check_same(found, [item["sku"] for item in job.site.expected_items()])


def test_a_lost_volume_with_items_that_wait_for_their_feed(plain_crawl):
    """Items of a feed that is produced at the close come back with the snapshot."""
    job = plain_crawl(
        SHOP,
        DOWNLOAD_DELAY=0.03,
        FEEDS={"items.json": {"format": "json"}},
        RESILIENCE_SNAPSHOT_DIR="safe",
        **OFTEN,
    )
    job.run_until(until=lambda: len(found(job, job.path("safe"))) >= 3)
    shutil.rmtree(job.job)

    run = job.run("resilience", "restore", "job", "--from", "safe")
    assert run.code == 0, run
    job.finish()

    check_produced(job, job.path("items.json").read_text("utf-8"))


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_produced_feed_is_produced_again(plain_crawl, overwrite):
    """A finished job that goes back stores its feed again, with each item once."""
    feed = {"format": "xml", "overwrite": overwrite}
    job = plain_crawl(SHOP, FEEDS={"items.xml": feed}, **OFTEN)
    job.finish()
    older = found(job)
    restore(job, older[len(older) // 2].id)

    job.finish()

    check_produced(job, job.path("items.xml").read_text("utf-8"))


# --- looking ------------------------------------------------------------------------------


def test_checkpoints(plain_crawl):
    """The command lists snapshots, a damaged one with what is wrong with it."""
    job = plain_crawl(SHOP)
    job.finish()
    (snapshot,) = found(job)
    broken = job.job / "snapshots" / snapshot.id.replace("20", "19", 1)
    broken.with_suffix(".snapshot").write_bytes(b"nothing")

    table = job.run("resilience", "checkpoints", "job")
    listed = json.loads(job.run("resilience", "checkpoints", "job", "--json").out)

    assert (table.code, table.log) == (0, "")
    lines = table.out.splitlines()
    assert len(lines) == 3
    assert re.fullmatch(
        rf"{snapshot.id}  shop +close +120 +120 +0 +240 .* [kM]B +good", lines[1]
    )
    assert "is not a snapshot" in lines[2]
    assert listed[0]["progress"]["items"] == 240
    assert listed[1]["problem"]


def test_no_checkpoints(plain_crawl):
    """A job without snapshots is said to have none; to restore it is an error."""
    job = plain_crawl(SHOP, RESILIENCE_SNAPSHOT_ENABLED=False)
    job.finish()

    assert not (job.job / "snapshots").exists()
    assert job.run("resilience", "checkpoints", "job").out == "no snapshots\n"
    run = job.run("resilience", "restore", "job")
    assert (run.code, len(run.log.splitlines())) == (1, 1)
    run = job.run("resilience", "checkpoints", "jbo")
    assert run.code == 1
    assert run.log.endswith(": jbo is not a folder, and no snapshot of it was found\n")


# --- making -------------------------------------------------------------------------------


def test_snapshots_beside_commits(plain_crawl):
    """Snapshots of a crawl that commits all the time are good, and of growing progress."""
    job = plain_crawl(SHOP, RESILIENCE_CHECKPOINT_INTERVAL=0.02, **OFTEN)
    run = job.finish()

    made = found(job)[::-1]
    assert not [each.problem for each in made if each.problem]
    done = [each.progress["completed"] for each in made]
    assert done == sorted(done)
    assert done[-1] == 120
    assert {each.kind for each in made} == {"interval", "close"}
    # The last one or two came after the stats were dumped.
    assert len(made) - run.stats["resilience/snapshots/taken"] in {1, 2}
    seconds = [each.progress["running_seconds"] for each in made]
    assert 0 < seconds[-1] == max(seconds)


def test_retention(plain_crawl):
    """No more snapshots stay than were asked for."""
    job = plain_crawl(SHOP, **{**OFTEN, "RESILIENCE_SNAPSHOT_RETENTION": 2})
    job.finish()

    assert [each.kind for each in found(job)] == ["close", "interval"]


def test_each_n_items(plain_crawl):
    """With RESILIENCE_SNAPSHOT_ITEMS items ask for snapshots, not time."""
    job = plain_crawl(SHOP, RESILIENCE_SNAPSHOT_INTERVAL=0, RESILIENCE_SNAPSHOT_ITEMS=60)
    job.finish()

    kinds = [each.kind for each in found(job)]
    assert kinds[0] == "close"
    assert set(kinds[1:]) == {"items"}
    assert len(kinds) <= 5


def test_running_time_adds_up(plain_crawl):
    """The running time of all runs is told, and the time between them is not."""
    job = plain_crawl(SHOP, RESILIENCE_SNAPSHOT_INTERVAL=0)
    began = time.monotonic()
    job.run_until(commits=3, number=signal.SIGTERM)
    (first,) = found(job)
    stopped = time.monotonic()
    time.sleep(1)
    went_on = time.monotonic()
    job.finish()
    second = found(job)[0]
    running = time.monotonic() - went_on + stopped - began

    assert 0 < first.progress["running_seconds"] < second.progress["running_seconds"]
    assert running > second.progress["running_seconds"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, 0),
        ({"RESILIENCE_SNAPSHOT_ENCRYPTION": True}, 1),
        ({"RESILIENCE_SNAPSHOT_ENCRYPTION": False}, 0),
        ({"RESILIENCE_PROFILE": "production"}, 1),
        ({"RESILIENCE_PROFILE": "development"}, 0),
        ({"RESILIENCE_PROFILE": "production", "RESILIENCE_SNAPSHOT_ENCRYPTION": False}, 0),
    ],
)
def test_one_warning_without_a_key(plain_crawl, settings, told):
    """Who asks for encryption, in words or by the profile, and gives no key is told once."""
    job = plain_crawl(SHOP, **settings)
    without = job.finish()
    shutil.rmtree(job.job)
    sealed = job.finish(env=KEY)

    assert without.log.count("Snapshots are not encrypted") == told
    assert without.log.count(" WARNING: ") == told
    assert "not encrypted" not in sealed.log
    assert "horse" not in sealed.log


@pytest.mark.parametrize("place", ["spider.py", "ftp://127.0.0.1:1/snapshots"])
def test_a_place_that_fails(plain_crawl, place):
    """When snapshots can't be written, that is logged once and counted; all else is well."""
    if "://" in place:
        pytest.importorskip("fsspec")
    job = plain_crawl(SHOP, RESILIENCE_SNAPSHOT_DIR=place, RESILIENCE_SNAPSHOT_INTERVAL=0.1)
    run = job.run()

    assert (run.code, run.reason) == (0, "finished")
    assert len(run.errors) == 1
    assert f"A snapshot can't be made in {place} (" in run.errors[0]
    assert run.stats["resilience/snapshots/errors"] > 1
    job.check_items()


def test_a_place_that_does_not_answer(plain_crawl):
    """It costs a crawl its snapshots, and at the close a bounded time."""
    job = plain_crawl(
        SHOP
        + "import threading\n"
        + "from scrapy_resilience.snapshots.places import Folder\n"
        + "Folder.names = lambda self: threading.Event().wait()\n",
        RESILIENCE_SNAPSHOT_INTERVAL=0.1,
        RESILIENCE_SNAPSHOT_TIMEOUT=0.3,
    )
    run = job.run()

    assert (run.code, run.reason) == (0, "finished"), run
    assert len(run.errors) == 1
    assert "not done in time" in run.errors[0]
    assert run.stats["resilience/snapshots/errors"] > 1
    job.check_items()


def test_a_wrong_place_is_refused(plain_crawl):
    """A URL that can't be opened ends the crawl before it begins."""
    job = plain_crawl(SHOP, RESILIENCE_SNAPSHOT_DIR="nowhere://bucket")

    job.run().check_refused("RESILIENCE_SNAPSHOT_DIR", "nowhere://bucket")


@pytest.mark.slow
def test_kills_while_snapshots_are_made(crawl):
    """Kills leave no damaged snapshot, and cost no item."""
    job = crawl(SHOP, **{**OFTEN, "RESILIENCE_SNAPSHOT_INTERVAL": 0.02})

    job.survive(kills=2, commits=1)

    assert not [each.problem for each in found(job) if each.problem]
    assert not list(job.job.glob("*scratch*"))
    assert not list((job.job / "snapshots").glob("*.draft"))
    job.check_items()


# --- emergencies --------------------------------------------------------------------------


BROKEN_SCHEDULER = """
    from scrapy_resilience import ResilientScheduler
    from shop import Base
    class Shop(Base): pass
    class Broken(ResilientScheduler):
        count = 0
        def next_request(self):
            Broken.count += 1
            if Broken.count in (60, 70):
                raise LookupError("broken")
            return super().next_request()
"""


def test_the_scheduler_raises(plain_crawl):
    """An error of the scheduler makes one snapshot, from which the job can go on."""
    job = plain_crawl(
        BROKEN_SCHEDULER, SCHEDULER="spider.Broken", RESILIENCE_SNAPSHOT_INTERVAL=0
    )
    job.run_until(until=lambda: found(job), commits=0)

    (made,) = found(job)
    assert made.kind == "emergency"
    job.configure(SCHEDULER=None)
    lose_store(job)
    restore(job)
    job.finish()
    job.check_items()


BROKEN_EXTENSION = """
    from scrapy import signals
    from shop import Base
    class Shop(Base): pass
    class Broken:
        count = 0
        @classmethod
        def from_crawler(cls, crawler):
            self = cls()
            crawler.signals.connect(self.seen, signals.response_received)
            return self
        def seen(self):
            self.count += 1
            if self.count in (40, 50):
                raise LookupError("broken")
"""


def test_an_extension_raises(plain_crawl):
    """An error in a signal handler makes one snapshot; the crawl goes on as Scrapy's does."""
    job = plain_crawl(
        BROKEN_EXTENSION, EXTENSIONS={"spider.Broken": 0}, RESILIENCE_SNAPSHOT_INTERVAL=0
    )
    run = job.run()

    assert (run.code, run.reason) == (0, "finished")
    assert [each.kind for each in found(job)] == ["close", "emergency"]
    assert run.stats["resilience/snapshots/emergency"] == 1
    job.check_items()


BROKEN_CHECKPOINT = """
    from scrapy_resilience.checkpoint.timer import CommitTimer
    from shop import Base
    class Shop(Base): pass
    align, count = CommitTimer._align, 0
    async def broken(timer):
        global count
        count += 1
        if count == 4:
            raise LookupError("broken")
        return await align(timer)
    CommitTimer._align = broken
"""


def test_a_close_by_a_failure(plain_crawl):
    """A crawl that is closed because of a failure leaves an emergency snapshot."""
    job = plain_crawl(BROKEN_CHECKPOINT, RESILIENCE_SNAPSHOT_INTERVAL=0)
    run = job.run()

    assert (run.code, run.reason) == (1, "resilience_storage")
    (made,) = found(job)
    assert made.kind == "emergency"


# --- from code ------------------------------------------------------------------------------


FROM_CODE = """
    import os, threading
    from scrapy_resilience.extensions.snapshots import Snapshots
    from shop import Base, number
    class Shop(Base):
        async def parse(self, response):
            for output in super().parse(response):
                yield output
            if number(response) == 20 and "h0.test" in response.url:
                snapshots = self.crawler.get_extension(Snapshots)
                made = await snapshots.create_checkpoint({"page": 20})
                assert await snapshots.list_checkpoints(1) == [made]
                metadata, path = await snapshots.load_checkpoint(made.id)
                assert metadata == {"page": 20}, metadata
                assert path.is_file()
                self.logger.info("loaded %s", path)
                def nice():
                    return os.getpriority(0, threading.get_native_id())
                by = await snapshots._call(nice) - nice()
                self.logger.info("nicer by %d", by)
"""


@pytest.mark.parametrize("env", [KEY, None], ids=["encrypted", "plain"])
def test_from_code(plain_crawl, env):
    """A callback makes a snapshot, finds it, and looks into it."""
    job = plain_crawl(FROM_CODE, RESILIENCE_SNAPSHOT_INTERVAL=0)
    run = job.finish(env=env)

    assert "loaded" in run.log, run
    if sys.platform == "linux":
        nicer = min(5, 19 - os.getpriority(os.PRIO_PROCESS, 0))  # 19 is the most
        assert f"nicer by {nicer}" in run.log, run
    assert [each.kind for each in found(job)] == ["close", "manual"]
    job.check_items()
