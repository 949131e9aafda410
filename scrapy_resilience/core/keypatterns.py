"""Patterns of keys: ``*`` stands for anything, everything else for itself."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["KeyPattern"]

_SPECIAL: Final = re.compile(r"[\\*?\[\]^]")
"""What Redis gives a meaning in a pattern."""


class KeyPattern:
    """One pattern. Matching takes time that grows with the key only, whatever the pattern."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._first, *self._others = text.split("*")

    def __call__(self, key: str) -> bool:
        """Whether *key* matches."""
        if not self._others:
            return key == self._first
        if not key.startswith(self._first):
            return False
        place, end = len(self._first), len(key) - len(self._others[-1])
        for part in self._others[:-1]:
            found = key.find(part, place, end)
            if found < 0:
                return False
            place = found + len(part)
        return place <= end and key.endswith(self._others[-1])

    def for_redis(self, prefix: str) -> str:
        """The same in Redis' own terms, of keys that begin with *prefix*."""
        parts = (_SPECIAL.sub(r"\\\g<0>", part) for part in (self._first, *self._others))
        return _SPECIAL.sub(r"\\\g<0>", prefix) + "*".join(parts)
