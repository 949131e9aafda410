"""Feeds that can't work are refused at the start, where Scrapy goes on without any."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from scrapy.extensions.feedexport import FeedExporter, GCSFeedStorage

from scrapy_resilience.core.masking import mask_uri
from scrapy_resilience.exceptions import ConfigurationError

__all__ = ["CheckedFeeds"]

_INSTALL: Final = {
    "s3": "run pip install boto3",
    "gs": "run pip install google-cloud-storage",
}
_GOOGLE: Final = "google.cloud.storage"


class CheckedFeeds(FeedExporter):
    """Raises :exc:`ConfigurationError` where Scrapy logs an error and disables all feeds."""

    def name_by_settings(self) -> None:
        """A relative Path keeps its name, as text does: a resume may be in another folder."""
        keys = (*self.settings.getdict("FEEDS"), self.settings["FEED_URI"])
        paths = (key for key in keys if isinstance(key, Path) and not key.is_absolute())
        names = {str(path.absolute()): f".{os.sep}{path}" for path in paths}
        self.feeds = {names.get(uri, uri): feed for uri, feed in self.feeds.items()}
        self.filters = {names.get(uri, uri): each for uri, each in self.filters.items()}

    def _storage_supported(self, uri: str, feed_options: dict[str, Any]) -> bool:
        scheme = urlsplit(uri).scheme
        can = super()._storage_supported(uri, feed_options)
        if not can or (self.storages.get(scheme) is GCSFeedStorage and not _has(_GOOGLE)):
            _refuse(uri, "stored", _INSTALL.get(scheme, "give FEED_STORAGES what is missing"))
        return True

    def _exporter_supported(self, format_: str) -> bool:
        if not super()._exporter_supported(format_):
            uris = [uri for uri, feed in self.feeds.items() if feed["format"] == format_]
            _refuse(uris[0], "written", f"give FEED_EXPORTERS one for the format {format_!r}")
        return True

    def _settings_are_valid(self) -> bool:
        if not super()._settings_are_valid():
            uris = [uri for uri, feed in self.feeds.items() if feed["batch_item_count"]]
            _refuse(uris[0], "written in batches", "put %(batch_id)d into its URI")
        return True


def _has(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # of a package above it
        return False


def _refuse(uri: str, how: str, advice: str) -> NoReturn:
    raise ConfigurationError(
        f"The feed {mask_uri(uri)} can't be {how}: {advice}, or take it out of FEEDS."
    )
