"""What the control group of this process may use, and uses: a container's, versions 1 and 2.

They are read again at each look: a limit may be changed while a crawl runs.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Cgroups", "MemoryUse"]

_NO_LIMIT: Final = 1 << 60
"""Version 1 has a number near 2**63 for none."""
_CACHES: Final = ("inactive", "active")
"""Of files: both are taken back before a process is killed. Feeds and stores fill them."""
_MOUNT: Final = Path("sys/fs/cgroup")


class MemoryUse(NamedTuple):
    """Bytes that all processes of a group use and can't be taken back, and may use."""

    used: int
    limit: int


class Cgroups:
    """The groups of this process; *root* is where ``/proc`` and ``/sys`` are."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def memory(self) -> MemoryUse | None:
        """The tightest limit of the group and of those that it is in; None without one."""
        found = [use for folder in self._folders("memory") if (use := _memory(folder))]
        return min(found, key=lambda use: use.limit - use.used, default=None)

    def processors(self) -> float | None:
        """How many processors' time may be used; None without a limit."""
        found = [quota for folder in self._folders("cpu") if (quota := _quota(folder))]
        return min(found, default=None)

    def pressure(self, of: str) -> float | None:
        """Share of the last minute in which something waited for ``memory`` or ``cpu``.

        Of the group with version 2, of the machine elsewhere; None where nobody tells.
        """
        for folder in self._folders(of):
            if (share := _pressure(folder / f"{of}.pressure")) is not None:
                return share
        return _pressure(self._root / "proc/pressure" / of)

    def _folders(self, controller: str) -> Iterator[Path]:
        """Its folder and those above, as far as they can be seen from within a container."""
        mount = self._root / _MOUNT
        for line in _read(self._root / "proc/self/cgroup").splitlines():
            _, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if controllers and controller not in controllers.split(","):
                continue
            top = mount / controller if controllers else mount
            inner = top / path.lstrip("/")
            if ".." not in inner.parts:
                yield from (
                    each for each in (inner, *inner.parents) if top in (each, *each.parents)
                )


def _memory(folder: Path) -> MemoryUse | None:
    for limit_name, used_name, prefix in (
        ("memory.max", "memory.current", ""),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    ):
        limit = _number(folder / limit_name)
        if limit is not None and limit < _NO_LIMIT:
            used = _number(folder / used_name) or 0
            stat = folder / "memory.stat"
            cached = sum(_field(stat, f"{prefix}{kind}_file") or 0 for kind in _CACHES)
            return MemoryUse(max(used - cached, 0), limit)
    return None


def _field(path: Path, name: str) -> int | None:
    """The number behind a name, of a file with one of each a line."""
    for line in _read(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            with suppress(ValueError):
                return int(value)
    return None


def _pressure(path: Path) -> float | None:
    """``some avg10=0.00 avg60=1.25 …`` of pressure stall information."""
    for word in _read(path).partition("\n")[0].split():
        if word.startswith("avg60="):
            with suppress(ValueError):
                return float(word.removeprefix("avg60=")) / 100
    return None


def _quota(folder: Path) -> float | None:
    with suppress(ValueError, ZeroDivisionError):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        return int(quota) / int(period)  # "max" is none
    quota_of_1 = _number(folder / "cpu.cfs_quota_us")
    period_of_1 = _number(folder / "cpu.cfs_period_us")
    return quota_of_1 / period_of_1 if quota_of_1 and quota_of_1 > 0 and period_of_1 else None


def _number(path: Path) -> int | None:
    try:
        return int(_read(path))
    except ValueError:
        return None


def _read(path: Path) -> str:
    """Empty where there is none."""
    try:
        return os.fsdecode(path.read_bytes())
    except OSError:
        return ""
