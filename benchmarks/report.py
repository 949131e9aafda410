"""What a benchmark hands back, as a readable table and as JSON."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Row = dict[str, object]
"""One line of a table; the keys are the column titles."""


@dataclass
class Bar:
    """One bar of the project's table: what is asked for, and what came out."""

    text: str
    value: str
    met: bool


@dataclass
class Outcome:
    """The figures of one benchmark. Any problem makes the whole run fail."""

    title: str
    rows: list[Row] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)

    def bar(self, text: str, value: str, *, met: bool) -> None:
        """Add a bar; one that is missed is shown, and is not a problem."""
        self.bars.append(Bar(text, value, met))

    def check(self, label: str, problems: Sequence[str]) -> None:
        """Add what a correctness check found wrong."""
        self.problems += [f"{label}: {problem}" for problem in problems]


def show(name: str, outcome: Outcome) -> str:
    """The table of one benchmark, its bars and its problems."""
    lines = ["", f"== {name}: {outcome.title}", "", *_table(outcome.rows)]
    if outcome.bars:
        lines += ["", *(_bar_line(bar) for bar in outcome.bars)]
    lines += [f"  note  {note}" for note in outcome.notes]
    lines += [f"  !!!!  WRONG RESULT: {problem}" for problem in outcome.problems]
    return "\n".join(lines)


def _bar_line(bar: Bar) -> str:
    return f"  {'met ' if bar.met else 'MISS'}  {bar.text}: {bar.value}"


def _table(rows: Sequence[Row]) -> list[str]:
    titles = list(dict.fromkeys(title for row in rows for title in row))
    cells = [titles, *([_text(row.get(title, "")) for title in titles] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for line in cells:
        padded = (
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        lines.append("  ".join(padded).rstrip())
    return lines


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1 else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def write(path: Path, outcomes: dict[str, Outcome], header: dict[str, Any]) -> None:
    """Write everything as JSON."""
    found = {name: asdict(outcome) for name, outcome in outcomes.items()}
    text = json.dumps({**header, "benchmarks": found}, indent=2, default=str)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def environment() -> dict[str, Any]:
    """The machine and the versions; the load tells whether it had other work to do."""
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: _version(name) for name in _PACKAGES},
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "load_before": os.getloadavg()[0],
    }


_PACKAGES = ("scrapy", "twisted", "scrapy-resilience", "uvloop", "aiohttp", "pillow")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
