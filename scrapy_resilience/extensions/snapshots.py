"""The Snapshots extension: when copies of the job are made, and the way to them from code."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from scrapy import signals
from scrapy.exceptions import NotConfigured

from scrapy_resilience import _clock, names
from scrapy_resilience import signals as event_signals
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.refusals import fail_quietly
from scrapy_resilience._scrapy.watching import watch_handlers, watch_scheduler
from scrapy_resilience.checkpoint.parts import Part
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.jobs.crawl_job import job_of
from scrapy_resilience.jobs.progress import RUNNING, about
from scrapy_resilience.observe.tracing.outside import own_trace
from scrapy_resilience.settings import PREFIX
from scrapy_resilience.snapshots.store import Snapshot, store_of
from scrapy_resilience.waits import in_thread, let_go

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience.jobs.job import Job
    from scrapy_resilience.scheduler import ResilientScheduler

__all__ = ["Snapshots"]

logger = get_logger(__name__)

_T = TypeVar("_T")
_COMMIT_WAIT: Final = 10.0
"""Seconds that a snapshot waits for a fresh commit: a disk may be full."""

_NICE: Final = 5
"""A third of the processor time of a thread that is as busy."""


def step_back() -> None:
    """Let other threads have the processor first; Linux has a priority for each.

    On two busy cores a turn of the event loop then waited 21 ms at most beside a snapshot,
    and not 42.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        usual = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, usual + _NICE)


