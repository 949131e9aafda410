"""A folder of log files, and whose lines are in it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from scrapy.crawler import Crawler

from scrapy_resilience.observe.logs import log_context
from scrapy_resilience.observe.logs.jsonlog import JsonFormatter
from scrapy_resilience.observe.logs.logfiles import LogFiles

if TYPE_CHECKING:
    from pathlib import Path

    from scrapy.settings import BaseSettings

    from scrapy_resilience.settings import Config

__all__ = ["LogFolder"]


class LogFolder:
    """Log files, and the crawls of this process that write to them."""

    def __init__(self, path: Path, settings: BaseSettings, config: Config) -> None:
        self.crawlers: WeakKeyDictionary[Crawler, None] = WeakKeyDictionary()
        self.files = LogFiles(
            path,
            config.log_files,
            JsonFormatter(),
            level=_level_of(settings["LOG_LEVEL"]),
            most=config.log_max_bytes,
            days=config.log_retention,
            only=self._concerns,
        )

    def _concerns(self, record: logging.LogRecord) -> bool:
        """Whether a line is of one of its crawls; one of nobody's is of all."""
        owner = getattr(getattr(record, "spider", None), "crawler", None)
        owner = owner or getattr(record, "crawler", None)
        if owner is None and (context := log_context.current()) is not None:
            owner = context.owner
        return not isinstance(owner, Crawler) or owner in self.crawlers


def _level_of(level: Any) -> int:
    """A level by its name or number, as Scrapy's LOG_LEVEL has it."""
    found = logging.getLevelName(level) if isinstance(level, str) else level
    return found if isinstance(found, int) else int(str(level))
