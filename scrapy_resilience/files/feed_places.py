"""Where on the disk a feed is, as far as its URI says."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

__all__ = ["fixed_part", "local_path"]

_DRIVE: Final = 2
"""Characters of a scheme that is none, but a letter of Windows."""


def local_path(uri: str) -> str | None:
    """Of a feed on a disk, with its fields; None for one that is elsewhere, or the terminal."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return unquote(parts.path)
    return uri if len(parts.scheme) < _DRIVE and uri not in {"", "-"} else None


def fixed_part(path: str | Path) -> Path:
    """Of a path with fields to fill in: the folder that has none."""
    return Path(*takewhile(lambda part: "%" not in part, Path(path).parts))
