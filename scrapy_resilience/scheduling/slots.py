"""Download slots: their names, and how many requests each may have under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.core.downloader import Downloader

__all__ = ["slot_limit", "slot_name"]


def slot_name(key: object) -> str:
    """A download slot as text that any file can hold: users choose slots freely."""
    name = str(key)
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()


def slot_limit(downloader: Downloader) -> Callable[[str], int]:
    """How many requests a slot may have under way: its own limit, or the settings'."""
    default = downloader.ip_concurrency or downloader.domain_concurrency

    def limit(key: str) -> int:
        slot = downloader.slots.get(key)
        if slot is not None:
            return slot.concurrency
        found: int = downloader.per_slot_settings.get(key, {}).get("concurrency", default)
        return found

    return limit
