"""Checks settings that are made of other things, such as paths of functions, as a whole.

Each component reads its own once more when it is made. Where there is a job, that is too late
to learn that one is wrong: it is open then, and a finished one may have been put aside.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scrapy_resilience.core.access import check_listening, port_range
from scrapy_resilience.core.metricnames import checked_labels
from scrapy_resilience.downloadermiddlewares.injection import injections
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.gates.domains import Domains
from scrapy_resilience.gates.judge import Judge
from scrapy_resilience.gates.policies import PolicyChooser
from scrapy_resilience.handlers import FailureHandlers
from scrapy_resilience.observe.health.crawl_health import load_checks
from scrapy_resilience.observe.metrics.pushgateway import group_url
from scrapy_resilience.observe.metrics.textfile import check_textfile, textfile_path
from scrapy_resilience.observe.report.report import check_place
from scrapy_resilience.pipelines.confidence import calculator
from scrapy_resilience.pipelines.normalize import normalize_rules
from scrapy_resilience.pipelines.unique import key_function
from scrapy_resilience.scheduling.scrapy_settings import check_retries

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

    from scrapy_resilience.settings import Config

__all__ = ["check_endpoint", "check_selectors_dir", "check_values"]


def check_values(settings: BaseSettings, config: Config) -> None:
    """Raises :exc:`ConfigurationError`, or :exc:`MissingLibraryError`, as a component would."""
    check_selectors_dir(config.selectors_dir)
    check_retries(settings)
    Domains(settings, config)
    Judge(config)
    PolicyChooser(config, settings)
    FailureHandlers().load(config.failure_handlers)
    injections(config)
    normalize_rules(config)
    key_function(config)
    calculator(config)
    if config.report:
        check_place(config.report)
    check_metrics(config)
    check_endpoint(config)
    load_checks(config.health_checks)
    if config.report:
        check_place(config.report)


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
