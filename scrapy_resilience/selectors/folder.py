"""The folder in which the crawls of this process have selector sets of their own.

It is known before anything reads selectors: many crawls need none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["follow_folder", "use_folder"]

_DEFAULT: Final = "selectors"
_chosen = [_DEFAULT]
_followers: list[Callable[[str], None]] = []


def use_folder(folder: str) -> None:
    """Have the registry of this process read *folder* from now on, whenever it is made."""
    _chosen[0] = folder
    for follower in _followers:
        follower(folder)


def follow_folder(follower: Callable[[str], None]) -> None:
    """Have *follower* called with the folder, now and when another one is chosen."""
    follower(_chosen[0])
    _followers.append(follower)
