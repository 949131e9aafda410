"""Crawls that need more memory than they may: what becomes of them, beside stock Scrapy.

=======  ================================================================================
spike    1.3 GB for five seconds in the midst of it, limit 600 MB
cache    5 MB for each page, five pages a second, in a cache that can be cleared, limit 400 MB
leak     the same where nothing can be cleared: run again until the exit code is 0
parts    no crawl: what our own parts keep, each at its bound
=======  ================================================================================

Stock has its ``MEMUSAGE_LIMIT_MB`` at the same limit and looks each second, where its default
is a minute. Ours looks as its defaults say; a pause that brings nothing is shorter, for the
bench's sake.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks.crawls import JOB, OURS, STOCK, Plan, Result, crawl
from benchmarks.memory_parts import measure
from benchmarks.report import Outcome
from benchmarks.spiders import local_url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.crawls import Options

_RUNS = 30
_RESUMABLE = 75


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome("more memory than there may be")
    for name, case in (("spike", _spike), ("cache", _cache), ("leak", _leak)):
        if options.only in name:
            case(outcome, options)
    if options.only in "parts":
        measure(outcome, options)
    return outcome


def _sides(limit: int, latency: float) -> dict[str, dict[str, object]]:
    common = {"CONCURRENT_REQUESTS": 1, "BENCH_LATENCY": latency}
    usage = {"MEMUSAGE_LIMIT_MB": limit, "MEMUSAGE_CHECK_INTERVAL_SECONDS": 1}
    ours = {"RESILIENCE_MEMORY_LIMIT_MB": limit, "RESILIENCE_MEMORY_PATIENCE": 12}
    return {
        "stock": {**STOCK, **common, "JOBDIR": JOB, **usage},
        "ours": {**OURS, **common, **ours},
    }


def _one(
    outcome: Outcome,
    folder: Path,
    arguments: Mapping[str, object],
    settings: Mapping[str, object],
    scenario: str,
) -> Result:
    """Run a crawl once, and add its line."""
    result = crawl(Plan("greedy", arguments, settings), folder)
    outcome.rows.append(_row(scenario, folder, result, int(str(arguments["count"]))))
    return result


def _row(scenario: str, folder: Path, result: Result, count: int) -> dict[str, object]:
    stats = result.stats
    return {
        "scenario": scenario,
        "side": folder.name.rpartition(", ")[2],
        "items": f"{len(_urls(folder))} of {count}",
        "end": stats.get("finish_reason", "-"),
        "exit code": result.code,
        "most MB": round(float(stats.get("bench/rss_mb", 0.0))),
        "elapsed s": result.elapsed,
    }


def _urls(folder: Path) -> list[str]:
    path = folder / "items.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line)["url"] for line in lines]


def _check(outcome: Outcome, folder: Path, count: int) -> None:
    expected = sorted(map(local_url, range(count)))
    if sorted(_urls(folder)) != expected:
        outcome.problems.append(f"{folder.name}: the items are not each page once")


# --- the cases ---------------------------------------------------------------------


def _spike(outcome: Outcome, options: Options) -> None:
    count = options.of(300, 120)
    arguments = {"count": count, "kind": "spike", "mb": 1300}
    for side, settings in _sides(600, 0.05).items():
        settings.pop("RESILIENCE_MEMORY_PATIENCE", None)
        folder = options.folder / f"spike, {side}"
        result = _one(outcome, folder, arguments, settings, "spike")
    _check(outcome, folder, count)
    outcome.check("spike", result.problems())
    stats = result.stats
    paused, resumed = stats.get("bench/paused_after"), stats.get("bench/resumed_after")
    outcome.data["spike"] = {"paused_after": paused, "resumed_after": resumed}
    outcome.bar(
        "1.3 GB and back, limit 600 MB: paused in 2 checks, goes on within one, all items",
        f"paused after {paused or 0:.2f} s, on after {resumed or 0:.2f} s",
        met=paused is not None and resumed is not None and max(paused, resumed) <= 1,
    )


def _cache(outcome: Outcome, options: Options) -> None:
    count, latency, limit = options.of(500, 120), options.of(200, 50) / 1000, 400
    arguments = {"count": count, "kind": "cache"}
    sides = _sides(limit, latency)
    folder = options.folder / "cache, plain"
    plain = _one(outcome, folder, {**arguments, "kind": "plain"}, sides["ours"], "no leak")
    for side, settings in sides.items():
        folder = options.folder / f"cache, {side}"
        result = _one(outcome, folder, arguments, settings, "cache")
    _check(outcome, folder, count)
    outcome.check("cache", result.problems())
    most = float(result.stats.get("bench/rss_mb", 0.0))
    outcome.data["cache"] = {
        "most_mb": most,
        "cleaned": result.stats.get("resilience/guard/memory/clean"),
        "clean_seconds_max": result.stats.get("resilience/guard/memory/clean_seconds_max"),
    }
    outcome.bar(
        "5 MB a page in a cache that can be cleared: finishes, at most the limit and a tenth",
        f"{most:.0f} MB",
        met=most <= 1.1 * limit,
    )
    ratio = result.elapsed / plain.elapsed
    outcome.bar("in 1.2 times the time without it", f"{ratio:.2f}", met=ratio <= 1.2)  # noqa: PLR2004


def _leak(outcome: Outcome, options: Options) -> None:
    count, limit = options.of(150, 80), 400
    arguments = {"count": count, "kind": "leak"}
    runs: list[Result] = []
    for side, settings in _sides(limit, 0.2).items():
        folder = options.folder / f"leak, {side}"
        runs = [_one(outcome, folder, arguments, settings, "leak")]
        while runs[-1].code != 0 and len(runs) < _RUNS:
            runs.append(
                _one(outcome, folder, arguments, settings, f"leak, run {len(runs) + 1}")
            )
    _check(outcome, folder, count)
    outcome.check("leak", runs[-1].problems())
    closed = {(each.code, each.stats.get("finish_reason")) for each in runs[:-1]}
    most = max(float(each.stats.get("bench/rss_mb", 0.0)) for each in runs)
    outcome.data["leak"] = {"runs": len(runs), "most_mb": most}
    outcome.bar(
        "5 MB a page that nothing clears: closes before the limit, every item once in the end",
        f"{len(runs)} runs, {most:.0f} MB at most",
        met=closed == {(_RESUMABLE, "resilience_memory")} and most < limit,
    )
