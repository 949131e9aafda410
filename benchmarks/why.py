"""Whether time accounting finds why a crawl is not faster, where that is built in.

===========  =========================================================================
processor    each callback computes for a while
servers      one host that answers late, with as many requests as it may have
rate limit   a host that answers at once, and a limit far below that
breaker      a host that is down, after a few pages of one that is not
pipeline     each item waits in a pipeline, as for a database, a few of them at a time
===========  =========================================================================

What is true is known from how a scenario is built: from the processor time that the process has
used, the latency of the site and the moments of the crawl, never from samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.crawls import OURS, Plan, Result, crawl
from benchmarks.report import Outcome
from scrapy_resilience.testing import RunningSite, SiteConfig, running_site

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.crawls import Options

_SLOTS = 8
_LATE = 0.4
_RATE = 5
_WAIT = 0.5
_TOLERANCE = 0.10
_COST = 0.2
_BUSY = 0.04
"""Seconds that a callback computes."""
_DOWN = 6.0
"""Seconds for which a breaker stays open."""
_SETTINGS: dict[str, object] = {
    **OURS,
    "CONCURRENT_REQUESTS": _SLOTS,
    "CONCURRENT_REQUESTS_PER_DOMAIN": _SLOTS,
    "RESILIENCE_HTTP_ENABLED": False,
}


@dataclass(frozen=True)
class Scenario:
    """A crawl, and the share of its time that one cause has."""

    name: str
    cause: str
    hosts: Callable[[Options], str]
    truth: Callable[[Result], float]
    """From its stats: the share of the time that the cause has."""
    says: str
    """What the sentence names."""
    settings: Mapping[str, object] = field(default_factory=dict)
    arguments: Mapping[str, object] = field(default_factory=dict)


def _processor(result: Result) -> float:
    """What the loop's thread has used, and what callbacks would have used."""
    return float(result.stats["bench/computing"] / result.stats["bench/seconds"])


def _servers(result: Result) -> float:
    """All slots are in use until the last pages."""
    slots = result.stats["response_received_count"] * _LATE / _SLOTS
    return float(slots / result.stats["bench/seconds"])


def _rate_limit(result: Result) -> float:
    """The site answers at once: nothing else takes time but the processor."""
    return 1 - _processor(result)


def _breaker(result: Result) -> float:
    """From the opening of the breaker on there is nothing else to do."""
    return float(result.stats["bench/breaker_open"] / result.stats["bench/seconds"])


def _pipeline(result: Result) -> float:
    """What is downloaded at once is more than the pipelines can do meanwhile."""
    return 1 - _processor(result)


SCENARIOS = (
    Scenario(
        "processor",
        "processor",
        lambda options: f"h0.test:{options.of(240, 140)}",
        _processor,
        "the processor was busy",
        arguments={"busy": _BUSY},
    ),
    Scenario(
        "servers",
        "servers",
        lambda options: f"slow.test:{options.of(240, 120)}",
        _servers,
        "slow.test",
    ),
    Scenario(
        "rate limit",
        "gate",
        lambda options: f"h0.test:{options.of(60, 30)}",
        _rate_limit,
        f"the rate limit of h0.test, {_RATE}/s: RESILIENCE_RATE_LIMITS",
        {"RESILIENCE_RATE_LIMITS": f'{{"h0.test": {_RATE}}}'},
    ),
    Scenario(
        "breaker",
        "gate",
        lambda _: "h0.test:20,error.test:30",
        _breaker,
        "error.test, whose circuit breaker is not closed",
        {
            "RESILIENCE_BREAKER_FIRST_TRIAL": 0,
            "RESILIENCE_BREAKER_RECOVERY_TIMEOUT": _DOWN,
            "RESILIENCE_BREAKER_MAX_TRIPS": 1,
            "RESILIENCE_SLOW_START": 0,
        },
    ),
    Scenario(
        "pipeline",
        "callbacks",
        lambda options: f"h0.test:{options.of(80, 56)}",
        _pipeline,
        "waited for callbacks and pipelines: find out what for",
        {
            "BENCH_PIPELINE_WAIT": _WAIT,
            "ITEM_PIPELINES": '{"benchmarks.child.FourAtOnce": 1}',
            "SCRAPER_SLOT_MAX_ACTIVE_SIZE": 20_000,
        },
    ),
)


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome("why it is not faster: the cause that is built in, and the one found")
    outcome.notes.append("breaker: no early trials, so that it is known how long it is open")
    config = SiteConfig(hosts=1, pages=300, slow=_LATE)
    right = close = 0
    with running_site(config) as site:
        for scenario in SCENARIOS:
            if options.only in scenario.name:
                named, near = _one(scenario, site, outcome, options)
                right, close = right + named, close + near
        if options.only in "cost":
            _cost(site, outcome, options)
    count = len(outcome.rows)
    outcome.bar("the right cause in all", f"{right} of {count}", met=right == count)
    text = "its share within 10 points of the truth"
    outcome.bar(text, f"{close} of {count}", met=close == count)
    return outcome


def _one(
    scenario: Scenario, site: RunningSite, outcome: Outcome, options: Options
) -> tuple[bool, bool]:
    """Whether the cause was found, and whether its share is near to the truth."""
    site.reset()
    arguments = {"port": site.port, "hosts": scenario.hosts(options), **scenario.arguments}
    plan = Plan("busy", arguments, {**_SETTINGS, **scenario.settings})
    result = crawl(plan, options.folder / scenario.name)
    outcome.check(scenario.name, [] if result.code == 0 else result.problems())
    found: dict[str, Any] = result.stats["bench/why"]
    shares = {each["cause"]: each["share"] for each in found["job"]["shares"]}
    truth, share = scenario.truth(result), shares.get(scenario.cause, 0.0)
    named = max(shares, key=lambda cause: shares[cause]) == scenario.cause
    near = abs(truth - share) <= _TOLERANCE
    named = named and scenario.says in found["sentence"]
    outcome.rows.append(
        {
            "scenario": scenario.name,
            "cause": scenario.cause,
            "truth": truth,
            "found": share,
            "right": named,
            "near": near,
            "seconds": result.stats["bench/seconds"],
            "says": found["sentence"],
        }
    )
    outcome.data[scenario.name] = {"truth": truth, "shares": found}
    return named, near


def _cost(site: RunningSite, outcome: Outcome, options: Options) -> None:
    """What a sample costs among 1,000 domains that are down, and wait."""
    hosts = ",".join(f"h{number}.error.test:5" for number in range(1000))
    arguments = {"port": site.port, "hosts": hosts, "look_after": 9}
    more = {"CONCURRENT_REQUESTS": 64, "CLOSESPIDER_TIMEOUT": 12}
    plan = Plan("busy", arguments, {**_SETTINGS, **more})
    result = crawl(plan, options.folder / "cost")
    cost = result.stats["bench/sample_seconds"] * 1e3
    outcome.bar(
        "a sample among 1,000 domains costs at most 0.2 ms",
        f"{cost:.3f} ms (longest of 500: {result.stats['bench/sample_seconds_max'] * 1e3:.3f})",
        met=cost <= _COST,
    )
