"""``scrapy resilience cost``: what a job has spent, and what its budgets have left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from scrapy_resilience.commands.tables import plain, shown_number, shown_time, table, text_of
from scrapy_resilience.core.spending import DOLLARS
from scrapy_resilience.observe.offline_view import offline_view
from scrapy_resilience.observe.remote_view import live_view

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy_resilience.observe.view import BudgetView, CostShare, CostView

__all__ = ["show_costs"]

_SHOWN: Final = 20
"""Rows of each table; JSON has up to a hundred."""


def show_costs(path: str, token: str) -> tuple[Any, str]:
    """Of a job that runs or not; of all its runs."""
    folder = Path(path)
    view = live_view(folder, token) or offline_view(folder)
    cost = view.cost
    data = {"spider": view.job.spider, "state": view.job.state, **msgspec.to_builtins(cost)}
    if not (cost.resources or cost.budgets):
        return data, "nothing was spent that has a price or a budget"
    return data, "\n\n".join(filter(None, _tables(cost)))


def _tables(cost: CostView) -> Iterable[str]:
    rows = [("resource", "amount", "price", "cost")]
    rows += [
        (each.name, _amount(each.amount), _price(each.price), _dollars(each.cost))
        for each in cost.resources
    ]
    yield table([*rows, ("together", "", "", _dollars(cost.total))])
    yield _shares("domain", cost.domains)
    yield _shares("proxy", cost.proxies)
    yield _budgets(cost.budgets)
    yield text_of(_outlook(cost))


def _shares(what: str, shares: list[CostShare]) -> str:
    if not shares:
        return ""
    rows = [
        (
            each.name,
            _dollars(each.cost),
            ", ".join(f"{_amount(each.amounts[name])} {name}" for name in each.amounts),
        )
        for each in shares[:_SHOWN]
    ]
    return table([(what, "cost", "of"), *rows])


def _budgets(budgets: list[BudgetView]) -> str:
    if not budgets:
        return ""
    rows = [
        (
            each.text,
            _of_budget(each, each.used),
            _of_budget(each, each.left),
            "-" if each.moves is None else shown_time(each.moves),
            each.action,
        )
        for each in budgets[:_SHOWN]
    ]
    return table([("budget", "used", "left", "room again", "then"), *rows])


def _outlook(cost: CostView) -> Iterable[str]:
    if cost.per_item is not None:
        yield f"an item costs {_dollars(cost.per_item)}"
    if cost.projected:
        yield f"what is queued will cost about {_dollars(cost.projected)}"
    if cost.trouble:
        yield cost.trouble


def _of_budget(budget: BudgetView, amount: float) -> str:
    return _dollars(amount) if budget.resource == DOLLARS else _amount(amount)


def _amount(amount: float) -> str:
    if 0 < amount < 1:
        return shown_number(amount)
    return f"{amount:,.2f}".rstrip("0").rstrip(".")


def _dollars(dollars: float) -> str:
    return f"${dollars:,.4f}" if dollars < 1 else f"${dollars:,.2f}"


def _price(price: float | None) -> str:
    return plain(price and f"${price:.12f}".rstrip("0").rstrip("."))
