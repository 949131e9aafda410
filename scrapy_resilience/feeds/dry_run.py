"""Whether an exporter takes an item is found out before any feed has the item."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from tempfile import NamedTemporaryFile
from typing import Any, Final

from scrapy.extensions.feedexport import FeedSlot

__all__ = ["Trial"]

_MOST_ITEMS: Final = 100
_MOST_BYTES: Final = 1_000_000
_LARGE: Final = 2**63
_OF_SCRAPY: Final = "scrapy.exporters"


class _Forgotten(BytesIO):
    """A file in memory; it has a name on the disk for an exporter that asks for one."""

    _named: Any = None

    def _on_disk(self) -> Any:
        if self._named is None:
            self._named = NamedTemporaryFile(prefix="feed-")  # noqa: SIM115 - closed with this
        return self._named

    @property
    def name(self) -> str:
        name: str = self._on_disk().name
        return name

    def fileno(self) -> int:
        number: int = self._on_disk().fileno()
        return number

    def close(self) -> None:
        if self._named is not None:
            self._named.close()
        super().close()


class _Nowhere:
    """A storage that keeps nothing."""

    def __init__(self, uri: str, *, feed_options: dict[str, Any] | None = None) -> None:
        self.file = _Forgotten()

    def open(self, _: Any) -> BytesIO:
        return self.file

    def store(self, file: Any) -> None:
        """It is forgotten."""


class Trial:
    """Tries items on an exporter as that of a feed, which writes to memory.

    It is made anew after a refusal, and one that is not Scrapy's own after some items too,
    because it may collect what it is given.
    """

    def __init__(self, slot: FeedSlot) -> None:
        """Raises what the exporter raises when it is made."""
        self._slot = slot
        self._begin()
        own = type(self._made.exporter).__module__ == _OF_SCRAPY
        self._is_scrapys = own
        self._knows_simple = own and not slot.feed_options["item_export_kwargs"]

    def _begin(self) -> None:
        self._file, self._made = _on_trial(self._slot)
        self._items = 0

    def is_needed(self, item: Any) -> bool:
        """Scrapy's own exporters take any dict of ASCII text and whole numbers."""
        return not (self._knows_simple and _is_simple(item))

    def check(self, item: Any) -> None:
        """Raises what the exporter raises."""
        exporter: Any = self._made.exporter
        try:
            exporter.export_item(item)
        except BaseException:
            self._renew()
            raise
        self._items += 1
        if self._is_scrapys:
            self._file.seek(0)
            self._file.truncate()
        elif self._items >= _MOST_ITEMS or self._file.tell() > _MOST_BYTES:
            self._renew()

    def _renew(self) -> None:
        self.close()
        self._begin()

    def close(self) -> None:
        """Let the exporter end as it would in a feed; nobody needs what it says."""
        with suppress(Exception):
            self._made.finish_exporting()
        self._file.close()


def _is_simple(item: Any) -> bool:
    return type(item) is dict and all(
        type(name) is str
        and name.isascii()
        and (
            value.isascii()
            if type(value) is str
            else value is None or (type(value) is int and -_LARGE < value < _LARGE)
        )
        for name, value in item.items()
    )


def _on_trial(slot: FeedSlot) -> tuple[BytesIO, FeedSlot]:
    storage = _Nowhere(slot.uri)
    options = dict(slot.feed_options)
    options.pop("postprocessing", None)
    made = FeedSlot(
        storage=storage,
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
    return storage.file, made
