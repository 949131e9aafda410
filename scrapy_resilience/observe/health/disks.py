"""The disks that a crawl writes to."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scrapy_resilience.core.readings import Disk
from scrapy_resilience.files.feed_places import fixed_part, local_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["crawl_folders", "read_disks"]

_MOST: Final = 8
"""Folders of feeds that are looked at."""


def crawl_folders(job: Path | None, feeds: Iterable[str]) -> dict[str, Path]:
    """Where a crawl writes, by purpose: its job, its local feeds, temporary files.

    *feeds* are URIs, as ``FEEDS`` has them.
    """
    folders = {"job": job} if job is not None else {"work": Path()}
    local = dict.fromkeys(folder for uri in feeds if (folder := _folder(uri)) is not None)
    for number, folder in enumerate([*local][:_MOST], 1):
        folders["feeds" if number == 1 else f"feeds {number}"] = folder
    folders["temp"] = Path(tempfile.gettempdir())
    return folders


def _folder(uri: str) -> Path | None:
    """Of a feed on a disk: the part that has no fields to fill in."""
    path = local_path(uri)
    return None if path is None else fixed_part(Path(path).parent)


def read_disks(folders: Mapping[str, Path]) -> dict[str, Disk]:
    """What is free there; each disk once. May block for as long as a disk does not answer."""
    found: dict[str, Disk] = {}
    devices: set[int] = set()
    for purpose, folder in folders.items():
        with suppress(OSError):
            there = _existing(folder)
            device = os.stat(there).st_dev  # noqa: PTH116 - beside disk_usage
            if device not in devices:
                devices.add(device)
                usage = shutil.disk_usage(there)
                found[purpose] = Disk(str(there), usage.free, usage.used + usage.free)
    return found


def _existing(folder: Path) -> Path:
    """It, or the nearest above it that is there: a feed makes its folders late."""
    folder = folder.absolute()
    return next((each for each in (folder, *folder.parents) if each.exists()), folder)
