"""``scrapy resilience operations``: writes files for those who run crawls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scrapy_resilience.commands.tables import table
from scrapy_resilience.operations import FILES, write_operations

__all__ = ["write_files"]


def write_files(folder: str, *, force: bool) -> tuple[Any, str]:
    """Write them into *folder*; what was written, and the same as text."""
    paths = write_operations(Path(folder), force=force)
    rows = [{"file": str(path), "what": FILES[path.name]} for path in paths]
    return rows, table([("file", "what"), *((row["file"], row["what"]) for row in rows)])