class Snapshots(Part):
    """Copies the job each ``RESILIENCE_SNAPSHOT_INTERVAL`` seconds, and when it ends.

    Also each ``RESILIENCE_SNAPSHOT_ITEMS`` items, and at once when the scheduler or a
    signal handler raises. A snapshot is made in a thread of its own, one at a time; when
    it fails, that is logged and counted, and the crawl goes on.
    """

    def __init__(self, crawler: Crawler, job: Job) -> None:
        self.crawler = crawler
        self.job = job
        self._stats: Any = crawler.stats
        self._store = store_of(job.config, job.path)
        self._lost: threading.Thread | None = None
        """One that has not come back in time, and may use the scratch file still."""
        self._lock = asyncio.Lock()
        self._fresh = asyncio.Event()
        self._due = asyncio.Event()
        self._items = 0
        self._stop = False
        self._known_errors: set[str] = set()
        self._emergencies: dict[str, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._reason: str | None = None
        self._started = _clock.monotonic()
        self._before: float = job.state.load(RUNNING) or 0.0
        job.state.register(RUNNING, lambda: self._before + _clock.monotonic() - self._started)
        job.parts.append(self)
        crawler.signals.connect(self._spider_closed, signals.spider_closed)
        if job.config.snapshot_items:
            crawler.signals.connect(self._item_scraped, signals.item_scraped)
        asked = crawler.settings.get(f"{PREFIX}SNAPSHOT_ENCRYPTION") is not None
        if asked and job.config.snapshot_encryption and not job.config.encryption_key:
            logger.warning(
                "Snapshots are not encrypted: set RESILIENCE_ENCRYPTION_KEY, or "
                "RESILIENCE_SNAPSHOT_ENCRYPTION=False"
            )

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        job = job_of(crawler)
        if job is None:
            raise NotConfigured
        try:
            return cls(crawler, job)
        except ConfigurationError as error:
            fail_quietly(crawler, error)
            raise

    # --- from code ---

    async def create_checkpoint(self, metadata: Mapping[str, Any] | None = None) -> Snapshot:
        """Make a snapshot now, of a commit that is made for it.

        *metadata* is a dict that JSON can hold; it is encrypted with the rest. Raises
        :exc:`SnapshotError` and :exc:`OSError`.
        """
        await self._commit()
        return await self._create("manual", metadata)

    async def list_checkpoints(self, limit: int | None = 10) -> list[Snapshot]:
        """The newest snapshots of this job first, as their headers tell them."""
        return await self._call(partial(self._store.newest, limit, job=self.job.meta.ident))

    async def load_checkpoint(self, ident: str) -> tuple[dict[str, Any], Path]:
        """The metadata of a snapshot, and the path of a copy of the store that it holds.

        The copy is a file of its own in ``JOBDIR/loaded``, mode 0600, which the caller may
        read with sqlite3 and should remove. The running job is not touched: ``scrapy
        resilience restore`` goes back. Raises :exc:`SnapshotError`.
        """
        return await self._call(partial(self._load, ident))

    def _load(self, ident: str) -> tuple[dict[str, Any], Path]:
        folder = self.job.path / "loaded"
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / f"{ident}.db"
        return self._store.load(ident, path).metadata or {}, path

    async def emergency(self) -> None:
        """A commit and a snapshot before the crawl is closed; one that fails is logged."""
        await self._commit()
        await self._try("emergency")

    # --- life ---

    def opened(self, scheduler: ResilientScheduler) -> None:
        """Begin to make snapshots."""
        assert scheduler.committer is not None
        self._scheduler, self._committer = scheduler, scheduler.committer
        self._loop = asyncio.get_running_loop()
        watch_scheduler(scheduler, self._failed)
        self._unwatch = watch_handlers(self.crawler, self._failed)
        self._task = asyncio.ensure_future(self._run())

    def _item_scraped(self) -> None:
        self._items += 1
        if self._items % self.job.config.snapshot_items == 0:
            self._due.set()

    def _spider_closed(self, reason: str) -> None:
        self._reason = reason

    def written(self) -> None:
        """Whoever waits for a commit has it."""
        self._fresh.set()

    async def ended(self) -> None:
        """After the last commit: a snapshot of it."""
        if self._task is None:  # the crawl could not begin
            return
        self._unwatch()
        self._stop = True
        self._due.set()
        await asyncio.gather(self._task, *self._emergencies.values())
        await self._try("emergency" if self._reason in names.FAILURES else "close")

    # --- snapshots ---

    async def _run(self) -> None:
        interval = self.job.config.snapshot_interval or None
        while True:
            kind = "items"
            try:
                await asyncio.wait_for(self._due.wait(), interval)
            except asyncio.TimeoutError:
                kind = "interval"
            self._due.clear()
            if self._stop:
                return
            await self._commit()
            await self._try(kind)

    def _failed(self, error: BaseException) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._emergency, error)

    def _emergency(self, error: BaseException) -> None:
        """Once for each kind of error, and of the last commit: this one may not be sound."""
        kind = type(error).__name__
        if kind not in self._emergencies:
            logger.error("%r was raised: an emergency snapshot is made", error)
            self._emergencies[kind] = asyncio.ensure_future(self._try("emergency"))

    async def _try(self, kind: str) -> None:
        try:
            await self._create(kind)
        except Exception as error:  # noqa: BLE001 - a snapshot never stops the crawl
            self._stats.inc_value(names.STAT_SNAPSHOT_ERRORS)
            self._tell(f"A snapshot can't be made: {error!r}", "error")
            if type(error).__name__ not in self._known_errors:
                self._known_errors.add(type(error).__name__)
                logger.error(  # noqa: TRY400 - one line
                    "A snapshot can't be made in %s (%r): the crawl goes on without it",
                    self._store.place,
                    error,
                )

    async def _commit(self) -> None:
        """Ask for a commit, and wait until it is written; not for ever."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._next_commit(), _COMMIT_WAIT)

    async def _next_commit(self) -> None:
        async with self._committer.lock:  # the one under way has sealed what it writes
            self._fresh.clear()
        self._scheduler.commit_soon()
        await self._fresh.wait()

    async def _create(self, kind: str, metadata: Mapping[str, Any] | None = None) -> Snapshot:
        started = _clock.stopwatch()
        create = partial(
            self._store.create, self.job.store.path, about, kind=kind, metadata=metadata
        )
        with own_trace(self.crawler, "snapshot", {"kind": kind}):
            made = await self._call(create)
        self._stats.inc_value(names.STAT_SNAPSHOTS)
        if kind == "emergency":
            self._stats.inc_value(names.STAT_SNAPSHOTS_EMERGENCY)
        self._stats.max_value(names.STAT_SNAPSHOT_MAX, _clock.stopwatch() - started)
        self._tell(f"The snapshot {made.id} is made ({kind})")
        return made

    def _tell(self, text: str, severity: str = "info") -> None:
        self.crawler.signals.send_catch_log(
            event_signals.crawl_event, kind="snapshot", text=text, severity=severity, domain=""
        )

    async def _call(self, function: Callable[[], _T]) -> _T:
        """In the thread, one after the other."""
        async with self._lock:
            place = f"the snapshots in {self._store.place}"
            if self._lost is not None and self._lost.is_alive():
                raise TimeoutError(f"{place}: the last call has not come back")
            done, thread = in_thread(partial(_beside, function), "resilience-snapshot")
            timeout = self.job.config.snapshot_timeout
            try:
                return await self.job.waits.bounded(done, place, timeout, level=logging.INFO)
            except TimeoutError:
                self._lost = thread
                let_go(thread)
                raise


def _beside(function: Callable[[], _T]) -> _T:
    step_back()
    return function()
