"""What the process uses, and what its container lets it use."""

from __future__ import annotations

import mmap

import psutil
import pytest
from msgspec.structs import replace

from scrapy_resilience.observe.health.cgroups import Cgroups, MemoryUse
from scrapy_resilience.observe.health.loop_lag import LoopLag
from scrapy_resilience.observe.health.process_tree import TreeReader, psutil_process
from scrapy_resilience.observe.health.resources import ResourceMeter

GIB = 1 << 30
PAGE = mmap.PAGESIZE


def make(root, files):
    """Write files below *root*."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V2 = {
    "proc/self/cgroup": "0::/kubepods/pod1/crawl\n",
    "sys/fs/cgroup/kubepods/memory.max": "max\n",
    "sys/fs/cgroup/kubepods/pod1/memory.max": f"{4 * GIB}\n",
    "sys/fs/cgroup/kubepods/pod1/memory.current": f"{3 * GIB}\n",
    "sys/fs/cgroup/kubepods/pod1/memory.stat": f"inactive_file {GIB}\nactive_file {GIB}\n",
    "sys/fs/cgroup/kubepods/pod1/crawl/memory.max": "max\n",
    "sys/fs/cgroup/kubepods/pod1/crawl/memory.current": f"{GIB}\n",
    "sys/fs/cgroup/kubepods/pod1/crawl/cpu.max": "150000 100000\n",
    "sys/fs/cgroup/kubepods/cpu.max": "max 100000\n",
}
V1 = {
    "proc/self/cgroup": "4:memory:/docker/abc\n3:cpuset:/\n2:cpu,cpuacct:/docker/abc\n0::/\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GIB}\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB}\n",
    "sys/fs/cgroup/memory/memory.stat": f"cache 1\ntotal_inactive_file {GIB // 2}\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
}


def test_version_2(tmp_path):
    """The tightest limit of the group and those above; what a cache holds does not count."""
    groups = Cgroups(make(tmp_path, V2))
    assert groups.memory() == MemoryUse(used=GIB, limit=4 * GIB)
    assert groups.processors() == 1.5


def test_version_1(tmp_path):
    """Within a container its own group is the top of what it sees."""
    groups = Cgroups(make(tmp_path, V1))
    assert groups.memory() == MemoryUse(used=GIB // 2, limit=2 * GIB)
    assert groups.processors() == 0.5


def test_a_limit_that_changes(tmp_path):
    """It is read anew."""
    groups = Cgroups(make(tmp_path, V2))
    groups.memory()
    make(tmp_path, {"sys/fs/cgroup/kubepods/pod1/crawl/memory.max": f"{2 * GIB}"})
    assert groups.memory() == MemoryUse(used=GIB, limit=2 * GIB)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc/self/cgroup": "nonsense\n\n::\n"},
        {"proc/self/cgroup": "0::/../../x\n", "x/memory.max": "5"},
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "many\n",
         "sys/fs/cgroup/cpu.max": "some\n"},
        {"proc/self/cgroup": "4:memory:/\n2:cpu:/\n",
         "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
         "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"},
    ],
)  # fmt: skip
def test_no_limit(tmp_path, files):
    """There is none, or what is there can't be read."""
    groups = Cgroups(make(tmp_path, files))
    assert groups.memory() is None
    assert groups.processors() is None


MACHINE = {
    "proc/meminfo": "MemTotal: 1000 kB\nMemFree: 5 kB\nMemAvailable: 250 kB\nBuffers: 1 kB\n",
    "proc/stat": "cpu 0 0 0 0 0 0 0 0 0 0\ncpu0 1\n",
    "proc/self/statm": "500 100 1 1 0 1 0\n",
    "proc/self/task/1/children": "",
    "proc/self/fd/0": "",
    "proc/self/fd/1": "",
}


def meter_in(root, folder=None, **options):
    """Make a meter whose /proc and /sys are in *root*."""
    return ResourceMeter({"job": folder or root}, root, **options)


@pytest.mark.usefixtures("fake_clock")
def test_a_look(tmp_path):
    """The resident set, what the machine has left where nothing else limits it, open files."""
    meter = meter_in(make(tmp_path, MACHINE))

    reading, view = meter.look_now(), meter.view()

    assert view.memory == reading.memory == 100 * PAGE
    assert view.memory_limit == 250 * 1024 + 100 * PAGE
    assert reading.limited_by == "machine"
    assert view.open_files == 2
    assert view.connections == 0
    assert view.disk_free == reading.disks["job"].free > 0
    assert view.disks[0].purpose == "job"
    assert view.cpu is None
    assert 0 < reading.disk_share <= 1


