"""``scrapy resilience …``: look at jobs and settings from outside."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from scrapy_resilience.checkpoint.job import read_report
from scrapy_resilience.exceptions import ResilienceError
from scrapy_resilience.settings import apply_layers, describe

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

__all__ = ["Command"]


class Command(ScrapyCommand):
    """Exit codes: 0 all is well, 1 the job or the configuration is wrong, 2 wrong usage."""

    requires_crawler_process = False
    default_settings: ClassVar[dict[str, Any]] = {"LOG_ENABLED": False}

    def syntax(self) -> str:
        return "status <jobdir> | config"

    def short_desc(self) -> str:
        return "Look at a job and at the settings of scrapy_resilience"

    def long_desc(self) -> str:
        return (
            "status <jobdir>: what a job has done and what is left. "
            "config: each setting, its value and where it came from."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        commands: dict[str, tuple[Callable[..., tuple[Any, str]], int]] = {
            "status": (self._status, 1),
            "config": (self._config, 0),
        }
        name, *rest = args or [""]
        if name not in commands or len(rest) != commands[name][1]:
            raise UsageError(f"use one of: {self.syntax()}", print_help=False)
        try:
            data, text = commands[name][0](*rest)
        except ResilienceError as error:
            print(f"scrapy resilience: {error}", file=sys.stderr)
            self.exitcode = 1
            return
        print(json.dumps(data, indent=2, default=str) if opts.json else text)

    def _status(self, path: str) -> tuple[Any, str]:
        report = read_report(Path(path))
        shown = {name: _shown(name, value) for name, value in report.items()}
        return report, table([(name.replace("_", " "), value) for name, value in shown.items()])

    def _config(self) -> tuple[Any, str]:
        assert self.settings is not None
        for unknown in apply_layers(self.settings):
            print(f"scrapy resilience: {unknown} is not a setting", file=sys.stderr)
        rows = describe(self.settings)
        cells = [(row["name"], _plain(row["value"]), row["origin"]) for row in rows]
        return rows, table([("setting", "value", "from"), *cells])


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _plain(value: Any) -> str:
    return "-" if value in {None, ""} else str(value)


def _shown(name: str, value: Any) -> str:
    if name in {"created", "last_checkpoint"} and value is not None:
        when = datetime.fromtimestamp(value, tz=timezone.utc)
        return when.isoformat(sep=" ", timespec="seconds")
    if name == "store_bytes":
        return f"{value / 1e6:.1f} MB"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _plain(value)
