"""How commands show what they found."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["plain", "shown_size", "shown_time", "table"]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def plain(value: Any) -> str:
    """A value in one cell."""
    return "-" if value in (None, "", (), {}) else str(value)


def shown_time(seconds: float) -> str:
    """Seconds since 1970 as a time in UTC."""
    when = datetime.fromtimestamp(seconds, tz=timezone.utc)
    return when.isoformat(sep=" ", timespec="seconds")


def shown_size(size: float) -> str:
    """Bytes as megabytes."""
    return f"{size / 1e6:.1f} MB"