@pytest.mark.parametrize(
    ("allowed", "files", "limit", "by"),
    [
        (GIB, {}, GIB, "setting"),
        (4 * GIB, V1, 2 * GIB - GIB // 2 + 100 * PAGE, "container"),
        (GIB, V1, GIB, "setting"),
        (None, {}, 8 * GIB + 100 * PAGE, "machine"),
    ],
)
def test_the_tightest_limit(tmp_path, allowed, files, limit, by):
    """Of the setting, the container and the machine; what others use there is taken off."""
    roomy = {"proc/meminfo": "MemTotal: 16777216 kB\nx: 1 kB\nMemAvailable: 8388608 kB\n"}
    meter = meter_in(make(tmp_path, MACHINE | files | roomy), memory_limit=allowed)

    reading = meter.look_now()

    assert (reading.memory_limit, reading.limited_by) == (limit, by)
    assert reading.memory_share == pytest.approx(100 * PAGE / limit)


def test_a_container_of_others(tmp_path):
    """Others have used it up: what is left is what this process has."""
    full = {"sys/fs/cgroup/memory/memory.usage_in_bytes": f"{3 * GIB}\n"}
    reading = meter_in(make(tmp_path, MACHINE | V1 | full)).look_now()
    assert reading.memory_limit == 1
    assert reading.memory_share > 1


def test_memory_in_between(tmp_path):
    """It is read anew, all else is that of the last reading."""
    meter = meter_in(make(tmp_path, MACHINE))
    before = meter.look_now()
    make(tmp_path, {"proc/self/statm": "500 200 1 1 0 1 0\n"})

    after = meter.with_memory(before)

    assert after.memory == 200 * PAGE
    assert not after.complete
    assert replace(after, memory=before.memory, complete=True) == before


def test_shares_of_the_processor(tmp_path, fake_clock, monkeypatch):
    """Of one core for the view; of all that may be used, or of the machine, for the health."""
    used = [10.0]
    module = "scrapy_resilience.observe.health"
    monkeypatch.setattr(f"{module}.processor._seconds", lambda: used[0])
    monkeypatch.setattr(f"{module}.process_look.allowed_processors", lambda: 4)
    meter = meter_in(make(tmp_path, MACHINE))
    meter.look_now()
    fake_clock.now += 10.0
    used[0] += 8.0
    make(tmp_path, {"proc/stat": "cpu 60 0 20 15 5 0 0 0 0 0\n"})

    assert meter.look_now().cpu == pytest.approx(0.8)  # of the machine: by others, too
    assert meter.view().cpu == pytest.approx(0.8)

    make(tmp_path, V2)
    fake_clock.now += 10.0
    used[0] += 15.0
    assert meter.look_now().cpu == pytest.approx(1.0)  # of the 1.5 of the container
    assert meter.view().cpu == pytest.approx(1.5)


def test_two_who_look(tmp_path, fake_clock):
    """The second one within a second is told the same."""
    meter = meter_in(make(tmp_path, MACHINE))
    first = meter.reading()
    fake_clock.now += 0.9
    assert meter.reading() is first
    fake_clock.now += 0.1
    assert meter.reading() is not first


def test_where_nothing_can_be_read(tmp_path, fake_clock, monkeypatch):
    """Another system without psutil: what is not known is None."""
    monkeypatch.setattr("scrapy_resilience.observe.health.process_tree.import_module", _refused)
    monkeypatch.setattr("scrapy_resilience.observe.health.process_look.import_module", _refused)
    psutil_process.cache_clear()
    meter = ResourceMeter({}, tmp_path / "empty")

    reading, view = meter.look_now(), meter.view()

    assert view.disk_free is view.memory_limit is view.open_files is view.memory is None
    assert reading.memory_share is reading.disk_share is reading.used is None
    assert reading.disks == {}
    fake_clock.now += 5.0
    assert meter.view().cpu >= 0


def test_where_proc_is_hidden(tmp_path):
    """Psutil tells what /proc does not."""
    psutil_process.cache_clear()
    reading = meter_in(tmp_path / "empty", tmp_path).look_now()
    assert reading.memory > 1 << 20
    assert reading.memory_limit > reading.memory
    assert reading.open_files > 0
    assert reading.children >= 0


def test_psutil_without_permission(tmp_path, monkeypatch, caplog):
    """One line in the log, and the rest is known."""

    def denied(_self):
        raise psutil.AccessDenied(1)

    monkeypatch.setattr(TreeReader, "read", denied)
    meter = meter_in(make(tmp_path, MACHINE))
    meter.look_now()
    assert meter.look_now().memory == 100 * PAGE
    assert caplog.text.count("The processes that the crawl has started can't be read") == 1


def _refused(name):
    raise ImportError(name)


def test_a_loop_that_is_late(fake_clock):
    """The longest delay of the last minute; one that goes on counts already."""
    lag = LoopLag()
    lag.start()
    lag.start()
    assert lag.longest() == 0.0
    fake_clock.now += 3.5  # three seconds beyond its time, and no timer was called
    assert lag.longest() == pytest.approx(3.0)
    fake_clock.advance(0.0)
    assert lag.longest() == pytest.approx(3.0)
    fake_clock.advance(30.0)
    assert lag.longest() == pytest.approx(3.0)
    fake_clock.advance(40.0)
    assert lag.longest() == pytest.approx(0.0)
    lag.stop()
    fake_clock.now += 100.0
    assert lag.longest() == 0.0


def test_a_loop_that_is_late_now_and_then(fake_clock):
    """What is usual is that of half of the last minute: one long turn is nothing."""
    lag = LoopLag()
    lag.start()
    for turn in range(24):
        fake_clock.now += 2.5 if turn in {3, 11, 19} else 0.5
        fake_clock.advance(2.0)
    assert lag.longest() > 1.5
    assert lag.usual() < 0.5

    for _ in range(40):
        fake_clock.now += 2.5
        fake_clock.advance(0.5)
    assert lag.usual() > 1.5
    lag.stop()


PRESSURE = "some avg10=1.00 avg60=2.50 avg300=0.10 total=5\nfull avg10=0 avg60=9 total=1\n"


def test_pressure(tmp_path):
    """Of the group with version 2, of the machine else; nonsense is not known."""
    groups = Cgroups(make(tmp_path, V1 | {"proc/pressure/memory": PRESSURE}))
    assert groups.pressure("memory") == pytest.approx(0.025)
    assert groups.pressure("cpu") is None
    make(tmp_path, V2 | {"sys/fs/cgroup/kubepods/pod1/cpu.pressure": "some avg60=50.0 x\n"})
    assert groups.pressure("cpu") == pytest.approx(0.5)
    make(tmp_path, {"proc/pressure/memory": "some avg60=much\n"})
    assert groups.pressure("memory") is None
