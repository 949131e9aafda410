"""The settings of a dry run: those of the crawl, but for what writes, sends or listens."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from scrapy.dupefilters import RFPDupeFilter
from scrapy.pipelines import ItemPipelineManager
from scrapy.settings import SETTINGS_PRIORITIES
from scrapy.statscollectors import MemoryStatsCollector
from scrapy.utils.misc import load_object

from scrapy_resilience.dryrun.cache import cache_of
from scrapy_resilience.dryrun.harmless_components import Skipped, is_safe
from scrapy_resilience.scheduler import ResilientScheduler
from scrapy_resilience.settings import PREFIX

if TYPE_CHECKING:
    from collections.abc import Collection

    from scrapy.settings import BaseSettings

    from scrapy_resilience.settings import Config

__all__ = ["make_quiet", "write_nothing"]

_LOG: Final[dict[str, Any]] = {"LOG_FILE": None, "LOG_STDOUT": False}
"""The log goes to stderr, and what is found to stdout."""
_SCRAPYS: Final[dict[str, Any]] = {
    **_LOG,
    "JOBDIR": None,
    "MEMUSAGE_NOTIFY_MAIL": [],
    "STATSMAILER_RCPTS": [],
}
_OURS: Final[dict[str, Any]] = {
    "cache_url": "",
    "drift_action": "report",
    "http_enabled": False,
    "incomplete_exit_code": 0,
    "log_dir": "",
    "log_files": (),
    "metrics_textfile": "",
    "notify_enabled": False,
    "pushgateway_url": "",
    "report": "",
    "seen_store": "",
    "snapshot_enabled": False,
    "traces": "off",
}
_SINGLE: Final[dict[str, type]] = {
    "DUPEFILTER_CLASS": RFPDupeFilter,
    "ITEM_PROCESSOR": ItemPipelineManager,
    "SCHEDULER": ResilientScheduler,
    "STATS_CLASS": MemoryStatsCollector,
}
"""What takes the place of a component of the user's that may write."""
_LONGEST_HOLD: Final = 60.0
"""Seconds that are waited for a domain that does not answer."""


def write_nothing(settings: BaseSettings) -> None:
    """What is written before there is a crawler: a log file, and the bytecode of spiders."""
    sys.dont_write_bytecode = True
    for name, value in _LOG.items():
        settings.set(name, value, SETTINGS_PRIORITIES["cmdline"])


def make_quiet(settings: BaseSettings, config: Config, named: Collection[str]) -> list[Skipped]:
    """Change *settings*; what of the user's is replaced. *named* may run."""
    for name, value in _SCRAPYS.items():
        _set(settings, name, value)
    for name, value in _OURS.items():
        _set(settings, PREFIX + name.upper(), value)
    _set(settings, f"{PREFIX}HOLD_TIMEOUT", min(config.hold_timeout, _LONGEST_HOLD))
    skipped = []
    if config.seen_store:
        skipped.append(Skipped(f"{PREFIX}SEEN_STORE", "pages that were seen are asked for"))
    for name, ours in _SINGLE.items():
        cls = load_object(settings[name])
        if not is_safe(cls, named):
            _set(settings, name, ours)
            skipped.append(Skipped(f"{cls.__module__}.{cls.__qualname__}", f"{name} may write"))
    if settings.getbool("HTTPCACHE_ENABLED"):
        cache, why = cache_of(settings, named)
        if why:
            skipped.append(Skipped(str(settings["HTTPCACHE_STORAGE"]), why))
        _set(settings, "HTTPCACHE_STORAGE", cache)
    return skipped


def _set(settings: BaseSettings, name: str, value: Any) -> None:
    """Over whoever has set it: in a dry run nothing of the kind is done."""
    settings.set(name, value, settings.getpriority(name) or 0)
