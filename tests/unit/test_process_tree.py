"""The processes that a process has started, and the disks it writes to."""

from __future__ import annotations

import asyncio
import mmap
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from scrapy_resilience.observe.health import process_tree
from scrapy_resilience.observe.health.background import Background
from scrapy_resilience.observe.health.disks import crawl_folders, read_disks
from scrapy_resilience.observe.health.process_tree import Tree, TreeReader, is_browser

PAGE = mmap.PAGESIZE
ROOT = Path("/")


def make(root, processes, shared=()):
    """Write a /proc: of each process its name, its pages and its children, by thread."""
    for pid, (name, pages, *threads) in processes.items():
        for number, children in enumerate(threads or [""]):
            path = root / f"proc/{pid}/task/{number}/children"
            path.parent.mkdir(parents=True)
            path.write_text(children)
        fields = ["S", "1", *["0"] * 19, str(pages), "0"]
        (root / f"proc/{pid}/stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")
    for pid, kib in dict(shared).items():
        path = root / f"proc/{pid}/smaps_rollup"
        path.write_text(f"00-ff ---p [rollup]\nRss: 9 kB\nPss:  {kib} kB\nPss_Anon: 1 kB\n")
    return TreeReader(root)


FAMILY = {
    "self": ("python", 7, "10 11 ", "12"),
    10: ("node", 100, "20 "),
    11: ("sh) (x", 10),
    12: ("headless_shell", 50, "", "30 "),
    20: ("chrome", 1000, "21 "),
    21: ("renderer", 2000),
    30: ("worker", 5),
}


def test_the_whole_tree(tmp_path):
    """Children of all threads and theirs; a browser's children are browsers."""
    tree = make(tmp_path, FAMILY).read()
    assert tree == Tree(110 * PAGE, 3055 * PAGE, processes=6, browsers=4)


