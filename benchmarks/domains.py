"""Domains: 20,000 domains queued at once, with 1,024 file handles.

The crawl: one callback puts out a request for each domain; one page each, answered at
once by a server that plays any host and closes each connection. Stock runs in memory
(its JOBDIR needs a file for each domain), ours durable; both write a feed, which must
have each domain exactly once. RLIMIT_NOFILE is 1,024 for both.

The pop: a crawl whose engine pauses fills its own scheduler with two requests a domain
or more, then takes requests out for some seconds; µs per request, at 100 to 50,000
domains. Stock looks at each domain for each request. The requests must come out at most
once, none of them twice.
"""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.anyhost import running_anyhost
from benchmarks.content import feed_problems
from benchmarks.crawls import OURS, STOCK, Plan, Result, crawl, interleave, middle
from benchmarks.report import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.crawls import Options

_SIDES: dict[str, Mapping[str, object]] = {"stock, in memory": STOCK, "ours, durable": OURS}
_OPEN_FILES = {"BENCH_OPEN_FILES": 1024}
_SEED_PAGES = 1
_FLAT = 1.5
"""How much more a pop of many domains may cost to count as the same: noise, and caches."""


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    domains = options.of(20_000, 2_000)
    outcome = Outcome(f"{domains:,} domains queued at once, and the cost of a pop")
    with running_anyhost() as port:
        sides: dict[str, Callable[[int], Result]] = {
            side: partial(
                _crawl, options=options, outcome=outcome, side=side, port=port, domains=domains
            )
            for side in _SIDES
        }
        _report_crawls(outcome, domains, interleave(sides, options.repeat(3)))
    counts = (100, 1_000, 10_000) if options.quick else (100, 1_000, 10_000, 50_000)
    pops: dict[tuple[str, int], list[Result]] = {}
    for count in counts:
        sides = {
            side: partial(_pops, options=options, outcome=outcome, side=side, domains=count)
            for side in _SIDES
        }
        for side, results in interleave(sides, options.repeat(3)).items():
            pops[side, count] = results
    _report_pops(outcome, counts, pops)
    return outcome


def _crawl(
    number: int, *, options: Options, outcome: Outcome, side: str, port: int, domains: int
) -> Result:
    folder = options.folder / f"crawl, {side} {number}"
    plan = Plan("domains", {"port": port, "hosts": domains}, _SIDES[side])
    result = crawl(plan.with_settings(_OPEN_FILES), folder)
    outcome.check(folder.name, result.problems())
    expected = [{"host": f"d{host}.test"} for host in range(domains)]
    outcome.check(folder.name, feed_problems(folder / "items.jsonl", expected))
    return result


def _report_crawls(outcome: Outcome, domains: int, results: dict[str, list[Result]]) -> None:
    base, ours = results.values()
    for side, runs in results.items():
        elapsed = middle(runs, lambda result: result.elapsed)
        outcome.rows.append(
            {
                "measured": f"crawl, {side}",
                "elapsed s": elapsed,
                "wall s": middle(runs, lambda result: result.wall),
                "pages/s": (domains + _SEED_PAGES) / elapsed,
                "x stock": middle(base, lambda result: result.elapsed) / elapsed,
            }
        )
        outcome.data[f"crawl, {side}"] = {
            "elapsed": [result.elapsed for result in runs],
            "wall": [result.wall for result in runs],
            "cpu": [result.cpu for result in runs],
            "memory_max": [result.stats.get("memusage/max") for result in runs],
        }
    ratio = middle(base, lambda result: result.elapsed) / middle(
        ours, lambda result: result.elapsed
    )
    for least, kind in ((2, ""), (4, " (moonshot)")):
        outcome.bar(
            f"whole crawl against stock in memory, at least {least}x{kind}",
            f"{ratio:.2f}x",
            met=ratio >= least,
        )


def _pops(
    number: int, *, options: Options, outcome: Outcome, side: str, domains: int
) -> Result:
    folder = options.folder / f"pop, {domains} domains, {side} {number}"
    requests = max(2 * domains, 20_000)
    arguments = {"phase": "pops", "hosts": domains, "requests": requests}
    plan = Plan("frontier", arguments, _SIDES[side], feeds=())
    result = crawl(plan.with_settings(_OPEN_FILES), folder)
    outcome.check(folder.name, result.problems("measured"))
    stats = result.stats
    if stats.get("bench/popped_once") != stats.get("bench/popped"):
        outcome.check(folder.name, ["a request came out twice, or none came"])
    return result


def _report_pops(
    outcome: Outcome,
    counts: tuple[int, ...],
    results: dict[tuple[str, int], list[Result]],
) -> None:
    found: dict[tuple[str, int], float] = {}
    for key, runs in results.items():
        values = [float(result.stats.get("bench/dequeue_us", "nan")) for result in runs]
        found[key] = median(values)
        side, count = key
        outcome.data[f"pop, {count} domains, {side}"] = values
    base, ours = _SIDES
    for count in counts:
        outcome.rows.append(
            {
                "measured": f"pop, {count:,} domains",
                "stock µs": found[base, count],
                "ours µs": found[ours, count],
                "x stock": found[base, count] / found[ours, count],
            }
        )
    least, most = found[ours, counts[0]], found[ours, counts[-1]]
    outcome.bar(
        f"a pop costs the same at {counts[0]:,} and {counts[-1]:,} domains (at most {_FLAT}x)",
        f"{least:.1f} and {most:.1f} µs",
        met=most <= _FLAT * least,
    )
