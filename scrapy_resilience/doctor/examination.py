"""``scrapy resilience doctor``: all that is looked at, in the order in which it is told."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from scrapy import Spider
from scrapy.spiderloader import get_spider_loader

from scrapy_resilience._log import get_logger
from scrapy_resilience.addon import plug
from scrapy_resilience.components import uncovered
from scrapy_resilience.core.findings import Finding, has_problem
from scrapy_resilience.core.masking import counted, error_text, message_of, shown
from scrapy_resilience.doctor.clashes import judge_settings
from scrapy_resilience.doctor.clock import check_clock
from scrapy_resilience.doctor.libraries import check_libraries, uses_playwright
from scrapy_resilience.doctor.limits import check_open_files
from scrapy_resilience.doctor.places import check_disks
from scrapy_resilience.doctor.versions import check_versions
from scrapy_resilience.dryrun.checks import Subject, checks_of, examine
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.guard.in_vain import settings_in_vain
from scrapy_resilience.settings import Config, misspelled
from scrapy_resilience.settings_checks import check_selectors_dir, check_values
from scrapy_resilience.settings_sources import apply_layers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy.settings import BaseSettings

__all__ = ["examination"]

_STARTS: tuple[str, ...] = ("browser",)
"""Checks that start something, and take seconds."""


def examination(settings: BaseSettings, *, in_project: bool, deep: bool) -> list[Finding]:
    """*settings* stay as they are. *deep*: start a browser, too."""
    settings = settings.copy()
    found = [*check_versions()]
    if not in_project:
        advice = "run it in the folder with scrapy.cfg to have the project looked at"
        found.append(Finding("project", "note", "there is no project here", advice))
    told, config = _configured(settings)
    found += told
    found += check_clock(settings, config)
    found += check_open_files(settings, browsers=uses_playwright(settings))
    if in_project:
        found += _spiders(settings)
    if config is None:
        return found
    found += check_libraries(settings, config)
    if in_project:
        subject = Subject(settings, config)
        found += check_disks(subject)
        checks = checks_of(settings)
        for name in () if deep else _STARTS:
            checks.pop(name, None)
        found += examine(checks, subject)
        if not deep and uses_playwright(settings):
            found.append(Finding("browser", "note", "was not started", "run doctor --deep"))
    return found


def _configured(settings: BaseSettings) -> tuple[list[Finding], Config | None]:
    """What is said of the settings, and what they are; None where they are wrong.

    They are changed as the add-on changes them.
    """
    found: list[Finding] = []
    try:
        unknown = apply_layers(settings)
        found += [
            _told("warning", f"the environment variable {each} is no setting")
            for each in unknown
        ]
        for name, meant in misspelled([*settings]).items():
            found.append(_told("warning", f"{name} is not a setting", f"did you mean {meant}?"))
        config = Config.from_settings(settings)
        with _warnings(found):
            check_selectors_dir(config.selectors_dir)
            check_values(settings, replace(config, report=""))  # which would try to write
            if config.enabled:
                plug(settings, config)
    except ConfigurationError as error:
        found.append(_told("problem", str(error)))
        return found, None
    except Exception as error:  # noqa: BLE001 - of code that the settings name
        text = message_of(error) or type(error).__name__
        found.append(_told("problem", f"a component can't be loaded: {text}", "see its path"))
        return found, None
    found += [_told("warning", line) for line in settings_in_vain(config)]
    if settings["JOBDIR"]:
        found += [_told("warning", line) for line in uncovered(settings, Spider, resumed=True)]
    found += judge_settings(settings, config)
    if not has_problem(found):
        found.append(_told("ok", "are right" if found else "are right, and go together"))
    return found, config


def _told(level: str, what: str, advice: str = "") -> Finding:
    return Finding("settings", level, shown(what), advice)  # type: ignore[arg-type]


class _Heard(logging.Handler):
    def __init__(self, found: list[Finding]) -> None:
        super().__init__(logging.WARNING)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        self._found.append(_told("warning", record.getMessage()))


@contextmanager
def _warnings(found: list[Finding]) -> Iterator[None]:
    """Have what the add-on warns of among the findings."""
    logger, heard = get_logger("scrapy_resilience"), _Heard(found)
    logger.addHandler(heard)
    try:
        yield
    finally:
        logger.removeHandler(heard)


def _spiders(settings: BaseSettings) -> Iterator[Finding]:
    try:
        names = get_spider_loader(settings).list()
    except Exception as error:  # noqa: BLE001 - of the user's code
        what = f"the spiders can't be loaded: {error_text(error)}"
        yield Finding("spiders", "problem", shown(what), "see SPIDER_MODULES, and the module")
        return
    if not names:
        advice = "see SPIDER_MODULES in settings.py"
        yield Finding("spiders", "note", "there is none", advice)
        return
    yield Finding("spiders", "ok", counted(len(names), "spider"))
