"""How much of the processors is used, between two looks."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from scrapy_resilience import _clock
from scrapy_resilience.observe.health.process_tree import read_bytes

__all__ = ["Processor", "allowed_processors"]

_SHORTEST: Final = 1.0
"""Seconds: a share over less says little."""


class Processor:
    """Of this process, and of all on the machine.

    *root* is where ``/proc`` is.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._stat = str(root / "proc/stat")
        self.of_one_core: float | None = None
        """By this process; above 1 where threads compute."""
        self.share: float | None = None
        """Of the processors that are allowed: by this process, or by all on the machine."""
        self._looked = _clock.monotonic()
        self._used = _seconds()
        self._machine = self._jiffies()

    def look(self, now: float, allowed: float) -> None:
        """Compute the shares of the time since the last look, where there was enough.

        *allowed* is a number of processors.
        """
        passed = now - self._looked
        if passed < _SHORTEST:
            return
        used, machine = _seconds(), self._jiffies()
        self.of_one_core = (used - self._used) / passed
        busy, total = (new - old for new, old in zip(machine, self._machine, strict=True))
        self.share = max(self.of_one_core / allowed, busy / total if total > 0 else 0.0)
        self._used, self._looked, self._machine = used, now, machine

    def _jiffies(self) -> tuple[int, int]:
        """Of all processors, since the machine was started: busy ones, and all."""
        with suppress(OSError, ValueError):
            first, _, _ = read_bytes(self._stat).partition(b"\n")
            numbers = [int(each) for each in first.split()[1:9]]
            return sum(numbers) - sum(numbers[3:5]), sum(numbers)
        return 0, 0


def _seconds() -> float:
    times = os.times()
    return times.user + times.system


def allowed_processors() -> int:
    """How many this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
