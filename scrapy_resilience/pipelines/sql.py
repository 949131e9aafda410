"""Writes items into a database, each once, whatever is killed, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from itemadapter import is_item
from scrapy import signals
from scrapy.exceptions import CloseSpider, NotConfigured

from scrapy_resilience import names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import engine_of
from scrapy_resilience._scrapy.here import enter, leave
from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience._scrapy.refusals import fail_quietly
from scrapy_resilience._scrapy.running_command import exit_with_failure
from scrapy_resilience.checkpoint.state import OWN
from scrapy_resilience.core.masking import counted
from scrapy_resilience.exceptions import ResilienceError, RowRefusedError
from scrapy_resilience.jobs.crawl_job import job_of
from scrapy_resilience.scheduling.item_context import follow_items
from scrapy_resilience.settings import Config
from scrapy_resilience.signals import checkpoint_prepare
from scrapy_resilience.sql.library import check_library, knows_ids
from scrapy_resilience.watchdog import register_cache, register_component

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience.frontier.store import Letter
    from scrapy_resilience.jobs.job import Job
    from scrapy_resilience.sql.sink import Sink

__all__ = ["SqlPipeline"]

logger = get_logger(__name__)

_STATE: Final = OWN + "sql"
_PATIENCE: Final = 10.0
"""Seconds for which a job's last rows are tried: its last commit tries them again."""


class SqlPipeline:
    """Order 950: after what changes the values."""

    def __init__(self, crawler: Crawler, config: Config, sink: Sink, job: Job | None) -> None:
        self.crawler = crawler
        self.sink = sink
        self._config = config
        self._job = job
        self._stats: Any = crawler.stats
        self._base: int | None = None
        """The commit with which the tables agree, while there may be rows beyond it."""
        if job is not None:
            self._base = job.committed if job.resumed else None
            job.state.register(_STATE, self._save, self._restore)
        crawler.signals.connect(self._prepare, checkpoint_prepare)
        crawler.signals.connect(self._stop, signals.engine_stopped)
        register_component(crawler, "database", self._check)
        register_cache(crawler, "rows for the database", sink.queue.write_soon)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        config = Config.from_settings(crawler.settings)
        if not config.sql_url:
            raise NotConfigured
        job = job_of(crawler)
        try:
            check_library("RESILIENCE_SQL_URL")
            from scrapy_resilience.sql.sink import Sink  # noqa: PLC0415 - imports SQLAlchemy

            sink = Sink(crawler, config, job, own_ids=knows_ids(crawler.settings))
        except ResilienceError as error:
            fail_quietly(crawler, error)
            raise
        return cls(crawler, config, sink, job)

    async def open_spider(self) -> None:
        if engine_of(self.crawler) is not None:  # else it is tried without a crawl
            follow_items(self.crawler)
        enter(self.crawler)
        if self._base is None:
            return
        try:
            await self.sink.take_back(self._base)
        except ResilienceError as error:
            logger.error("Can't run this job: %s", error)  # noqa: TRY400 - it says all
            self.crawler.signals.connect(self._fail, signals.spider_closed)
            raise CloseSpider(names.REASON_STORAGE) from None
        self._base = None

    def _save(self) -> list[Any]:
        base = self._job.meta.commits if self._base is None and self._job else self._base
        return [base, self.sink.marks.took, sorted(self.sink.marks.tables)]

    def _restore(self, saved: Any) -> None:
        """What older versions have not saved is as it was without it."""
        known = saved if isinstance(saved, list) else [saved]
        base, took, tables = known + [None, 0, []][len(known) :]
        self.sink.marks.took = took
        self.sink.marks.tables |= {*tables}
        if isinstance(base, int):
            self._base = base

    # --- items ---

    def process_item(self, item: Any) -> Any:
        if type(item) is not dict and not is_item(item):
            return item
        try:
            waiting = self.sink.take(item)
        except RowRefusedError:
            self._stats.inc_value(names.STAT_SQL_REFUSED)
            raise
        return item if waiting is None else self._after(waiting, item)

    async def _after(self, waiting: Awaitable[None], item: Any) -> Any:
        """It waits for the database, and is not to be cancelled for that."""
        engine = engine_of(self.crawler)
        begin = None if engine is None else hooks_of(engine).bypasses_begin
        end = begin() if begin is not None else None
        try:
            await waiting
        except RowRefusedError:
            self._stats.inc_value(names.STAT_SQL_REFUSED)
            raise
        finally:
            if end is not None:
                end()
        return item

    # --- commits ---

    def _prepare(self) -> Awaitable[list[Letter]]:
        return self.sink.prepare(0 if self._job is None else self._job.meta.commits)

    def _check(self) -> Any:
        """Asked in a thread."""
        if trouble := self.sink.trouble:
            return "unhealthy", trouble
        self.sink.ping()
        return True

    # --- the end ---

    async def close_spider(self) -> None:
        patience = self._config.storage_timeout
        if self._job is not None:
            patience = min(patience, _PATIENCE)
        if not await self.sink.flush(patience) and self._job is None:
            rows = counted(len(self.sink.queue), "row")
            logger.error("The database is away (%s): %s lost", self.sink.queue.trouble, rows)
            self.crawler.signals.connect(self._fail, signals.spider_closed)

    def _fail(self) -> None:
        exit_with_failure(self.crawler)

    async def _stop(self) -> None:
        leave(self.crawler)
        await self.sink.close()
