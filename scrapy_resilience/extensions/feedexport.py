"""Feed exports that survive kill -9."""

from __future__ import annotations

import logging
import os
import stat
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from scrapy import signals
from scrapy.exceptions import CloseSpider
from scrapy.exporters import CsvItemExporter, JsonLinesItemExporter
from scrapy.extensions.feedexport import (
    FeedExporter,
    FeedSlot,
    FileFeedStorage,
    apply_uri_params,
)

from scrapy_resilience._scrapy import check_feed_exporter, exit_with_failure, fail_quietly
from scrapy_resilience.checkpoint.feeds import FeedRecord, ending_of, lock_feed
from scrapy_resilience.checkpoint.job import job_of
from scrapy_resilience.exceptions import JobLockedError
from scrapy_resilience.frontier.store import Changes
from scrapy_resilience.names import REASON_FEED_LOCKED

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Spider
    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience.checkpoint.state import StateRegistry

__all__ = ["ResilientFeedExporter"]

logger = logging.getLogger(__name__)


class ResilientFeedExporter(FeedExporter):
    """Scrapy's feed exports, with local JSON Lines and CSV feeds that survive kill -9.

    Such a feed is opened when the spider opens, not at its first item; a feed that ends
    up empty and is not to be stored is removed again. Until :meth:`attach` is called, this
    is Scrapy's own exporter.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._state: StateRegistry | None = None
        self._records: dict[FeedSlot, FeedRecord] = {}
        self._truncate: set[FeedSlot] = set()

    def attach(
        self,
        state: StateRegistry,
        resumable: list[FeedRecord],
        write_now: Callable[[Changes], None],
        on_item: Callable[[], None],
    ) -> None:
        """Make the feeds part of a job, before the spider opens.

        *write_now* makes a record durable before its feed's first byte; *on_item* is
        called in the same step as an item is written.
        """
        self._state = state
        self._resumable = resumable
        self._write_now = write_now
        self._on_item = on_item

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        check_feed_exporter(cls)
        exporter = super().from_crawler(crawler)
        if job_of(crawler) is not None and crawler.spider is not None:
            try:
                exporter.refuse_shared(crawler.spider)
            except JobLockedError as error:
                fail_quietly(crawler, error)
                raise
        return exporter

    def refuse_shared(self, spider: Spider) -> None:
        """Raises :exc:`JobLockedError` when another job writes to a feed of this one."""
        for uri, options in self.feeds.items():
            params = self._get_uri_params(spider, options["uri_params"])
            storage = self._get_storage(apply_uri_params(uri, params), options)
            path = Path(getattr(storage, "path", ""))
            if type(storage) is FileFeedStorage and path.is_file():
                with path.open("rb") as file:
                    lock_feed(file, path)

    def contribute(self, changes: Changes) -> None:
        """Flush every feed and record its length, as part of a commit."""
        assert self._state is not None
        for slot, record in list(self._records.items()):
            if slot in self._truncate:
                continue  # it holds what was there before: -O empties it at the first item
            over = _measure(slot, record) and slot not in self.slots
            changes.state[record.name] = None if over else self._state.encode(asdict(record))
            if over:  # a full batch: whoever reads it may take it away
                del self._records[slot]

    def open_spider(self, spider: Spider) -> None:
        super().open_spider(spider)
        for record in self._resumable if self._state else ():
            logger.warning(
                "The feed %s of the last run is not in FEEDS any more: it stays as it is",
                mask_uri(record.uri),
            )

    def _start_new_batch(
        self,
        batch_id: int,
        uri: str,
        feed_options: dict[str, Any],
        spider: Spider,
        uri_template: str,
    ) -> FeedSlot:
        record = self._take(uri_template)
        if record is not None:
            batch_id, uri = record.batch_id, record.path
            feed_options = _continued(feed_options, record)
        slot = super()._start_new_batch(batch_id, uri, feed_options, spider, uri_template)
        if self._state is not None:
            if _is_cuttable(slot):
                self._open(slot, record, self._state)
            elif batch_id == 1:
                _warn(slot)
        return slot

    def _take(self, template: str) -> FeedRecord | None:
        """The record with which a feed of the last run goes on: its last committed batch.

        A full batch may still be there beside it, and one that was opened after the commit.
        """
        found = [r for r in self._resumable if r.template == template] if self._state else []
        if not found:
            return None
        last = max(found, key=lambda record: (record.offset is not None, record.batch_id))
        for record in found:
            if record.batch_id <= last.batch_id:
                self._resumable.remove(record)
        return last

    def _open(self, slot: FeedSlot, record: FeedRecord | None, state: StateRegistry) -> None:
        storage = slot.storage
        assert isinstance(storage, FileFeedStorage)
        overwrite = storage.write_mode == "wb"
        storage.write_mode = "ab"
        record = record or _new_record(slot, storage.path, overwrite=overwrite)
        slot.itemcount = record.items
        self._write_now(Changes(state={record.name: state.encode(asdict(record))}))
        slot.start_exporting()
        assert slot.file is not None
        try:
            lock_feed(slot.file, storage.path)
        except JobLockedError as error:
            logger.error("Can't run this job: %s", error)  # noqa: TRY400 - one line
            self.crawler.signals.connect(self._fail, signals.spider_closed)
            raise CloseSpider(REASON_FEED_LOCKED) from None
        if overwrite and record.existed and record.offset is None:
            self._truncate.add(slot)
        self._records[slot] = record

    def item_scraped(self, item: Any, spider: Spider) -> None:
        for slot in [slot for slot in self._truncate if slot.filter.accepts(item)]:
            self._empty(slot)
        super().item_scraped(item, spider)
        if self._state is not None:
            self._on_item()

    def _fail(self) -> None:
        exit_with_failure(self.crawler)

    def _empty(self, slot: FeedSlot) -> None:
        """What ``-O`` means, as late as Scrapy does it: at the first item."""
        self._truncate.discard(slot)
        assert slot.file is not None
        slot.file.truncate(0)

    async def _close_slot(self, slot: FeedSlot, spider: Spider) -> None:
        record = self._records.get(slot)
        stored = slot.itemcount or (slot.store_empty and slot.batch_id == 1)
        if slot in self._truncate and stored:
            self._empty(slot)
        await super()._close_slot(slot, spider)
        if record is not None and not stored and slot.file is not None:
            _discard(slot.file, record)


def _discard(file: IO[bytes], record: FeedRecord) -> None:
    """Close an empty feed that is not to be stored."""
    file.close()
    if not record.existed:
        Path(record.path).unlink(missing_ok=True)


def _measure(slot: FeedSlot, record: FeedRecord) -> bool:
    """Bring a record up to date; whether the feed is closed."""
    file = slot.file
    assert file is not None
    path = Path(record.path)
    if file.closed:
        record.offset = path.stat().st_size if path.exists() else 0
    else:
        file.flush()
        record.offset = os.fstat(file.fileno()).st_size
    if path.exists():
        with path.open("rb") as written:
            record.ending = ending_of(written, record.offset)
    record.items = slot.itemcount
    if record.fields is None and isinstance(slot.exporter, CsvItemExporter) and slot.itemcount:
        fields = slot.exporter.fields_to_export
        record.fields = None if fields is None else list(fields)
    return file.closed


def _is_cuttable(slot: FeedSlot) -> bool:
    """A regular local file, written line by line, as it is."""
    exporter = slot.exporters[slot.format]
    if type(slot.storage) is not FileFeedStorage or "postprocessing" in slot.feed_options:
        return False
    if not issubclass(exporter, (JsonLinesItemExporter, CsvItemExporter)):
        return False
    try:
        return stat.S_ISREG(Path(slot.storage.path).stat().st_mode)
    except OSError:
        return True


def _warn(slot: FeedSlot) -> None:
    logger.warning(
        "The %s feed %s is not covered by the checkpoint: after a kill it may lack items. "
        "Local .jsonl and .csv feeds are covered.",
        slot.format,
        mask_uri(slot.uri),
    )


def mask_uri(uri: str) -> str:
    """A URI without the secrets before its @."""
    scheme, separator, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    credentials, at, place = host.rpartition("@")
    return f"{scheme}{separator}***@{place}{slash}{path}" if at and credentials else uri


def _new_record(slot: FeedSlot, path: str, *, overwrite: bool) -> FeedRecord:
    absolute = Path(path).absolute()
    existed = absolute.exists()
    base = absolute.stat().st_size if existed and not overwrite else 0
    return FeedRecord(
        template=slot.uri_template,
        uri=slot.uri,
        path=str(absolute),
        base=base,
        existed=existed,
        overwrite=overwrite,
        batch_id=slot.batch_id,
    )


def _continued(feed_options: dict[str, Any], record: FeedRecord) -> dict[str, Any]:
    """Options that write no second CSV header, and the columns of the first run."""
    if record.fields is None:
        return feed_options
    kwargs = {**feed_options["item_export_kwargs"], "include_headers_line": False}
    fields = feed_options["fields"] or record.fields
    return {**feed_options, "fields": fields, "item_export_kwargs": kwargs}
