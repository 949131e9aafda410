"""Probes: the first requests of many new domains, which have little time for their answers."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, WeakSet

if TYPE_CHECKING:
    from scrapy import Request

__all__ = ["Probes"]

_TIMEOUT: Final = "download_timeout"
"""Scrapy's meta key."""


class Probes:
    """Gives requests few seconds, and back what they had when they are through.

    Only those that are tried again when it was not enough.
    """

    def __init__(self) -> None:
        self.active = False
        """Whether somebody tries again what was cut short."""
        self._had: WeakKeyDictionary[Request, Any] = WeakKeyDictionary()
        self._cut_short: WeakSet[Request] = WeakSet()

    def limit(self, request: Request, seconds: float) -> None:
        """It is about to be downloaded, and has *seconds* at most."""
        own = request.meta.get(_TIMEOUT)
        if self.active and (own or inf) > seconds and not request.meta.get("dont_retry", False):
            self._had[request] = own
            request.meta[_TIMEOUT] = seconds

    def restore(self, request: Request) -> None:
        """It is through: its retry has all its time."""
        if request not in self._had:
            return
        self._cut_short.add(request)
        own = self._had.pop(request)
        if own is None:
            del request.meta[_TIMEOUT]
        else:
            request.meta[_TIMEOUT] = own

    def was_cut_short(self, request: Request) -> bool:
        """Whether it might have been answered in the time that it had itself."""
        return request in self._cut_short
