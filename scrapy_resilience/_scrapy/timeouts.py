"""What Scrapy's components see of a download that was given up because no byte came."""

from __future__ import annotations

from scrapy.exceptions import DownloadTimeoutError

from scrapy_resilience.exceptions import StuckDownloadError

__all__ = ["StuckDownload"]


class StuckDownload(StuckDownloadError, DownloadTimeoutError):  # noqa: N818 - as Scrapy's
    """Any retry middleware takes it for a time-out, and it counts against its domain."""
