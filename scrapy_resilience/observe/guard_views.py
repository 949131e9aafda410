"""The parts of a view that are about guards: what eases off, costs, or would end a crawl."""

from __future__ import annotations

from msgspec import Struct

from scrapy_resilience.core.recorded import Severity  # noqa: TC001 - msgspec reads it

__all__ = [
    "AbortView", "BudgetView", "ChannelView", "ConditionView", "CostShare", "CostView",
    "FailureView", "GuardView", "LadderView", "PauseView", "ResourceCost", "StuckView",
]  # fmt: skip


class PauseView(Struct):
    """Why the crawl as a whole asks for nothing new."""

    reason: str
    text: str = ""
    since: float = 0.0
    until: float | None = None
    """None: until what it waits for has changed."""


class ChannelView(Struct):
    """Where notices go, and how that went in this run."""

    name: str
    waiting: int = 0
    """Notices that were not sent yet."""
    sent: int = 0
    failures: int = 0
    """In a row."""
    problem: str = ""
    """Why the last try has failed; empty when it has not."""


class LadderView(Struct):
    """What is done about one resource, and why."""

    resource: str
    """``memory`` (bytes), ``disk`` or ``cpu``."""
    rung: str = "healthy"
    """A rung of :class:`scrapy_resilience.core.pressure_rungs.Rung`, in lower case."""
    since: float | None = None
    """When it was entered; None at the beginning."""
    used: float | None = None
    """The last reading: bytes of memory, free bytes of the disk that has least in proportion,
    seconds by which the event loop is late through its own work."""
    high: float | None = None
    """Beyond which something is done: above it, but for a disk, of which it is free bytes."""
    limit: float | None = None
    """Of memory: what must not be crossed."""
    text: str = ""
    """What was done last, in one sentence; empty while nothing was."""
    climbed: dict[str, int] = {}
    """How often each rung was climbed to in this run; of a job that does not run, in all."""


class StuckView(Struct):
    """What waits for too long."""

    kind: str
    """``callback``, ``errback``, ``pipeline``, ``stall``."""
    text: str = ""
    since: float = 0.0


class GuardView(Struct):
    """What eases the crawl off."""

    sentence: str = ""
    """What eases it off, or soon will, in one sentence; empty while there is nothing to say."""
    pauses: list[PauseView] = []
    concurrency: int = 0
    """Requests that may be under way now; 0: any number."""
    most: int = 0
    """The same where nothing asks for fewer."""
    ladders: list[LadderView] = []
    """Of the resources that are watched."""
    stuck: list[StuckView] = []
    breaches: dict[str, int] = {}
    """How often something has got worse in this run, by name: of a resource, of a component,
    ``stall``, ``blocked``. A hundred names at most, the rest as ``other``."""
    recoveries: dict[str, int] = {}
    """How often it was well again."""
    channels: list[ChannelView] = []
    """Of notifications."""
    dropped_notices: int = 0
    """Notices of this run that nobody was sent: refused for good, or too many waited."""


class ResourceCost(Struct):
    """How much of one resource was spent, and what it cost."""

    name: str
    amount: float = 0.0
    cost: float = 0.0
    """Dollars, at the prices of their times."""
    price: float | None = None
    """Dollars for one, now; None where it has no price."""


class CostShare(Struct):
    """What one domain or proxy has cost."""

    name: str
    cost: float = 0.0
    amounts: dict[str, float] = {}
    """By resource."""


class BudgetView(Struct):
    """A budget, or that of one domain or proxy where each has its own."""

    resource: str
    """Or ``usd``, for what all resources cost together."""
    limit: float
    per: str = ""
    """``an hour``, ``a day``, ``in this job`` or ``in 90 s``."""
    action: str = ""
    """``pause``, ``warn`` or ``close``."""
    scope: str = "job"
    """``job``, ``domain`` or ``proxy``."""
    name: str = ""
    """Which domain or proxy."""
    used: float = 0.0
    """Within the window that ends now, requests under way included."""
    left: float = 0.0
    moves: float | None = None
    """When there is room again; None where there is some, or never will be."""
    text: str = ""
    """``1,000 requests an hour for a.example``."""


class CostView(Struct):
    """What was spent in all runs: of resources that have a price or a budget."""

    total: float = 0.0
    """Dollars."""
    resources: list[ResourceCost] = []
    domains: list[CostShare] = []
    """Those that cost most, 100 at most; all behind the first 10,000 are ``other``."""
    proxies: list[CostShare] = []
    budgets: list[BudgetView] = []
    """Those that are closest to their limits first, 100 at most."""
    per_item: float | None = None
    """Dollars for an item; None while there is none."""
    projected: float | None = None
    """Dollars that what is still queued will cost, if it costs what was usual."""
    trouble: str = ""
    """Why nothing can be written down now; empty when all is well."""


class ConditionView(Struct):
    """One condition of an abort policy, looked at whether a policy is on or not."""

    name: str
    """``failure_rate``, ``coverage.price`` …: :mod:`scrapy_resilience.core.abort` has all."""
    value: float | None = None
    """None while it is not known."""
    limit: float | None = None
    """None where no policy is on, or the policy does not have the condition."""
    met: bool = False
    text: str = ""


class FailureView(Struct):
    """A failure that code of the user's has recorded."""

    time: float
    severity: Severity = "error"
    category: str = ""
    source: str = ""
    message: str = ""


class AbortView(Struct):
    """What would end the crawl early."""

    policy: str = ""
    """Empty where none is on."""
    conditions: list[ConditionView] = []
    operations: int = 0
    """Requests that ended, well or not, and failures that code has recorded."""
    needed: int = 0
    """Operations from which on the policy is judged."""
    judged: float | None = None
    """When the policy was judged last; None where it never was in this run."""
    acted: list[str] = []
    """Conditions that the policy has acted on and that are still met."""
    failures: list[FailureView] = []
    """Those that code has recorded in this run, the newest ten."""
