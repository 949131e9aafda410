"""With which job a report compares: the one of the same spider before."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from scrapy_resilience.exceptions import ResilienceError
from scrapy_resilience.files.layout import STORE
from scrapy_resilience.observe.offline_view import offline_view
from scrapy_resilience.observe.report.report import data_in
from scrapy_resilience.observe.view import Items, View

__all__ = ["previous_view"]

_LOOKED_AT: Final = 20
"""Folders beside a job, the newest first."""


def previous_view(report: Path, view: View) -> View | None:
    """That of the report in *report*, or else of a folder beside the JOBDIR; without its lists.

    Jobs that are put aside, and folders of other days, are beside it.
    """
    found = _reported(report, view) or _beside(view)
    if found is None:
        return None
    items = Items(coverage=found.items.coverage, confidence=found.items.confidence)
    return replace(
        found, items=items, domains=[], errors=[], events=[], history=[], settings={}, stats={}
    )


def _reported(report: Path, view: View) -> View | None:
    """Of a report of this very job, from an earlier run: what that was compared with."""
    data = data_in(report)
    if data is None or data.view.job.spider != view.job.spider:
        return None
    is_this = bool(view.job.path) and data.view.job.ident == view.job.ident
    return data.previous if is_this else data.view


def _beside(view: View) -> View | None:
    if view.job.path is None:
        return None
    for folder in _folders(Path(view.job.path).resolve()):
        with suppress(ResilienceError, OSError, ValueError, sqlite3.Error):
            other = offline_view(folder)
            ended = other.checkpoint.last or 0.0
            if other.job.spider == view.job.spider and ended <= view.job.started:
                return other
    return None


def _folders(jobdir: Path) -> list[Path]:
    """Other jobs in the same folder, the newest first."""
    found = []
    with suppress(OSError):
        for each in jobdir.parent.iterdir():
            with suppress(OSError):
                if each != jobdir:
                    found.append(((each / STORE).stat().st_mtime, each))
    return [each for _, each in sorted(found, reverse=True)[:_LOOKED_AT]]
