"""The SeenBefore extension: the store of a crawl, and what follows its pages."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from scrapy import signals
from scrapy.exceptions import NotConfigured

from scrapy_resilience import names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import close_spider
from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience._scrapy.refusals import fail_quietly
from scrapy_resilience.core.masking import reason
from scrapy_resilience.deadletters import letters_of
from scrapy_resilience.exceptions import CheckpointError, ConfigurationError
from scrapy_resilience.files.filesystem import warn_if_remote
from scrapy_resilience.jobs.crawl_job import is_skipped, job_of
from scrapy_resilience.seen.keeping import KeptInJob, KeptLoosely
from scrapy_resilience.seen.schema import damaged
from scrapy_resilience.seen.skipping import SeenPages, seen_pages, store_path
from scrapy_resilience.seen.store import SeenStore
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.python.failure import Failure
    from typing_extensions import Self

    from scrapy_resilience.jobs.job import Job

__all__ = ["SeenBefore"]

logger = get_logger(__name__)


class SeenBefore:
    """Skips what earlier jobs have brought: :mod:`scrapy_resilience.seen`."""

    def __init__(self, crawler: Crawler, config: Config, job: Job | None) -> None:
        self.crawler = crawler
        name = crawler.spider.name if crawler.spider else crawler.spidercls.name
        path = store_path(config, name)
        if job is not None and path.is_relative_to(job.path.absolute()):
            raise CheckpointError(
                "it lies in the JOBDIR, and is for all jobs: put it beside that"
            )
        self._store = SeenStore(path)
        try:
            warn_if_remote(path.parent)
            self._keeper = self._keep_in(job)
        except BaseException:
            self._store.close()
            raise
        self.pages = SeenPages(crawler, self._store, config)
        self.pages.keep, self.pages.drop = self._keeper.keep, self._keeper.drop
        self.pages.on_damage = self._damaged
        self._is_damaged = False
        seen_pages(crawler, self.pages)
        letters_of(crawler).on_given_up.append(self.pages.given_up)
        connect = crawler.signals.connect
        connect(self._opened, signals.spider_opened)
        connect(self._spider_error, signals.spider_error)
        connect(self._item_error, signals.item_error)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        config = Config.from_settings(crawler.settings)
        job = job_of(crawler)  # a refusal of the job is told by who refuses it
        if not config.seen_store or is_skipped(crawler):
            raise NotConfigured
        try:
            return cls(crawler, config, job)
        except ConfigurationError as error:
            fail_quietly(crawler, error)
            raise
        except (CheckpointError, OSError, sqlite3.Error) as error:
            told = f"RESILIENCE_SEEN_STORE={config.seen_store!r}: {reason(error)}"
            refusal = CheckpointError(told)
            fail_quietly(crawler, refusal)
            raise refusal from error

    def _keep_in(self, job: Job | None) -> KeptInJob | KeptLoosely:
        if job is not None:
            return KeptInJob(self.crawler, job, self._store)
        logger.warning(
            "Without a JOBDIR pages count as seen when their items have passed all pipelines: "
            "a kill may leave pages that are skipped, and whose items are in no feed"
        )
        return KeptLoosely(self.crawler, self._store)

    def _opened(self) -> None:
        engine: Any = self.crawler.engine
        hooks, scheduler = hooks_of(engine), engine.scheduler
        hooks.settled = self.pages.is_settled
        hooks.linked = self.pages.gave_link
        hooks.left_out = self.pages.is_unchanged
        hooks.ended.append(self.pages.ended)
        scheduler.skips = self.pages.skips
        self.pages.is_cut = lambda: hooks.canceller.is_over() or scheduler.in_flight.frozen

    def _spider_error(self, response: Response | Failure | None) -> None:
        self.pages.failed(getattr(response, "request", None))

    def _item_error(self, response: Response | Failure | None) -> None:
        self.pages.failed(getattr(response, "request", None))

    def _damaged(self, error: Exception) -> None:
        """Not one page more: each would be asked for again."""
        if self._is_damaged:
            return
        self._is_damaged = True
        logger.error("The crawl is closed: %s", damaged(self._store.path, error))
        close_spider(self.crawler, names.REASON_STORAGE)
