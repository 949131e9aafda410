"""Checks settings that are made of other things, such as paths of functions, as a whole.

Each component reads its own once more when it is made. Where there is a job, that is too late
to learn that one is wrong: it is open then, and a finished one may have been put aside.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from scrapy.utils.misc import load_object

from scrapy_resilience.core.access import check_listening, port_range
from scrapy_resilience.core.measures import threshold_sets
from scrapy_resilience.core.metricnames import checked_labels
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.gates.domains import Domains
from scrapy_resilience.gates.judge import Judge
from scrapy_resilience.gates.policies import PolicyChooser
from scrapy_resilience.guard.abort_policy import abort_policy
from scrapy_resilience.guard.components import load_components
from scrapy_resilience.guard.cost.crawl_costs import load_costs
from scrapy_resilience.guard.watchdog.memory_limit import check_memory_limit
from scrapy_resilience.handlers import FailureHandlers
from scrapy_resilience.observe.health.crawl_health import load_checks
from scrapy_resilience.observe.metrics.pushgateway import group_url
from scrapy_resilience.observe.metrics.textfile import check_textfile, textfile_path
from scrapy_resilience.scheduling.scrapy_settings import check_retries
from scrapy_resilience.sql.library import check_library, knows_ids

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

    from scrapy_resilience.settings import Config

__all__ = ["check_all", "check_endpoint", "check_selectors_dir", "check_values"]

_MOSTLY_EMPTY: Final = {
    "cache_url": "cache.of_crawl.make_cache",
    "confidence_weights": "pipelines.confidence.calculator",
    "inject": "downloadermiddlewares.injection.injections",
    "normalize": "pipelines.normalize.normalize_rules",
    "notify": "guard.notify.channels.check_channels",
    "report": "observe.report.report.check_place",
    "seen_store": "seen.skipping.check_seen",
    "unique": "pipelines.unique.key_function",
}
"""Settings, and what reads them: that is imported for those only who use it."""


def check_all(settings: BaseSettings, config: Config) -> None:
    """The same as :func:`check_values`, and what is outside: the database is made ready."""
    check_values(settings, config)
    if config.cache_url:
        from scrapy_resilience.cache.of_crawl import check_cache  # noqa: PLC0415 - others use none

        check_cache(config)
    if config.sql_url:
        check_library("RESILIENCE_SQL_URL")
        from scrapy_resilience.sql.checks import open_ready  # noqa: PLC0415 - SQLAlchemy

        is_job = bool(settings["JOBDIR"]) and knows_ids(settings)
        open_ready(config, own_ids=knows_ids(settings), is_job=is_job).database.close()


def check_values(settings: BaseSettings, config: Config) -> None:
    """Raises :exc:`ConfigurationError`, or :exc:`MissingLibraryError`, as a component would."""
    check_selectors_dir(config.selectors_dir)
    check_retries(settings)
    Domains(settings, config)
    Judge(config)
    PolicyChooser(config, settings)
    FailureHandlers().load(config.failure_handlers)
    load_costs(config)
    abort_policy(config)
    check_metrics(config)
    check_endpoint(config)
    load_checks(config.health_checks)
    load_components(config.components)
    threshold_sets(config.thresholds, config.cpu_limit_percent / 100)
    check_memory_limit(settings, config)
    for name, path in _MOSTLY_EMPTY.items():
        if getattr(config, name):
            load_object(f"scrapy_resilience.{path}")(config)
    if settings.getbool("HTTPCACHE_ENABLED"):
        load_object("scrapy_resilience.httpcache.storage.check_storage")(settings, config)


def check_endpoint(config: Config) -> None:
    """Raises :exc:`ConfigurationError` for a port that is none, and for an open door."""
    if config.http_enabled and config.observe_enabled:
        port_range(config.http_port)
        check_listening(config.http_host, config.http_token, insecure=config.http_insecure)


def check_selectors_dir(folder: str) -> None:
    """Raises :exc:`ConfigurationError` for a file."""
    if Path(folder).is_file():
        setting = f"RESILIENCE_SELECTORS_DIR={folder!r}"
        raise ConfigurationError(f"{setting} is a file: use a folder.")


def check_metrics(config: Config) -> None:
    """Raises :exc:`ConfigurationError` for metrics that can't be named, pushed or written."""
    checked_labels("RESILIENCE_METRICS_LABELS", config.metrics_labels)
    if config.pushgateway_url:
        group_url(config.pushgateway_url, {"job": config.pushgateway_job})
    if config.metrics_textfile:
        check_textfile(textfile_path(config.metrics_textfile, "spider"))
