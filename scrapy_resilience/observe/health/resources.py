"""What the process uses, read when somebody asks; and how late its event loop is."""

from __future__ import annotations

import os
import shutil
import threading
from collections import deque
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from scrapy_resilience import _clock
from scrapy_resilience.observe.health.cgroups import Cgroups, MemoryUse
from scrapy_resilience.observe.view import Resources

__all__ = ["LoopLag", "ResourceMeter"]

_EACH: Final = 0.5
"""Seconds between two samples of the event loop."""
_SLICE: Final = 5.0
_SLICES: Final = 12
"""Of which the last minute is made."""
_FRESH: Final = 1.0
"""Seconds for which a look is good: a share over less says little."""


class LoopLag:
    """How late the event loop was in the last minute: a timer twice a second."""

    def __init__(self) -> None:
        self._slices: deque[tuple[float, float]] = deque(maxlen=_SLICES)
        self._due: float | None = None
        self._timer: _clock.Timer | None = None

    def start(self) -> None:
        """Begin; the event loop must run."""
        self._due = _clock.monotonic() + _EACH
        self._timer = _clock.call_later(_EACH, self._tick)

    def stop(self) -> None:
        """End; what was seen stays."""
        if self._timer is not None:
            self._timer.cancel()
        self._due = self._timer = None

    def longest(self) -> float:
        """Seconds, in the last minute; 0 where it never was late."""
        now = _clock.monotonic()
        seen = [late for began, late in self._slices if now - began <= _SLICE * _SLICES]
        return max([*seen, now - self._due if self._due is not None else 0.0, 0.0])

    def _tick(self) -> None:
        now = _clock.monotonic()
        late = max(now - (self._due or now), 0.0)
        if self._slices and now - self._slices[-1][0] < _SLICE:
            began, before = self._slices.pop()
            self._slices.append((began, max(before, late)))
        else:
            self._slices.append((now, late))
        self.start()


class ResourceMeter:
    """Of this process.

    :param folder: where its job is
    :param root: where ``/proc`` and ``/sys`` are
    """

    def __init__(
        self, lag: LoopLag, folder: Path | None = None, root: Path = Path("/")
    ) -> None:
        self._lag = lag
        self._folder = folder or Path()
        self._root = root
        self._cgroups = Cgroups(root)
        self._looked: float | None = None
        self._used = _processor_seconds()
        self._began = _clock.monotonic()
        self._machine = self._jiffies()
        self.cpu_share: float | None = None
        """Of the processors that may be used: by this process, or by all on the machine."""
        self._view = Resources()

    def view(self) -> Resources:
        """What is so now; looked at once a second at most."""
        now = _clock.monotonic()
        if self._looked is None or now - self._looked >= _FRESH:
            self._look(now)
        return self._view

    @property
    def memory_share(self) -> float | None:
        """Of the memory that may be used: by the container, or by all on the machine."""
        use = self._cgroups.memory() or self._machine_memory()
        return use.used / use.limit if use else None

    @property
    def disk_share(self) -> float | None:
        """Of the disk that the job is on."""
        disk = self._disk()
        return disk.used / (disk.used + disk.free) if disk and disk.used + disk.free else None

    @property
    def loop_lag(self) -> float:
        """See :meth:`LoopLag.longest`."""
        return self._lag.longest()

    def _look(self, now: float) -> None:
        disk = self._disk()
        limits = self._cgroups.memory() or self._machine_memory()
        self._view = Resources(
            cpu=self._processor(now),
            memory=self.resident(),
            memory_limit=limits.limit if limits else None,
            disk_free=disk.free if disk else None,
            loop_lag=self._lag.longest(),
            threads=threading.active_count(),
            open_files=self._open_files(),
        )
        self._looked = now

    def _processor(self, now: float) -> float | None:
        passed, used, machine = now - self._began, _processor_seconds(), self._jiffies()
        if passed < _FRESH:
            return self._view.cpu  # of a process that has just begun
        share = (used - self._used) / passed
        allowed = min(self._cgroups.processors() or 1e9, float(_processors()))
        busy, total = (
            after - before for after, before in zip(machine, self._machine, strict=True)
        )
        self.cpu_share = max(share / allowed, busy / total if total > 0 else 0.0)
        self._used, self._began, self._machine = used, now, machine
        return share

    def _jiffies(self) -> tuple[int, int]:
        """Of all processors, since the machine was started: busy ones, and all."""
        with suppress(OSError, ValueError):
            with (self._root / "proc/stat").open("rb") as file:
                numbers = [int(each) for each in file.readline().split()[1:9]]
            return sum(numbers) - sum(numbers[3:5]), sum(numbers)
        return 0, 0

    def resident(self) -> int | None:
        """Bytes of the resident set, read now: 15 µs."""
        with suppress(OSError, ValueError, IndexError):
            pages = (self._root / "proc/self/statm").read_bytes().split()[1]
            return int(pages) * os.sysconf("SC_PAGE_SIZE")
        return _psutil_resident()

    def _machine_memory(self) -> MemoryUse | None:
        with suppress(OSError, ValueError, KeyError):
            lines = (self._root / "proc/meminfo").read_text("ascii").splitlines()
            kib = {line.partition(":")[0]: int(line.split()[1]) for line in lines[:5]}
            total = kib["MemTotal"] * 1024
            return MemoryUse(total - kib["MemAvailable"] * 1024, total)
        return None

    def _disk(self) -> Any:
        with suppress(OSError):
            return shutil.disk_usage(self._folder)
        return None

    def _open_files(self) -> int | None:
        with suppress(OSError):
            return len(os.listdir(self._root / "proc/self/fd"))  # noqa: PTH208 - only counted
        return None


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _psutil() -> Any:
    try:
        psutil = import_module("psutil")  # of no project's need, but for other systems
    except ImportError:
        return None
    return psutil.Process()


def _psutil_resident() -> int | None:
    process = _psutil()
    return None if process is None else int(process.memory_info().rss)
