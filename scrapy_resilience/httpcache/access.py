"""How a store that fails is left alone for a while, and told of once."""

from __future__ import annotations

from math import inf
from threading import Lock
from typing import Final

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger

__all__ = ["Access"]

logger = get_logger(__name__)

_SHORTEST: Final = 1.0
_LONGEST: Final = 30.0
"""Seconds that a store rests for: twice as long each time that it fails again."""
_CALM: Final = 60.0
"""Seconds without a failure, after which it is a first one again."""


class Access:
    """One way to use a store, which is to *verb* pages. May be used in several threads.

    *place*: what to look after when it fails.
    """

    def __init__(self, verb: str, place: str) -> None:
        self.lost = 0
        """Pages that went on without the store."""
        self._verb = verb
        self._place = place
        self._lock = Lock()
        self._rest = 0.0
        self._until = -inf
        self._failed_at = -inf
        self._told = False

    @property
    def rests(self) -> bool:
        """Whether it is not tried now."""
        return _clock.monotonic() < self._until

    def lose(self, pages: int = 1) -> None:
        """So many pages go on without it."""
        with self._lock:
            self.lost += pages

    def failed(self, error: object, pages: int = 1) -> None:
        """It was tried in vain, for so many pages."""
        now = _clock.monotonic()
        with self._lock:
            self.lost += pages
            is_first = now - self._failed_at > _CALM
            self._rest = _SHORTEST if is_first else min(2 * self._rest, _LONGEST)
            self._failed_at, self._until = now, now + self._rest
            told, self._told = self._told, True
        if not told:
            logger.warning(
                "The HTTP cache can't %s pages, which go on without it: %s. Look after %s",
                self._verb,
                str(error).rstrip("."),
                self._place,
            )

    def worked(self) -> None:
        """It was tried with success."""
        if not self._told:
            return
        self._told = False
        logger.info("The HTTP cache can %s pages again", self._verb)
