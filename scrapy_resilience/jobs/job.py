"""A job: a JOBDIR that one process at a time runs, and what its file says about it."""

from __future__ import annotations

from contextlib import ExitStack
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience.checkpoint.barrier import Barrier
from scrapy_resilience.checkpoint.state import (
    META,
    TOTALS,
    StateRegistry,
    checked,
)
from scrapy_resilience.core.totals import add_stats
from scrapy_resilience.exceptions import (
    CheckpointError,
    DamagedError,
)
from scrapy_resilience.failpoints import failpoint
from scrapy_resilience.feeds.cutting import is_intact, recover
from scrapy_resilience.feeds.records import FeedRecord, records
from scrapy_resilience.feeds.spool import remove_strays
from scrapy_resilience.files.filesystem import warn_if_remote
from scrapy_resilience.files.layout import LOCK, SCRAPYS_QUEUE, STORE, WAITING
from scrapy_resilience.files.lock import FileLock
from scrapy_resilience.files.ownership import make_jobdir
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.jobs.identity import check_arguments, check_spider
from scrapy_resilience.jobs.jobmeta import JobMeta
from scrapy_resilience.jobs.quarantine import go_back, open_store
from scrapy_resilience.names import STAT_INCOMPLETE, STAT_REQUESTS_DONE, STAT_TOTAL_PREFIX
from scrapy_resilience.waits import Waits

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scrapy import Spider

    from scrapy_resilience.checkpoint.parts import Part
    from scrapy_resilience.frontier.store import Changes
    from scrapy_resilience.jobs.scrapy_jobdir import ScrapyJobdir
    from scrapy_resilience.settings import Config

__all__ = ["Job"]

logger = get_logger(__name__)


class Job:
    """An open job directory. Raises :exc:`CheckpointError` when it can't be run."""

    def __init__(
        self,
        path: Path,
        spider: str,
        config: Config,
        instance: Spider | None = None,
        arguments: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.path = path
        self.config = config
        self.values = ValueCodec(allow_pickle=config.allow_pickle)
        self.barrier = Barrier()
        self.stale: dict[str, bytes | None] = {}
        """State of the last run that this one must not find again."""
        self.all_done = False
        """Whether the spider has closed with nothing left to do."""
        self.was_killed = False
        """Whether the run before did not come to its end, or was undone by a snapshot."""
        self.incomplete = False
        """Whether something that is done could not be stored: the next run has to."""
        self.parts: list[Part] = []
        """All that takes part in this run, in the order in which it is asked."""
        make_jobdir(path)
        warn_if_remote(path)
        self.stock = _stock_job(path)
        """A job of Scrapy's own scheduler that the first run imports."""
        if self.stock is not None and not (path / STORE).exists():
            self._read_stock(self.stock, instance)  # a refusal leaves no file behind
        self.lock = FileLock(path / LOCK)
        self.lock.acquire()
        self.waits = Waits(path / WAITING)
        try:
            self._open_store(spider, instance, dict(arguments))
        except BaseException:
            self.lock.release()
            raise

    def _read_stock(self, stock: ScrapyJobdir, instance: Spider | None) -> None:
        assert instance is not None
        stock.read(instance, self.values)

    def _take_stock(self, stock: ScrapyJobdir, instance: Spider | None) -> None:
        """An import that a kill cut short is begun again, or brought to its end."""
        if not self.resumed:
            if not stock.is_read:
                self._read_stock(stock, instance)
            self.meta.stock = stock.digest
            return
        if self.meta.stock != stock.digest:
            raise CheckpointError(
                f"{self.path} holds a job of Scrapy's own scheduler beside the one of "
                "scrapy_resilience: move its requests.queue away, or use another JOBDIR"
            )
        stock.move_aside()
        self.stock = None

    def _open_store(
        self, spider: str, instance: Spider | None, arguments: dict[str, Any]
    ) -> None:
        self.store = open_store(self.path, self.config)
        failpoint("job/created")
        try:
            self._open_sound(spider, instance, arguments)
        except BaseException:
            self.store.close()
            raise

    def _open_sound(
        self, spider: str, instance: Spider | None, arguments: dict[str, Any]
    ) -> None:
        """Items of a feed that the disk has changed are made again, from a snapshot on."""
        try:
            self._open(spider, instance, arguments)
        except DamagedError as error:
            self.store.close()
            self.store = go_back(self.path, self.config, error)
            self._open(spider, instance, arguments)

    def _open(self, spider: str, instance: Spider | None, arguments: dict[str, Any]) -> None:
        stored = self.store.state()
        self.state = StateRegistry(stored, self.values)
        self.meta = JobMeta.of(stored)
        if self.meta.spider is None:
            self.meta = JobMeta(spider=spider, created=_clock.wall())
        self.committed = self.meta.commits
        """What earlier runs have seen; this one counts on."""
        self.meta.commits += 1
        self.resumed = self.meta.runs > 0
        check_spider(self.meta, spider, path=self.path, config=self.config)
        check_arguments(self.meta, arguments, path=self.path, config=self.config)
        self.meta.arguments = arguments
        if self.stock is not None:
            self._take_stock(self.stock, instance)
        self.feeds: list[FeedRecord] = []
        self.had_finished = self.meta.finished or self.meta.replayed
        if self.had_finished:  # its feeds are the user's now
            for record in records(self.state):
                if is_intact(record, self.path):
                    self.feeds.append(record)
                else:
                    self.stale[record.name] = None
            remove_strays(self.path, {self.path / record.path for record in self.feeds})
        else:
            self.feeds = recover(self.state, self.path, clean=self.meta.clean)
        self.was_killed = self.meta.state(running=False) == "killed"
        self.meta.begin_run(rerun_start=self.config.rerun_start)
        self._totals = self._before = checked(
            self.state.load(TOTALS) or {}, dict[str, Any], "totals"
        )
        self.state.register(META, self.meta.record)
        self.state.register(TOTALS, lambda: self._totals)

    def spider_state(self, name: str) -> Any:
        """The value of the last run, or what Scrapy's SpiderState has left."""
        if self.stock is not None:
            self.stock.moves_state = True
            return self.stock.state
        return self.state.load(name)

    def totals(self, stats: Mapping[str, Any]) -> dict[str, Any]:
        """The stats of all runs, from those of this one up to now."""
        own = {
            key: value
            for key, value in stats.items()
            if not str(key).startswith(STAT_TOTAL_PREFIX) and key != STAT_INCOMPLETE
        }  # which is of all runs already
        return add_stats(self._before, own)

    def contribute(
        self, changes: Changes, stats: Mapping[str, Any], *, pending: int, held: int
    ) -> None:
        """All named state, as part of a commit."""
        self._totals = self.totals(stats)
        meta = self.meta
        meta.commits += 1
        meta.items = self._totals.get("item_scraped_count", 0)
        meta.done = self._totals.get(STAT_REQUESTS_DONE, 0)
        meta.pending, meta.held = pending, held
        meta.last_checkpoint = _clock.wall()
        changes.state.update(self.state.changed())

    def close(self) -> None:
        with ExitStack() as stack:  # each, whatever the others raise
            for part in reversed(self.parts):
                stack.callback(part.closed)
            stack.callback(self.lock.release)
            stack.callback(self.store.close)
            stack.callback(self.waits.close)


def _stock_job(path: Path) -> ScrapyJobdir | None:
    """What Scrapy's own scheduler has left there."""
    if not (path / SCRAPYS_QUEUE).exists():
        return None
    from scrapy_resilience.jobs.scrapy_jobdir import ScrapyJobdir  # noqa: PLC0415 - seldom there

    return ScrapyJobdir.find(path)
