"""What was spent and what budgets have left, as a part of the view of a crawl."""

from __future__ import annotations

from heapq import nlargest
from math import inf
from typing import TYPE_CHECKING, Final

from scrapy_resilience.core.spending import OTHER, amount_of
from scrapy_resilience.observe.traffic import shown_domain
from scrapy_resilience.observe.view import BudgetView, CostShare, CostView, ResourceCost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy_resilience.core.budget import Budget
    from scrapy_resilience.core.budget_claims import Budgets
    from scrapy_resilience.core.spending import Prices, Sums, Totals
    from scrapy_resilience.core.spending_window import SpendingWindow
    from scrapy_resilience.observe.view import Progress

__all__ = ["add_outlook", "budget_views", "cost_view"]

_SHOWN: Final = 100


def cost_view(
    totals: Totals, prices: Prices, budgets: Budgets, now: float, wall: float
) -> CostView:
    """*now* is the ledger's time, *wall* the time of day."""
    return CostView(
        total=amount_of(totals.cost),
        resources=[
            ResourceCost(
                name=name,
                amount=amount_of(counted),
                cost=amount_of(cost),
                price=prices.get(name),
            )
            for name, (counted, cost) in sorted(totals.resources.items())
        ],
        domains=_shares(totals.domains),
        proxies=_shares(totals.proxies),
        budgets=budget_views(budgets, now, wall),
    )


def _shares(named: Mapping[str, Sums]) -> list[CostShare]:
    return [
        CostShare(
            name=name if name == OTHER else shown_domain(name),
            cost=amount_of(sum(cost for _, cost in sums.values())),
            amounts={resource: amount_of(counted) for resource, (counted, _) in sums.items()},
        )
        for name, sums in nlargest(_SHOWN, named.items(), key=_weight)
    ]


def _weight(share: tuple[str, Sums]) -> tuple[int, int]:
    counted = cost = 0
    for some, dollars in share[1].values():
        counted += some
        cost += dollars
    return cost, counted


def budget_views(
    budgets: Budgets, now: float, wall: float, *, only_full: bool = False
) -> list[BudgetView]:
    """Those that are closest to their limits first; or only those without room."""
    if only_full:
        full = [each for each in budgets.windows() if each[2].used(now) >= each[2].limit]
        return [_budget(*each, now, wall) for each in full[:_SHOWN]]
    fullest = nlargest(_SHOWN, budgets.windows(), key=_used_share)
    found = [_budget(*each, now, wall) for each in fullest]
    unused = [
        BudgetView(
            resource=budget.resource,
            limit=budget.limit,
            per=budget.per,
            action=budget.action,
            scope=budget.scope,
            name=budget.domain or budget.proxy,
            left=budget.limit,
            text=budget.text(),
        )
        for budget in budgets.unused()
    ]
    return nlargest(_SHOWN, [*found, *unused], key=lambda each: each.used / each.limit)


def _used_share(held: tuple[Budget, str, SpendingWindow]) -> float:
    """At the latest look."""
    window = held[2]
    return (window.open + window.ended) / window.limit


def _budget(
    budget: Budget, name: str, window: SpendingWindow, now: float, wall: float
) -> BudgetView:
    used = window.used(now)
    ready = window.ready_at(0, now)
    return BudgetView(
        resource=budget.resource,
        limit=budget.limit,
        per=budget.per,
        action=budget.action,
        scope=budget.scope,
        name=shown_domain(name) if name else "",
        used=amount_of(used),
        left=amount_of(max(window.limit - used, 0)),
        moves=wall + ready - now if now < ready < inf else None,
        text=budget.text(shown_domain(name) if name else ""),
    )


def add_outlook(cost: CostView, progress: Progress) -> None:
    """What an item has cost, and what is left will cost."""
    if progress.items:
        cost.per_item = cost.total / progress.items
    if progress.done and progress.pending is not None:
        cost.projected = cost.total / progress.done * progress.pending
