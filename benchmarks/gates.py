"""Gates: sick domains beside healthy ones, stock in memory against ours, durable.

==========  ==========================================================================
dead        10 hosts of 100 pages; one never answers, one always answers 503
            (``DOWNLOAD_TIMEOUT=5``)
starved     20 hosts that never answer, 10 URLs each, queued before 200 URLs of a healthy
            one (``DOWNLOAD_TIMEOUT=2``)
alone       the 200 URLs of that healthy host
outage      a host that answers 503 for 5 seconds, 100 URLs
healthy     2,472 pages of 8 healthy hosts, with the gates, classified retries and dead
            letters, and without them: ours both times
domains     no crawl: memory of a gate, time of a decision, and of a pop of a frontier whose
            lanes are all gated and half of them held, for 1,000 to 100,000 domains
==========  ==========================================================================

Ours with ``RESILIENCE_BREAKER_RECOVERY_TIMEOUT=1`` and what the row names. *wasted* are the
requests that sick hosts got, as the server counted them, during the outage for the host that
recovers. *healthy s* is when the last item of the healthy hosts came.

Checked: every page of a healthy host, and of one that recovers, is an item, once; every other
one is a dead letter of ours.
"""

from __future__ import annotations

import random
import time
import tracemalloc
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.content import feed_problems
from benchmarks.crawls import OURS, STOCK, Plan, Result, crawl, interleave
from benchmarks.report import Outcome
from benchmarks.spiders import listed_urls
from scrapy_resilience.core import breaker
from scrapy_resilience.core.gates import GateConfig, Gates
from scrapy_resilience.frontier.lanes import Frontier
from scrapy_resilience.frontier.store import MemoryStore
from scrapy_resilience.testing import RunningSite, SiteConfig, running_site

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.crawls import Options

_LATENCY = 0.02
_KILOBYTE = 1024
_HEALTHY = 0.97
_FLAT = 1.5
"""How much more a pop among many domains may cost to count as the same: caches, and noise."""
_PAGES = 310
_OUTAGE = 5.0
_SILENT, _ERROR, _DOWN = "silent.test", "error.test", "outage.test"
_TRIPS = "RESILIENCE_BREAKER_MAX_TRIPS"
_GATES = {"RESILIENCE_BREAKER_RECOVERY_TIMEOUT": 1}


@dataclass(frozen=True)
class Scenario:
    """Pages by host, in order, and the bars: side → text, figure, most."""

    pages: Mapping[str, int]
    settings: Mapping[str, object] = field(default_factory=dict)
    ours: Mapping[str, Mapping[str, object]] = field(default_factory=lambda: {"ours": {}})
    """Name → settings of ours only."""
    bars: tuple[tuple[str, str, float], ...] = ()
    """(side, figure, at most)."""

    @property
    def hosts(self) -> str:
        return ",".join(f"{host}:{count}" for host, count in self.pages.items())

    def expected(self, port: int, side: str) -> list[dict[str, str]]:
        """The items of a side: stock gets none of the host that recovers."""
        sick = (_SILENT, _ERROR, _DOWN) if side == "stock" else (_SILENT, _ERROR)
        urls = listed_urls(port, self.hosts)
        return [{"url": url} for url in urls if not any(host in url for host in sick)]


def _scenarios() -> dict[str, Scenario]:
    healthy = {f"h{number}.test": 100 for number in range(8)}
    silent = {f"s{number}.{_SILENT}": 10 for number in range(20)}
    once, never = "ours, max trips 1", "ours, max trips 0"
    patient = "ours, max trips 10"
    return {
        "dead": Scenario(
            {_SILENT: 100, _ERROR: 100, **healthy},
            {"DOWNLOAD_TIMEOUT": 5},
            {once: {_TRIPS: 1}, never: {_TRIPS: 0}},
            (
                (once, "elapsed s", 15),
                (once, "wasted", 40),
                (never, "elapsed s", 9),
                (never, "wasted", 20),
            ),
        ),
        "starved": Scenario(
            {**silent, "h0.test": 200},
            {"DOWNLOAD_TIMEOUT": 2},
            bars=(("ours", "healthy s", 4), ("ours", "healthy s", 2)),
        ),
        "alone": Scenario({"h0.test": 200}),
        "outage": Scenario(
            {_DOWN: 100},
            ours={patient: {_TRIPS: 10}},
            bars=(
                (patient, "wasted", 60),
                (patient, "wasted", 20),
                (patient, "elapsed s", _OUTAGE + 15),
            ),
        ),
    }


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome("sick domains beside healthy ones")
    config = SiteConfig(hosts=8, pages=_PAGES, latency=_LATENCY, outage=_OUTAGE)
    with running_site(config) as site:
        for name, scenario in _scenarios().items():
            if options.only in name:
                _compare(name, scenario, site, outcome, options)
        if options.only in "healthy":
            _healthy(site, outcome, options)
    if options.only in "domains":
        _domains(outcome, options)
    return outcome


_WITHOUT = {
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


def _compare(
    name: str, scenario: Scenario, site: RunningSite, outcome: Outcome, options: Options
) -> None:
    sides = {"stock": STOCK}
    sides |= {side: {**OURS, **_GATES, **more} for side, more in scenario.ours.items()}
    figures: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for number in range(options.repeat(3)):
        for side, settings in sides.items():
            site.reset()
            folder = options.folder / f"{name}, {side} {number}"
            plan = Plan("listed", {"port": site.port, "hosts": scenario.hosts}, settings)
            result = crawl(plan.with_settings(scenario.settings), folder)
            expected = scenario.expected(site.port, side)
            if expected:
                outcome.check(folder.name, feed_problems(folder / "items.jsonl", expected))
            if side != "stock":
                outcome.check(folder.name, _lost(result, scenario, len(expected)))
            figures[side].append(_figures(result, site))
    _report(name, scenario, figures, outcome)


def _lost(result: Result, scenario: Scenario, items: int) -> list[str]:
    """Pages that are neither an item nor a dead letter."""
    missing = (
        sum(scenario.pages.values()) - items - result.stats.get("resilience/incomplete", 0)
    )
    problems = [] if result.stats.get("finish_reason") == "finished" else ["it did not finish"]
    return problems + ([f"{missing} pages are lost"] if missing else [])


def _figures(result: Result, site: RunningSite) -> dict[str, float]:
    stats = result.stats
    healthy = [when for key, when in stats.items() if key.startswith("bench/last_item/h")]
    return {
        "elapsed s": result.elapsed,
        "healthy s": max(healthy, default=0.0),
        "items": stats.get("item_scraped_count", 0),
        "dead letters": stats.get("resilience/incomplete", 0),
        "wasted": sum(
            found["requests"] - found["pages"]
            for host, found in site.stats()["hosts"].items()
            if host.endswith((_SILENT, _ERROR, _DOWN))
        ),
    }


def _report(
    name: str,
    scenario: Scenario,
    figures: Mapping[str, Sequence[Mapping[str, float]]],
    outcome: Outcome,
) -> None:
    middles = {
        side: {key: median(run[key] for run in runs) for key in runs[0]}
        for side, runs in figures.items()
    }
    for side, middle in middles.items():
        outcome.rows.append({"scenario": name, "side": side, **middle})
    outcome.data[name] = dict(figures)
    for side, key, most in scenario.bars:
        found = middles[side][key]
        text = f"{name}, {side}: {key} at most {most:g}"
        outcome.bar(text, f"{found:.2f}", met=found <= most)
