"""Every metric of a crawl: its name, its kind, its meaning, and where in the view it is.

Counters begin at 0 with each run, as Prometheus expects of a process: a job that goes on after
a kill has lost some of its counts, and would seem to have done all of its work again at once.

Each is exported with the label ``spider``, and those of ``RESILIENCE_METRICS_LABELS``. Units
are base units: seconds, bytes, shares from 0 to 1. What Scrapy and other components count
beside that is named by the rule of :mod:`.stat_metrics`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from scrapy_resilience import names
from scrapy_resilience.observe.metrics.browser_metrics import BROWSER_METRICS
from scrapy_resilience.observe.metrics.cache_metrics import CACHE_METRICS
from scrapy_resilience.observe.metrics.guard_metrics import GUARD_METRICS, RESOURCE_METRICS
from scrapy_resilience.observe.metrics.metric_kinds import (
    PREFIX,
    DomainMetric,
    Histogram,
    Metric,
    Number,
    of_stat,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scrapy_resilience.observe.view import Cause, View

__all__ = [
    "DOMAIN_METRICS", "HISTOGRAMS", "LEFT_OUT", "METRICS", "PREFIX", "USER_FAILED",
    "DomainMetric", "Histogram", "Metric", "defined",
]  # fmt: skip

_STATES: Final = (
    "created", "running", "closing", "killed", "stopped", "held", "finished",
)  # fmt: skip
_CAUSES: Final = ("processor", "servers", "gate", "frontier", "callbacks", "commit")
_BREAKERS: Final = {"closed": 0, "half_open": 1, "open": 2, "forced_open": 3}
_HEALTH: Final = {"healthy": 0, "degraded": 1, "unhealthy": 2, "unknown": 3}


def _run(view: View) -> Iterable[tuple[tuple[str, ...], Number]]:
    yield (view.job.ident, str(view.job.run), view.job.path or ""), 1


def _state(view: View) -> Mapping[str, Number]:
    return {**dict.fromkeys(_STATES, 0), view.job.state: 1}


def _shares(view: View) -> Iterable[tuple[tuple[str, ...], Number]]:
    spans: dict[str, Cause] = {
        "minute": view.accounting.minute,
        "hour": view.accounting.hour,
        "job": view.accounting.job,
    }
    for name, span in spans.items():
        found = Counter[str]()
        for share in span.shares:
            found[share.cause] += share.share  # type: ignore[assignment]
        for cause in (*_CAUSES, *(found.keys() - set(_CAUSES))):
            yield (name, cause), round(found[cause], 6)


def _errors(view: View) -> Mapping[str, Number]:
    found = Counter[str]()
    for group in view.errors:
        found[group.kind] += group.count
    return found


def _critical(view: View) -> Mapping[str, Number]:
    return {
        domain.name: int(domain.breaker in {"open", "forced_open"})
        for domain in view.domains
        if domain.critical
    }


def _confidence(view: View) -> tuple[list[float], list[int], float]:
    counts = [*view.items.confidence.counts, *[0] * (10 - len(view.items.confidence.counts))]
    bounds = [round(number / 10, 1) for number in range(1, 11)]
    return bounds, [*counts[:10], 0], (view.items.confidence.mean or 0.0) * sum(counts)


METRICS: Final = (
    # --- the run ---
    Metric("run_info", "info", "Which job and run this is.", _run, ("job_id", "run", "jobdir")),
    Metric("state", "gauge", "1 for the state that the job is in.", _state, ("state",)),
    Metric("start_time_seconds", "gauge", "When this run began, in seconds since 1970.",
           lambda view: view.job.started),
    Metric("running_seconds", "gauge", "Seconds that this run has taken.",
           lambda view: view.job.running_seconds),
    Metric("incomplete", "gauge", "1 when something was given up, or the end came early.",
           lambda view: int(view.job.incomplete)),
    Metric("waiting_for", "gauge", "Storages, handlers and the like that do not answer.",
           lambda view: len(view.job.waiting_for)),
    # --- progress ---
    Metric("requests_done_total", "counter", "Requests that are done.",
           lambda view: view.progress.done, of_job=True),
    Metric("requests_pending", "gauge", "Requests that are not done: the frontier.",
           lambda view: view.progress.pending),
    Metric("requests_in_progress", "gauge", "Requests that are under way.",
           lambda view: view.progress.under_way),
    Metric("requests_held", "gauge", "Requests that wait for a time to pass.",
           lambda view: view.progress.held),
    Metric("dead_letters", "gauge", "Requests that were given up, and not replayed since.",
           lambda view: view.progress.dead_letters),
    Metric("pages_total", "counter", "Responses that came to the spider.",
           lambda view: view.progress.pages, of_job=True),
    Metric("items_total", "counter", "Items that were scraped.",
           lambda view: view.progress.items, of_job=True),
    Metric("items_dropped_total", "counter", "Items that a pipeline has dropped.",
           lambda view: view.progress.dropped, of_job=True),
    Metric("requests_duplicate_total", "counter",
           "Requests that the filter of duplicates has dropped.",
           lambda view: view.progress.duplicates, of_job=True),
    Metric("job_requests_done", "gauge", "Requests that are done, of all runs of the job.",
           lambda view: view.progress.done),
    Metric("job_pages", "gauge", "The same of pages.", lambda view: view.progress.pages),
    Metric("job_items", "gauge", "The same of items.", lambda view: view.progress.items),
    Metric("left_seconds", "gauge", "Seconds to the end, at the rate of the last minutes.",
           lambda view: view.progress.seconds_left),
    # --- traffic, retries and redirects included ---
    Metric("requests_total", "counter", "Requests that were sent.",
           lambda view: view.traffic.requests, of_job=True),
    Metric("request_bytes_total", "counter", "Bytes of requests.",
           lambda view: view.traffic.request_bytes, of_job=True),
    Metric("responses_total", "counter", "Responses that were received.",
           lambda view: view.traffic.responses, of_job=True),
    Metric("response_bytes_total", "counter", "Bytes of responses.",
           lambda view: view.traffic.response_bytes, of_job=True),
    Metric("response_statuses_total", "counter", "Responses by HTTP status.",
           lambda view: view.traffic.statuses, ("status",), of_job=True),
    Metric("failures_total", "counter", "Tries that failed, by failure class.",
           lambda view: view.traffic.failures, ("class",), of_job=True),
    Metric("exceptions_total", "counter", "Downloads that ended with an exception.",
           lambda view: view.traffic.exceptions, ("exception",), of_job=True),
    Metric("retries_total", "counter", "Requests that were sent again after a failure.",
           lambda view: view.traffic.retries, of_job=True),
    Metric("given_up_total", "counter", "Requests whose retries were used up.",
           lambda view: view.traffic.given_up, of_job=True),
    # --- domains ---
    Metric("domains_known", "gauge", "Domains that were seen.",
           lambda view: view.domains_known),
    Metric("domains_waiting", "gauge", "Domains that may not be asked now.",
           lambda view: sum(map(bool, [domain.waits_for for domain in view.domains]))),
    Metric("holds_total", "counter", "How often a domain was left alone for a time: a rate "
           "limit that it has told, a ban, a failure handler.",
           of_stat(names.STAT_HOLDS)),
    Metric("breaker_opened_total", "counter", "How often a breaker has opened.",
           of_stat(names.STAT_BREAKER_OPENED)),
    Metric("breakers", "gauge", "Domains by the state of their breaker.",
           lambda view: {"open": 0, "half_open": 0, **view.breakers}, ("state",)),
    Metric("critical_breaker_open", "gauge", "1 when the breaker of a domain of "
           "RESILIENCE_CRITICAL_DOMAINS is open.", _critical, ("domain",)),
    # --- why it is not faster ---
    Metric("time_share", "gauge", "What unused download slots waited for, as shares of the "
           "last minute, the last hour and the job.", _shares, ("window", "cause")),
    # --- errors ---
    Metric("errors_total", "counter", "Errors by class.", _errors, ("kind",), of_job=True),
    Metric("error_groups", "gauge", "Errors with different causes.",
           lambda view: len(view.errors)),
    # --- items ---
    Metric("field_coverage", "gauge", "Share of the items that have a field.",
           lambda view: [((each.item, each.field), each.share) for each in view.items.coverage],
           ("item", "field")),
    Metric("drifting", "gauge", "1 for a field that is found otherwise than before.",
           lambda view: [((each.set, each.field, each.domain), 1) for each in view.items.drift],
           ("set", "field", "domain")),
    Metric("unread_values_total", "counter", "Values that no normalizer could read.",
           lambda view: view.items.unread, ("field",), of_job=True),
    Metric("doubtful_items_total", "counter", "Items with little confidence.",
           lambda view: view.items.confidence.doubtful, of_job=True),
    Metric("doubtful_items_dropped_total", "counter", "of these, those that were dropped.",
           lambda view: view.items.confidence.dropped, of_job=True),
    # --- checkpoints ---
    Metric("checkpoint_enabled", "gauge", "1 when the crawl makes commits.",
           lambda view: int(view.checkpoint.enabled)),
    Metric("checkpoint_last_commit_timestamp_seconds", "gauge",
           "When the last commit was written, in seconds since 1970.",
           lambda view: view.checkpoint.last),
    Metric("checkpoint_commits_total", "counter", "Commits.",
           lambda view: view.checkpoint.commits),
    Metric("checkpoint_unaligned_total", "counter", "of these, those that did not wait for the "
           "callbacks under way.", lambda view: view.checkpoint.unaligned),
    Metric("checkpoint_write_errors_total", "counter", "Tries to write a commit that failed.",
           lambda view: view.checkpoint.write_errors),
    Metric("checkpoint_trouble", "gauge", "1 while nothing can be written.",
           lambda view: int(bool(view.checkpoint.trouble))),
    Metric("checkpoint_drain_seconds_max", "gauge", "The longest wait for callbacks and "
           "pipelines.", lambda view: view.checkpoint.drain_max),
    Metric("checkpoint_stall_seconds_max", "gauge", "The longest that a commit held the event "
           "loop.", lambda view: view.checkpoint.stall_max),
    Metric("checkpoint_write_seconds_max", "gauge", "The longest that writing a commit took.",
           lambda view: view.checkpoint.write_max),
    Metric("store_bytes", "gauge", "Size of the store.",
           lambda view: view.checkpoint.store_bytes),
    Metric("snapshots_taken_total", "counter", "Snapshots.",
           lambda view: view.checkpoint.snapshots),
    Metric("snapshots_errors_total", "counter", "Snapshots that could not be made.",
           lambda view: view.checkpoint.snapshot_errors),
    *RESOURCE_METRICS,
    *GUARD_METRICS,
    *CACHE_METRICS,
    *BROWSER_METRICS,
    # --- health ---
    Metric("health", "gauge", "0 healthy, 1 degraded, 2 unhealthy, 3 unknown.",
           lambda view: _HEALTH[view.health.status]),
    Metric("ready", "gauge", "1 when the crawl can do its work.",
           lambda view: int(view.health.ready)),
    Metric("component_health", "gauge", "The same of each component.",
           lambda view: {each.name: _HEALTH[each.status] for each in view.health.components},
           ("component",)),
    # --- pushes ---
    Metric("metrics_pushes_total", "counter", "Pushes to the Pushgateway.",
           of_stat(names.STAT_PUSHES)),
    Metric("metrics_push_errors_total", "counter", "Pushes that failed.",
           of_stat(names.STAT_PUSH_ERRORS)),
    Metric("metrics_textfile_errors_total", "counter", "Times that the textfile could not be "
           "written.", of_stat(names.STAT_TEXTFILE_ERRORS)),
)  # fmt: skip

DOMAIN_METRICS: Final = (
    DomainMetric("domain_requests_total", "counter", "Requests that were sent to the domain.",
                 lambda domain: domain.requests, "requests"),
    DomainMetric("domain_answers_total", "counter", "Responses that were no failure.",
                 lambda domain: domain.answers, "answers"),
    DomainMetric("domain_failures_total", "counter", "Tries that failed.",
                 lambda domain: domain.failures, "failures"),
    DomainMetric("domain_retries_total", "counter", "Retries.",
                 lambda domain: domain.retries, "retries"),
    DomainMetric("domain_bytes_total", "counter", "Bytes of responses.",
                 lambda domain: domain.bytes, "bytes"),
    DomainMetric("domain_breaker_opened_total", "counter", "How often its breaker has opened.",
                 lambda domain: domain.opened, "opened"),
    DomainMetric("domain_requests_pending", "gauge", "Requests that are not done.",
                 lambda domain: domain.pending, "pending"),
    DomainMetric("domain_requests_in_progress", "gauge", "Requests that are under way.",
                 lambda domain: domain.under_way, "under_way"),
    DomainMetric("domain_waiting", "gauge", "1 when it may not be asked now.",
                 lambda domain: int(bool(domain.waits_for))),
    DomainMetric("domain_breaker_state", "gauge", "0 closed, 1 half open, 2 open, 3 opened by "
                 "hand.", lambda domain: _BREAKERS.get(domain.breaker, 0)),
    DomainMetric("domain_latency_seconds", "gauge", "Mean time to an answer.",
                 lambda domain: domain.latency),
    DomainMetric("domain_rate_limit", "gauge", "Requests a second that a limit or its pace "
                 "allows.", lambda domain: domain.rate),
)  # fmt: skip

HISTOGRAMS: Final = (
    Histogram(
        "latency_seconds",
        "Time from a request to its answer.",
        lambda view: (
            view.traffic.latency.bounds,
            view.traffic.latency.counts,
            view.traffic.latency.total,
        ),
    ),
    Histogram("confidence", "Confidence scores of items.", _confidence, of_job=True),
)

LEFT_OUT: Final = Metric(
    "metrics_left_out", "gauge", "Series that are left out: there were too many.", of_stat("")
)
USER_FAILED: Final = Metric(
    "user_metrics_failed", "gauge", "1 when a collector of the user's fails.", of_stat("")
)


def defined() -> list[Metric | DomainMetric | Histogram]:
    """Every metric, in the order of the output."""
    return [*METRICS, *DOMAIN_METRICS, *HISTOGRAMS, USER_FAILED, LEFT_OUT]
