"""What a number of requests at a time that follows the crawl brings, and what it costs.

==========  ==========================================================================
room        answers take half a second, however many are asked: more at a time is faster
servers     at most 16 are answered at a time: more bring nothing
busy        callbacks compute for 30 ms: more only make the event loop late
==========  ==========================================================================

Sixteen requests at a time, as Scrapy has it, with ``RESILIENCE_ADAPTIVE_CONCURRENCY`` and
without.
"""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.crawls import OURS, Plan, Result, crawl, interleave
from benchmarks.report import Outcome

if TYPE_CHECKING:
    from benchmarks.crawls import Options

_SLOWER = 1.1


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome("as many requests at a time as make a crawl faster")
    cases = {
        "room": ({"count": options.of(4_000, 800)}, {"BENCH_LATENCY": 0.5}),
        "servers": (
            {"count": options.of(2_000, 500)},
            {"BENCH_LATENCY": 0.4, "BENCH_AT_ONCE": 16},
        ),
        "busy": ({"count": options.of(1_500, 400), "busy": 0.03}, {"BENCH_LATENCY": 0.1}),
    }
    for name, (arguments, settings) in cases.items():
        if options.only in name:
            _case(name, Plan("steady", arguments, {**OURS, **settings}), outcome, options)
    return outcome


def _case(name: str, plan: Plan, outcome: Outcome, options: Options) -> None:
    sides = {
        side: plan.with_settings({"RESILIENCE_ADAPTIVE_CONCURRENCY": on})
        for side, on in (("fixed", False), ("adaptive", True))
    }

    def one(side: str, number: int) -> Result:
        folder = options.folder / f"{name}, {side} {number}"
        result = crawl(sides[side], folder)
        outcome.check(folder.name, result.problems())
        if result.stats.get("item_scraped_count") != plan.arguments["count"]:
            outcome.problems.append(f"{folder.name}: items are missing")
        return result

    found = interleave({side: partial(one, side) for side in sides}, options.repeat(3))
    seconds = {side: median(run.elapsed for run in runs) for side, runs in found.items()}
    for side, runs in found.items():
        most = max(float(run.stats.get("bench/most_at_once", 0)) for run in runs)
        outcome.rows.append(
            {"scenario": name, "side": side, "elapsed s": seconds[side], "most at a time": most}
        )
    ratio = seconds["adaptive"] / seconds["fixed"]
    outcome.data[name] = {**seconds, "ratio": ratio}
    text = "faster than sixteen" if name == "room" else "hardly slower than sixteen"
    met = ratio < 1 if name == "room" else ratio <= _SLOWER
    outcome.bar(f"{name}: {text}", f"{ratio:.2f} of the time", met=met)
