"""Whether this process makes a dry run: for what is used without a crawler, such as a cache.

A component that has a crawler asks ``Config.dry_run``.
"""

from __future__ import annotations

__all__ = ["is_dry_run", "set_dry_run"]

_is_dry = False


def is_dry_run() -> bool:
    """Whether nothing must be written."""
    return _is_dry


def set_dry_run() -> None:
    """From now on, for as long as the process lasts."""
    global _is_dry  # noqa: PLW0603 - one for the process
    _is_dry = True
