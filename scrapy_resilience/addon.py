"""The add-on: what is plugged in where, and when."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from scrapy.downloadermiddlewares.cookies import CookiesMiddleware
from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.extensions.spiderstate import SpiderState
from scrapy.utils.misc import load_object

from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.download_handlers import use_aiohttp
from scrapy_resilience._scrapy.refusals import fail_quietly
from scrapy_resilience._scrapy.running_command import owns_job, running_command
from scrapy_resilience.browsers.plug import make_browsers_durable
from scrapy_resilience.checkpoint.frozen import freeze_for_good
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.extensions.logs import begin_logs, format_of
from scrapy_resilience.guard.abort_policy import has_abort_policy
from scrapy_resilience.guard.in_vain import settings_in_vain
from scrapy_resilience.jobs.crawl_job import check_before, expand_jobdir
from scrapy_resilience.observe.logs.scrapy_stream import expect_format
from scrapy_resilience.observe.terminal.streams import shows_lines
from scrapy_resilience.scheduling.concurrent_items import lower_concurrent_items
from scrapy_resilience.scheduling.scrapy_settings import check_settings
from scrapy_resilience.selectors.folder import use_folder
from scrapy_resilience.settings import PREFIX, Config, misspelled
from scrapy_resilience.settings_checks import check_all, check_selectors_dir, check_values
from scrapy_resilience.settings_sources import apply_layers

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings
    from typing_extensions import Self

__all__ = ["ResilienceAddon", "plug"]

logger = get_logger(__name__)

_CRAWLS: Final = {"crawl", "runspider"}
"""Commands that run one crawl."""
_BEGINNING: Final = {*_CRAWLS, "resilience", None}
"""Those, dry runs, and scripts."""
_SCHEDULER: Final = "scrapy_resilience.scheduler.ResilientScheduler"
_CACHE_STORAGE: Final = "scrapy_resilience.httpcache.AtomicCacheStorage"
_FOLDERS: Final = {
    "DOWNLOADER_MIDDLEWARES": "scrapy_resilience.downloadermiddlewares",
    "EXTENSIONS": "scrapy_resilience.extensions",
    "ITEM_PIPELINES": "scrapy_resilience.pipelines",
    "SPIDER_MIDDLEWARES": "scrapy_resilience.spidermiddlewares",
}
"""Where the components are that a setting lists."""


class ResilienceAddon:
    """``ADDONS = {"scrapy_resilience.ResilienceAddon": 500}`` and nothing else.

    Whatever the user has set stays: all of this goes in at add-on priority.
    """

    runs_jobs: Final = True

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    @classmethod
    def update_pre_crawler_settings(cls, settings: BaseSettings) -> None:
        """What is needed before there is a crawler: the event loop, and the log's format."""
        command = running_command()
        if not owns_job():
            return
        layered = settings.copy()
        config = None
        with suppress(ConfigurationError):  # the crawl is refused later, when there is a log
            apply_layers(layered)
            config = Config.from_settings(layered)
        if _wants_dry_run(layered):
            from scrapy_resilience.dryrun.harmless_settings import write_nothing  # noqa: PLC0415 - seldom

            write_nothing(settings)
        if config is None or not config.enabled or command not in _BEGINNING:
            return
        if (make := format_of(config)) is not None:
            expect_format(make)
        if config.uvloop_enabled and command is not None and _has_uvloop():
            # a script may have made its event loop already
            settings.set("ASYNCIO_EVENT_LOOP", "uvloop.Loop", priority="addon")

    def update_settings(self, settings: BaseSettings) -> None:
        try:
            for name in apply_layers(settings):
                logger.warning("The environment variable %s is not a setting", name)
            for name, meant in misspelled([*settings, *os.environ]).items():
                logger.warning("%s is not a setting. Did you mean %s?", name, meant)
            config = Config.from_settings(settings)
            expand_jobdir(self.crawler)
            if config.dry_run and owns_job():
                self._rehearse(settings, config)
            elif config.enabled:
                self._begin_logs(settings, config)
                self._tell_refusals(config)
                self._check(settings, config, check_all)
                plug(settings, config)
                if config.gc_freeze and running_command() in _CRAWLS:
                    freeze_for_good()
        except ConfigurationError as error:
            fail_quietly(self.crawler, error)
            raise

    def _begin_logs(self, settings: BaseSettings, config: Config) -> None:
        """First, so that what is logged about other settings is there."""
        if owns_job() and begin_logs(self.crawler, settings, config):
            _default(settings, "EXTENSIONS", "logs.Logs", 0)

    def _tell_refusals(self, config: Config) -> None:
        if owns_job() and config.notify and config.observe_enabled:
            from scrapy_resilience.guard.notify.refused import tell_refusals  # noqa: PLC0415 - few

            tell_refusals(self.crawler, config)

    def _check(
        self,
        settings: BaseSettings,
        config: Config,
        check: Callable[[BaseSettings, Config], None],
    ) -> None:
        """Now, and with *check* as soon as modules of the user's may be imported."""
        check_selectors_dir(config.selectors_dir)
        use_folder(config.selectors_dir)
        for line in settings_in_vain(config) if owns_job() else ():
            logger.warning("%s", line)
        check_before(self.crawler, partial(check, settings, config))

    def _rehearse(self, settings: BaseSettings, config: Config) -> None:
        from scrapy_resilience.dryrun.plug import rehearse  # noqa: PLC0415 - seldom

        real = settings.copy()
        rehearse(self.crawler, real, settings, config, plug)
        # what checks a report writes a file, to try
        self._check(real, replace(config, report=""), check_values)


