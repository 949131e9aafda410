"""Which feed exporter runs: ours in the place of Scrapy's, or made one with the user's own."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from scrapy.extensions.feedexport import FeedExporter
from scrapy.utils.misc import load_object
from scrapy.utils.python import global_object_name

from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.extensions.feedexport import ResilientFeedExporter

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

__all__ = ["cover_feeds", "covering"]

_SHARED: Final = frozenset({"__init__", "from_crawler", "open_spider", "close_spider"})
"""What both may override: ours calls the user's."""


def cover_feeds(settings: BaseSettings) -> None:
    """Let the feeds of these settings be written by a :class:`ResilientFeedExporter`.

    A project that has turned Scrapy's off, and has no other, gets none. Raises
    :exc:`ConfigurationError` for an exporter that can't be covered, and for two of them.
    """
    found = settings.get_component_priority_dict_with_base("EXTENSIONS")
    exporters = {load_object(key): found[key] for key in found if _is_exporter(key)}
    if ResilientFeedExporter in exporters and FeedExporter in exporters:
        del exporters[FeedExporter]
        settings.set_in_component_priority_dict("EXTENSIONS", FeedExporter, None)
    if len(exporters) > 1:
        names = " and ".join(map(global_object_name, exporters))
        raise ConfigurationError(
            f"EXTENSIONS={names} would each write the feeds: give all but one of them the "
            "value None."
        )
    for cls, order in exporters.items():
        ours = covering(cls)
        if ours is not cls:
            settings.set_in_component_priority_dict("EXTENSIONS", cls, None)
            settings.setdefault_in_component_priority_dict("EXTENSIONS", ours, order)


def covering(cls: type[FeedExporter]) -> type[FeedExporter]:
    """A class that does what *cls* does, and survives kill -9.

    Raises :exc:`ConfigurationError` when *cls* overrides what ours does otherwise.
    """
    if cls is FeedExporter:
        return ResilientFeedExporter
    theirs = [each for each in cls.__mro__ if each not in ResilientFeedExporter.__mro__]
    names = {name for each in theirs for name in vars(each) if _is_method(each, name)}
    if clashes := sorted(names & _is_ours() - _SHARED):
        raise ConfigurationError(
            f"EXTENSIONS={global_object_name(cls)} overrides {', '.join(clashes)} of Scrapy's "
            "FeedExporter, so its feeds would lose items or have some twice after a kill: "
            "take that out of it (a pipeline or an item_filter can change what is written), "
            "or set RESILIENCE_FEEDS_ENABLED=False and go without."
        )
    if issubclass(cls, ResilientFeedExporter):
        return cls
    body = {"__module__": cls.__module__, "__doc__": cls.__doc__}
    made: Any = type(cls.__name__, (ResilientFeedExporter, cls), body)
    return made  # type: ignore[no-any-return]


def _is_ours() -> set[str]:
    ours = ResilientFeedExporter
    return {name for name in vars(ours) if _is_method(ours, name)}


def _is_method(cls: type, name: str) -> bool:
    return inspect.isroutine(inspect.getattr_static(cls, name))


def _is_exporter(key: Any) -> bool:
    try:
        cls = load_object(key)
    except (ImportError, NameError, TypeError, ValueError):
        return False  # Scrapy says so
    return isinstance(cls, type) and issubclass(cls, FeedExporter)
