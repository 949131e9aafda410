"""Whether a store is what was written, row by row."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

from scrapy_resilience.frontier.sqlite import SQLiteStore

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["is_small", "verify"]

_SMALL: Final = 8_000_000


def is_small(path: Path) -> bool:
    """Whether a store is verified in some 100 ms."""
    return path.stat().st_size <= _SMALL


def verify(path: Path) -> None:
    """Read a store through a connection of its own. Raises :exc:`DamagedError`."""
    with closing(SQLiteStore(path, read_only=True)) as store:
        store.verify()
