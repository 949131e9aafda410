"""Scrapy's download handlers: the one on aiohttp, and which of them are Scrapy's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrapy.utils.httpobj import urlparse_cached
from scrapy.utils.misc import load_object

from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.core.engine import ExecutionEngine
    from scrapy.settings import BaseSettings

__all__ = ["heeds_cancelling", "use_aiohttp"]

_AIOHTTP: Final = "scrapy.core.downloader.handlers._aiohttp.AiohttpDownloadHandler"
_SETTING: Final = "DOWNLOAD_HANDLERS"
_SCRAPYS: Final = "scrapy."


def use_aiohttp(settings: BaseSettings) -> None:
    """Take aiohttp's for http and https, but for a scheme that the user has set.

    Raises :exc:`ConfigurationError` where this Scrapy has none.
    """
    try:
        handler = load_object(_AIOHTTP)
    except (ImportError, NameError) as error:
        raise ConfigurationError(
            f'RESILIENCE_DOWNLOAD_HANDLER="aiohttp": this Scrapy has none ({error}): '
            "remove the setting."
        ) from None
    handlers = settings.getdict(_SETTING)
    missing = {scheme: handler for scheme in ("http", "https") if scheme not in handlers}
    settings.set(_SETTING, {**handlers, **missing}, settings.getpriority(_SETTING) or "addon")


def heeds_cancelling(engine: ExecutionEngine, request: Request) -> bool:
    """Whether the handler of *request* is one of Scrapy's, which end when cancelled."""
    handler = engine.downloader.handlers._handlers.get(urlparse_cached(request).scheme)
    return type(handler).__module__.startswith(_SCRAPYS)
