"""What a job has spent, from its file: it may run meanwhile."""

from __future__ import annotations

import os
from math import inf
from typing import TYPE_CHECKING, Any

from scrapy_resilience.core.budget import Budget
from scrapy_resilience.core.budget_claims import Budgets
from scrapy_resilience.files.layout import COSTS
from scrapy_resilience.files.ownership import open_own
from scrapy_resilience.guard.cost.ledger_file import pieces, read_ledger
from scrapy_resilience.guard.cost.views import cost_view
from scrapy_resilience.observe.view import CostView

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["stored_costs"]


def stored_costs(jobdir: Path, wall: float) -> CostView:
    """At the time of day *wall*, by the prices and budgets of its last run. Raises OSError."""
    try:
        fd = open_own(jobdir / COSTS, os.O_RDONLY)
    except FileNotFoundError:
        return CostView()
    try:
        folded = read_ledger(pieces(fd, os.fstat(fd).st_size)).folded
    finally:
        os.close(fd)
    now = folded.later(wall)
    folded.end_open(now)
    budgets = Budgets(_budgets(folded.budgets))
    for entry in folded.entries:
        budgets.add(entry.spends, entry.domain, entry.proxy, entry.time)
    return cost_view(folded.totals, folded.prices, budgets, now, wall)


def _budgets(stored: Iterable[Any]) -> list[Budget]:
    """Without those of another version."""
    return [budget for each in stored if (budget := _budget(each)) is not None]


def _budget(stored: Any) -> Budget | None:
    try:
        return Budget(**{**stored, "seconds": stored["seconds"] or inf})
    except (TypeError, KeyError):
        return None
