"""What exists when a crawl starts is kept out of garbage collections, until it has ended.

Hundreds of thousands of objects of modules live as long as the process: each full collection
that walks over them stops the event loop for 50 ms and more. But what is frozen is never
collected, and a crawl that has ended is not to stay. A process that ends with its crawl is
spared all of these collections, the one at its end too.
"""

from __future__ import annotations

import gc
from typing import Final

__all__ = ["freeze", "freeze_for_good", "thaw"]

_YOUNG: Final = 1
_running: Final[set[int]] = set()
"""Crawls that have frozen it."""
_FOR_GOOD: Final = 0
"""Among them, where the process ends with its crawl: no crawl has this identity."""


def freeze_for_good() -> None:
    """For a command that runs one crawl: before it begins, while most is imported."""
    _running.add(_FOR_GOOD)
    gc.collect(_YOUNG)
    gc.freeze()


def freeze(crawl: object) -> None:
    """For a crawl that starts: what was left of those that have ended goes first."""
    if _FOR_GOOD in _running:
        gc.collect(_YOUNG)
    else:
        gc.unfreeze()
        gc.collect()
    gc.freeze()
    _running.add(id(crawl))


def thaw(crawl: object) -> None:
    """It has ended; others may run still."""
    _running.discard(id(crawl))
    if not _running:
        gc.unfreeze()
