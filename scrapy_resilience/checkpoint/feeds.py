"""Local JSON Lines and CSV feeds that a resumed job continues at the committed byte.

At each commit the feed's length is recorded with the requests that wrote it. At a resume
everything behind that length is cut (and kept in a side file), and the feed is opened to
append, whatever ``overwrite`` says.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scrapy.exceptions import CloseSpider
from scrapy.exporters import CsvItemExporter, JsonLinesItemExporter
from scrapy.extensions.feedexport import (
    FeedExporter,
    FeedSlot,
    FileFeedStorage,
    apply_uri_params,
)

from scrapy_resilience.checkpoint.lock import lock_fd
from scrapy_resilience.checkpoint.state import OWN, StateRegistry
from scrapy_resilience.exceptions import CheckpointError, JobLockedError
from scrapy_resilience.frontier.store import Changes

if TYPE_CHECKING:
    from scrapy import Spider
    from scrapy.crawler import Crawler

__all__ = ["FeedRecord", "ResilientFeedExporter", "recover"]

logger = logging.getLogger(__name__)

_STATE: Final = OWN + "feed/"


@dataclass
class FeedRecord:
    """What a resume must know of one file.

    *offset* is the committed length; None until a commit has seen the file. *base* is the
    length that the file had before us, *existed* whether it was there at all.
    """

    template: str
    uri: str
    path: str
    base: int
    existed: bool
    overwrite: bool
    batch_id: int
    offset: int | None = None
    inode: int | None = None
    items: int = 0
    fields: list[str] | None = None

    @property
    def name(self) -> str:
        return _STATE + sha256(self.path.encode()).hexdigest()[:16]


# --- at a resume -----------------------------------------------------------------


def recover(state: StateRegistry, folder: Path, *, clean: bool) -> list[FeedRecord]:
    """Cut the feeds of the last run back to what was committed.

    All are checked before the first is cut. Raises :exc:`CheckpointError` for a file that
    is shorter than it was, is another one, or was changed since a clean end.
    """
    records = [FeedRecord(**value) for value in state.values_of(_STATE)]
    for record in records:
        _check(record, clean=clean)
    for record in records:
        _cut(record, folder)
    return records


def _check(record: FeedRecord, *, clean: bool) -> None:
    keep = _keep(record)
    try:
        found = os.stat(record.path)
    except FileNotFoundError:
        if keep:
            raise _changed(record, "is gone") from None
        return
    if record.inode is not None and found.st_ino != record.inode:
        raise _changed(record, "was replaced by another file")
    if found.st_size < keep:
        raise _changed(record, f"is shorter ({found.st_size} bytes) than it was ({keep})")
    if found.st_size > keep and clean and record.offset is not None:
        raise _changed(record, f"was {keep} bytes long when the job stopped, is {found.st_size}")


def _changed(record: FeedRecord, what: str) -> CheckpointError:
    return CheckpointError(
        f"the feed {record.path} {what}: put it back as the last run left it, or start anew "
        "in another JOBDIR"
    )


def _keep(record: FeedRecord) -> int:
    """How many bytes of the file stay."""
    return record.base if record.offset is None else record.offset


def _cut(record: FeedRecord, folder: Path) -> None:
    path, keep = Path(record.path), _keep(record)
    untouched = record.overwrite and record.offset is None and record.existed
    if untouched or not path.exists() or path.stat().st_size <= keep:
        return
    tails = folder / "cut"
    tails.mkdir(exist_ok=True)
    tail = tails / f"{path.name}.{time.time_ns()}"
    with path.open("r+b") as feed:
        feed.seek(keep)
        with tail.open("xb") as copy:
            shutil.copyfileobj(feed, copy)
        feed.truncate(keep)
    logger.info(
        "Cut %d bytes of unfinished work off %s (kept in %s)", tail.stat().st_size, path, tail
    )


# --- in a run --------------------------------------------------------------------


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

    def refuse_shared(self, spider: Spider) -> None:
        """Raises :exc:`JobLockedError` when another job writes to a feed of this one."""
        for uri, options in self.feeds.items():
            params = self._get_uri_params(spider, options["uri_params"])
            storage = self._get_storage(apply_uri_params(uri, params), options)
            path = Path(getattr(storage, "path", ""))
            if type(storage) is FileFeedStorage and path.is_file():
                with path.open("rb") as file:
                    _lock(file.fileno(), path)

    def contribute(self, changes: Changes) -> None:
        """Flush every feed and record its length, as part of a commit."""
        assert self._state is not None
        for slot, record in list(self._records.items()):
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
            batch_id, uri = record.batch_id, record.uri
            feed_options = _continued(feed_options, record)
        slot = super()._start_new_batch(batch_id, uri, feed_options, spider, uri_template)
        if self._state is not None:
            if _is_cuttable(slot):
                self._open(slot, record, self._state)
            elif batch_id == 1:
                _warn(slot)
        return slot

    def _take(self, template: str) -> FeedRecord | None:
        """The record with which a feed of the last run goes on."""
        for record in self._resumable if self._state else ():
            if record.template == template:
                self._resumable.remove(record)
                return record
        return None

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
            _lock(slot.file.fileno(), Path(storage.path))
        except JobLockedError as error:
            logger.error("Can't run this job: %s", error)
            raise CloseSpider("resilience_feed_locked") from None
        record.inode = os.fstat(slot.file.fileno()).st_ino
        if overwrite and record.existed and record.offset is None:
            self._truncate.add(slot)
        self._records[slot] = record

    def item_scraped(self, item: Any, spider: Spider) -> None:
        for slot in [slot for slot in self._truncate if slot.filter.accepts(item)]:
            self._empty(slot)
        super().item_scraped(item, spider)
        if self._state is not None:
            self._on_item()

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
            slot.file.close()
            if not record.existed:
                Path(record.path).unlink(missing_ok=True)


def _lock(fd: int, path: Path) -> None:
    if not lock_fd(fd):
        raise JobLockedError(f"another job writes to {path}: give each job its own feed")


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
        return stat.S_ISREG(os.stat(slot.storage.path).st_mode)
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
    credentials, at, place = rest.rpartition("@")
    return f"{scheme}{separator}***@{place}" if at and credentials else uri


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
