"""What our own parts keep in memory, each at its bound: part of ``memory``, ``--only parts``.

Bytes are those that Python has allocated for it (``tracemalloc``), with all that it keeps.
"""

from __future__ import annotations

import random
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

from scrapy_resilience.core import breaker
from scrapy_resilience.core.accounting import CAUSES, Key, Spans
from scrapy_resilience.core.backoff import RetryBudgets
from scrapy_resilience.core.breakerconfig import BreakerConfig
from scrapy_resilience.core.coverage import Coverage
from scrapy_resilience.core.drift import DriftMonitor, Observation
from scrapy_resilience.core.errorgroups import Cause, Groups
from scrapy_resilience.core.gates import GateConfig, Gates
from scrapy_resilience.core.history import History, Sample
from scrapy_resilience.core.usualpages import UsualPages
from scrapy_resilience.frontier.lanes import Frontier
from scrapy_resilience.frontier.seen import SeenFilter
from scrapy_resilience.frontier.sqlite import SQLiteStore
from scrapy_resilience.frontier.store import MemoryStore
from scrapy_resilience.observe.record.events import EventLog
from scrapy_resilience.observe.record.journal import Journal
from scrapy_resilience.observe.traffic import TrafficCounts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.crawls import Options
    from benchmarks.report import Outcome

_MB = 2**20
_TOGETHER = 256
_SPANS = 121
_COMMIT = 20_000
"""Requests."""
_REQUEST = b"x" * 300
"""Bytes of a request as it is stored: a URL, a callback, a referer."""


