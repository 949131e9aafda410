"""How commands show what they found."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.core.masking import lines, mask_each, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TextIO

__all__ = [
    "plain",
    "shown_number",
    "shown_size",
    "shown_time",
    "table",
    "tell",
    "tell_json",
    "text_of",
]

_SMALL: Final = 100_000
"""Bytes: below this, megabytes with one digit behind the point say nothing."""


def tell(text: str, file: TextIO | None = None) -> None:
    """Print lines. Commands print with this only: a job may hold what a terminal obeys."""
    print(lines(text), file=file)


def tell_json(data: Any) -> None:
    """Print data as JSON, which writes out whatever is not ASCII, without passwords."""
    print(json.dumps(mask_each(data), indent=2, default=str))


def text_of(told: Iterable[str]) -> str:
    """Lines, of which none becomes two by what it names."""
    return "\n".join(map(shown, told))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, with each row in one line."""
    rows = [[shown(cell) for cell in row] for row in rows]
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
    """Seconds since 1970 as a time in UTC; what is no such number as it is."""
    try:
        when = datetime.fromtimestamp(seconds, tz=timezone.utc)
    except (TypeError, ValueError, OverflowError, OSError):
        return str(seconds)
    return when.isoformat(sep=" ", timespec="seconds")


def shown_size(size: Any) -> str:
    """Bytes as kilobytes or megabytes; what is not a number as it is."""
    if not isinstance(size, (int, float)):
        return str(size)
    return f"{size / 1e3:.1f} kB" if size < _SMALL else f"{size / 1e6:.1f} MB"


def shown_number(number: float) -> str:
    """Two digits that count, without an exponent below a million."""
    return f"{float(f'{number:.2g}'):g}"
