"""What Scrapy's components see of a browser's errors: its own retries know their bases."""

from __future__ import annotations

import re
from typing import Final

from scrapy.exceptions import DownloadFailedError

from scrapy_resilience.exceptions import BrowserLostError, BrowserUnavailableError

__all__ = ["BrowserLost", "BrowserUnavailable", "is_lost", "what_ended"]

_LOST: Final = re.compile(
    r"(?:target|page|browser) crashed|browser has been closed|connection closed", re.IGNORECASE
)


class BrowserLost(BrowserLostError, DownloadFailedError):  # noqa: N818 - what it is for users
    """See :exc:`.BrowserLostError`."""


class BrowserUnavailable(BrowserUnavailableError, DownloadFailedError):  # noqa: N818 - likewise
    """See :exc:`.BrowserUnavailableError`."""


def is_lost(error: Exception) -> bool:
    """Whether an error says that the browser, or the page in it, has ended."""
    if isinstance(error, BrowserLostError):
        return True
    bases = {base.__name__ for base in type(error).__mro__}
    return "TargetClosedError" in bases or ("Error" in bases and bool(_LOST.search(str(error))))


def what_ended(error: Exception) -> str:
    """The same in words."""
    crashed = "crashed" in str(error)
    return "the page has crashed" if crashed else "the browser or the page in it has ended"
