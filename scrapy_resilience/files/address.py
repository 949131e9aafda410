"""The file that says where the endpoint of a running job is.

It names no secret: who asks needs the token beside it, where there is one.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from scrapy_resilience.files.layout import ADDRESS, LOCK
from scrapy_resilience.files.lock import is_locked
from scrapy_resilience.files.ownership import open_own

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["forget_address", "read_address", "write_address"]

_LONGEST: Final = 1_000
"""Bytes of the file that are read."""
_URL: Final = re.compile(r"http://(?:\[[0-9a-f:.]+\]|[\w.-]+):\d{1,5}/")


def write_address(folder: Path, url: str) -> None:
    """Say where the endpoint is. Raises :exc:`OSError`."""
    fd = open_own(folder / ADDRESS, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with os.fdopen(fd, "w", encoding="ascii") as file:
        json.dump({"url": url, "pid": os.getpid()}, file)


def forget_address(folder: Path) -> None:
    """There is no endpoint any more, or not yet: what is there is of a run that was killed."""
    with suppress(OSError):
        (folder / ADDRESS).unlink(missing_ok=True)


def read_address(folder: Path) -> str | None:
    """Where the endpoint of a running job is; None when it has none, or does not run.

    What a killed run has left is known by the lock, which nobody holds or another process.
    """
    if not is_locked(folder / LOCK):
        return None
    try:
        found = json.loads(_text(folder / ADDRESS))
        url, pid = found["url"], found["pid"]
        holds = _text(folder / LOCK) == f"process {pid}"
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return url if holds and isinstance(url, str) and _URL.fullmatch(url) else None


def _text(path: Path) -> str:
    with os.fdopen(open_own(path, os.O_RDONLY), encoding="ascii") as file:
        return file.read(_LONGEST)
