"""What a process uses at one moment, and what it may use.

None stands for what is not known. Memory is resident memory now, never its peak. Sizes are
bytes, shares are from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads it
from typing import NamedTuple

import msgspec

__all__ = ["Disk", "Reading"]


class Disk(NamedTuple):
    """The disk that a folder is on."""

    path: str
    free: int
    """For this process: what is kept for root is not."""
    total: int
    """That this process could use were it empty."""
    stale: bool = False
    """Whether it did not answer this time: these are the last numbers."""

    @property
    def used_share(self) -> float:
        return 1.0 - self.free / self.total if self.total > 0 else 0.0

    def reserve(self, megabytes: float) -> float:
        """Bytes of ``RESILIENCE_DISK_RESERVE_MB``: 2 % of a small disk at most."""
        return min(megabytes * 2**20, 0.02 * self.total)


class Reading(msgspec.Struct, frozen=True):
    """One look of the watchdog."""

    memory: int | None = None
    """Of this process and its children, browsers apart."""
    browser_memory: int = 0
    """Of the browsers among its children, and of their children."""
    memory_limit: int | None = None
    """What these two may come to: the tightest of the setting, the container and the machine.

    What others in the container, or on the machine, use is taken off.
    """
    limited_by: str = ""
    """By what: ``setting``, ``container`` or ``machine``."""
    children: int = 0
    """Processes, browsers included."""
    browsers: int = 0
    """Processes of browsers."""
    cpu: float | None = None
    """Of the processors that are allowed: used by this process, or by all on the machine."""
    loop_lag: float = 0.0
    """Longest delay of the event loop in the last minute, in seconds."""
    usual_lag: float = 0.0
    """Seconds by which it was late in half of the last minute: one long turn is nothing."""
    disks: Mapping[str, Disk] = {}
    """By purpose: ``job``, ``feeds``, ``temp``, in this order, as far as they are others."""
    open_files: int | None = None
    open_files_limit: int | None = None
    connections: int | None = None
    """Open sockets of this process."""
    memory_pressure: float | None = None
    """Share of the last minute in which something waited for memory: PSI, if it is there."""
    cpu_pressure: float | None = None
    """Share of the last minute in which something waited for a processor."""
    complete: bool = True
    """False: memory was read anew, all else is of the last complete reading."""

    @property
    def used(self) -> int | None:
        """Memory in all."""
        return None if self.memory is None else self.memory + self.browser_memory

    @property
    def memory_share(self) -> float | None:
        """Of the memory that may be used."""
        used = self.used
        return used / self.memory_limit if used is not None and self.memory_limit else None

    @property
    def fullest_disk(self) -> Disk | None:
        return max(self.disks.values(), key=lambda disk: disk.used_share, default=None)

    @property
    def disk_share(self) -> float | None:
        """Of the fullest disk."""
        disk = self.fullest_disk
        return None if disk is None else disk.used_share

    @property
    def open_files_share(self) -> float | None:
        """Of those that the process may open."""
        if self.open_files is None or not self.open_files_limit:
            return None
        return self.open_files / self.open_files_limit
