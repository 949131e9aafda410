"""What a job knows of the feeds of a run, from before their first byte on to their end."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from scrapy_resilience.checkpoint.commit import TROUBLES
from scrapy_resilience.failpoints import failpoint
from scrapy_resilience.feeds.batches import note
from scrapy_resilience.feeds.slots import measure
from scrapy_resilience.feeds.spooled_slot import SpooledSlot
from scrapy_resilience.files.append_file import sync_path
from scrapy_resilience.frontier.store import Changes

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from scrapy.extensions.feedexport import FeedSlot

    from scrapy_resilience.feeds.records import FeedRecord
    from scrapy_resilience.jobs.job import Job

__all__ = ["KnownFeeds", "UnknownFeedError"]


class UnknownFeedError(OSError):
    """The record of a feed can't be written yet, and its first byte has to wait for that."""


class KnownFeeds:
    """*records* are those of the feeds that are open or not stored yet; whoever opens adds one.

    *write_now* makes changes durable.
    """

    def __init__(
        self,
        job: Job,
        write_now: Callable[[Changes], None],
        records: dict[FeedSlot, FeedRecord],
    ) -> None:
        self._job = job
        self._write_now = write_now
        self._records = records
        self._over: list[FeedSlot] = []
        self.sent: set[str] = set()
        """Names of records of feeds that were stored after the last seal."""

    def add(self, record: FeedRecord) -> None:
        """Make a record durable, however full the disk is. Raises :exc:`UnknownFeedError`."""
        try:
            self._note(record, over=False)
            self._write_now(Changes(state={record.name: self._encode(record)}))
        except TROUBLES as error:
            raise UnknownFeedError(*error.args) from error
        failpoint("feed/known")

    def contribute(
        self, changes: Changes, slots: Container[FeedSlot], *, apart: Container[FeedSlot]
    ) -> None:
        """Flush all but those *apart*, and record their lengths; one of no *slots* is over."""
        self._over = []
        for slot, record in self._records.items():
            if slot in apart:
                continue
            over = measure(slot, record, self._job.path) and slot not in slots
            if self._job.config.power_loss_safe:
                changes.syncs.append(partial(sync_path, self._job.path / record.path))
            changes.state[record.name] = None if over else self._encode(record)
            if over:  # a full batch: whoever reads it may take it away
                self._over.append(slot)
                self.sent.discard(record.name)

    def written(self) -> None:
        """No commit needs those any more that were over."""
        if self.sent:  # their records may have been in what was written
            self.forget_sent()
        while self._over:
            slot = self._over.pop()
            with suppress(OSError):
                self._note(self._records.pop(slot), over=True)
            if isinstance(slot, SpooledSlot):
                slot.spool.unlink(missing_ok=True)
                failpoint("spool/removed")

    def forget_sent(self) -> None:
        """What may be stored once only must not be there at a kill from now on."""
        with suppress(*TROUBLES):  # then the next commit does
            self._write_now(Changes(state=dict.fromkeys(self.sent)))

    def _encode(self, record: FeedRecord) -> bytes:
        return self._job.state.encode(asdict(record))

    def _note(self, record: FeedRecord, *, over: bool) -> None:
        commits, sync = self._job.meta.commits, self._job.config.power_loss_safe
        note(self._job.path, record, commits, over=over, sync=sync)
