"""An item comes into all feeds that accept it, or into none of them."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from itemadapter import ItemAdapter
from scrapy.extensions.feedexport import FeedSlot

from scrapy_resilience._log import get_logger
from scrapy_resilience.core.deadletter import describe
from scrapy_resilience.core.masking import mask_uri
from scrapy_resilience.exceptions import ItemRefusedError
from scrapy_resilience.feeds.dry_run import Trial
from scrapy_resilience.files.append_file import RetryingAppendFile
from scrapy_resilience.frontier.codec import UnserializableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from scrapy_resilience.frontier.codec import ValueCodec

__all__ = ["DeferringSlot", "write_to_all"]

logger = get_logger(__name__)


class DeferringSlot(FeedSlot):
    """A slot that keeps its items for an exporter that comes later."""

    _values: ValueCodec
    _trial: Trial | None = None

    def ready(self, item: Any) -> bytes:
        """What is kept of an item. Raises whatever the exporter will not have."""
        if self._trial is None:
            self._trial = Trial(self)
        data = encode_item(self._values, item)
        if self._trial.is_needed(item):
            self._trial.check(self._values.decode(data))  # what the exporter will be given
        return data

    @abstractmethod
    def add(self, data: bytes) -> None:
        """Keep what :meth:`ready` gave."""

    def export_item(self, item: Any) -> None:
        self.add(self.ready(item))


def encode_item(values: ValueCodec, item: Any) -> bytes:
    """Items come back as what they were, but for those of a class that may not be pickled."""
    try:
        return values.encode(item)
    except UnserializableError:
        return values.encode(ItemAdapter(item).asdict())


def write_to_all(
    slots: Collection[FeedSlot], item: Any, before_first: Callable[[FeedSlot], None]
) -> None:
    """Export *item* to the feeds of all *slots*; *before_first* is called before each write.

    What can be tried is tried first. Only a feed of lines that has some already, so that its
    exporter changes no more, is written to at once: the line is cut off again when this feed,
    or another one, refuses the item.

    Raises :exc:`ItemRefusedError` when an exporter raises anything; no covered feed has the
    item then. A feed that is not covered, such as a pipe that is closed, stops no other.
    """
    tried: list[tuple[FeedSlot, Callable[[], None]]] = []
    undo: list[Callable[[], object]] = []
    try:
        for slot in slots:
            if slot.itemcount and _is_cuttable(slot):
                file: Any = slot.file
                undo.append(partial(file.truncate, file.tell()))
                _export(slot, item)
            else:
                tried.append((slot, _try(slot, item)))
        for slot, write in tried:
            if _is_covered(slot):
                before_first(slot)
                undo.append(_mark(slot))
            write()
    except BaseException:
        for each in undo:
            each()
        raise
    for slot in slots:
        slot.itemcount += 1


def _is_covered(slot: FeedSlot) -> bool:
    file: Any = slot.file
    return isinstance(file, RetryingAppendFile)


def _is_cuttable(slot: FeedSlot) -> bool:
    return _is_covered(slot) and not isinstance(slot, DeferringSlot)


def _try(slot: FeedSlot, item: Any) -> Callable[[], None]:
    """What writes the item, which the exporter takes. Raises :exc:`ItemRefusedError`."""
    try:
        if isinstance(slot, DeferringSlot):
            return partial(slot.add, slot.ready(item))
        trial = Trial(slot)
        trial.check(item)
        trial.close()
    except Exception as error:
        raise _refusal(slot, error) from error
    return partial(_export if _is_cuttable(slot) else _export_anyhow, slot, item)


def _export(slot: FeedSlot, item: Any) -> None:
    exporter: Any = slot.exporter
    try:
        exporter.export_item(item)
    except Exception as error:
        raise _refusal(slot, error) from error


def _refusal(slot: FeedSlot, error: Exception) -> ItemRefusedError:
    return ItemRefusedError(
        f"the feed {mask_uri(slot.uri)} can't hold the item: {describe(error)}"
    )


def _export_anyhow(slot: FeedSlot, item: Any) -> None:
    try:
        slot.start_exporting()
        exporter: Any = slot.exporter
        exporter.export_item(item)
    except Exception:
        logger.exception("An item can't be written to %s", mask_uri(slot.uri))


def _mark(slot: FeedSlot) -> Callable[[], None]:
    """What brings the file and its exporter back to what they are now."""
    file, exporter = cast("RetryingAppendFile", slot.file), slot.exporter
    length = file.tell()
    state = None if isinstance(slot, DeferringSlot) else dict(vars(exporter))

    def undo() -> None:
        file.truncate(length)
        if state is not None:
            vars(exporter).clear()
            vars(exporter).update(state)

    return undo
