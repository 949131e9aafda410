"""SIGKILL at a system call: any of those that change files, wherever a crawl makes it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import Counter, defaultdict

import pytest
from crawls import KILLED, SHOP, Crawl, check_same
from soaking import LIMIT

from scrapy_resilience.files.layout import STORE
from scrapy_resilience.testing import SiteConfig, running_site

SITE = SiteConfig(hosts=2, pages=30, latency=0.01)
POSITIONS = 3
"""For each call, in one round."""
CALLS = (
    "pwrite64",
    "write",
    "fsync",
    "fdatasync",
    "rename",
    "link",
    "unlink",
    "mkdir",
    "ftruncate",
    "openat",
    "close",
    "flock",
    "fcntl",
    "sendto",
)
LINES = {"items.jsonl": {"format": "jsonlines"}}
OFTEN = {"RESILIENCE_SNAPSHOT_ITEMS": 30, "RESILIENCE_SNAPSHOT_INTERVAL": 0}
JOBS = {
    "lines": {"FEEDS": LINES},
    "spool": {"FEEDS": {"items.json": {"format": "json"}}},
    "csv": {"FEEDS": {"items.csv": {"format": "csv", "overwrite": True}}},
    "batches": {
        "FEEDS": {"lines-%(batch_id)d.jsonl": {"format": "jsonlines", "batch_item_count": 17}}
    },
    "snapshots": {"FEEDS": LINES, **OFTEN},
    "restore": {"FEEDS": LINES, **OFTEN},
}


@pytest.fixture(autouse=True)
def _can_trace():
    """Skip in words where there is no tracer, or none is allowed."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    tried = subprocess.run(
        ["strace", "-o", os.devnull, "true"], capture_output=True, check=False
    )
    if tried.returncode:
        pytest.skip("strace may not trace here")


def traced(job, trace, *more):
    """Let a job's next process be traced, with all of its threads."""
    calls = f"--trace={','.join(CALLS)}"
    job.under = ("strace", "-f", "-qq", "-y", calls, "-o", trace, *more)


def positions(trace, folder, rng):
    """At which calls to kill: those on the job's own files, spread over the crawl.

    They are counted for each thread, as strace does.
    """
    seen, own = Counter(), defaultdict(list)
    for line in trace.read_text("utf-8", "replace").splitlines():
        if (found := re.match(r"(\d+) +(\w+)\(", line)) and found[2] in CALLS:
            seen[found[0]] += 1
            if found[2] == "sendto" or f"{folder}/" in line:
                own[found[2]].append(seen[found[0]])
    for call, places in own.items():
        count = min(POSITIONS, len(places))
        for place in range(count):
            yield call, places[int((place + rng.random()) * len(places) / count)]


def items(job):
    """What is in the feeds, whatever their kind."""
    found = []
    for path in sorted(job.folder.glob("*")):
        if path.name.endswith(".jsonl"):
            found += job.items(path.name)
        elif path.name == "items.json":
            found += json.loads(path.read_text())
        elif path.name == "items.csv":
            found += job.csv_rows()
    return [item["sku"] for item in found]


def begun(job, kind):
    """Bring the job to where the kills are to come."""
    if kind == "restore":
        job.run_until(until=lambda: len([*job.job.glob("snapshots/*.snapshot")]) >= 2)
        os.truncate(job.job / f"{STORE}-wal", 5000)
    job.keep()


@pytest.mark.parametrize("kind", JOBS)
def test_kill_at(tmp_path, rng, killer, kind):
    """Whichever call a kill comes at, each item is there once after the next run."""
    trace = tmp_path / "trace"
    with running_site(SITE) as site:
        expected = [item["sku"] for item in site.expected_items()]
        job = Crawl(tmp_path / "job", SHOP, site, **JOBS[kind])
        begun(job, kind)
        traced(job, trace)
        run = job.run(limit=LIMIT)
        assert run.code == 0, run
        check_same(items(job), expected)
        for call, position in positions(trace, job.folder, rng):
            job.restore()
            traced(job, os.devnull, f"--inject={call}:signal=KILL:when={position}")
            code = job.run(limit=LIMIT).code
            job.under = ()
            killer.count += code == KILLED
            try:
                assert code in {0, KILLED}
                if code == KILLED:
                    end(job)
                check_same(items(job), expected)
            except AssertionError as error:
                raise AssertionError(f"{call} number {position}: {error}") from error
    assert killer.count


def end(job):
    """Run to the end, which may have been reached; a restore is said."""
    run = job.run(limit=LIMIT)
    if "has finished" not in run.log:
        assert (run.code, run.reason) == (0, "finished"), run
    assert "Traceback" not in run.log, run
