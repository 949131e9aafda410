"""How a feed is kept: cut in place, or through a spool, and what its record says."""

from __future__ import annotations

import os
from collections.abc import MutableMapping, MutableSequence, MutableSet
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from scrapy.exporters import CsvItemExporter, JsonLinesItemExporter
from scrapy.extensions.feedexport import FeedSlot, FileFeedStorage, StdoutFeedStorage

from scrapy_resilience._log import get_logger
from scrapy_resilience.checkpoint.state import OWN
from scrapy_resilience.core.masking import mask_uri
from scrapy_resilience.feeds import spool
from scrapy_resilience.feeds.cutting import ending_of
from scrapy_resilience.feeds.records import FeedRecord
from scrapy_resilience.feeds.spooled_slot import (
    SpooledSlot,
    local_path,
    replaces,
    target_base,
)
from scrapy_resilience.files.plainfile import missing_folders, opener, remove_folders
from scrapy_resilience.names import STORAGE_REPLACES

if TYPE_CHECKING:
    from scrapy_resilience.checkpoint.state import StateRegistry

__all__ = [
    "continued",
    "discard",
    "keep_memory",
    "kind_of",
    "measure",
    "new_record",
    "new_spool",
    "warn_of_storage",
    "warn_of_uncovered",
]

logger = get_logger(__name__)

_HARMLESS: Final = frozenset(
    {"__doc__", "__module__", "__firstlineno__", "__static_attributes__"}
    | {"__abstractmethods__", "_abc_impl"}
)
"""What a class has whose body is empty."""


def discard(file: IO[bytes], record: FeedRecord) -> None:
    """Close an empty feed that is not to be stored."""
    file.close()
    if not record.existed:
        Path(record.path).unlink(missing_ok=True)
        remove_folders(Path(record.path), record.folders)


def measure(slot: FeedSlot, record: FeedRecord, folder: Path) -> bool:
    """Bring a record up to date; whether the feed is closed."""
    file: Any = slot.file
    path = folder / record.path
    file.settle()
    if file.closed:
        record.offset = path.stat().st_size if path.exists() else 0
    else:
        record.offset = os.fstat(file.fileno()).st_size
    if path.exists():
        with open(path, "rb", opener=opener) as written:
            record.ending = ending_of(written, record.offset)
    record.items = slot.itemcount
    if record.fields is None and isinstance(slot.exporter, CsvItemExporter) and slot.itemcount:
        fields = slot.exporter.fields_to_export
        record.fields = None if fields is None else list(fields)
    return bool(file.closed)


def kind_of(slot: FeedSlot) -> type[FeedSlot] | None:
    """FeedSlot for a feed that can be cut, SpooledSlot for others, None for neither."""
    exporter = slot.exporters[slot.format]
    if isinstance(slot.storage, StdoutFeedStorage):
        return None
    if type(slot.storage) is not FileFeedStorage:
        return SpooledSlot
    if local_path(slot) is None:
        return None
    lines = _is_lines(exporter) and "postprocessing" not in slot.feed_options
    return FeedSlot if lines else SpooledSlot


def _is_lines(exporter: Any) -> bool:
    """Whether each item is a line and no more: of Scrapy's own two exporters that is known.

    A subclass that adds anything may write a head, keep items back or number them. What it
    means is a whole feed, made of all items by one exporter.
    """
    for own in (JsonLinesItemExporter, CsvItemExporter):
        if isinstance(exporter, type) and issubclass(exporter, own):
            added = [vars(each) for each in exporter.__mro__ if each not in own.__mro__]
            return set().union(*added) <= _HARMLESS
    return False


def warn_of_uncovered(slot: FeedSlot) -> None:
    """What goes into a pipe can't be taken back."""
    logger.warning(
        "The feed %s is not covered by the checkpoint: after a kill it may lack items or have "
        "some twice. Files and storages of FEED_STORAGES are covered.",
        mask_uri(slot.uri),
    )


def warn_of_storage(slot: FeedSlot) -> None:
    """Of what is not known of a storage: whether it may be given a feed twice."""
    if replaces(slot.storage) is None:
        logger.warning(
            "The feed %s is sent once, when it is complete, and again after a kill meanwhile: "
            "nobody knows whether %s replaces what it has stored. Give that class %s = True if "
            "it does, else False",
            mask_uri(slot.uri),
            type(slot.storage).__name__,
            STORAGE_REPLACES,
        )


def keep_memory(state: StateRegistry, template: str, item_filter: Any) -> None:
    """Make what a filter remembers a part of the commits, where it gives and takes it."""
    if hasattr(item_filter, "get_state") and hasattr(item_filter, "set_state"):
        digest = sha256(template.encode(errors="surrogatepass")).hexdigest()[:16]
        name = f"{OWN}filter/{digest}"
        state.register(name, item_filter.get_state, item_filter.set_state)
    elif any(map(_may_grow, getattr(item_filter, "__dict__", {}).items())):
        logger.warning(
            "What the item filter %s of the feed %s remembers is lost at a stop or a kill, and "
            "it may then accept once more what it has accepted: give it get_state() and "
            "set_state()",
            type(item_filter).__name__,
            mask_uri(template),
        )


def _may_grow(attribute: tuple[str, Any]) -> bool:
    name, value = attribute
    of_scrapy = name in {"feed_options", "item_classes"}
    return not of_scrapy and isinstance(value, (MutableMapping, MutableSequence, MutableSet))


def new_record(slot: FeedSlot, path: str, *, overwrite: bool) -> FeedRecord:
    """The record of a feed that is cut in place, before its first byte."""
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
        format=slot.format,
        linked=absolute.is_symlink(),
        folders=missing_folders(absolute),
    )


def new_spool(slot: FeedSlot, *, had_finished: bool = False) -> FeedRecord:
    """The record of a spool, before its first byte; *had_finished*: the job, before this."""
    local = local_path(slot)
    if had_finished and local is None and replaces(slot.storage):
        logger.warning(
            "The feed %s of the finished job will be replaced by what this run brings: copy "
            "it, or give it another name",
            mask_uri(slot.uri),
        )
    told = f"{slot.uri_template}\0{slot.batch_id}".encode(errors="surrogatepass")
    name = sha256(told).hexdigest()[:16]
    return FeedRecord(
        template=slot.uri_template,
        uri=str(local or slot.uri),
        path=f"{spool.FOLDER}/{name}",
        base=0,
        existed=False,
        overwrite=False,
        batch_id=slot.batch_id,
        spooled=True,
        target_base=target_base(slot),
        folders=0 if local is None else missing_folders(local),
        keeps_old=had_finished,
    )


def continued(feed_options: dict[str, Any], record: FeedRecord) -> dict[str, Any]:
    """Options that write no second CSV header, and the columns of the first run."""
    if record.fields is None:
        return feed_options
    wanted = feed_options["fields"]
    if wanted and list(wanted) != record.fields:
        logger.warning(
            "The feed %s keeps the columns of its first run: %s",
            mask_uri(record.uri),
            ", ".join(record.fields),
        )
    kwargs = {**feed_options["item_export_kwargs"], "include_headers_line": False}
    return {**feed_options, "fields": record.fields, "item_export_kwargs": kwargs}