def test_what_processes_share_counts_once(tmp_path):
    """It is looked at when a process is new, and rarely after that; growth counts at once."""
    pss = {20: 1000 * PAGE // 2048, 21: 2000 * PAGE // 2048}
    reader = make(tmp_path, FAMILY, pss)
    assert reader.read().browser_memory == 1555 * PAGE
    for pid in pss:
        (tmp_path / f"proc/{pid}/smaps_rollup").unlink()
    leak = "20 (chrome) S 1 " + "0 " * 19 + "1100 0"
    (tmp_path / "proc/20/stat").write_text(leak)
    assert [reader.read().browser_memory for _ in range(9)] == [1655 * PAGE] * 9
    assert reader.read().browser_memory == 3155 * PAGE


def test_a_process_that_shrinks(tmp_path):
    """It does not count less than nothing, and one that is new is looked at."""
    reader = make(tmp_path, {"self": ("python", 1, "2"), 2: ("a", 100)}, {2: PAGE // 1024})
    assert reader.read().memory == PAGE
    (tmp_path / "proc/2/stat").write_text("2 (a) S 1 " + "0 " * 19 + "50 0")
    assert reader.read().memory == 0
    (tmp_path / "proc/self/task/0/children").write_text("2 3")
    make(tmp_path, {3: ("b", 100)}, {3: 10 * PAGE // 1024})
    assert reader.read().memory == 10 * PAGE


@pytest.mark.parametrize(
    "stat", ["", "12", "12 (chrome", "12 (chrome) S", f"12 (chrome) S {'0 ' * 20}x"]
)
def test_a_process_that_ends_meanwhile(tmp_path, stat):
    """What is there of it can't be read: the others are counted."""
    reader = make(tmp_path, FAMILY)
    (tmp_path / "proc/12/stat").write_text(stat)
    (tmp_path / "proc/20/stat").unlink()
    assert reader.read() == Tree(110 * PAGE, 0, processes=2, browsers=0)


def test_a_thread_that_ends_meanwhile(tmp_path):
    """What the others have started is known: nobody needs psutil."""
    reader = make(tmp_path, FAMILY)
    (tmp_path / "proc/self/task/2").mkdir()
    (tmp_path / "proc/20/task/1").mkdir()
    assert reader.read() == Tree(110 * PAGE, 3055 * PAGE, processes=6, browsers=4)


def test_a_circle(tmp_path):
    """A pid that was given again, to a parent: each process counts once."""
    reader = make(tmp_path, {"self": ("python", 1, "2"), 2: ("a", 1, "3"), 3: ("b", 1, "2 3")})
    assert reader.read().processes == 2


@pytest.mark.parametrize(
    ("name", "browser"),
    [("chrome", True), ("chromium-browse", True), ("firefox-bin", True), ("Firefox", True),
     ("WebKitWebProces", True), ("MiniBrowser", True), ("node", False), ("python3", False),
     ("", False)],
)  # fmt: skip
def test_names_of_browsers(name, browser):
    """By how they begin, as the system keeps 15 characters of them."""
    assert is_browser(name) is browser


@pytest.fixture
def child():
    """A process that waits."""
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        process.stdout.readline()
        yield process
        process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is of Linux")
def test_a_real_child(child):
    """This system's /proc and psutil say the same; /proc tells what is shared apart."""
    found = TreeReader(ROOT)
    tree = found.read()
    assert tree.processes >= 1
    resident = psutil.Process(child.pid).memory_info().rss
    assert tree.memory > 0
    processes = {each.pid: each for each in found._processes()}
    assert processes[child.pid].resident == pytest.approx(resident, rel=0.2)
    assert {each.pid for each in process_tree._by_psutil()} == set(processes)


@pytest.mark.usefixtures("child")
def test_by_psutil(tmp_path):
    """Where /proc is hidden."""
    process_tree.psutil_process.cache_clear()
    tree = TreeReader(tmp_path).read()
    assert tree.processes >= 1
    assert tree.memory > 0


# --- disks --------------------------------------------------------------------------------


def test_folders_of_a_crawl(tmp_path):
    """The job, local feeds up to the first field of their path, and temporary files."""
    feeds = [
        f"{tmp_path}/a/items.jsonl", f"file://{tmp_path}/b%20c/%(time)s/x/items.csv",
        "s3://bucket/x.json", "-", "", "here.json", f"{tmp_path}/a/other.json",
        "ftp://user:secret@host/x.csv",
    ]  # fmt: skip
    folders = crawl_folders(tmp_path / "job", feeds)
    assert folders.pop("temp").is_dir()
    assert folders == {
        "job": tmp_path / "job",
        "feeds": tmp_path / "a",
        "feeds 2": tmp_path / "b c",
        "feeds 3": Path(),
    }
    assert list(crawl_folders(None, [])) == ["work", "temp"]
    assert len(crawl_folders(None, [f"/{number}/x.json" for number in range(100)])) == 10


def test_disks(tmp_path):
    """Each once; a folder that is not made yet is on the disk that it will be on."""
    disks = read_disks({"job": tmp_path / "not/yet", "feeds": tmp_path, "temp": tmp_path})
    assert list(disks) == ["job"]
    assert disks["job"].path == str(tmp_path)
    assert 0 < disks["job"].free <= disks["job"].total


def test_a_disk_that_can_not_be_read(monkeypatch):
    """The others are there."""
    real = os.stat

    def stat(path, **options):
        if str(path) == "/proc":
            raise OSError(5, "Input/output error")
        return real(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(
        "scrapy_resilience.observe.health.disks._existing", lambda folder: folder
    )
    assert list(read_disks({"job": Path("/proc"), "temp": Path("/")})) == ["temp"]


# --- looks that may block -----------------------------------------------------------------


def run(main):
    """In a loop of its own: pytest's thread has one that runs."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, main()).result(60)


def test_a_look_that_hangs():
    """The loop goes on, nobody else is sent after it, and the last answer stays."""
    go, looks = threading.Event(), []

    def look():
        looks.append(1)
        if len(looks) == 2:
            go.wait(60)
        return len(looks)

    async def main():
        background = Background("disks", look)
        await background.ask()
        assert (background.value, background.waits_since) == (1, None)
        hanging = background.ask()
        assert background.ask() is hanging
        assert background.waits_since is not None
        assert background.value == 1
        go.set()
        await hanging
        assert (background.value, background.waits_since) == (2, None)
        background.close()

    run(main)
    assert len(looks) == 2


def test_a_look_that_fails(caplog):
    """It is logged once, until it succeeds; what it said before is not kept."""
    answers = [1, OSError("gone"), OSError("gone"), 2, OSError("again")]

    def look():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    background = Background("x", look)
    found = [background.look() for _ in range(5)]
    assert found == [1, None, None, 2, None]
    assert caplog.messages == ["The x can't be read: gone", "The x can't be read: again"]


def test_a_loop_that_has_ended():
    """A thread that comes back late tells nobody, and ends."""
    go = threading.Event()
    background = Background("disks", lambda: go.wait(60))

    async def main():
        background.ask()

    run(main)
    thread = background._thread
    background.close()
    background.close()
    go.set()
    thread.join(60)
    assert not thread.is_alive()
    assert background.value is True