def _wants_dry_run(settings: BaseSettings) -> bool:
    """Also where they are wrong: a log file is opened before they are refused."""
    return str(settings.get(f"{PREFIX}DRY_RUN") or 0).strip() != "0"


def plug(settings: BaseSettings, config: Config) -> None:
    """Put into *settings* what *config* asks for."""
    if config.download_handler == "aiohttp":
        use_aiohttp(settings)
    if config.browser_enabled:
        make_browsers_durable(settings)
    _plug_gates(settings, config)
    _plug_pipelines(settings, config)
    _default(settings, "EXTENSIONS", "cache.CrawlCache", 0)
    if not owns_job():
        _leave_job(settings)
        return
    if config.observe_enabled:
        _plug_observers(settings, config)
    _plug_guards(settings, config)
    if config.scheduler_enabled:
        settings.set("SCHEDULER", load_object(_SCHEDULER), priority="addon")
    if getattr(load_object(settings["SCHEDULER"]), "runs_jobs", False):
        check_settings(settings)
        _plug_job(settings, config)
        return
    if config.seen_store:
        logger.warning(
            "RESILIENCE_SEEN_STORE skips nothing: it needs ResilientScheduler. Remove "
            "SCHEDULER=%r, or the setting",
            settings["SCHEDULER"],
        )
    if settings["JOBDIR"] and config.scheduler_enabled and config.checkpoint_enabled:
        logger.warning(
            "SCHEDULER=%r makes no checkpoints: a kill loses what is under way. Remove the "
            "setting, or set RESILIENCE_SCHEDULER_ENABLED=False if that is what you want",
            settings["SCHEDULER"],
        )


def _plug_job(settings: BaseSettings, config: Config) -> None:
    lower_concurrent_items(settings, config)
    if config.deadletters_enabled:
        _default(settings, "SPIDER_MIDDLEWARES", "deadletters.DeadLettersMiddleware", 51)
    _watch_quality(settings, config)
    if config.seen_store:
        _default(settings, "EXTENSIONS", "seen.SeenBefore", 0)
        _default(settings, "DOWNLOADER_MIDDLEWARES", "conditional.ConditionalMiddleware", 950)
    if not (settings["JOBDIR"] and config.checkpoint_enabled):
        return
    _default(settings, "SPIDER_MIDDLEWARES", "start.StartMiddleware", 0)
    _default(settings, "DOWNLOADER_MIDDLEWARES", "barrier.BarrierMiddleware", 1)
    if config.cookies_enabled:
        new = "cookies.DurableCookiesMiddleware"
        _replace(settings, "DOWNLOADER_MIDDLEWARES", CookiesMiddleware, new, 700)
    if config.feeds_enabled and (settings["FEEDS"] or settings["FEED_URI"]):
        from scrapy_resilience.extensions.feedcover import cover_feeds  # noqa: PLC0415 - theirs

        cover_feeds(settings)
    settings.set("HTTPCACHE_STORAGE", _CACHE_STORAGE, priority="addon")
    settings.setdefault_in_component_priority_dict("EXTENSIONS", SpiderState, None)
    _default(settings, "EXTENSIONS", "checkpoint.Checkpoint", 0)
    _default(settings, "EXTENSIONS", "shutdown.Shutdown", 0)
    if config.snapshot_enabled:
        _default(settings, "EXTENSIONS", "snapshots.Snapshots", 0)


def _plug_gates(settings: BaseSettings, config: Config) -> None:
    """With any scheduler."""
    if config.gates_enabled:
        _default(settings, "DOWNLOADER_MIDDLEWARES", "breaker.CircuitBreakerMiddleware", 585)
        if config.breaker_enabled:
            _default(settings, "DOWNLOADER_MIDDLEWARES", "proxy.ProxyBreakerMiddleware", 995)
    if config.retry_enabled:
        new = "retry.ClassifiedRetryMiddleware"
        _replace(settings, "DOWNLOADER_MIDDLEWARES", RetryMiddleware, new, 550)
    if config.inject:
        _default(
            settings, "DOWNLOADER_MIDDLEWARES", "injection.FailureInjectionMiddleware", 1000
        )


