"""The metrics of what a crawl uses, of its guards, of what it costs and what would end it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrapy_resilience import names
from scrapy_resilience.core.pressure_rungs import Rung
from scrapy_resilience.observe.metrics.metric_kinds import Metric, of_stat

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scrapy_resilience.observe.metrics.metric_kinds import Number
    from scrapy_resilience.observe.view import BudgetView, View

__all__ = ["GUARD_METRICS", "RESOURCE_METRICS"]

_PAUSES: Final = ("abort", "budget", "disk", "memory")
"""Reasons that we have; others are exported while they last."""
_RUNGS: Final = {rung.name.lower(): int(rung) for rung in Rung}


def _paused(view: View) -> dict[str, Number]:
    return {**dict.fromkeys(_PAUSES, 0), **dict.fromkeys(_reasons(view), 1)}


def _reasons(view: View) -> Iterator[str]:
    return (pause.reason for pause in view.guard.pauses)


def _budgets(view: View) -> dict[str, BudgetView]:
    """By text; of those of domains or proxies only the one that is closest to its limit."""
    found: dict[str, BudgetView] = {}
    for each in view.cost.budgets:  # which come first
        name = each.text
        if each.name:
            name = f"{name.removesuffix(f' for {each.name}')} for a {each.scope}"
        found.setdefault(name, each)
    return found


def _limits(view: View) -> Iterable[tuple[str, Number]]:
    for each in view.abort.conditions:
        if each.limit is not None:
            yield each.name, each.limit


def _values(view: View) -> Iterable[tuple[str, Number]]:
    for each in view.abort.conditions:
        if each.value is not None:
            yield each.name, each.value


RESOURCE_METRICS: Final = (
    Metric("cpu_share", "gauge", "Share of one core that the process uses.",
           lambda view: view.resources.cpu),
    Metric("cpu_allowed_share", "gauge", "Share of the processors that are allowed.",
           lambda view: view.resources.cpu_share),
    Metric("memory_bytes", "gauge", "Resident memory of the process.",
           lambda view: view.resources.memory),
    Metric("memory_limit_bytes", "gauge", "Memory that the crawl may use: this process and "
           "those that it has started.", lambda view: view.resources.memory_limit),
    Metric("memory_children_bytes", "gauge", "Memory of processes that it has started, but for "
           "browsers.", lambda view: view.resources.children_memory),
    Metric("memory_browsers_bytes", "gauge", "Memory of browsers.",
           lambda view: view.resources.browser_memory),
    Metric("memory_pressure_share", "gauge", "Share of the last minute in which something "
           "waited for memory.", lambda view: view.resources.memory_pressure),
    Metric("child_processes", "gauge", "Processes that it has started, browsers included.",
           lambda view: view.resources.children),
    Metric("browser_processes", "gauge", "Processes of browsers.",
           lambda view: view.resources.browsers),
    Metric("disk_free_bytes", "gauge", "Free space where the JOBDIR is.",
           lambda view: view.resources.disk_free),
    Metric("disks_free_bytes", "gauge", "Free space by what the disk is for: job, work, feeds "
           "or temp, each disk once.",
           lambda view: {each.purpose: each.free for each in view.resources.disks},
           ("purpose",)),
    Metric("disks_size_bytes", "gauge", "The same of all that the crawl could use.",
           lambda view: {each.purpose: each.total for each in view.resources.disks},
           ("purpose",)),
    Metric("loop_lag_seconds", "gauge", "Longest delay of the event loop in the last minute.",
           lambda view: view.resources.loop_lag),
    Metric("threads", "gauge", "Threads of the process.", lambda view: view.resources.threads),
    Metric("open_files", "gauge", "Open files of the process.",
           lambda view: view.resources.open_files),
    Metric("open_files_limit", "gauge", "Files that the process may open.",
           lambda view: view.resources.open_files_limit),
    Metric("connections", "gauge", "Open sockets of the process.",
           lambda view: view.resources.connections),
)  # fmt: skip

GUARD_METRICS: Final = (
    # --- what eases the crawl off ---
    Metric("paused", "gauge", "1 while the crawl is paused for the reason.", _paused,
           ("reason",)),
    Metric("guard_rung", "gauge", "What is done about a resource: 0 nothing, 1 caches are "
           "cleared, 2 fewer requests at a time, 3 a pause, 4 components free what they can, "
           "5 the close.",
           lambda view: {each.resource: _RUNGS[each.rung] for each in view.guard.ladders},
           ("resource",)),
    Metric("concurrency", "gauge", "Requests that may be under way now; 0: any number.",
           lambda view: view.guard.concurrency),
    Metric("concurrency_most", "gauge", "The same where nothing asks for fewer.",
           lambda view: view.guard.most),
    Metric("breaches_total", "counter", "How often a resource, a component, the event loop or "
           "the crawl as a whole has got worse.", lambda view: view.guard.breaches, ("name",)),
    Metric("recoveries_total", "counter", "How often it was well again.",
           lambda view: view.guard.recoveries, ("name",)),
    Metric("components_recoveries_total", "counter", "Calls of functions that make a component "
           "well again.", of_stat(names.STAT_RECOVERIES)),
    Metric("components_recovery_errors_total", "counter", "of these, those that could not.",
           of_stat(names.STAT_RECOVERY_ERRORS)),
    Metric("stuck", "gauge", "Callbacks, pipelines and stalls that last too long now.",
           lambda view: len(view.guard.stuck)),
    Metric("stuck_requests_total", "counter", "Downloads that were cancelled: nothing came for "
           "too long.", of_stat(names.STAT_STUCK_REQUESTS)),
    Metric("stuck_callbacks_total", "counter", "Callbacks and errbacks that took too long.",
           of_stat(names.STAT_STUCK_CALLBACKS)),
    Metric("blocked_seconds_total", "counter", "Seconds in which a call has blocked the event "
           "loop, where that was for long.", of_stat(names.STAT_BLOCKED_SECONDS)),
    Metric("stalls_total", "counter", "Times that nothing of the crawl has ended although "
           "something ought to.", of_stat(names.STAT_STALLS)),
    # --- what would end it ---
    Metric("abort_value", "gauge", "Value of each condition of abort policies.",
           lambda view: dict(_values(view)), ("condition",)),
    Metric("abort_limit", "gauge", "Its limit, where a policy is on that has one.",
           lambda view: dict(_limits(view)), ("condition",)),
    Metric("abort_met", "gauge", "1 for a condition that is met.",
           lambda view: {each.name: int(each.met) for each in view.abort.conditions},
           ("condition",)),
    # --- what it costs ---
    Metric("cost_dollars_total", "counter", "What was spent, by resource.",
           lambda view: {each.name: each.cost for each in view.cost.resources},
           ("resource",), of_job=True),
    Metric("cost_amount_total", "counter", "How much of each resource was spent.",
           lambda view: {each.name: each.amount for each in view.cost.resources},
           ("resource",), of_job=True),
    Metric("job_cost_dollars", "gauge", "What was spent in all runs of the job.",
           lambda view: view.cost.total),
    Metric("cost_projected_dollars", "gauge", "What the requests that are left will cost, if "
           "they cost what was usual.", lambda view: view.cost.projected),
    Metric("cost_per_item_dollars", "gauge", "What an item has cost.",
           lambda view: view.cost.per_item),
    Metric("budget_used", "gauge", "What counts against a budget now, in dollars or in its "
           "resource; where each domain or proxy has its own, of the fullest one.",
           lambda view: {name: each.used for name, each in _budgets(view).items()},
           ("budget",)),
    Metric("budget_limit", "gauge", "What may be spent.",
           lambda view: {name: each.limit for name, each in _budgets(view).items()},
           ("budget",)),
    # --- notices ---
    Metric("notify_sent_total", "counter", "Notices that were sent.",
           of_stat(names.STAT_NOTIFIED)),
    Metric("notify_errors_total", "counter", "Tries to send one that failed.",
           of_stat(names.STAT_NOTIFY_ERRORS)),
    Metric("notify_dropped_total", "counter", "Notices that nobody was sent: refused for good, "
           "or too many waited.", lambda view: view.guard.dropped_notices),
    Metric("notify_waiting", "gauge", "Notices that wait for each channel.",
           lambda view: {each.name: each.waiting for each in view.guard.channels},
           ("channel",)),
    Metric("notify_failures", "gauge", "Tries in a row that have failed.",
           lambda view: {each.name: each.failures for each in view.guard.channels},
           ("channel",)),
)  # fmt: skip
