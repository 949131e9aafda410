"""What was done to a cache while its server was away, and must hold when that is back.

The server may still have what was there before. A key that was written, deleted or cleared
meanwhile has an older value there, or may have: so it is *deleted* on the server before
anything is read from it again. That holds for what was written, too: to write it then could
bring back what another process has deleted since, and to a cache a miss is always right.

Bounds: of more keys than *most*, or more patterns, nothing is kept but that all must go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ALL", "Meanwhile", "Undone"]

ALL: Final = "*"
"""The pattern of all keys."""


class Undone(NamedTuple):
    """What is to be deleted."""

    keys: list[str]
    patterns: list[str]


class Meanwhile:
    """The keys and patterns that are to be deleted on the server."""

    def __init__(self, most: int = 10_000, most_patterns: int = 100) -> None:
        self._most = most
        self._most_patterns = most_patterns
        self._keys: dict[str, None] = {}
        self._patterns: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._keys) + len(self._patterns)

    def touch(self, keys: Iterable[str]) -> None:
        """These were written or deleted."""
        if ALL in self._patterns:
            return
        self._keys.update(dict.fromkeys(keys))
        if len(self._keys) > self._most:
            self.clear(ALL)

    def clear(self, pattern: str) -> None:
        """Whatever matches was deleted."""
        if ALL in self._patterns:
            return
        self._patterns[pattern] = None
        if pattern == ALL or len(self._patterns) > self._most_patterns:
            self._keys.clear()
            self._patterns = {ALL: None}

    def take(self) -> Undone:
        """All of it; :meth:`put_back` what could not be done."""
        found = Undone([*self._keys], [*self._patterns])
        self._keys.clear()
        self._patterns.clear()
        return found

    def put_back(self, undone: Undone) -> None:
        """It is still to be done, beside what came meanwhile."""
        self.touch(undone.keys)
        for pattern in undone.patterns:
            self.clear(pattern)