def measure(outcome: Outcome, options: Options) -> None:
    """Fill each part up to its bound."""
    share = 100 if options.quick else 1
    folder = options.folder / "parts"
    folder.mkdir(parents=True)
    parts: dict[str, tuple[int, Callable[[int], Any]]] = {
        "gates": (100_000 // share, _gates),
        "gates, given back": (100_000 // share, _gates_given_back),
        "lanes, a request each": (100_000 // share, lambda count: _lanes(folder, count)),
        "heads of 1,000 lanes": (200_000 // share, lambda count: _heads(folder, count)),
        "heads, given back": (200_000 // share, lambda count: _given_back(folder, count)),
        "seen pages (bitmap)": (1_000_000 // share, _seen),
        "counts of domains": (10_000 // share, _traffic),
        "usual pages": (500, _usual_pages),
        "drift, 20 fields": (500, _drift),
        "coverage": (1_000, _coverage),
        "retry budgets": (10_000 // share, _budgets),
        "error groups": (200, _errors),
        "events": (1_000, _events),
        "history": (_history_rows(), _history),
        "accounting": (_SPANS, _accounting),
        "breakers of proxies": (10_000 // share, _breakers),
    }
    for name, (count, make) in parts.items():
        size = _bytes(make, count)
        outcome.data.setdefault("parts", {})[name] = {"count": count, "bytes": size}
        row = {
            "part": name,
            "number": f"{count:,}",
            "MB": size / _MB,
            "bytes each": size / count,
        }
        outcome.rows.append({"scenario": "parts", **row})
    _check(outcome)


def _check(outcome: Outcome) -> None:
    found = {name: part["bytes"] / _MB for name, part in outcome.data["parts"].items()}
    together = sum(size for name, size in found.items() if "given back" not in name)
    text = f"all of them at their bounds: at most {_TOGETHER} MB"
    outcome.bar(text, f"{together:.0f} MB", met=together <= _TOGETHER)


def _bytes(make: Callable[[int], Any], count: int) -> int:
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = make(count)
    size = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    del kept
    return size


def _names(count: int) -> list[str]:
    return [f"d{number}.example.com" for number in range(count)]


def _gates(count: int) -> Gates:
    gates = Gates(GateConfig(), random.random)
    for name in _names(count):
        gates.settle(gates.acquire(name, 1.0), breaker.Outcome.SUCCESS, 1.0)
    return gates


def _gates_given_back(count: int) -> Gates:
    gates = _gates(count)
    gates.give_back(1_000.0)
    return gates


def _frontier(folder: Path, lanes: int, count: int) -> Frontier:
    """With so many requests that are committed."""
    path = folder / f"{time.perf_counter_ns()}.db"
    frontier = Frontier(SQLiteStore(path), limit=lambda _: 8)
    for number in range(count):
        frontier.push(f"d{number % lanes}.example.com", _REQUEST + b"%d" % number)
        if number % _COMMIT == _COMMIT - 1:
            _commit(frontier)
    _commit(frontier)
    for _ in range(2 * lanes):  # one lane is trimmed at each
        if (found := frontier.pop(0.0)) is not None:
            frontier.vacate(found.slot)
    return frontier


def _commit(frontier: Frontier) -> None:
    changes = frontier.seal()
    frontier._store.commit(changes)  # noqa: SLF001 - as a committer does
    frontier.committed(changes)


def _lanes(folder: Path, count: int) -> Frontier:
    return _frontier(folder, count, count)


def _heads(folder: Path, count: int) -> Frontier:
    return _frontier(folder, 1_000, count)


def _given_back(folder: Path, count: int) -> Frontier:
    frontier = _heads(folder, count)
    _commit(frontier)
    frontier.give_back()
    return frontier


def _seen(count: int) -> SeenFilter:
    seen = SeenFilter(MemoryStore())
    seen.learn()
    for number in range(count):
        seen.add(b"%020d" % number)
    return seen


def _traffic(count: int) -> TrafficCounts:
    counts = TrafficCounts()
    for name in _names(count):
        counts.sent(name)
    return counts


def _usual_pages(count: int) -> UsualPages:
    pages, rng = UsualPages(domains=count), random.Random(1)  # noqa: S311 - not secret
    for name in _names(count):
        for _ in range(100):
            pages.add(name, rng.randrange(1_000, 500_000), rng.random())
    return pages


def _drift(count: int) -> DriftMonitor:
    monitor = DriftMonitor(domains=count)
    seen = [Observation(f"field{number}", "h1", 0, valid=True) for number in range(20)]
    for name in _names(count):
        for _ in range(150):
            monitor.observe("product", "1", name, seen)
    return monitor


def _coverage(count: int) -> Coverage:
    coverage = Coverage(lambda value: value if isinstance(value, dict) else None)
    coverage.add("item", {f"field {number}": number for number in range(2 * count)})
    return coverage


def _budgets(count: int) -> RetryBudgets:
    budget = RetryBudgets()
    for name in _names(2 * count):
        budget.retry(name, 1.0)
    return budget


def _errors(count: int) -> Groups:
    groups = Groups(count)
    for number in range(3 * count):
        cause = Cause(f"spider.py:{number} parse", "ValueError", "m" * 200)
        group, _ = groups.new(cause, float(number))
        for name in _names(20):
            group.add(name)
    return groups


def _events(count: int) -> EventLog:
    log = EventLog(Journal())
    for number in range(2 * count):
        log.event(f"kind {number}", "t" * 300)
    return log


def _history_rows() -> int:
    return sum(len_of for _, len_of in _tiers())


def _tiers() -> Any:
    from scrapy_resilience.core.history import TIERS  # noqa: PLC0415 - beside its use

    return TIERS


def _history(count: int) -> History:
    history = History()
    sample = Sample(*[1.0] * len(Sample._fields))
    for second in range(3 * count):
        history.add(float(second * 60), sample)
    return history


def _accounting(count: int) -> Spans:
    spans, names = Spans(), _names(64)
    for second in range(60 * count // 2):
        spans.add(float(second), 1.0, {Key(CAUSES[0], "detail", name): 1.0 for name in names})
    return spans


def _breakers(count: int) -> dict[str, breaker.Breaker]:
    config = BreakerConfig()
    return {name: breaker.Breaker(config, random.random) for name in _names(count)}
