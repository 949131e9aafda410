"""The crawl at one moment: the one typed object from which every face of it is made.

``/status.json`` is its serialisation; the metrics, the live page, the report, the terminal and
``scrapy resilience status`` are made from it and from nothing else, so no two can disagree.

Times are seconds since 1970, durations are seconds, sizes are bytes, shares are from 0 to 1.
None stands for what is not known. Texts that come from pages, URLs or exceptions are masked
(:mod:`scrapy_resilience.core.masking`) and bounded before they are put in here; whoever shows
them escapes them for the place where they are shown.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from scrapy_resilience.core.health import Status
from scrapy_resilience.core.recorded import Severity
from scrapy_resilience.observe.browser_views import BrowsersView
from scrapy_resilience.observe.guard_views import (
    AbortView,
    BudgetView,
    ChannelView,
    ConditionView,
    CostShare,
    CostView,
    FailureView,
    GuardView,
    LadderView,
    PauseView,
    ResourceCost,
    StuckView,
)
from scrapy_resilience.observe.health_views import Component, DiskView, Health, Resources

__all__ = [
    "AbortView", "Accounting", "BrowsersView", "BudgetView", "Cause", "ChannelView",
    "Checkpoint", "Component", "ConditionView", "Confidence", "CostShare", "CostView",
    "DiskView", "DomainView", "Drifting", "ErrorGroup", "EventView", "FailureView",
    "FieldCoverage", "GuardView", "Health", "Items", "JobView", "LadderView", "Latency",
    "PauseView", "Progress", "ResourceCost", "Resources", "Series", "Severity", "Share",
    "Status", "StuckView", "Traffic", "View",
]  # fmt: skip


class JobView(Struct):
    """Which crawl this is and how it is."""

    spider: str = ""
    path: str | None = None
    """The JOBDIR; None for a crawl without one."""
    ident: str = ""
    """The same for all runs of a job; of this run where there is no job."""
    run: int = 1
    started: float = 0.0
    """Of this run."""
    running_seconds: float = 0.0
    """Of this run."""
    state: str = "running"
    """A state of :mod:`scrapy_resilience.jobs.jobmeta`, or ``closing``."""
    sentence: str = ""
    """What that means now, in one sentence for its owner."""
    reason: str | None = None
    """Of the close of the spider."""
    incomplete: bool = False
    """Whether something was given up, or it has ended early: something may be left."""
    waiting_for: list[str] = []
    """Storages, handlers and the like that have not answered for ten seconds."""


class Progress(Struct):
    """How far it is. Counts are of all runs of the job."""

    done: int = 0
    """Requests that are done.

    With another scheduler: those that it has handed out in this run, and that are through.
    """
    pending: int | None = 0
    """Requests that are not: those under way and the held ones included.

    None with another scheduler, which tells nobody.
    """
    under_way: int = 0
    """Requests that are downloaded, or whose callbacks and items are not through."""
    held: int = 0
    """Requests that wait for a time to pass: of a domain that is held, or delayed ones."""
    dead_letters: int = 0
    pages: int = 0
    """Responses that came to the spider: Scrapy's ``response_received_count``."""
    items: int = 0
    dropped: int = 0
    duplicates: int = 0
    """Requests that the filter of duplicates has dropped."""
    pages_per_second: float = 0.0
    """Over the last minute."""
    items_per_second: float = 0.0
    seconds_left: float | None = None
    """At the rate of the last minutes; None while pages lead to new ones."""


class Latency(Struct):
    """A histogram of durations: ``counts[i]`` are up to ``bounds[i]`` seconds.

    The last count is of those above.
    """

    bounds: list[float] = []
    counts: list[int] = []
    total: float = 0.0
    """Their sum."""


class Traffic(Struct):
    """What went over the network in all runs, retries and redirects included."""

    requests: int = 0
    request_bytes: int = 0
    responses: int = 0
    response_bytes: int = 0
    statuses: dict[str, int] = {}
    """By status."""
    failures: dict[str, int] = {}
    """By failure class, tries that were made again included."""
    exceptions: dict[str, int] = {}
    """By class, as Scrapy counts them."""
    retries: int = 0
    given_up: int = 0
    """Requests whose retries were used up."""
    latency: Latency = msgspec.field(default_factory=Latency)
    """Of this run."""


class DomainView(Struct):
    """One domain of the crawl; counts are of this run."""

    name: str
    requests: int = 0
    """That were sent, retries, redirects and robots.txt included."""
    answers: int = 0
    """Responses that were no failure, those of a cache included."""
    failures: int = 0
    retries: int = 0
    bytes: int = 0
    latency: float | None = None
    """Mean time to the answer, where one was sent."""
    pending: int = 0
    """Requests that are not done: those that wait and those under way."""
    under_way: int = 0
    breaker: str = "closed"
    """A state of :class:`scrapy_resilience.core.breaker.State`."""
    opened: int = 0
    """How often its breaker has opened in this run."""
    waits_for: str = ""
    """Why it is not asked now, in words; empty when it may be."""
    next_try: float | None = None
    """When it may be asked again; None when that depends on an answer."""
    rate: float | None = None
    """Requests a second that a limit or its pace allows."""
    given_up: bool = False
    critical: bool = False
    """Named in ``RESILIENCE_CRITICAL_DOMAINS``."""


