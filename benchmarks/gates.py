"""What the gates cost; what they are good for is in ``flaky``.

==========  ==========================================================================
healthy     2,472 pages of 8 healthy hosts, with the gates, classified retries and dead
            letters, and without them: ours both times
domains     no crawl: memory of a gate, time of a decision, and of a pop of a frontier whose
            lanes are all gated and half of them held, for 1,000 to 100,000 domains
==========  ==========================================================================
"""

from __future__ import annotations

import random
import time
import tracemalloc
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.content import feed_problems
from benchmarks.crawls import OURS, Plan, Result, crawl, interleave
from benchmarks.report import Outcome
from benchmarks.spiders import listed_urls
from scrapy_resilience.core import breaker
from scrapy_resilience.core.gates import GateConfig, Gates
from scrapy_resilience.frontier.lanes import Frontier
from scrapy_resilience.frontier.store import MemoryStore
from scrapy_resilience.testing import RunningSite, SiteConfig, running_site

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.crawls import Options

_LATENCY = 0.02
_KILOBYTE = 1024
_HEALTHY = 0.97
_FLAT = 1.5
"""How much more a pop among many domains may cost to count as the same: caches, and noise."""
_PAGES = 310


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome("what the gates cost")
    outcome.notes.append("without gates: neither retries nor dead letters, which need them")
    if options.only in "healthy":
        config = SiteConfig(hosts=8, pages=_PAGES, latency=_LATENCY)
        with running_site(config) as site:
            _healthy(site, outcome, options)
    if options.only in "domains":
        _domains(outcome, options)
    return outcome


_WITHOUT = {  # the gates are what is measured
    "RESILIENCE_GATES_ENABLED": False,
    "RESILIENCE_RETRY_ENABLED": False,
    "RESILIENCE_DEADLETTERS_ENABLED": False,
}


def _healthy(site: RunningSite, outcome: Outcome, options: Options) -> None:
    """The cost of the gates where nothing is sick."""
    hosts = ",".join(f"h{number}.test:{options.of(310, 60) - 1}" for number in range(8))
    sides = {"without gates": _WITHOUT, "with gates": {}}

    def one(side: str, number: int) -> Result:
        site.reset()
        folder = options.folder / f"healthy, {side} {number}"
        plan = Plan("listed", {"port": site.port, "hosts": hosts}, {**OURS, **sides[side]})
        result = crawl(plan, folder)
        expected = [{"url": url} for url in listed_urls(site.port, hosts)]
        outcome.check(folder.name, result.problems())
        outcome.check(folder.name, feed_problems(folder / "items.jsonl", expected))
        return result

    found = interleave({side: partial(one, side) for side in sides}, options.repeat(5))
    base, gated = (median(run.cpu for run in runs) for runs in found.values())
    slow, fast = (median(run.elapsed for run in runs) for runs in found.values())
    for side, runs in found.items():
        outcome.rows.append(
            {
                "scenario": "healthy",
                "side": side,
                "elapsed s": median(run.elapsed for run in runs),
                "cpu s": median(run.cpu for run in runs),
            }
        )
    outcome.data["healthy"] = {
        side: [(run.elapsed, run.cpu) for run in runs] for side, runs in found.items()
    }
    outcome.bar(
        "healthy: throughput with gates at least 0.97 of that without",
        f"{slow / fast:.3f} (processor time: {base / gated:.3f})",
        met=slow / fast >= _HEALTHY,
    )


# --- many domains, without a crawl -------------------------------------------------


def _domains(outcome: Outcome, options: Options) -> None:
    counts = (1_000, 10_000) if options.quick else (1_000, 10_000, 100_000)
    found = {count: _measure_domains(count) for count in counts}
    for count, figures in found.items():
        outcome.rows.append({"scenario": f"{count:,} domains", **figures})
    outcome.data["domains"] = found
    most = found[counts[-1]]
    outcome.bar(
        "memory of a domain at most 1 KB",
        f"{most['bytes']:.0f} B",
        met=most["bytes"] <= _KILOBYTE,
    )
    for limit in (5, 2):
        figure = most["decision µs"]
        text = f"a gate decision at most {limit} µs"
        outcome.bar(text, f"{figure:.2f} µs", met=figure <= limit)
    ratio = most["pop µs"] / found[counts[0]]["pop µs"]
    text = f"a pop among {counts[-1]:,} domains costs what one among {counts[0]:,} does"
    outcome.bar(text, f"{ratio:.2f}x", met=ratio <= _FLAT)


def _measure_domains(count: int) -> dict[str, float]:
    names = [f"d{number}.example.com" for number in range(count)]
    tracemalloc.start()
    gates = Gates(GateConfig(max_gates=2 * count), random.random)
    before = tracemalloc.get_traced_memory()[0]
    for name in names:
        gates.settle(gates.acquire(name, 1.0), breaker.Outcome.SUCCESS, 1.0)
    size = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    asked = names * (100_000 // count)
    decision = _microseconds(lambda: [gates.ready_at(name, 2.0) for name in asked], len(asked))
    return {"bytes": size, "decision µs": decision, "pop µs": _pops(gates, names)}


def _pops(gates: Gates, names: Sequence[str]) -> float:
    """Two requests for each of all domains; every second domain is held by its gate."""
    frontier = Frontier(MemoryStore(), limit=lambda _: 8, gate=gates.ready_at)
    for name in names[1::2]:
        gates.hold(name, 3600.0, "Retry-After", 2.0)
    for name in (*names, *names):
        frontier.push(name, object())
    rows = len(names)  # of the domains that are not held
    return _microseconds(lambda: [frontier.pop(2.0) for _ in range(rows)], rows)


def _microseconds(work: Callable[[], object], count: int) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) / count * 1e6