def _plug_observers(settings: BaseSettings, config: Config) -> None:
    """With any scheduler."""
    _default(settings, "EXTENSIONS", "observe.Observe", 0)
    _default(settings, "EXTENSIONS", "metrics.MetricsExport", 0)
    _default(settings, "EXTENSIONS", "systemd.Systemd", 0)
    if config.http_enabled:
        _default(settings, "EXTENSIONS", "endpoint.Endpoint", 1)
    if config.traces != "off":
        _default(settings, "EXTENSIONS", "tracing.Traces", 0)
    if config.report:
        _default(settings, "EXTENSIONS", "report.Report", 0)
    if config.notify and config.notify_enabled:
        _default(settings, "EXTENSIONS", "notifications.Notifications", 2)
    if config.terminal and shows_lines(sys.stderr):
        _default(settings, "EXTENSIONS", "terminal.Terminal", 0)


def _plug_guards(settings: BaseSettings, config: Config) -> None:
    """With any scheduler."""
    _default(settings, "SPIDER_MIDDLEWARES", "pause.PauseMiddleware", 2)
    if has_abort_policy(config) and config.deadletters_enabled:
        _default(settings, "SPIDER_MIDDLEWARES", "deadletters.DeadLettersMiddleware", 51)
    if config.watchdog_enabled:
        _default(settings, "EXTENSIONS", "watchdog.Watchdog", 0)
        _default(settings, "EXTENSIONS", "stuck.Stuck", 0)
        if config.watchdog_heals:
            _default(settings, "EXTENSIONS", "easing.EaseOff", 0)
    if config.adaptive_concurrency:
        _default(settings, "EXTENSIONS", "adaptive.AdaptiveConcurrency", 0)
    if config.observe_enabled or has_abort_policy(config):
        _default(settings, "EXTENSIONS", "abort.Abort", 10)  # its part of a view comes last
    _default(settings, "EXTENSIONS", "costs.Costs", 0)
    _default(settings, "DOWNLOADER_MIDDLEWARES", "cost.CostMiddleware", 1100)


def _plug_pipelines(settings: BaseSettings, config: Config) -> None:
    """The first always: its settings may be in the fields of item classes."""
    _default(settings, "ITEM_PIPELINES", "normalize.NormalizePipeline", 100)
    if config.unique:
        _default(settings, "ITEM_PIPELINES", "unique.UniquePipeline", 200)
    if _wants_confidence(settings, config):
        _default(settings, "ITEM_PIPELINES", "confidence.ConfidencePipeline", 900)
    if config.sql_url and owns_job():
        _default(settings, "ITEM_PIPELINES", "sql.SqlPipeline", 950)


def _wants_confidence(settings: BaseSettings, config: Config) -> bool:
    """Whether anything but stats comes of it."""
    feeds = settings.getdict("FEEDS").values()
    filters = (load_object(feed["item_filter"]) for feed in feeds if feed.get("item_filter"))
    return bool(
        config.confidence_field
        or config.confidence_action != "flag"
        or config.confidence_weights
        or any(getattr(each, "weighs_items", False) for each in filters)
    )


def _watch_quality(settings: BaseSettings, config: Config) -> None:
    if config.drift_enabled:
        _default(settings, "SPIDER_MIDDLEWARES", "drift.DriftMiddleware", 1)
    if config.coverage_enabled:
        _default(settings, "EXTENSIONS", "coverage.FieldCoverage", 0)


def _default(settings: BaseSettings, name: str, path: str, order: int) -> None:
    """Plug in what is at *path* of the folder for *name*: what is off is never imported."""
    found = load_object(f"{_FOLDERS[name]}.{path}")
    settings.setdefault_in_component_priority_dict(name, found, order)


def _replace(settings: BaseSettings, name: str, old: type, path: str, order: int) -> None:
    """Put what is at *path* in the place of Scrapy's *old*, unless the user took *old* out."""
    components = settings.get_component_priority_dict_with_base(name)
    orders = [components[key] for key in components if load_object(key) is old]
    if orders:
        settings.set_in_component_priority_dict(name, old, None)
        _default(settings, name, path, orders[0] if orders[0] is not None else order)


def _has_uvloop() -> bool:
    try:
        import uvloop  # noqa: F401, PLC0415 - the extra "speed"
    except ImportError:
        return False
    return True


def _leave_job(settings: BaseSettings) -> None:
    """``fetch``, ``shell``, ``parse`` and ``check`` must not run requests of the job."""
    if settings["JOBDIR"]:
        settings.set("JOBDIR", None, priority=settings.getpriority("JOBDIR") or 0)
