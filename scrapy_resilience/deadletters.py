"""The ledger of requests that were given up. A stand-in until the ledger is here."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler

__all__ = ["Letters", "letters_of"]


class Letters:
    """Forgets what it is told."""

    def add(
        self,
        request: Request,
        *,
        kind: str,
        failure_class: str,
        reason: str,
        attempts: int,
        status: int | None = None,
        exception: str | None = None,
    ) -> None:
        """Record that *request* was given up: *kind* is permanent, exhausted or dropped."""


_LETTERS: WeakKeyDictionary[Crawler, Letters] = WeakKeyDictionary()


def letters_of(crawler: Crawler) -> Letters:
    """The one ledger of a crawler."""
    return _LETTERS.setdefault(crawler, Letters())
