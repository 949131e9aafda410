"""Which names of Scrapy are needed that it does not promise to keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import scrapy
from scrapy.extensions.feedexport import FeedExporter
from scrapy.utils.asyncio import is_asyncio_available

from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from scrapy.core.engine import ExecutionEngine

__all__ = ["OVERRIDDEN", "READ", "REPLACED", "check_engine", "check_feed_exporter", "find"]

REPLACED: Final = {
    "engine": (
        "_download",
        "_handle_downloader_output",
        "_schedule_request",
        "close_spider_async",
    ),
    "engine.downloader.handlers": ("download_request_async",),
    "engine.downloader.middleware": ("download_async",),
    "engine.scraper": (
        "_process_spidermw_output_async",
        "_scrape",
        "call_spider_async",
        "handle_spider_output_async",
        "start_itemproc_async",
    ),
    "engine.scraper.itemproc": ("process_item_async",),
    "engine.scraper.spidermw": ("scrape_response_async",),
}
"""Methods that :class:`.hooks.Hooks` replaces, by their owner."""

READ: Final = {
    "engine": ("_slot", "_start"),
    "engine._slot": ("closing", "inprogress", "nextcall"),
    "engine._slot.nextcall": ("schedule",),
    "engine.downloader": ("active", "get_slot_key", "slots", "total_concurrency"),
    "engine.downloader.handlers": ("_handlers",),
    "engine.downloader.middleware": ("middlewares",),
    "engine.scraper": (
        "_check_if_closing",
        "_itemproc_has_async",
        "concurrent_items",
        "handle_spider_error",
        "slot",
    ),
}
"""What is read, called or set, by its owner."""

OVERRIDDEN: Final = (
    "_close_slot",
    "_exporter_supported",
    "_get_storage",
    "_get_uri_params",
    "_settings_are_valid",
    "_start_new_batch",
    "_storage_supported",
)
"""Methods of Scrapy's FeedExporter."""

_OPTIONAL: Final = {("engine.scraper.itemproc", "process_item_async")}
"""An ``ITEM_PROCESSOR`` of before has ``process_item``."""


def find(engine: ExecutionEngine, path: str) -> Any:
    """The object that *path* names (``"engine.scraper"``); None where there is none."""
    found: Any = engine
    for name in path.split(".")[1:]:
        found = getattr(found, name, None)
    return found


def check_engine(engine: ExecutionEngine) -> None:
    """Raises :exc:`ConfigurationError` when this Scrapy is not built as we expect."""
    missing = [
        f"{path}.{name}"
        for names in (REPLACED, READ)
        for path, needed in names.items()
        for name in needed
        if not hasattr(find(engine, path), name) and (path, name) not in _OPTIONAL
    ]
    if missing:
        raise ConfigurationError(
            f"Scrapy {scrapy.__version__} has no {', '.join(missing)}: this version of "
            "scrapy_resilience needs it. Upgrade scrapy_resilience, or use Scrapy 2.19."
        )
    if not is_asyncio_available():
        raise ConfigurationError(
            "scrapy_resilience needs asyncio: leave TWISTED_REACTOR at Scrapy's default."
        )


def check_feed_exporter(cls: type[FeedExporter]) -> None:
    """Raises :exc:`ConfigurationError` when *cls* overrides what this Scrapy does not have."""
    missing = [name for name in OVERRIDDEN if not hasattr(FeedExporter, name)]
    if missing:
        raise ConfigurationError(
            f"Scrapy {scrapy.__version__} has no FeedExporter.{', '.join(missing)}, which "
            f"{cls.__name__} overrides. Upgrade scrapy_resilience, or set "
            "RESILIENCE_FEEDS_ENABLED=False."
        )
