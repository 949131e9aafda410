"""A kill at each step of a restore: of a job that was damaged, and of a good one."""

from __future__ import annotations

import json
import os
import sys

import pytest
from crawls import KILLED, Crawl, check_same

from scrapy_resilience.failpoints import RESTORE_STEPS
from scrapy_resilience.files.layout import STORE

pytestmark = pytest.mark.integration

KILLER = """
import os
import signal
from scrapy_resilience.failpoints import reached

def kill(name):
    if name == os.environ.get("KILL_AT"):
        os.kill(os.getpid(), signal.SIGKILL)

reached.append(kill)
"""
RESTORE = """
import sys
from pathlib import Path
import killer
from scrapy_resilience.jobs.restore import restore
from scrapy_resilience.settings import Config
from scrapy_resilience.snapshots.store import store_of

job = Path("job")
restore(job, store_of(Config(), job), *sys.argv[1:])
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory, site_process):
    """A job with a spool that was killed behind some snapshots."""
    site_process.reset()
    settings = {"RESILIENCE_SNAPSHOT_ITEMS": 40, "RESILIENCE_SNAPSHOT_INTERVAL": 0}
    feeds = {name: {"format": "jsonlines"} for name in ("items.jsonl",)}
    feeds |= {"items.csv": {"format": "csv"}, "items.json": {"format": "json"}}
    source = "import killer\nfrom shop import Base\nclass Shop(Base): pass\n"
    folder = tmp_path_factory.mktemp("killed") / "job"
    job = Crawl(folder, source, site_process, FEEDS=feeds, **settings)
    job.write("killer.py", KILLER)
    job.write("restore.py", RESTORE)
    job.run_until(until=lambda: len(snapshots(job)) >= 2)
    assert job.kills == 1
    return job.keep()


def snapshots(job):
    """The ids of its snapshots, the oldest first."""
    return sorted(path.stem for path in job.job.glob("snapshots/*.snapshot"))


def check(job):
    """All feeds hold all items once."""
    job.check_items()
    found = [item["sku"] for item in json.loads(job.path("items.json").read_text())]
    check_same(found, [item["sku"] for item in job.site.expected_items()])


def cut_log(job):
    """Damage the store so that it is sound, and knows of no feed."""
    os.truncate(job.job / f"{STORE}-wal", 5000)


def restore_killed_at(job, step, ident):
    """Begin to restore a snapshot."""
    run = job.run(sys.executable, "restore.py", ident, env={"KILL_AT": step})
    assert run.code == KILLED, run


def test_a_restore_of_itself(killed, rng):
    """A job whose log was cut goes back, is killed in that, and goes back again."""
    job = killed.restore()
    cut_log(job)

    assert job.run(env={"KILL_AT": rng.choice(RESTORE_STEPS)}).code == KILLED
    run = job.run()

    assert (run.code, run.reason) == (0, "finished"), run
    check(job)


@pytest.mark.parametrize("step", RESTORE_STEPS)
def test_a_restore_by_command(killed, step):
    """A restore of a damaged job that a kill has ended need not be begun again."""
    job = killed.restore()
    cut_log(job)

    restore_killed_at(job, step, snapshots(job)[-2])
    run = job.run()

    assert (run.code, run.reason) == (0, "finished"), run
    check(job)


@pytest.mark.parametrize("step", ["restore/kept", "restore/replaced"])
def test_a_good_job(killed, step):
    """What a restore has put in its place is not taken for an older copy."""
    job = killed.restore()

    restore_killed_at(job, step, snapshots(job)[0])
    run = job.run()

    run.check_finished()
    check(job)
