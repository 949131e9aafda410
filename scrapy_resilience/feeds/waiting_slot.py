"""A batch of a feed that can't be opened yet, on a full disk for example."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy_resilience._log import get_logger
from scrapy_resilience.core.masking import mask_uri
from scrapy_resilience.feeds.items import DeferringSlot

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.extensions.feedexport import FeedSlot

    from scrapy_resilience.frontier.codec import ValueCodec

__all__ = ["WaitingSlot"]

logger = get_logger(__name__)


class WaitingSlot(DeferringSlot):
    """Takes the place of a slot until *open_slot* gives it: its items wait in memory.

    No commit can be made meanwhile, so the crawl soon asks for nothing new.
    """

    def __init__(
        self, slot: FeedSlot, open_slot: Callable[[], FeedSlot], values: ValueCodec
    ) -> None:
        vars(self).update(vars(slot))
        self._open_slot = open_slot
        self._values = values
        self._items: list[bytes] = []
        self.exporter: Any = self

    def start_exporting(self) -> None:
        """There is no file."""

    def add(self, data: bytes) -> None:
        self._items.append(data)

    def open(self, empty: Callable[[FeedSlot], None]) -> FeedSlot:
        """The slot that goes on; raises OSError while there is none.

        *empty* is called with it before its first item.
        """
        slot = self._open_slot()
        if self._items:
            empty(slot)
        slot.start_exporting()
        for data in self._items:
            self._write(slot, data)
        return slot

    def _write(self, slot: FeedSlot, data: bytes) -> None:
        exporter: Any = slot.exporter
        try:
            exporter.export_item(self._values.decode(data))
        except Exception:
            logger.exception("An item can't be written to %s", mask_uri(self.uri))
        else:
            slot.itemcount += 1
