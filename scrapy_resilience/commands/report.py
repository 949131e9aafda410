"""``scrapy resilience report``: the report of a job, whether it runs or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from scrapy_resilience.observe.offline_view import offline_view
from scrapy_resilience.observe.remote_view import live_view
from scrapy_resilience.observe.report.previous import previous_view
from scrapy_resilience.observe.report.report import write_report

__all__ = ["make_report"]

_NAME: Final = "report.html"


def make_report(jobdir: str, file: str, token: str) -> tuple[Any, str]:
    """Write it to *file*, or into the job where that is empty; what is told of it."""
    folder = Path(jobdir)
    view = live_view(folder, token, history=True) or offline_view(folder)
    place = Path(file) if file else folder / _NAME
    write_report(place, view, previous_view(place, view), folder)
    return {"job": jobdir, "report": str(place), "state": view.job.state}, str(place)
