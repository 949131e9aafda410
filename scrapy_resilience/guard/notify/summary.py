"""The last notice of a run: how it ended, in figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy_resilience import names
from scrapy_resilience.core.masking import shown
from scrapy_resilience.exit_codes import exit_code
from scrapy_resilience.observe.sentences import duration

if TYPE_CHECKING:
    from scrapy_resilience.observe.view import View
    from scrapy_resilience.settings import Config

__all__ = ["details_of", "severity_of"]


def details_of(view: View) -> dict[str, Any]:
    """Figures of the whole job, and how long this run took."""
    progress, job = view.progress, view.job
    found: dict[str, Any] = {
        "reason": None if job.reason is None else shown(job.reason),
        "pages": progress.pages,
        "items": progress.items,
        "items_dropped": progress.dropped,
        "dead_letters": progress.dead_letters,
        "requests_left": progress.pending,
        "incomplete": job.incomplete,
        "duration": duration(job.running_seconds),
        "seconds": round(job.running_seconds, 1),
        "run": job.run,
    }
    if cost := view.cost.total:
        found["cost_dollars"] = round(cost, 4)
    return {name: value for name, value in found.items() if value is not None}


def severity_of(view: View, config: Config, *, failed: bool = False) -> str:
    """An error where the process ends with exit code 1, a warning where something is left.

    *failed*: whether something that is done could not be stored.
    """
    incomplete = view.job.incomplete
    code = exit_code(view.job.reason or "", config, complete=not incomplete)
    if failed or code == names.EXIT_FAILURE:
        return "error"
    return "warning" if incomplete else "info"
