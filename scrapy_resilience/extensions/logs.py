"""The Logs extension: JSON in Scrapy's log, log files, and whose request each line is about."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, finalize

from scrapy import signals
from scrapy.exceptions import NotConfigured

from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience.observe.logs import log_context
from scrapy_resilience.observe.logs.log_formats import json_for, pretty_for
from scrapy_resilience.observe.logs.scrapy_stream import (
    keep_format,
    keep_scrapys_format,
    leave_format,
)
from scrapy_resilience.observe.trace_ids import give_ids

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings
    from typing_extensions import Self

    from scrapy_resilience.observe.logs.log_folder import LogFolder
    from scrapy_resilience.settings import Config

__all__ = ["Logs", "begin_logs", "format_of"]

logger = get_logger(__name__)


_folders: dict[Path, LogFolder] = {}
_folder_of: WeakKeyDictionary[Crawler, Path] = WeakKeyDictionary()
_wanting: WeakKeyDictionary[Crawler, None] = WeakKeyDictionary()
"""Crawls whose lines are to say which request they are about."""


def begin_logs(crawler: Crawler, settings: BaseSettings, config: Config) -> bool:
    """What the settings ask for; whether that is anything.

    Raises :exc:`ConfigurationError` when the log folder can't be written.
    """
    if config.log_dir:
        _join_folder(Path(config.log_dir).expanduser().resolve(), crawler, settings, config)
    elif config.log_files:
        logger.warning(
            "RESILIENCE_LOG_FILES writes no files without RESILIENCE_LOG_DIR: name a folder"
        )
    make = format_of(config)
    if make is None:
        keep_scrapys_format()
    elif not keep_format(crawler, make) and config.log_json and settings.getbool("LOG_ENABLED"):
        logger.warning(
            "RESILIENCE_LOG_JSON changes Scrapy's own log handler, and this process has none: "
            "call scrapy_resilience.logs.setup_logging()"
        )
    if make is not None or config.log_dir or log_context.is_wanted():
        _wanting[crawler] = None
    return crawler in _wanting


def format_of(config: Config) -> Callable[[logging.Handler], logging.Formatter | None] | None:
    """What Scrapy's own log is to look like; None for as it does."""
    if config.log_json:
        return json_for
    return pretty_for if config.log_pretty else None


def _join_folder(path: Path, crawler: Crawler, settings: BaseSettings, config: Config) -> None:
    from scrapy_resilience.observe.logs.log_folder import LogFolder  # noqa: PLC0415 - few have one

    if path not in _folders:
        _folders[path] = LogFolder(path, settings, config)
    _folders[path].crawlers[crawler] = None
    _folder_of[crawler] = path
    finalize(crawler, _close_unused).atexit = False  # one that was refused never ends


def _end_logs(crawler: Crawler) -> None:
    leave_format(crawler)
    if (path := _folder_of.pop(crawler, None)) is not None:
        _folders[path].crawlers.pop(crawler)
        _close_unused()


def _close_unused() -> None:
    for path, folder in [*_folders.items()]:
        if not list(folder.crawlers):  # its length counts one that is being forgotten
            del _folders[path]
            folder.files.close()


class Logs:
    """Lines that are logged while something is done for a request have its trace id."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        crawler.signals.connect(self._opened, signals.spider_opened)
        crawler.signals.connect(self._stopped, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        if crawler not in _wanting:
            raise NotConfigured
        return cls(crawler)

    def _opened(self) -> None:
        hooks = hooks_of(self.crawler.engine)
        give_ids(hooks)
        hooks.surround(partial(log_context.of_request, owner=self.crawler))

    def _stopped(self) -> None:
        _end_logs(self.crawler)
