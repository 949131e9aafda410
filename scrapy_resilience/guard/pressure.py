"""The ladders of a crawl: what was read, what that leads to, and when it is read again."""

from __future__ import annotations

from functools import cached_property
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from scrapy_resilience import _clock, names
from scrapy_resilience._scrapy.engine import engine_of, is_closing, under_way
from scrapy_resilience.core.masking import shown
from scrapy_resilience.core.measures import DEFAULT
from scrapy_resilience.core.pressure_ladder import CPU, DISK, MEMORY, Ladder, Level, Marks, Rung
from scrapy_resilience.guard.pressure_actions import Rungs
from scrapy_resilience.guard.watchdog.watch import resource_watch_of, sets_of
from scrapy_resilience.observe.accounting.loop_time import LoopMeter
from scrapy_resilience.observe.view import LadderView, View
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from scrapy_resilience.core.readings import Disk, Reading

__all__ = ["Easing"]

_MB: Final = 2**20
_PAGES: Final = "response_received_count"
"""Scrapy's stat."""
_NEAR: Final = 0.5
"""Seconds between two looks at the memory while they matter, though it does not change."""
_LOW: Final = 0.88
"""Of the high mark, below which the pressure is gone."""
_DISK_MARKS: Final = Marks(0.8, 0.9, 0.9, 1.0)
"""Of ten times the reserve: it is free at 0.9, and twice of it at 0.8."""
_LAG_MARKS: Final = Marks(0.25, 0.5, inf, 5.0)
"""Seconds."""
_MACHINE: Final = "machine"
_IDLE: Final = 6.0
"""Of its patience, a pause without anything under way has this part."""


