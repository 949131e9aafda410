"""The feeds of the last run, and which of them a feed of this run goes on with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy_resilience.core.masking import mask_uri
from scrapy_resilience.feeds.spooled_slot import SpooledSlot

if TYPE_CHECKING:
    from scrapy.extensions.feedexport import FeedSlot

    from scrapy_resilience.feeds.records import FeedRecord

__all__ = ["EarlierFeeds"]


class EarlierFeeds:
    """*records* are those that no feed of this run has taken yet."""

    def __init__(self, records: list[FeedRecord]) -> None:
        self.records = records
        self.let_go: list[str] = []
        """Records of full batches: whoever reads those may take them away."""

    def kind_of(self, kind: type[FeedSlot] | None, slot: FeedSlot) -> type[FeedSlot] | None:
        """How a feed is written that would be of *kind* without an earlier run."""
        earlier = self._of(slot.uri_template)
        return SpooledSlot if any(record.spooled for record in earlier) else kind

    def problem_of(self, kind: type[FeedSlot] | None, slot: FeedSlot) -> str | None:
        """Why a feed of *kind* can't go on where the last run has ended."""
        earlier = self._of(slot.uri_template)
        if earlier and kind is None:
            return (
                f"the feed {mask_uri(slot.uri)} is not a file any more: put the file back as "
                "the last run left it, or start anew in another JOBDIR"
            )
        lines = [record for record in earlier if not record.spooled]
        if lines and (kind is SpooledSlot or any(_differs(record, slot) for record in lines)):
            return (
                f"the feed {mask_uri(slot.uri_template)} was JSON Lines or CSV in the last "
                "run, and its items are in it: give it that format again, or start anew in "
                "another JOBDIR"
            )
        return None

    def _of(self, template: str) -> list[FeedRecord]:
        return [record for record in self.records if record.template == template]

    def take(self, template: str, *, spooled: bool) -> FeedRecord | None:
        """The record with which a feed of the last run goes on: its last committed batch.

        Full batches may still be there beside it, and those that were opened after the
        commit: they come next, in their order.
        """
        found = [record for record in self._of(template) if record.spooled is spooled]
        if not found:
            return None
        committed = [record for record in found if record.offset is not None]
        pick = max if committed else min
        last = pick(committed or found, key=lambda record: record.batch_id)
        for record in found:
            if record is last:
                self.records.remove(record)
            elif record.batch_id < last.batch_id and not spooled:  # full
                self.records.remove(record)
                self.let_go.append(record.name)
        return last


def _differs(record: FeedRecord, slot: FeedSlot) -> bool:
    """Whether lines of one format would come behind those of another."""
    known = slot.exporters.get(record.format or slot.format)
    return known is not slot.exporters[slot.format]
