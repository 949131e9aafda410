"""The Report extension: a report of the crawl, when it has closed."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scrapy import signals
from scrapy.exceptions import NotConfigured

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience.checkpoint.parts import Part
from scrapy_resilience.jobs.crawl_job import job_of
from scrapy_resilience.jobs.jobdir import filled
from scrapy_resilience.observe.last_view import last_view
from scrapy_resilience.observe.observer import observer_of
from scrapy_resilience.observe.report.previous import previous_view
from scrapy_resilience.observe.report.report import write_report
from scrapy_resilience.settings import Config
from scrapy_resilience.waits import in_thread, let_go

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience.observe.view import View

__all__ = ["Report"]

logger = get_logger(__name__)

_PATIENCE: Final = 2.0
"""Seconds by which a slow disk may delay the end."""


class Report(Part):
    """Writes ``RESILIENCE_REPORT``, after the last commit where there is a job."""

    def __init__(self, crawler: Crawler, template: str) -> None:
        self.crawler = crawler
        self.path = Path(filled(template, crawler.spidercls.name, _clock.wall()))
        self._observer = observer_of(crawler)
        self._job = job_of(crawler)
        self._reason: str | None = None
        self.over = asyncio.Event()
        """Whether it is written, or never will be."""
        crawler.signals.connect(self._spider_closed, signals.spider_closed)
        if self._job is None:
            crawler.signals.connect(self.ended, signals.engine_stopped)
        else:
            self._job.parts.append(self)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        template = Config.from_settings(crawler.settings).report
        if not template:
            raise NotConfigured
        return cls(crawler, template)

    def _spider_closed(self, reason: str) -> None:
        self._reason = reason

    async def ended(self) -> None:
        """Everything is counted."""
        try:
            view = last_view(self._observer, self._job, self._reason)
            folder = None if self._job is None else self._job.path
            done, thread = in_thread(
                partial(_write, self.path, view, folder), "resilience-report"
            )
            await asyncio.wait({done}, timeout=_PATIENCE)
            if not done.done():
                let_go(thread)
                raise TimeoutError(f"it takes more than {_PATIENCE:g} s")  # noqa: TRY301
            done.result()
        except Exception as error:  # noqa: BLE001 - the crawl is over, and its data is safe
            logger.error("The report can't be written to %s: %r", self.path, error)  # noqa: TRY400
        else:
            logger.info("Report: %s", self.path)
        finally:
            self.over.set()


def _write(path: Path, view: View, jobdir: Path | None) -> None:
    write_report(path, view, previous_view(path, view), jobdir)
