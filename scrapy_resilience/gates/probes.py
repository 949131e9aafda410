"""Probes: the first requests of many new domains, which have little time for their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from scrapy import Request

__all__ = ["Probes"]

_TIMEOUT: Final = "download_timeout"
"""Scrapy's meta key."""


class Probes:
    """Gives requests *seconds* at most, and back what they had when they are through."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._had: WeakKeyDictionary[Request, Any] = WeakKeyDictionary()

    def limit(self, request: Request) -> None:
        """It is about to be downloaded."""
        self._had[request] = own = request.meta.get(_TIMEOUT)
        request.meta[_TIMEOUT] = min(own or self._seconds, self._seconds)

    def restore(self, request: Request) -> None:
        """It is through: its retry has all its time."""
        if request not in self._had:
            return
        own = self._had.pop(request)
        if own is None:
            del request.meta[_TIMEOUT]
        else:
            request.meta[_TIMEOUT] = own
