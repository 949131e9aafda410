"""The Report extension: a report of the crawl, when it has closed."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace
from scrapy import signals
from scrapy.exceptions import NotConfigured

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience.checkpoint.parts import Part
from scrapy_resilience.jobs.job import job_of
from scrapy_resilience.jobs.jobdir import filled
from scrapy_resilience.observe.observer import observer_of
from scrapy_resilience.observe.report.previous import previous_view
from scrapy_resilience.observe.report.report import write_report
from scrapy_resilience.observe.sentences import sentence
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
            view = self._last_view()
            done, thread = in_thread(partial(_write, self.path, view), "resilience-report")
            await asyncio.wait({done}, timeout=_PATIENCE)
            if not done.done():
                let_go(thread)
                raise TimeoutError(f"it takes more than {_PATIENCE:g} s")  # noqa: TRY301
            done.result()
        except Exception as error:  # noqa: BLE001 - the crawl is over, and its data is safe
            logger.error("The report can't be written to %s: %r", self.path, error)  # noqa: TRY400
        else:
            logger.info("Report: %s", self.path)

    def _last_view(self) -> View:
        self._observer.renew()
        view = self._observer.view(history=True)
        state = "finished" if self._reason == "finished" else "stopped"
        if self._job is not None:
            state = self._job.meta.state(running=False)
        job = replace(view.job, state=state, reason=self._reason)
        view = replace(view, job=job)
        job.sentence = sentence(view)
        return view


def _write(path: Path, view: View) -> None:
    write_report(path, view, previous_view(path, view))