class Share(Struct):
    """A part of the time and what it was spent on."""

    cause: str
    """``processor``, ``servers``, ``gate``, ``frontier``, ``callbacks`` or ``commit``."""
    share: float
    detail: str = ""
    """Of a gate: the reason that weighs most."""
    domains: list[str] = []
    """Of gates and servers: those that weigh most, three at most."""


class Cause(Struct):
    """The shares of one span of time, the largest first."""

    seconds: float = 0.0
    shares: list[Share] = []


class Accounting(Struct):
    """Why the crawl is not faster."""

    minute: Cause = msgspec.field(default_factory=Cause)
    hour: Cause = msgspec.field(default_factory=Cause)
    job: Cause = msgspec.field(default_factory=Cause)
    sentence: str = ""
    """What to change, in one sentence; empty while there is nothing to say."""


class ErrorGroup(Struct):
    """Errors with one cause, of all runs."""

    number: int
    """By which ``scrapy resilience errors --open`` finds it; the same for all runs."""
    place: str = ""
    """File, line and function of the spider's or a component's code; empty for a download."""
    kind: str = ""
    """Class of the exception, or a failure class."""
    message: str = ""
    """With its variable parts replaced."""
    count: int = 0
    domains: dict[str, int] = {}
    """By domain, the first ten; the rest as ``other``."""
    first: float = 0.0
    last: float = 0.0
    url: str = ""
    """Of the first one."""
    trace_id: str = ""
    has_page: bool = False
    """Whether the page of the first one was kept."""
    has_evidence: bool = False
    """Whether a screenshot of it in the browser, or what its console said, was kept."""


class FieldCoverage(Struct):
    """How many items of one type have a field."""

    item: str
    field: str
    share: float


class Drifting(Struct):
    """A field that a selector set finds less often, or otherwise, than before."""

    set: str
    field: str
    domain: str
    kind: str
    since: float


class Confidence(Struct):
    """Confidence scores of the items of all runs."""

    mean: float | None = None
    doubtful: int = 0
    dropped: int = 0
    counts: list[int] = []
    """Ten, from 0 to 1 in steps of 0.1."""


class Items(Struct):
    """The items of the crawl."""

    coverage: list[FieldCoverage] = []
    drift: list[Drifting] = []
    confidence: Confidence = msgspec.field(default_factory=Confidence)
    unread: dict[str, int] = {}
    """Values that no normalizer could read, by field."""
    latest: list[dict[str, str]] = []
    """The last five, each field as bounded text."""


class Checkpoint(Struct):
    """Commits and snapshots of this run."""

    enabled: bool = False
    last: float | None = None
    """Of the last commit of the job."""
    commits: int = 0
    unaligned: int = 0
    write_errors: int = 0
    drain_max: float = 0.0
    stall_max: float = 0.0
    write_max: float = 0.0
    store_bytes: int = 0
    snapshots: int = 0
    snapshot_errors: int = 0
    trouble: str = ""
    """Why nothing can be written now."""


class EventView(Struct):
    """Something that happened, of any run."""

    time: float
    kind: str
    """Such as ``breaker``, ``hold``, ``snapshot``, ``commit``, ``drift``, ``run``."""
    text: str
    severity: Severity = "info"
    domain: str = ""
    number: int = 0
    """Grows by one with each event of a job."""


class Series(Struct):
    """The history of the rates in one resolution: rows of :attr:`columns`, the oldest first."""

    seconds: float
    """Between two rows."""
    columns: list[str]
    rows: list[list[float | None]]
    """The first column is the time of the end of a row's span."""


class View(Struct):
    """A crawl, running or not, at :attr:`time`."""

    version: int = 1
    """Grows when a name of the parts changes its meaning."""
    time: float = 0.0
    job: JobView = msgspec.field(default_factory=JobView)
    progress: Progress = msgspec.field(default_factory=Progress)
    traffic: Traffic = msgspec.field(default_factory=Traffic)
    domains: list[DomainView] = []
    """Critical ones and those in trouble first, then by traffic: 1,000 at most.

    A quarter of the places is kept for those with most traffic.
    """
    domains_known: int = 0
    """How many there are in all, as far as they are counted."""
    breakers: dict[str, int] = {}
    """How many domains are in each state that is not closed."""
    accounting: Accounting = msgspec.field(default_factory=Accounting)
    errors: list[ErrorGroup] = []
    items: Items = msgspec.field(default_factory=Items)
    checkpoint: Checkpoint = msgspec.field(default_factory=Checkpoint)
    resources: Resources = msgspec.field(default_factory=Resources)
    health: Health = msgspec.field(default_factory=Health)
    guard: GuardView = msgspec.field(default_factory=GuardView)
    browsers: BrowsersView = msgspec.field(default_factory=BrowsersView)
    cost: CostView = msgspec.field(default_factory=CostView)
    abort: AbortView = msgspec.field(default_factory=AbortView)
    events: list[EventView] = []
    """The newest first, 100 at most."""
    settings: dict[str, Any] = {}
    """Ours that differ from their defaults, without secrets."""
    stats: dict[str, Any] = {}
    """Scrapy's stats of this run that are numbers or texts: the first 2,000."""
    history: list[Series] = []
    """Left out where it was not asked for."""
