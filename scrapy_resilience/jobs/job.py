"""A job: a JOBDIR that one process at a time runs, and what its file says about it."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from scrapy.exceptions import NotConfigured
from scrapy.settings import SETTINGS_PRIORITIES
from scrapy.utils.misc import load_object

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.command import arguments_of, owns_job
from scrapy_resilience._scrapy.refusals import fail_quietly
from scrapy_resilience.checkpoint.barrier import Barrier
from scrapy_resilience.checkpoint.parts import Part
from scrapy_resilience.checkpoint.state import (
    META,
    OWN,
    TOTALS,
    Restore,
    Save,
    StateRegistry,
    checked,
)
from scrapy_resilience.core.masking import counted
from scrapy_resilience.core.totals import add_stats
from scrapy_resilience.exceptions import (
    CheckpointError,
    ConfigurationError,
    DamagedError,
    ResilienceError,
)
from scrapy_resilience.failpoints import failpoint
from scrapy_resilience.feeds.cutting import is_intact, recover
from scrapy_resilience.feeds.records import FeedRecord, records
from scrapy_resilience.feeds.spool import remove_strays
from scrapy_resilience.files.filesystem import warn_if_remote
from scrapy_resilience.files.layout import LOCK, STORE, WAITING
from scrapy_resilience.files.lock import FileLock
from scrapy_resilience.files.ownership import check_jobdir
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.jobs.identity import check_arguments, check_spider
from scrapy_resilience.jobs.jobdir import begin_anew, expand, finished_meta
from scrapy_resilience.jobs.jobmeta import JobMeta
from scrapy_resilience.jobs.quarantine import go_back, open_store
from scrapy_resilience.jobs.scrapy_jobdir import ScrapyJobdir
from scrapy_resilience.names import STAT_INCOMPLETE, STAT_REQUESTS_DONE, STAT_TOTAL_PREFIX
from scrapy_resilience.settings import Config
from scrapy_resilience.waits import Waits, waits_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrapy import Spider
    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience.frontier.store import Changes

__all__ = [
    "LOCK",
    "META",
    "STORE",
    "TOTALS",
    "Job",
    "JobComponent",
    "check_before",
    "expand_jobdir",
    "is_skipped",
    "job_of",
    "register_state",
]

logger = get_logger(__name__)


class Job:
    """An open job directory. Raises :exc:`CheckpointError` when it can't be run."""

    def __init__(
        self,
        path: Path,
        spider: str,
        config: Config,
        instance: Spider | None = None,
        arguments: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.path = path
        self.config = config
        self.values = ValueCodec(allow_pickle=config.allow_pickle)
        self.barrier = Barrier()
        self.stale: dict[str, bytes | None] = {}
        """State of the last run that this one must not find again."""
        self.all_done = False
        """Whether the spider has closed with nothing left to do."""
        self.incomplete = False
        """Whether something that is done could not be stored: the next run has to."""
        self.parts: list[Part] = []
        """All that takes part in this run, in the order in which it is asked."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_jobdir(path)
        warn_if_remote(path)
        self.stock = ScrapyJobdir.find(path)
        """A job of Scrapy's own scheduler that the first run imports."""
        if self.stock is not None and not (path / STORE).exists():
            self._read_stock(self.stock, instance)  # a refusal leaves no file behind
        self.lock = FileLock(path / LOCK)
        self.lock.acquire()
        self.waits = Waits(path / WAITING)
        try:
            self._open_store(spider, instance, dict(arguments))
        except BaseException:
            self.lock.release()
            raise

    def _read_stock(self, stock: ScrapyJobdir, instance: Spider | None) -> None:
        assert instance is not None
        stock.read(instance, self.values)

    def _take_stock(self, stock: ScrapyJobdir, instance: Spider | None) -> None:
        """An import that a kill cut short is begun again, or brought to its end."""
        if not self.resumed:
            if not stock.is_read:
                self._read_stock(stock, instance)
            self.meta.stock = stock.digest
            return
        if self.meta.stock != stock.digest:
            raise CheckpointError(
                f"{self.path} holds a job of Scrapy's own scheduler beside the one of "
                "scrapy_resilience: move its requests.queue away, or use another JOBDIR"
            )
        stock.move_aside()
        self.stock = None

    def _open_store(
        self, spider: str, instance: Spider | None, arguments: dict[str, Any]
    ) -> None:
        self.store = open_store(self.path, self.config)
        failpoint("job/created")
        try:
            self._open_sound(spider, instance, arguments)
        except BaseException:
            self.store.close()
            raise

    def _open_sound(
        self, spider: str, instance: Spider | None, arguments: dict[str, Any]
    ) -> None:
        """Items of a feed that the disk has changed are made again, from a snapshot on."""
        try:
            self._open(spider, instance, arguments)
        except DamagedError as error:
            self.store.close()
            self.store = go_back(self.path, self.config, error)
            self._open(spider, instance, arguments)

    def _open(self, spider: str, instance: Spider | None, arguments: dict[str, Any]) -> None:
        stored = self.store.state()
        self.state = StateRegistry(stored, self.values)
        self.meta = JobMeta.of(stored)
        if self.meta.spider is None:
            self.meta = JobMeta(spider=spider, created=_clock.wall())
        self.committed = self.meta.commits
        """What earlier runs have seen; this one counts on."""
        self.meta.commits += 1
        self.resumed = self.meta.runs > 0
        check_spider(self.meta, spider, path=self.path, config=self.config)
        check_arguments(self.meta, arguments, path=self.path, config=self.config)
        self.meta.arguments = arguments
        if self.stock is not None:
            self._take_stock(self.stock, instance)
        self.feeds: list[FeedRecord] = []
        if self.meta.finished or self.meta.replayed:  # its feeds are the user's now
            for record in records(self.state):
                if is_intact(record, self.path):
                    self.feeds.append(record)
                else:
                    self.stale[record.name] = None
            remove_strays(self.path, {self.path / record.path for record in self.feeds})
        else:
            self.feeds = recover(self.state, self.path, clean=self.meta.clean)
        self.meta.begin_run(rerun_start=self.config.rerun_start)
        self._totals = self._before = checked(
            self.state.load(TOTALS) or {}, dict[str, Any], "totals"
        )
        self.state.register(META, self.meta.record)
        self.state.register(TOTALS, lambda: self._totals)

    def spider_state(self, name: str) -> Any:
        """The value of the last run, or what Scrapy's SpiderState has left."""
        if self.stock is not None:
            self.stock.moves_state = True
            return self.stock.state
        return self.state.load(name)

    def totals(self, stats: Mapping[str, Any]) -> dict[str, Any]:
        """The stats of all runs, from those of this one up to now."""
        own = {
            key: value
            for key, value in stats.items()
            if not str(key).startswith(STAT_TOTAL_PREFIX) and key != STAT_INCOMPLETE
        }  # which is of all runs already
        return add_stats(self._before, own)

    def contribute(
        self, changes: Changes, stats: Mapping[str, Any], *, pending: int, held: int
    ) -> None:
        """All named state, as part of a commit."""
        self._totals = self.totals(stats)
        meta = self.meta
        meta.commits += 1
        meta.items = self._totals.get("item_scraped_count", 0)
        meta.done = self._totals.get(STAT_REQUESTS_DONE, 0)
        meta.pending, meta.held = pending, held
        meta.last_checkpoint = _clock.wall()
        changes.state.update(self.state.changed())

    def close(self) -> None:
        self.waits.close()
        self.store.close()
        self.lock.release()
        for part in self.parts:
            part.closed()


_jobs: WeakKeyDictionary[Crawler, Job] = WeakKeyDictionary()
_skipped: WeakSet[Crawler] = WeakSet()
_checks: WeakKeyDictionary[Crawler, Callable[[], None]] = WeakKeyDictionary()
_early: WeakKeyDictionary[Crawler, list[tuple[str, Save, Restore | None]]] = WeakKeyDictionary()
"""What spiders have registered while they were made."""


def job_of(crawler: Crawler) -> Job | None:
    """The job of a crawler, opened by whoever asks first.

    None without a JOBDIR, under ``scrapy shell`` and the like, with a scheduler that is not
    ours, because only it knows what is done, and when :func:`is_skipped`. Nor is there one
    before the add-ons have made the settings complete, as while the spider is made.

    A refusal is logged in one line and raised.
    """
    if crawler in _jobs:
        return _jobs[crawler]
    if crawler in _skipped or _is_early(crawler) or not (owns_job() and _runs_jobs(crawler)):
        return None
    path = expand_jobdir(crawler)
    if not path:
        return None
    try:
        job = _open_job(crawler, Path(path))
    except ResilienceError as error:
        fail_quietly(crawler, error)
        raise
    if job is None:
        _skipped.add(crawler)
        return None
    _jobs[crawler] = job
    waits_of(crawler, job.waits)
    job.state.on_damage = partial(fail_quietly, crawler)
    for told in _early.pop(crawler, ()):
        job.state.register(*told)
    return job


def _open_job(crawler: Crawler, path: Path) -> Job | None:
    """None when the job has finished and is left so."""
    if (check := _checks.pop(crawler, None)) is not None:
        check()
    config = Config.from_settings(crawler.settings)
    name = crawler.spider.name if crawler.spider else crawler.spidercls.name
    try:
        if config.finished_job == "anew":
            begin_anew(path, config.finished_jobs_kept)
        elif config.finished_job == "skip" and (meta := finished_meta(path)) is not None:
            logger.info("%s has finished (%s): skipped", path, counted(meta.items, "item"))
            return None
        return Job(path, name, config, crawler.spider, arguments_of(crawler))
    except (OSError, sqlite3.Error) as error:
        raise CheckpointError(f"{path} can't be used as JOBDIR: {error}") from error


def check_before(crawler: Crawler, check: Callable[[], None]) -> None:
    """Have *check* called before a job is opened, or put aside: what it raises refuses it.

    It is early enough for that, and late enough to import modules of the user's: Scrapy has
    installed its reactor.
    """
    _checks[crawler] = check


def is_skipped(crawler: Crawler) -> bool:
    """Whether the job had finished before, and ``RESILIENCE_FINISHED_JOB`` is ``"skip"``."""
    return crawler in _skipped


def expand_jobdir(crawler: Crawler) -> str:
    """``"crawls/%(spider)s/%(date)s"`` with what these names stand for; empty without one."""
    settings = crawler.settings
    path = str(settings["JOBDIR"] or "")
    if "%(" not in path:
        return path
    name = crawler.spider.name if crawler.spider else crawler.spidercls.name
    path = expand(path, name, _clock.wall())
    if not settings.frozen:
        settings.set("JOBDIR", path, priority=settings.getpriority("JOBDIR") or 0)
    return path


class JobComponent(Part):
    """Base of components that have something to do in a job only: they are parts of it."""

    def __init__(self, crawler: Crawler, job: Job) -> None:
        self.crawler = crawler
        self.job = job
        job.parts.append(self)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        job = job_of(crawler)
        if job is None:
            _refuse_other_scheduler(crawler, cls)
            raise NotConfigured
        return cls(crawler, job)


def _refuse_other_scheduler(crawler: Crawler, component: type) -> None:
    """Raises :exc:`ConfigurationError` where *component* would do nothing, silently."""
    if crawler.settings.get("JOBDIR") and not _runs_jobs(crawler):
        error = ConfigurationError(
            f"{component.__name__} works with ResilientScheduler only: set SCHEDULER = "
            f'"scrapy_resilience.ResilientScheduler", or remove {component.__name__}.'
        )
        fail_quietly(crawler, error)
        raise error


def _runs_jobs(crawler: Crawler) -> bool:
    return getattr(load_object(crawler.settings["SCHEDULER"]), "runs_jobs", False)


def _is_early(crawler: Crawler) -> bool:
    """Whether the add-ons have still to be asked about the settings."""
    try:
        return crawler.stats is None
    except RuntimeError:  # Scrapy says that it is too early to ask
        return True


def _will_run_jobs(crawler: Crawler) -> bool:
    """As far as the settings tell before the add-on has seen them."""
    settings = crawler.settings
    try:
        config = Config.from_settings(settings)
    except ConfigurationError:
        return False  # the crawl is refused later, in one line
    addons = settings.getdict("ADDONS")
    plugged = (load_object(addon) for addon, order in addons.items() if order is not None)
    is_free = (settings.getpriority("SCHEDULER") or 0) <= SETTINGS_PRIORITIES["addon"]
    ours = config.enabled and config.scheduler_enabled and is_free
    ours = ours and any(getattr(addon, "runs_jobs", False) for addon in plugged)
    return bool(settings["JOBDIR"]) and owns_job() and (ours or _runs_jobs(crawler))


def register_state(
    crawler: Crawler,
    name: str,
    save: Save,
    restore: Restore | None = None,
) -> bool:
    """Keep a component's value in the same commit as the requests.

    *save* is called in the event loop at each commit; *restore* at once, with the value of
    the last run, when there is one. Call it in ``from_crawler`` or at ``spider_opened``. A
    spider is made before the job is open: what its ``from_crawler`` registers is restored
    before ``start()`` runs. Returns False, and does nothing, without a JOBDIR or with another
    scheduler than ours.
    """
    if name.startswith(OWN):
        raise ValueError(f"names that begin with {OWN!r} are taken: {name!r}")
    job = job_of(crawler)
    if job is not None:
        job.state.register(name, save, restore)
        return True
    if not (_is_early(crawler) and _will_run_jobs(crawler)):
        return False
    _early.setdefault(crawler, []).append((name, save, restore))
    return True
