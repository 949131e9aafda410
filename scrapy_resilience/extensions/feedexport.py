"""Feed exports that survive kill -9."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from scrapy import signals
from scrapy.exceptions import CloseSpider
from scrapy.extensions.feedexport import (
    FeedExporter,
    FeedSlot,
    FileFeedStorage,
    apply_uri_params,
)

from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.private_names import check_feed_exporter
from scrapy_resilience._scrapy.refusals import fail_quietly
from scrapy_resilience._scrapy.running_command import exit_with_failure
from scrapy_resilience.checkpoint.parts import Part
from scrapy_resilience.components import refuse_both
from scrapy_resilience.core.deadletter import describe
from scrapy_resilience.core.masking import mask_uri
from scrapy_resilience.exceptions import ConfigurationError, JobLockedError, StorageError
from scrapy_resilience.failpoints import failpoint
from scrapy_resilience.feeds.checks import CheckedFeeds
from scrapy_resilience.feeds.cutting import lock_feed
from scrapy_resilience.feeds.earlier_feeds import EarlierFeeds
from scrapy_resilience.feeds.items import write_to_all
from scrapy_resilience.feeds.known_feeds import KnownFeeds, UnknownFeedError
from scrapy_resilience.feeds.records import FeedRecord, warn_of_missing
from scrapy_resilience.feeds.slots import (
    continued,
    discard,
    keep_memory,
    kind_of,
    new_record,
    new_spool,
    warn_of_storage,
    warn_of_uncovered,
)
from scrapy_resilience.feeds.spooled_slot import SpooledSlot, part_of
from scrapy_resilience.feeds.waiting_slot import WaitingSlot
from scrapy_resilience.files.append_file import RetryingAppendFile
from scrapy_resilience.jobs.crawl_job import job_of
from scrapy_resilience.names import REASON_FEED_LOCKED, REASON_STORAGE
from scrapy_resilience.scheduling.item_context import current

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Spider
    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience.frontier.store import Changes
    from scrapy_resilience.jobs.job import Job

__all__ = ["ResilientFeedExporter"]

logger = get_logger(__name__)

_taken: Final[ContextVar[Any]] = ContextVar("scrapy_resilience_taken", default=None)
"""The last item of a task that is in the feeds."""


class ResilientFeedExporter(CheckedFeeds, Part):
    """Scrapy's feed exports, which survive kill -9.

    Local JSON Lines and CSV feeds are written as the items come, and cut back on a resume.
    Items of all other feeds wait in a spool in the JOBDIR, from which the feed is produced
    when its batch is full and when the spider closes. Standard output and pipes are written
    as in stock Scrapy, with a warning.

    A feed is opened when the spider opens, not at its first item; one that ends up empty
    and is not to be stored is removed again. Until :meth:`attach` is called, this is
    Scrapy's own exporter.
    """

    survives_kills: Final = True

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._job: Job | None = None
        self._records: dict[FeedSlot, FeedRecord] = {}
        self._truncate: set[FeedSlot] = set()
        self._unstored: list[SpooledSlot] = []
        self._waiting: list[SpooledSlot] = []
        """Full batches that may be stored once only: no sooner than they are committed."""
        self._sealed: list[SpooledSlot] = []
        self._unopened: list[WaitingSlot] = []
        """The next one of a feed's batches, and full ones that could not be opened before."""
        self._lost = False
        """Whether items were not written: no commit may cover them."""

    def attach(
        self,
        job: Job,
        write_now: Callable[[Changes], None],
        on_item: Callable[[], None],
    ) -> None:
        """Make the feeds part of a job, before the spider opens.

        *write_now* makes a record durable before its feed's first byte; *on_item* is
        called in the same step as an item is written.
        """
        self._job = job
        self._earlier = EarlierFeeds(job.feeds)
        self._known = KnownFeeds(job, write_now, self._records)
        self._on_item = on_item
        self.name_by_settings()
        for uri, item_filter in self.filters.items():
            keep_memory(job.state, uri, item_filter)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        check_feed_exporter(cls)
        refuse_both(crawler, "EXTENSIONS", cls, FeedExporter)
        try:
            exporter = super().from_crawler(crawler)
            if job_of(crawler) is not None and crawler.spider is not None:
                exporter.refuse_shared(crawler.spider)
        except (ConfigurationError, JobLockedError) as error:
            fail_quietly(crawler, error)
            raise
        return exporter

    def refuse_shared(self, spider: Spider) -> None:
        """Raises :exc:`JobLockedError` when another job writes to a feed of this one."""
        for uri, options in self.feeds.items():
            params = self._get_uri_params(spider, options["uri_params"])
            storage = self._get_storage(apply_uri_params(uri, params), options)
            path = Path(getattr(storage, "path", ""))
            if type(storage) is FileFeedStorage:
                for written in filter(Path.is_file, (path, part_of(path.resolve()))):
                    with written.open("rb") as file:
                        lock_feed(file, path)

    def contribute(self, changes: Changes) -> None:
        """Open batches that wait, flush every feed and record its length: part of a commit.

        Raises OSError while a disk is full, :exc:`StorageError` when items were lost.
        """
        if self._lost:
            raise StorageError("a batch can't be opened, so items were not written")
        self._open_waiting()
        self._sealed = []
        changes.state.update(dict.fromkeys(self._earlier.let_go))
        # one to be truncated holds what was there before: -O empties it at the first item
        self._known.contribute(changes, self.slots, apart=self._truncate)
        self._sealed = list(self._waiting)

    def written(self) -> None:
        """No commit needs these batches any more. Until one is written, all are kept."""
        for batch in self._sealed:
            batch.committed = True
            self._waiting.remove(batch)
            self._schedule_slot_close(batch, batch.spider)
        self._sealed = []
        self._earlier.let_go = []
        self._known.written()

    # --- opening ---

    def open_spider(self, spider: Spider) -> None:
        super().open_spider(spider)
        for record in list(self._earlier.records) if self._job else ():
            if record.template in self.feeds:
                if record.spooled and record.offset is not None:
                    self._earlier.records.remove(record)
                    self._go_on_storing(record, spider)
            else:
                warn_of_missing(record)

    def _go_on_storing(self, record: FeedRecord, spider: Spider) -> None:
        """A full batch that the last run had not stored yet."""
        slot = self._new_slot(record, self.feeds[record.template], spider)
        batch = self._spool(slot, record, self.feeds[record.template])
        batch.committed = True
        self._schedule_slot_close(batch, spider)

    def _new_slot(
        self, record: FeedRecord, feed_options: dict[str, Any], spider: Spider
    ) -> FeedSlot:
        uri = record.uri if record.spooled else record.path
        return super()._start_new_batch(
            record.batch_id, uri, feed_options, spider, record.template
        )

    def _start_new_batch(
        self,
        batch_id: int,
        uri: str,
        feed_options: dict[str, Any],
        spider: Spider,
        uri_template: str,
    ) -> FeedSlot:
        slot = super()._start_new_batch(batch_id, uri, feed_options, spider, uri_template)
        if self._job is None:
            return slot
        kind = kind_of(slot)
        if (problem := self._earlier.problem_of(kind, slot)) is not None:
            self._give_up(REASON_STORAGE, problem)
        kind = self._earlier.kind_of(kind, slot)
        if kind is None:
            if batch_id == 1:
                warn_of_uncovered(slot)
            return slot
        if batch_id == 1:
            warn_of_storage(slot)
        record = self._earlier.take(uri_template, spooled=kind is SpooledSlot)

        def open_slot() -> FeedSlot:
            if kind is SpooledSlot:
                return self._spool(slot, record, feed_options)
            opened = slot
            if record is not None:
                opened = self._new_slot(record, continued(feed_options, record), spider)
            self._open(opened, record)
            return opened

        return self._open_or_wait(slot, open_slot)

    def _open_or_wait(self, slot: FeedSlot, open_slot: Callable[[], FeedSlot]) -> FeedSlot:
        """The slot that *open_slot* gives, or one that waits until there is one."""
        assert self._job is not None
        try:
            return open_slot()
        except JobLockedError as error:
            self._give_up(REASON_FEED_LOCKED, str(error))
        except UnknownFeedError as error:
            logger.debug("The feed %s waits in memory: %s", mask_uri(slot.uri), error)
        except Exception as error:
            if slot.batch_id == 1:
                logger.debug("A feed can't be opened", exc_info=True)
                why = f"the feed {mask_uri(slot.uri)} can't be opened: {describe(error)}"
                self._give_up(REASON_STORAGE, why)
        waiting = WaitingSlot(slot, open_slot, self._job.values)
        self._unopened.append(waiting)
        return waiting

    def _open_waiting(self) -> None:
        """Raises OSError while a batch can't be opened."""
        while self._unopened:
            waiting = self._unopened[0]
            try:
                slot = waiting.open(self._empty)
            except JobLockedError as error:
                raise StorageError(str(error)) from error
            self._unopened.pop(0)
            if waiting in self.slots:
                self.slots[self.slots.index(waiting)] = slot
            else:  # it is full
                self._schedule_slot_close(slot, slot.spider)

    def _give_up(self, reason: str, why: str) -> NoReturn:
        logger.error("Can't run this job: %s", why)
        self.crawler.signals.connect(self._fail, signals.spider_closed)
        raise CloseSpider(reason) from None

    def _fail(self) -> None:
        exit_with_failure(self.crawler)

    def _open(self, slot: FeedSlot, record: FeedRecord | None) -> None:
        storage: Any = slot.storage
        record = record or new_record(slot, storage.path, overwrite=storage.write_mode == "wb")
        slot.itemcount = record.items
        self._known.add(record)
        Path(storage.path).absolute().parent.mkdir(parents=True, exist_ok=True)
        storage.open = lambda _: RetryingAppendFile(storage.path)
        slot.start_exporting()
        failpoint("feed/opened")
        assert slot.file is not None
        lock_feed(slot.file, storage.path)
        if record.overwrite and record.existed and record.offset is None:
            self._truncate.add(slot)
        self._records[slot] = record

    def _spool(
        self, slot: FeedSlot, record: FeedRecord | None, feed_options: dict[str, Any]
    ) -> SpooledSlot:
        assert self._job is not None
        record = record or new_spool(slot, had_finished=self._job.had_finished)
        self._known.add(record)

        def make_target() -> FeedSlot:
            return self._new_slot(record, feed_options, slot.spider)

        spooled = SpooledSlot(make_target, record, self._job)
        self._records[spooled] = record
        return spooled

    # --- items ---

    def item_scraped(self, item: Any, spider: Spider) -> None:
        if self._job is None:
            super().item_scraped(item, spider)
        elif _taken.get() is not item:  # else its pipelines have brought it
            self.take(item)

    def take(self, item: Any) -> None:
        """Put an item into all feeds that accept it, or into none.

        Raises :exc:`ItemRefusedError`.
        """
        if self._lost:
            return
        slots = [slot for slot in self.slots if slot.filter.accepts(item)]
        if current().again:
            slots = []  # they have it
        write_to_all(slots, item, self._empty)
        _taken.set(item)
        try:
            for slot in slots:
                self._go_on_behind(slot)
        except CloseSpider:  # a signal handler can't close the spider: the next commit does
            self._lost = True
        else:
            self._on_item()

    def _go_on_behind(self, slot: FeedSlot) -> None:
        """Begin the next batch when this one is full."""
        feed = self.feeds[slot.uri_template]
        if not feed["batch_item_count"] or slot.itemcount < feed["batch_item_count"]:
            return
        params = self._get_uri_params(slot.spider, feed["uri_params"], slot)
        place = self.slots.index(slot)
        self._schedule_slot_close(slot, slot.spider)
        self.slots[place] = self._start_new_batch(
            slot.batch_id + 1,
            apply_uri_params(slot.uri_template, params),
            feed,
            slot.spider,
            slot.uri_template,
        )

    def _empty(self, slot: FeedSlot) -> None:
        """What ``-O`` means, as late as Scrapy does it: at the first item."""
        if slot in self._truncate:
            self._truncate.discard(slot)
            assert slot.file is not None
            slot.file.truncate(0)

    # --- closing ---

    async def close_spider(self, spider: Spider) -> None:
        for slot in self._unstored:  # batches whose storage was away
            self._schedule_slot_close(slot, spider)
        self._unstored = []
        if self._unopened:  # the last commit but one has tried, and nobody closes them later
            self._lost = True
        await super().close_spider(spider)
        if self._job is not None and self._unstored:
            self._job.incomplete = True

    async def _close_slot(self, slot: FeedSlot, spider: Spider) -> None:
        if isinstance(slot, WaitingSlot):
            return
        stored = bool(slot.itemcount or (slot.store_empty and slot.batch_id == 1))
        if isinstance(slot, SpooledSlot):
            await self._close_spool(slot, spider, stored=stored)
            return
        record = self._records.get(slot)
        if stored:
            self._empty(slot)
        await super()._close_slot(slot, spider)
        if record is not None and not stored and slot.file is not None:
            discard(slot.file, record)

    async def _close_spool(self, slot: SpooledSlot, spider: Spider, *, stored: bool) -> None:
        """Produce the feed; a job that will go on keeps its spool, to produce it again."""
        assert self._job is not None
        full = slot not in self.slots
        if stored and full and not (slot.replaces or slot.committed):
            self._waiting.append(slot)
            return
        over = full or self._job.all_done
        if stored and (over or slot.replaces):
            close = super()._close_slot
            await slot.produce(lambda target: close(target, spider))
            if not slot.stored:
                self._unstored.append(slot)
        elif not stored:
            slot.discard()
        if over and (slot.stored or not stored):
            slot.close()
            self.slots = [other for other in self.slots if other is not slot]
            slot.tell_of_refused()
            if slot.stored and not slot.replaces:
                self._known.sent.add(slot.record.name)
                await asyncio.to_thread(self._known.forget_sent)
