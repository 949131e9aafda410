"""Scrapy's download handler on aiohttp, which Scrapy takes itself where no reactor runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrapy.utils.misc import load_object

from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

__all__ = ["use_aiohttp"]

_AIOHTTP: Final = "scrapy.core.downloader.handlers._aiohttp.AiohttpDownloadHandler"
_SETTING: Final = "DOWNLOAD_HANDLERS"


def use_aiohttp(settings: BaseSettings) -> None:
    """Take it for http and https, but for a scheme that the user has set.

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
