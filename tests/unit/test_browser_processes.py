"""Which processes are a job's browsers, and how they end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from scrapy_resilience.browsers import processes
from scrapy_resilience.browsers.fleet import Fleet, Running
from scrapy_resilience.settings import Config

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="processes are found by /proc"
)


@pytest.fixture
def start():
    """``start(mark)``: a process that has a mark, and leads a group."""
    started = []

    def begin(mark):
        marks = {processes.JOB: mark}
        process = subprocess.Popen(
            ["sleep", "100"], env=processes.environment(None, marks), start_new_session=True
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


def test_only_the_jobs_own_are_ended(start):
    """A process of another job, whose mark begins alike, goes on."""
    own, other = start("abc"), start("abcd")

    assert processes.marked(processes.JOB, "abc") == [own.pid]
    assert processes.end([own.pid]) == 1
    assert own.wait() == -9
    assert other.poll() is None


def test_a_group_ends_with_its_leader():
    """What a browser has started ends with it."""
    code = (
        "import subprocess; print(subprocess.Popen(['sleep', '100']).pid, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=processes.environment(None, {processes.JOB: "group"}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as leader:
        child = int(leader.stdout.readline())
        assert processes.leaders([leader.pid, child]) == [leader.pid]
        assert processes.memory_of([leader.pid]) > 0
        processes.end([leader.pid])
        leader.wait()
    end = time.monotonic() + 30
    while not processes.are_at_rest([child]) and time.monotonic() < end:
        time.sleep(0.01)  # whoever adopts it has to bury it
    assert processes.are_at_rest([child])


def fleet_of_none():
    """A fleet without a browser."""
    return Fleet(Config(), SimpleNamespace(inc_value=None), {}, lambda: None)


def test_no_browser_serves():
    """That of a persistent context has no handle, and is not the one that is meant then."""
    fleet = fleet_of_none()
    fleet.add({})

    assert fleet.of(None) is None


def test_a_number_that_is_used_again(start, tmp_path, monkeypatch):
    """A process that has the number of one that has ended is not the browser's."""
    other = start("another job")
    place = tmp_path / str(other.pid)
    place.mkdir()
    (place / "environ").write_bytes(f"{processes.BROWSER}=1.1".encode())
    (place / "stat").write_text(f"{other.pid} (chrome) S 1 {other.pid} " + "1 " * 40)
    running = Running("1.1", 0.0)
    with monkeypatch.context() as before:
        before.setattr(processes, "_PROC", tmp_path)
        assert running.pids() == [other.pid]

    assert running.pids() == []
    assert not fleet_of_none().kill(running)
    assert other.poll() is None


def test_what_is_gone():
    """A process that has ended is neither found nor an error."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert processes.end([process.pid]) == 0
    assert processes.are_at_rest([process.pid])
    assert processes.memory_of([]) is None
    assert processes.work_of([]) is None


def test_an_own_environment():
    """A browser has the user's environment for it, or that of the crawl, and its marks."""
    assert processes.environment({"A": "1"}, {"B": "2"}) == {"A": "1", "B": "2"}
    assert processes.environment(None, {"B": "2"}) == {**os.environ, "B": "2"}


def test_the_mark_of_a_copy(tmp_path):
    """A job that was copied into another folder has another mark."""
    (tmp_path / "a").mkdir()
    one = processes.job_mark("1234", tmp_path / "a")
    assert one == processes.job_mark("1234", tmp_path / "a" / ".." / "a")
    assert one != processes.job_mark("1234", tmp_path / "b")
    assert one != processes.job_mark("5678", tmp_path / "a")
