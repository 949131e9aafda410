"""An item comes into all feeds that accept it, or into none of them."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, cast

from itemadapter import ItemAdapter
from scrapy.extensions.feedexport import FeedSlot

from scrapy_resilience._log import get_logger
from scrapy_resilience.checkpoint.patient import PatientFile
from scrapy_resilience.core.deadletter import describe
from scrapy_resilience.core.shown import mask_uri
from scrapy_resilience.exceptions import ItemRefusedError
from scrapy_resilience.frontier.codec import UnserializableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from scrapy_resilience.frontier.codec import ValueCodec

__all__ = ["DeferringSlot", "Trial", "write_to_all"]

logger = get_logger(__name__)

_RENEWED_AFTER: Final = 1000


class _Nowhere:
    """A storage whose file is forgotten."""

    def __init__(self, uri: str, *, feed_options: dict[str, Any] | None = None) -> None:
        self.file = BytesIO()

    def open(self, _: Any) -> BytesIO:
        return self.file

    def store(self, file: Any) -> None:
        """Nothing is kept."""


class DeferringSlot(FeedSlot):
    """A slot that keeps its items for an exporter that comes later."""

    _values: ValueCodec
    _trial: Trial | None = None

    def ready(self, item: Any) -> bytes:
        """What is kept of an item. Raises whatever the exporter will not have."""
        if self._trial is None:
            self._trial = Trial(self)
        self._trial.check(item)
        return encode_item(self._values, item)

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


class Trial:
    """Finds out whether the exporter of a feed takes an item before any feed has it.

    The exporter is another one than the feed's, and writes to memory. It is made anew after a
    refusal, and one of a class that may collect what it is given now and then as well.
    """

    def __init__(self, slot: FeedSlot) -> None:
        """Raises what the exporter raises when it is made."""
        self._slot = slot
        self._made: FeedSlot | None = _on_trial(slot)
        self._items = 0

    def check(self, item: Any) -> None:
        """Raises what the exporter raises."""
        if self._made is None or self._items >= _RENEWED_AFTER:
            self._made, self._items = _on_trial(self._slot), 0
        made, self._made = self._made, None
        exporter: Any = made.exporter
        exporter.export_item(item)
        storage: Any = made.storage
        storage.file.seek(0)
        storage.file.truncate()
        self._made = made
        self._items += type(exporter).__module__ != "scrapy.exporters"


def _on_trial(slot: FeedSlot) -> FeedSlot:
    options = {key: slot.feed_options[key] for key in slot.feed_options}
    options.pop("postprocessing", None)
    made = FeedSlot(
        storage=_Nowhere(slot.uri),
        uri=slot.uri,
        format=slot.format,
        store_empty=slot.store_empty,
        batch_id=slot.batch_id,
        uri_template=slot.uri_template,
        filter=slot.filter,
        feed_options=options,
        spider=slot.spider,
        exporters=slot.exporters,
        settings=slot.settings,
        crawler=slot.crawler,
    )
    made.start_exporting()
    return made


def write_to_all(
    slots: Collection[FeedSlot], item: Any, before_first: Callable[[FeedSlot], None]
) -> None:
    """Export *item* to the feeds of all *slots*; *before_first* is called before each write.

    What can be tried is tried first. Only a feed of lines that has some already is written to
    at once: the line is cut off again when this feed, or another one, refuses the item.

    Raises :exc:`ItemRefusedError` when an exporter raises anything; no covered feed has the
    item then. A feed that is not covered, such as a pipe that is closed, stops no other.
    """
    tried, undo = [], []
    try:
        for slot in slots:
            if slot.itemcount and _is_cuttable(slot):
                undo.append(_mark(slot))
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
    return isinstance(file, PatientFile)


def _is_cuttable(slot: FeedSlot) -> bool:
    return _is_covered(slot) and not isinstance(slot, DeferringSlot)


def _try(slot: FeedSlot, item: Any) -> Callable[[], None]:
    """What writes the item, which the exporter takes. Raises :exc:`ItemRefusedError`."""
    if isinstance(slot, DeferringSlot):
        with _refusals(slot):
            return partial(slot.add, slot.ready(item))
    with _refusals(slot):
        Trial(slot).check(item)
    return partial(_export if _is_cuttable(slot) else _export_anyhow, slot, item)


def _export(slot: FeedSlot, item: Any) -> None:
    exporter: Any = slot.exporter
    with _refusals(slot):
        exporter.export_item(item)


def _export_anyhow(slot: FeedSlot, item: Any) -> None:
    try:
        slot.start_exporting()
        exporter: Any = slot.exporter
        exporter.export_item(item)
    except Exception:
        logger.exception("An item can't be written to %s", mask_uri(slot.uri))


def _mark(slot: FeedSlot) -> Callable[[], None]:
    """What brings the file and its exporter back to what they are now."""
    file, exporter = cast("PatientFile", slot.file), slot.exporter
    length = file.tell()
    state = None if isinstance(slot, DeferringSlot) else dict(vars(exporter))

    def undo() -> None:
        file.truncate(length)
        if state is not None:
            vars(exporter).clear()
            vars(exporter).update(state)

    return undo


@contextmanager
def _refusals(slot: FeedSlot) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise ItemRefusedError(
            f"the feed {mask_uri(slot.uri)} can't hold the item: {describe(error)}"
        ) from error
