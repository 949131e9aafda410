"""Scrapy's HTTP cache in a dry run: what it has is read, and nothing is added."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scrapy.utils.conf import closest_scrapy_cfg, get_config
from scrapy.utils.misc import load_object
from scrapy.utils.project import DATADIR_CFG_SECTION, inside_project

from scrapy_resilience.dryrun.harmless_components import is_safe

if TYPE_CHECKING:
    from collections.abc import Collection

    from scrapy import Request, Spider
    from scrapy.http import Response
    from scrapy.settings import BaseSettings

__all__ = ["EmptyCache", "cache_of"]

_DATA: Final = ".scrapy"


class EmptyCache:
    """A storage that has nothing, and keeps nothing."""

    def __init__(self, settings: BaseSettings) -> None:
        pass

    def open_spider(self, spider: Spider) -> None:
        """There is nothing to open."""

    def close_spider(self, spider: Spider) -> None:
        """Nor to close."""

    def retrieve_response(self, spider: Spider, request: Request) -> Response | None:
        return None

    def store_response(self, spider: Spider, request: Request, response: Response) -> None:
        """It is forgotten."""


class _ReadOnly:
    def store_response(self, spider: Spider, request: Request, response: Response) -> None:
        """It is forgotten."""


def cache_of(settings: BaseSettings, named: Collection[str]) -> tuple[type, str]:
    """What takes the place of HTTPCACHE_STORAGE, and why it has nothing where it might have."""
    cls: Any = load_object(settings["HTTPCACHE_STORAGE"])
    if not is_safe(cls, named):
        return EmptyCache, "may write where it is read"
    if not _has_data(settings):
        return EmptyCache, ""
    return type(cls.__name__, (_ReadOnly, cls), {"__module__": cls.__module__}), ""


def _has_data(settings: BaseSettings) -> bool:
    """Whether there is a folder: Scrapy makes the project's where there is none."""
    if Path(settings["HTTPCACHE_DIR"]).is_absolute() or not inside_project():
        return True
    if get_config().has_section(DATADIR_CFG_SECTION):
        return False  # where it is may depend on more than is known here
    return (Path(closest_scrapy_cfg()).parent / _DATA).is_dir()
