"""The Costs extension: whose costs they are, and how long they are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy import signals

from scrapy_resilience._scrapy.refusals import Refusing, fail_quietly
from scrapy_resilience.checkpoint.parts import Part
from scrapy_resilience.cost import enter, leave
from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.guard.cost.crawl_costs import costs_of
from scrapy_resilience.guard.cost.views import add_outlook
from scrapy_resilience.jobs.crawl_job import job_of
from scrapy_resilience.observe.observer import observer_of
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience.frontier.store import Changes
    from scrapy_resilience.jobs.job import Job
    from scrapy_resilience.observe.view import View

__all__ = ["Costs"]


class Costs(Refusing, Part):
    """Counts what the crawl spends: :mod:`scrapy_resilience.guard.cost`."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.costs = costs_of(crawler)
        job = job_of(crawler)
        if job is not None:
            self._keep_in(job)
        if Config.from_settings(crawler.settings).observe_enabled:
            observer_of(crawler).fill.append(self._fill)
        enter(crawler, self.costs.tracker)
        crawler.signals.connect(self._started, signals.engine_started)
        crawler.signals.connect(self._stopped, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        job_of(crawler)  # a refusal of the job is told by who refuses it
        return super().from_crawler(crawler)

    def _keep_in(self, job: Job) -> None:
        try:
            self.costs.keep_in(job)
        except OSError as error:
            refusal = CheckpointError(f"what {job.path} has spent can't be read: {error}")
            fail_quietly(self.crawler, refusal)
            raise refusal from error
        job.parts.append(self)

    def _started(self) -> None:
        self.costs.started()

    def _stopped(self) -> None:
        leave(self.crawler)
        self.costs.stopped()

    def _fill(self, view: View) -> None:
        cost = self.costs.tracker.usage()
        add_outlook(cost, view.progress)
        view.cost = cost

    # --- of a job ---

    def contribute(self, changes: Changes) -> None:
        """What still runs is charged up to here; nothing of it is in the commit itself."""
        self.costs.tracker.charge_time()
        self.costs.tracker.commit()

    def closed(self) -> None:
        self.costs.tracker.close()
