"""What the process uses and may use: one meter for the view, the health and the watchdog.

What is quick is read when somebody asks: memory of this process, its processor time, the event
loop. All else is looked at in threads (:mod:`.background`) and is a few seconds old: since the
last look of the watchdog, or since somebody asked five seconds ago.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.of_crawlers import WeakOfCrawlers
from scrapy_resilience.core.masking import shown
from scrapy_resilience.core.readings import Disk, Reading
from scrapy_resilience.jobs.crawl_job import job_of
from scrapy_resilience.observe.health.background import Background
from scrapy_resilience.observe.health.disks import crawl_folders, read_disks
from scrapy_resilience.observe.health.loop_lag import LoopLag
from scrapy_resilience.observe.health.process_look import ProcessLook, ProcessLooks, resident
from scrapy_resilience.observe.health.processor import Processor
from scrapy_resilience.observe.view import DiskView, Resources
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy.crawler import Crawler

__all__ = ["ResourceMeter", "meter_of"]

logger = get_logger(__name__)

_FRESH: Final = 1.0
"""Seconds for which a view is good."""
_LOOKS_FRESH: Final = 5.0
"""Seconds for which what threads have found is, for a view."""
_HANGS: Final = 10.0
"""Seconds after which a disk does not answer."""


class ResourceMeter:
    """Of this process.

    :param folders: whose disks are looked at, by purpose
    :param root: where ``/proc`` and ``/sys`` are
    :param memory_limit: bytes that the settings allow; None for no limit
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        root: Path = Path("/"),
        memory_limit: int | None = None,
    ) -> None:
        self.lag = LoopLag()
        self.is_running = False
        self._root = root
        self._processor = Processor(root)
        looks = ProcessLooks(root, memory_limit)
        self._processes = Background("processes", looks.look)
        self._disks = Background("disks", lambda: read_disks(folders))
        self._reading: tuple[float, Reading] | None = None
        self._hang_told = False

    # --- life ---

    def start(self) -> None:
        """The event loop runs. Of no effect a second time."""
        self.is_running = True
        self.lag.start()
        self._ask()

    def stop(self) -> None:
        """The crawl has ended; what was seen stays."""
        self.is_running = False
        self.lag.stop()
        self._processes.close()
        self._disks.close()

    async def refresh(self, wait: float) -> Reading:
        """Look at everything, and wait for so many seconds at most."""
        await asyncio.wait([self._processes.ask(), self._disks.ask()], timeout=wait)
        self._reading = None
        return self.reading()

    def look_now(self) -> Reading:
        """Look at everything, here: for use where no loop runs."""
        self._processes.look()
        self._disks.look()
        self._reading = None
        return self.reading()

    # --- what is so ---

    def resident(self) -> int | None:
        """Bytes of the resident set of this process, read now: 10 µs."""
        return resident(self._root)

    def reading(self) -> Reading:
        """What is so now; looked at once a second at most."""
        now = _clock.monotonic()
        if self._reading is None or now - self._reading[0] >= _FRESH:
            self._reading = now, self._read(now)
        return self._reading[1]

    def with_memory(self, reading: Reading) -> Reading:
        """*reading* with the memory of now."""
        own = self.resident()
        children = self._look.tree.memory
        memory = None if own is None else own + children
        return replace(reading, memory=memory, complete=False)

    def view(self) -> Resources:
        """The reading as part of a view of the crawl."""
        reading, own = self.reading(), self.resident()
        job = next(iter(reading.disks.values()), None)
        return Resources(
            cpu=self._processor.of_one_core,
            cpu_share=reading.cpu,
            memory=own,
            memory_limit=reading.memory_limit,
            children_memory=self._look.tree.memory,
            browser_memory=reading.browser_memory,
            children=reading.children,
            browsers=reading.browsers,
            memory_pressure=reading.memory_pressure,
            disk_free=job.free if job else None,
            disks=[_disk_view(purpose, disk) for purpose, disk in reading.disks.items()],
            loop_lag=reading.loop_lag,
            threads=threading.active_count(),
            open_files=reading.open_files,
            open_files_limit=reading.open_files_limit,
            connections=reading.connections,
        )

    @property
    def _look(self) -> ProcessLook:
        return self._processes.value or ProcessLook()

    def _read(self, now: float) -> Reading:
        self._ask_again(now)
        look, own = self._look, self.resident()
        self._processor.look(now, look.processors)
        return Reading(
            memory=None if own is None else own + look.tree.memory,
            browser_memory=look.tree.browser_memory,
            memory_limit=look.memory_limit,
            limited_by=look.limited_by,
            children=look.tree.processes,
            browsers=look.tree.browsers,
            cpu=self._processor.share,
            loop_lag=self.lag.longest(),
            usual_lag=self.lag.usual(),
            disks=self._disks_now(now),
            open_files=look.open_files,
            open_files_limit=look.open_files_limit,
            connections=look.connections,
            memory_pressure=look.memory_pressure,
            cpu_pressure=look.cpu_pressure,
        )

    def _disks_now(self, now: float) -> dict[str, Disk]:
        disks = self._disks.value or {}
        since = self._disks.waits_since
        if since is None or now - since < _HANGS:
            self._hang_told = False
            return disks
        if not self._hang_told:
            self._hang_told = True
            text = "A disk does not answer for %.0f s: what is said of disks is old"
            logger.warning(text, now - since)
        return {purpose: disk._replace(stale=True) for purpose, disk in disks.items()}

    def _ask_again(self, now: float) -> None:
        looked = self._processes.looked
        if self.is_running and (looked is None or now - looked >= _LOOKS_FRESH):
            self._ask()

    def _ask(self) -> None:
        with suppress(RuntimeError):  # no loop runs
            self._processes.ask()
            self._disks.ask()


def _disk_view(purpose: str, disk: Disk) -> DiskView:
    return DiskView(
        purpose=purpose,
        path=shown(disk.path),
        free=disk.free,
        total=disk.total,
        stale=disk.stale,
    )


def _meter(crawler: Crawler) -> ResourceMeter:
    settings = crawler.settings
    job = job_of(crawler)
    feeds = [*map(str, settings.getdict("FEEDS")), settings.get("FEED_URI") or ""]
    folders = crawl_folders(job.path if job is not None else None, feeds)
    limit = Config.from_settings(settings).memory_limit_mb
    return ResourceMeter(folders, memory_limit=int(limit * 2**20) or None)


_meters: Final = WeakOfCrawlers(_meter)


def meter_of(crawler: Crawler) -> ResourceMeter:
    """The meter of a crawl, made by whoever asks first, and kept by those who ask."""
    return _meters.of(crawler)
