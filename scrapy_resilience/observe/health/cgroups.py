"""What the control group of this process may use: a container's limits, of version 1 and 2.

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
    for limit_name, used_name, cached_name in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit = _number(folder / limit_name)
        if limit is not None and limit < _NO_LIMIT:
            used = _number(folder / used_name) or 0
            return MemoryUse(max(used - _stat(folder, cached_name), 0), limit)
    return None


def _stat(folder: Path, name: str) -> int:
    for line in _read(folder / "memory.stat").splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


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
