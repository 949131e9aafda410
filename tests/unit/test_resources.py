"""What the process uses, and what its container lets it use."""

from __future__ import annotations

import pytest

from scrapy_resilience.observe.health.cgroups import Cgroups, MemoryUse
from scrapy_resilience.observe.health.resources import LoopLag, ResourceMeter

GIB = 1 << 30


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
    "sys/fs/cgroup/kubepods/pod1/memory.stat": f"anon 5\ninactive_file {2 * GIB}\n",
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
    "proc/self/fd/0": "",
    "proc/self/fd/1": "",
}


@pytest.mark.usefixtures("fake_clock")
def test_a_look(tmp_path):
    """The resident set, the machine's memory where no container limits it, open files."""
    meter = ResourceMeter(LoopLag(), tmp_path, make(tmp_path, MACHINE))

    view = meter.view()

    assert view.memory % 100 == 0
    assert view.memory > 0
    assert view.memory_limit == 1000 * 1024
    assert view.open_files == 2
    assert view.disk_free > 0
    assert view.cpu is None
    assert meter.memory_share == 0.75
    assert 0 < meter.disk_share <= 1


def test_shares_of_the_processor(tmp_path, fake_clock, monkeypatch):
    """Of one core for the view; of all that may be used, or of the machine, for the health."""
    used = [10.0]
    monkeypatch.setattr(
        "scrapy_resilience.observe.health.resources._processor_seconds", lambda: used[0]
    )
    monkeypatch.setattr("scrapy_resilience.observe.health.resources._processors", lambda: 4)
    meter = ResourceMeter(LoopLag(), tmp_path, make(tmp_path, MACHINE))
    fake_clock.now += 10.0
    used[0] += 8.0
    make(tmp_path, {"proc/stat": "cpu 60 0 20 15 5 0 0 0 0 0\n"})

    assert meter.view().cpu == pytest.approx(0.8)
    assert meter.cpu_share == pytest.approx(0.8)  # of the machine: by others, too

    make(tmp_path, V2)
    fake_clock.now += 10.0
    used[0] += 15.0
    assert meter.view().cpu == pytest.approx(1.5)
    assert meter.cpu_share == pytest.approx(1.0)  # of the 1.5 that the container may use


def test_two_who_look(tmp_path, fake_clock):
    """The second one within a second is told the same."""
    meter = ResourceMeter(LoopLag(), tmp_path, make(tmp_path, MACHINE))
    first = meter.view()
    fake_clock.now += 0.9
    assert meter.view() is first
    fake_clock.now += 0.1
    assert meter.view() is not first


def test_where_nothing_can_be_read(tmp_path, fake_clock):
    """Another system, or a folder that has gone: what is not known is None."""
    meter = ResourceMeter(LoopLag(), tmp_path / "gone", tmp_path / "empty")
    view = meter.view()
    assert view.disk_free is view.memory_limit is view.open_files is None
    assert meter.memory_share is meter.disk_share is None
    fake_clock.now += 5.0
    assert meter.view().cpu >= 0


def test_a_loop_that_is_late(fake_clock):
    """The longest delay of the last minute; one that goes on counts already."""
    lag = LoopLag()
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
