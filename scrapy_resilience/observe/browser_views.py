"""The part of a view that is about browsers: what is open, and what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from scrapy_resilience import names

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BrowsersView", "browsers_of"]

_STARTED: Final = "playwright/browser_count"
"""scrapy-playwright's stat."""


class BrowsersView(Struct):
    """The browsers of scrapy-playwright; their memory is in the resources."""

    used: bool = False
    """Whether the crawl has any, or has had."""
    running: int = 0
    contexts: int = 0
    """That are open."""
    pages: int = 0
    """That are open, those that are about to close included."""
    waiting: int = 0
    """Requests that wait for a page."""
    places: int = 0
    """Pages that each context may have."""
    started: int = 0
    """Browsers, as the next ones of this run."""
    crashes: int = 0
    killed: int = 0
    """Of these, those that gave no answer."""
    replaced: int = 0
    recycled: int = 0
    """Contexts that were replaced, or closed because nobody used them."""
    page_crashes: int = 0
    timeouts: int = 0
    left_open: int = 0
    """Pages that callbacks have not closed."""
    orphans: int = 0
    """Processes that an earlier run had left behind."""
    failure: str = ""
    """Why there is no browser, and will be none."""


def browsers_of(stats: Mapping[str, Any]) -> BrowsersView:
    """What the stats say of them."""

    def number(name: str) -> int:
        found = stats.get(name)
        return found if isinstance(found, int) else 0

    return BrowsersView(
        used=_STARTED in stats,
        started=number(_STARTED),
        crashes=number(names.STAT_BROWSER_CRASHES),
        killed=number(names.STAT_BROWSER_KILLED),
        replaced=number(names.STAT_BROWSER_REPLACED),
        recycled=number(names.STAT_BROWSER_RECYCLED),
        page_crashes=number(names.STAT_BROWSER_PAGE_CRASHES),
        timeouts=number(names.STAT_BROWSER_TIMEOUTS),
        left_open=number(names.STAT_BROWSER_LEFT_OPEN),
        orphans=number(names.STAT_BROWSER_ORPHANS),
    )
