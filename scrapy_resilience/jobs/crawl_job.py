"""The job of a crawler: opened by whoever asks first, and what may be asked before that."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

from scrapy.exceptions import NotConfigured
from scrapy.settings import SETTINGS_PRIORITIES
from scrapy.utils.misc import load_object

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.of_crawlers import OfCrawlers
from scrapy_resilience._scrapy.refusals import fail_quietly
from scrapy_resilience._scrapy.running_command import arguments_of, owns_job
from scrapy_resilience.checkpoint.parts import Part
from scrapy_resilience.checkpoint.state import OWN
from scrapy_resilience.core.masking import counted
from scrapy_resilience.exceptions import CheckpointError, ConfigurationError, ResilienceError
from scrapy_resilience.jobs.job import Job
from scrapy_resilience.jobs.jobdir import begin_anew, expand, finished_meta
from scrapy_resilience.settings import Config
from scrapy_resilience.waits import waits_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience.checkpoint.state import Restore, Save

__all__ = [
    "JobComponent",
    "check_before",
    "expand_jobdir",
    "is_skipped",
    "job_of",
    "register_state",
]

logger = get_logger(__name__)

_jobs = OfCrawlers["Job"]("job")
_skipped: WeakSet[Crawler] = WeakSet()
_checks = OfCrawlers["Callable[[], None]"]("job_check")
_early = OfCrawlers["list[tuple[str, Save, Restore | None]]"]("early_states")
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
    if crawler in _skipped or _is_early(crawler) or not owns_job():
        return None
    try:
        path = expand_jobdir(crawler) if _runs_jobs(crawler) else None
        _check(crawler)
        if not path:
            return None
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
    for told in _early.pop(crawler) or ():
        job.state.register(*told)
    return job


def _check(crawler: Crawler) -> None:
    if (check := _checks.pop(crawler)) is not None:
        check()


def _open_job(crawler: Crawler, path: Path) -> Job | None:
    """None when the job has finished and is left so."""
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

    Without a job it is called by whoever asks first for one.

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
    _early.of(crawler, list).append((name, save, restore))
    return True
