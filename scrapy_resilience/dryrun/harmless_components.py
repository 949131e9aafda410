"""Which components may run in a dry run: those that are known to write nothing.

Extensions and pipelines are left out unless they are known, say ``dry_run_safe = True`` or are
named in ``RESILIENCE_DRY_RUN_SAFE``. Middlewares run, but for those that are known to write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy.utils.misc import load_object

from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection

    from scrapy.settings import BaseSettings

__all__ = ["Skipped", "check_later", "is_safe", "leave_out", "refuse_spider"]

_SAFE: Final = "dry_run_safe"
_KNOWN: Final = frozenset(
    {
        *(
            f"scrapy.extensions.{name}"
            for name in (
                "closespider.CloseSpider",
                "corestats.CoreStats",
                "debug.Debugger",
                "debug.StackTraceDump",
                "logcount.LogCount",
                "logstats.LogStats",
                "memdebug.MemoryDebugger",
                "memusage.MemoryUsage",
                "periodic_log.PeriodicLog",
                "spiderstate.SpiderState",
                "throttle.AutoThrottle",
            )
        ),
        *(
            f"scrapy_resilience.extensions.{name}"
            for name in (
                "abort.Abort",
                "adaptive.AdaptiveConcurrency",
                "cache.CrawlCache",
                "costs.Costs",
                "coverage.FieldCoverage",
                "dryrun.DryRun",
                "dryrun.NothingLater",
                "easing.EaseOff",
                "observe.Observe",
                "stuck.Stuck",
                "terminal.Terminal",
                "watchdog.Watchdog",
            )
        ),
        *(
            f"scrapy_resilience.pipelines.{name}"
            for name in (
                "confidence.ConfidencePipeline",
                "normalize.NormalizePipeline",
                "unique.UniquePipeline",
            )
        ),
        "scrapy_resilience.dryrun.feeds.DryFeeds",
        "scrapy.core.scheduler.Scheduler",
        "scrapy.dupefilters.BaseDupeFilter",
        "scrapy.dupefilters.RFPDupeFilter",
        "scrapy.extensions.httpcache.FilesystemCacheStorage",
        "scrapy.pipelines.ItemPipelineManager",
        "scrapy.statscollectors.DummyStatsCollector",
        "scrapy.statscollectors.MemoryStatsCollector",
        "scrapy_resilience.httpcache.files.AtomicCacheStorage",
        "scrapy_resilience.scheduler.ResilientScheduler",
    }
)
"""With the settings of a dry run they write nothing."""
_WHY: Final = {
    "scrapy.extensions.remote_control.RemoteControl": "listens on a port and writes where",
    "scrapy.extensions.statsmailer.StatsMailer": "sends mail",
    "scrapy.extensions.telnet.TelnetConsole": "listens on a port",
    "scrapy.pipelines.files.FilesPipeline": "downloads files, and writes them",
    "scrapy.pipelines.images.ImagesPipeline": "downloads images, and writes them",
    "scrapy_resilience.extensions.cache.CrawlCache": "",
    "scrapy_resilience.extensions.metrics.MetricsExport": "",
    "scrapy_resilience.extensions.seen.SeenBefore": "writes down which pages it has seen",
    "scrapy_resilience.pipelines.sql.SqlPipeline": "writes rows",
    "scrapy_resilience.extensions.systemd.Systemd": "",
}
"""What is known to write or send; without a text it is not worth a line."""
_WRITING: Final = ("scrapy_deltafetch", "scrapy_crawl_once")
"""Packages whose middlewares write."""
_TAKING: Final = "scrapy_redis.spiders"
_UNKNOWN: Final = "is not known to write nothing"
_FILTERED: Final = ("EXTENSIONS", "ITEM_PIPELINES")
_SINGLE: Final = ("DUPEFILTER_CLASS", "ITEM_PROCESSOR", "STATS_CLASS")
_MIDDLEWARES: Final = ("DOWNLOADER_MIDDLEWARES", "SPIDER_MIDDLEWARES")


class Skipped(NamedTuple):
    """A component that does not run."""

    name: str
    why: str


def is_safe(cls: Any, named: Collection[str]) -> bool:
    """Whether a class is known, says so itself, or was *named*."""
    return _name(cls) in _KNOWN or bool(getattr(cls, _SAFE, False)) or _name(cls) in named


def leave_out(settings: BaseSettings, named: Collection[str]) -> list[Skipped]:
    """Take out of *settings* what may write; what it was."""
    skipped = []
    for setting in (*_FILTERED, *_MIDDLEWARES):
        for key in settings.get_component_priority_dict_with_base(setting):
            cls = load_object(key)
            why = _why(cls, named) if setting in _FILTERED else _why_middleware(cls, named)
            if why is not None:
                settings.set_in_component_priority_dict(setting, cls, None)
                skipped.append(Skipped(_name(cls), why))
    return [each for each in dict.fromkeys(skipped) if each.why]


def _why(cls: Any, named: Collection[str]) -> str | None:
    return None if is_safe(cls, named) else _WHY.get(_name(cls), _UNKNOWN)


def _why_middleware(cls: Any, named: Collection[str]) -> str | None:
    if is_safe(cls, named):
        return None
    for package in _WRITING:
        if _is_of(cls, package):
            return "writes down which pages it has seen"
    return None


def check_later(settings: BaseSettings, named: Collection[str]) -> None:
    """Raises :exc:`ConfigurationError` for what an add-on has put in after ours."""
    found = [each.name for each in leave_out(settings.copy(), named)]
    classes = (load_object(settings[name]) for name in _SINGLE)
    found += [_name(cls) for cls in classes if not is_safe(cls, named)]
    if settings["JOBDIR"]:
        found.append("JOBDIR")
    if found:
        raise ConfigurationError(
            f"A dry run would write: an add-on that comes later has set {', '.join(found)}. "
            "Give scrapy_resilience.ResilienceAddon the highest number in ADDONS, or name what "
            "writes nothing in RESILIENCE_DRY_RUN_SAFE."
        )


def refuse_spider(cls: type) -> None:
    """Raises :exc:`ConfigurationError` for a spider whose URLs would be lost."""
    if _is_of(cls, _TAKING):
        raise ConfigurationError(
            f"{_name(cls)} takes its URLs off Redis, so a dry run would lose them: "
            "give a spider of the same callbacks its URLs in start_urls."
        )


def _is_of(cls: Any, package: str) -> bool:
    modules = (base.__module__ for base in getattr(cls, "__mro__", ()))
    return any(module == package or module.startswith(f"{package}.") for module in modules)


def _name(cls: Any) -> str:
    return f"{getattr(cls, '__module__', '')}.{getattr(cls, '__qualname__', cls)}"