class Easing:
    """Climbs the ladders of one crawl. From :meth:`start` on it needs the event loop."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._config = config = Config.from_settings(crawler.settings)
        self._stats: Any = crawler.stats
        self._watch = resource_watch_of(crawler)
        self._watch.on_reading.append(self._read)
        patience = config.memory_patience
        times = replace(MEMORY, up={**MEMORY.up, Rung.PAUSE: patience}, idle=patience / _IDLE)
        nothing = Marks(inf, inf, inf, inf)
        self.memory = _Resource(crawler, "memory", names.REASON_MEMORY, Ladder(nothing, times))
        wait = config.disk_patience
        times = replace(DISK, up={**DISK.up, Rung.PAUSE: wait}, idle=wait)
        self.disk = _Resource(crawler, "disk", names.REASON_DISK, Ladder(_DISK_MARKS, times))
        times = replace(CPU, closes_after=config.cpu_close_after or inf)
        self.cpu = _Resource(crawler, "cpu", names.REASON_CPU, Ladder(_LAG_MARKS, times))
        self._meter: LoopMeter | None = None
        self._metered = 0.0
        self._timer: _clock.Timer | None = None
        self._is_looking = False

    def start(self) -> None:
        """Begin to look; in the event loop's thread."""
        self._meter, self._metered = LoopMeter(), _clock.monotonic()

    def stop(self) -> None:
        """The crawl has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._meter is not None:
            self._meter.close()
            self._meter = None
        for resource in (self.memory, self.disk, self.cpu):
            resource.rungs.stop()

    def fill(self, view: View) -> None:
        """Add what is done, and why."""
        wall = view.time - _clock.monotonic()
        view.guard.ladders = [each.view(wall) for each in (self.memory, self.disk, self.cpu)]

    def _tick(self) -> None:
        self._timer = None
        self._watch.look()
        self._look_again()

    def _look_again(self) -> None:
        if self._timer is None and self.memory.ladder.is_near:
            self._timer = _clock.call_later(_NEAR, self._tick)

    # --- readings ---

    def _read(self, now: float, reading: Reading) -> None:
        engine = engine_of(self._crawler)
        if self._is_looking or engine is None or is_closing(engine):
            return
        self._is_looking = True
        try:
            self._read_memory(now, reading)
            if reading.complete:
                self._read_disks(now, reading)
                self._read_lag(now, reading)
        finally:
            self._is_looking = False
            self._look_again()

    def _read_memory(self, now: float, reading: Reading) -> None:
        """Once more at once after each step up: cleaning may have been enough."""
        for _ in Rung:
            used, limit = reading.used, reading.memory_limit
            if used is None or not limit or limit <= 0:
                self.memory.look(Level(None), now, "Memory can't be read")
                return
            self.memory.ladder.marks = Marks(*(limit * share for share in self._shares))
            self.memory.used = used
            why = f"{used / _MB:.0f} of {limit / _MB:.0f} MB of memory are used"
            is_shared = reading.limited_by == _MACHINE
            if not self.memory.look(self._level(float(used), is_shared=is_shared), now, why):
                return
            self._watch.look()
            fresh = self._watch.reading
            freed = used - (fresh.used or used) if fresh is not None else 0
            if freed > 0:
                self._stats.inc_value(names.STAT_GUARD_FREED, freed)
            reading = fresh or reading
            now = _clock.monotonic()

    @cached_property
    def _shares(self) -> Marks:
        """The marks as shares of the memory limit, by the thresholds of the settings."""
        levels = sets_of(self._crawler)[DEFAULT]["memory"].levels
        high, critical = min(levels.degraded, 1.0), min(levels.unhealthy, 1.0)
        return Marks(_LOW * high, high, critical, 1.0)

    def _level(self, used: float, *, is_shared: bool = False) -> Level:
        engine = engine_of(self._crawler)
        busy = 0 if engine is None else len(under_way(engine))
        return Level(used, int(self._stats.get_value(_PAGES, 0)), busy, is_shared=is_shared)

    def _read_disks(self, now: float, reading: Reading) -> None:
        if not self._config.disk_reserve_mb:
            return
        levels = {disk: self._disk_level(disk) for disk in reading.disks.values()}
        if not levels:
            self.disk.look(Level(None), now, "No disk can be read")
            return
        worst = max(levels, key=lambda disk: levels[disk])
        self.disk.used = worst.free
        self.disk.high = self._reserve(worst)
        path = shown(worst.path)
        why = f"{worst.free / _MB:,.0f} MB are free on the disk of {path}"
        self.disk.look(self._level(levels[worst]), now, why)

    def _reserve(self, disk: Disk) -> float:
        return max(disk.reserve(self._config.disk_reserve_mb), 1.0)

    def _disk_level(self, disk: Disk) -> float:
        """0 where ten times the reserve is free, 1 where nothing is."""
        return max(1.0 - disk.free / (10.0 * self._reserve(disk)), 0.0)

    def _read_lag(self, now: float, reading: Reading) -> None:
        """Only what the loop's own work makes late: not a machine on which others work."""
        if self._meter is None or now <= self._metered:
            return
        use = self._meter.take(now - self._metered)
        self._metered = now
        lag = reading.usual_lag * min(use.computing + use.blocked, 1.0)
        self.cpu.used = lag if isfinite(lag) else None
        self.cpu.look(
            self._level(lag), now, f"The event loop is {lag:.1f} s late by its own work"
        )


class _Resource:
    """One ladder, its rungs, and what was read last."""

    def __init__(self, crawler: Crawler, kind: str, reason: str, ladder: Ladder) -> None:
        self.ladder = ladder
        self.rungs = Rungs(crawler, kind, reason)
        self.used: float | None = None
        self.high: float | None = None
        """Where it is not the ladder's."""

    def look(self, level: Level, now: float, why: str) -> bool:
        """Judge a reading, and act; whether it led a step up after which to look again."""
        move = self.ladder.look(level, now)
        if move is None:
            return False
        self.rungs.enter(move, self.ladder, why)
        return move.before < move.after < Rung.CLOSE

    def view(self, wall: float) -> LadderView:
        """*wall*: what is added to the monotonic clock."""
        ladder, marks = self.ladder, self.ladder.marks
        high = marks.high if self.high is None else self.high
        return LadderView(
            resource=self.rungs.kind,
            rung=ladder.rung.name.lower(),
            since=wall + ladder.since if isfinite(ladder.since) else None,
            used=self.used,
            high=high if isfinite(high) else None,
            limit=marks.limit
            if self.rungs.kind == "memory" and isfinite(marks.limit)
            else None,
            text=shown(self.rungs.text),
            climbed=dict(self.rungs.climbed),
        )
