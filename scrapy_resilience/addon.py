"""The add-on: what is plugged in where, and when."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

from scrapy.downloadermiddlewares.cookies import CookiesMiddleware
from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.extensions.spiderstate import SpiderState
from scrapy.utils.misc import load_object

from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.command import owns_job, running_command
from scrapy_resilience._scrapy.download_handlers import use_aiohttp
from scrapy_resilience._scrapy.refusals import fail_quietly
from scrapy_resilience.downloadermiddlewares.barrier import BarrierMiddleware
from scrapy_resilience.downloadermiddlewares.breaker import CircuitBreakerMiddleware
from scrapy_resilience.downloadermiddlewares.cookies import DurableCookiesMiddleware
from scrapy_resilience.downloadermiddlewares.injection import FailureInjectionMiddleware
from scrapy_resilience.downloadermiddlewares.proxy import ProxyBreakerMiddleware
from scrapy_resilience.downloadermiddlewares.retry import ClassifiedRetryMiddleware
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.extensions.checkpoint import Checkpoint
from scrapy_resilience.extensions.coverage import FieldCoverage
from scrapy_resilience.extensions.endpoint import Endpoint
from scrapy_resilience.extensions.feedcover import cover_feeds
from scrapy_resilience.extensions.logs import Logs, begin_logs, format_of
from scrapy_resilience.extensions.metrics import MetricsExport
from scrapy_resilience.extensions.observe import Observe
from scrapy_resilience.extensions.report import Report
from scrapy_resilience.extensions.shutdown import Shutdown
from scrapy_resilience.extensions.snapshots import Snapshots
from scrapy_resilience.extensions.systemd import Systemd
from scrapy_resilience.extensions.terminal import Terminal
from scrapy_resilience.extensions.tracing import Traces
from scrapy_resilience.jobs.job import check_before, expand_jobdir
from scrapy_resilience.observe.logs.scrapy_stream import expect_format
from scrapy_resilience.observe.terminal.terminal import shows_lines
from scrapy_resilience.pipelines.confidence import (
    ConfidencePipeline,
    DoubtfulItems,
    TrustedItems,
)
from scrapy_resilience.pipelines.normalize import NormalizePipeline
from scrapy_resilience.pipelines.unique import UniquePipeline
from scrapy_resilience.scheduler import ResilientScheduler
from scrapy_resilience.scheduling.concurrent_items import lower_concurrent_items
from scrapy_resilience.scheduling.scrapy_settings import check_settings
from scrapy_resilience.selectors import registry
from scrapy_resilience.settings import Config, misspelled
from scrapy_resilience.settings_checks import check_selectors_dir, check_values
from scrapy_resilience.settings_sources import apply_layers
from scrapy_resilience.spidermiddlewares.deadletters import DeadLettersMiddleware
from scrapy_resilience.spidermiddlewares.drift import DriftMiddleware
from scrapy_resilience.spidermiddlewares.start import StartMiddleware

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings
    from typing_extensions import Self

__all__ = ["ResilienceAddon"]

logger = get_logger(__name__)

_CRAWLING: Final = {"crawl", "runspider", None}
"""Commands that run crawls; scripts have none."""
_CACHE_STORAGE: Final = "scrapy_resilience.extensions.httpcache.AtomicCacheStorage"


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
        if command not in _CRAWLING:
            return
        layered = settings.copy()
        try:
            apply_layers(layered)
            config = Config.from_settings(layered)
        except ConfigurationError:
            return  # the crawl is refused later, when there is a log
        if not config.enabled:
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
            if config.enabled:
                self._begin_logs(settings, config)
                check_selectors_dir(config.selectors_dir)
                registry.use(config.selectors_dir)
                check_before(self.crawler, partial(check_values, settings, config))
                self._update(settings, config)
        except ConfigurationError as error:
            fail_quietly(self.crawler, error)
            raise

    def _begin_logs(self, settings: BaseSettings, config: Config) -> None:
        """First, so that what is logged about other settings is there."""
        if owns_job() and begin_logs(self.crawler, settings, config):
            _default(settings, "EXTENSIONS", Logs, 0)

    def _update(self, settings: BaseSettings, config: Config) -> None:
        if config.download_handler == "aiohttp":
            use_aiohttp(settings)
        _plug_gates(settings, config)
        _plug_pipelines(settings, config)
        if not owns_job():
            _leave_job(settings)
            return
        if config.observe_enabled:
            _plug_observers(settings, config)
        if config.scheduler_enabled:
            settings.set("SCHEDULER", ResilientScheduler, priority="addon")
        if getattr(load_object(settings["SCHEDULER"]), "runs_jobs", False):
            check_settings(settings)
            self._plug(settings, config)
        elif settings["JOBDIR"] and config.scheduler_enabled and config.checkpoint_enabled:
            logger.warning(
                "SCHEDULER=%r makes no checkpoints: a kill loses what is under way. Remove the "
                "setting, or set RESILIENCE_SCHEDULER_ENABLED=False if that is what you want",
                settings["SCHEDULER"],
            )

    def _plug(self, settings: BaseSettings, config: Config) -> None:
        lower_concurrent_items(settings, config)
        if config.deadletters_enabled:
            _default(settings, "SPIDER_MIDDLEWARES", DeadLettersMiddleware, 51)
        _watch_quality(settings, config)
        if not (settings["JOBDIR"] and config.checkpoint_enabled):
            return
        _default(settings, "SPIDER_MIDDLEWARES", StartMiddleware, 0)
        _default(settings, "DOWNLOADER_MIDDLEWARES", BarrierMiddleware, 1)
        if config.cookies_enabled:
            _replace(
                settings,
                "DOWNLOADER_MIDDLEWARES",
                CookiesMiddleware,
                DurableCookiesMiddleware,
                700,
            )
        if config.feeds_enabled and (settings["FEEDS"] or settings["FEED_URI"]):
            cover_feeds(settings)
        settings.set("HTTPCACHE_STORAGE", _CACHE_STORAGE, priority="addon")
        _default(settings, "EXTENSIONS", SpiderState, None)
        _default(settings, "EXTENSIONS", Checkpoint, 0)
        _default(settings, "EXTENSIONS", Shutdown, 0)
        if config.snapshot_enabled:
            _default(settings, "EXTENSIONS", Snapshots, 0)


def _plug_gates(settings: BaseSettings, config: Config) -> None:
    """With any scheduler."""
    if config.gates_enabled:
        _default(settings, "DOWNLOADER_MIDDLEWARES", CircuitBreakerMiddleware, 585)
        if config.breaker_enabled:
            _default(settings, "DOWNLOADER_MIDDLEWARES", ProxyBreakerMiddleware, 995)
    if config.retry_enabled:
        old, new = RetryMiddleware, ClassifiedRetryMiddleware
        _replace(settings, "DOWNLOADER_MIDDLEWARES", old, new, 550)
    if config.inject:
        _default(settings, "DOWNLOADER_MIDDLEWARES", FailureInjectionMiddleware, 1000)


def _plug_observers(settings: BaseSettings, config: Config) -> None:
    """With any scheduler."""
    _default(settings, "EXTENSIONS", Observe, 0)
    _default(settings, "EXTENSIONS", MetricsExport, 0)
    _default(settings, "EXTENSIONS", Systemd, 0)
    if config.http_enabled:
        _default(settings, "EXTENSIONS", Endpoint, 1)
    if config.traces != "off":
        _default(settings, "EXTENSIONS", Traces, 0)
    if config.report:
        _default(settings, "EXTENSIONS", Report, 0)
    if config.terminal and shows_lines(sys.stderr):
        _default(settings, "EXTENSIONS", Terminal, 0)


def _plug_pipelines(settings: BaseSettings, config: Config) -> None:
    """The first always: its settings may be in the fields of item classes."""
    _default(settings, "ITEM_PIPELINES", NormalizePipeline, 100)
    if config.unique:
        _default(settings, "ITEM_PIPELINES", UniquePipeline, 200)
    if _wants_confidence(settings, config):
        _default(settings, "ITEM_PIPELINES", ConfidencePipeline, 900)


def _wants_confidence(settings: BaseSettings, config: Config) -> bool:
    """Whether anything but stats comes of it."""
    feeds = settings.getdict("FEEDS").values()
    filters = (load_object(feed["item_filter"]) for feed in feeds if feed.get("item_filter"))
    return bool(
        config.confidence_field
        or config.confidence_action != "flag"
        or config.confidence_weights
        or any(
            isinstance(each, type) and issubclass(each, (TrustedItems, DoubtfulItems))
            for each in filters
        )
    )


def _watch_quality(settings: BaseSettings, config: Config) -> None:
    if config.drift_enabled:
        _default(settings, "SPIDER_MIDDLEWARES", DriftMiddleware, 1)
    if config.coverage_enabled:
        _default(settings, "EXTENSIONS", FieldCoverage, 0)


def _default(settings: BaseSettings, name: str, cls: type, order: int | None) -> None:
    settings.setdefault_in_component_priority_dict(name, cls, order)


def _replace(settings: BaseSettings, name: str, old: type, new: type, order: int) -> None:
    """Put *new* in the place of Scrapy's *old*, unless the user took *old* out."""
    components = settings.get_component_priority_dict_with_base(name)
    orders = [components[key] for key in components if load_object(key) is old]
    if orders:
        settings.set_in_component_priority_dict(name, old, None)
        _default(settings, name, new, orders[0] if orders[0] is not None else order)


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
