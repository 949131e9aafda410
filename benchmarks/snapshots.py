"""Snapshots: a copy of one million pending requests, made beside the crawl of that job.

A job is filled with a million requests. Then it is crawled, answered within the process and
a commit each second, in turns: some seconds as it is, then for as long as one snapshot
(zstd, AES-GCM) takes, from ``create_checkpoint()`` to its return, with the commit that it asks
for. Once with answers at once, so that the crawl takes a whole core, once with 20 ms.

- throughput: pages a second beside a snapshot, against the mean of the turns before and
  after it; the median of the rounds
- stall: how much longer than 1 ms a task that sleeps 1 ms had to wait at worst, in turns
  without and in turns with a snapshot
- restore: seconds to open, decrypt, check and write the store

Checked: the restored store has as many requests as the snapshot says.
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.crawls import JOB, OURS, Plan, crawl, rows_of
from benchmarks.report import Outcome
from scrapy_resilience.settings import Config
from scrapy_resilience.snapshots.store import store_of

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.crawls import Options

_KEY = "a key of the benchmark's own"
_LATENCIES = (0, 0.02)
_STALL = 0.02
_RATIO, _MOONSHOT = 0.9, 0.97
_SETTINGS = {
    **OURS,
    "LOG_LEVEL": "INFO",
    "RESILIENCE_CHECKPOINT_INTERVAL": 1,
    "RESILIENCE_SNAPSHOT_INTERVAL": 0,
    "RESILIENCE_SNAPSHOT_RETENTION": 2,
    "RESILIENCE_ENCRYPTION_KEY": _KEY,
    "RESILIENCE_CHANGED_ARGUMENTS": "accept",  # of one job: filled, then watched
}


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    requests = options.of(1_000_000, 100_000)
    rounds = options.runs or options.of(5, 2)
    outcome = Outcome(f"{requests:,} pending requests, {rounds} snapshots each")
    folder = options.folder / "job"
    _fill(folder, requests, outcome)
    for latency in _LATENCIES:
        _watch(folder, requests, rounds, latency, outcome)
    _restore(folder, outcome)
    return outcome


def _plan(phase: str, requests: int, **arguments: object) -> Plan:
    given = {"phase": phase, "hosts": 0, "requests": requests, **arguments}
    return Plan("beside", given, _SETTINGS)


def _fill(folder: Path, requests: int, outcome: Outcome) -> None:
    plan = _plan("fill", requests).with_settings({"RESILIENCE_SNAPSHOT_ENABLED": "False"})
    outcome.check("fill", crawl(plan, folder).problems("measured"))


def _watch(folder: Path, requests: int, rounds: int, latency: float, outcome: Outcome) -> None:
    plan = _plan("watch", requests, rounds=rounds).with_settings({"BENCH_LATENCY": latency})
    result = crawl(plan, folder)
    label = f"{1000 * latency:.0f} ms"
    outcome.check(label, result.problems("measured"))
    turns: list[dict[str, float]] = result.stats.get("bench/turns", [])
    outcome.data[label] = turns
    alone, beside = turns[::2], turns[1::2]
    before, after = alone[:-1], alone[1:]
    ratios = [
        2 * turn["rate"] / (one["rate"] + two["rate"])
        for one, turn, two in zip(before, beside, after, strict=True)
    ]
    _row(label, alone, beside, ratios, outcome)


def _row(
    label: str,
    alone: list[dict[str, float]],
    beside: list[dict[str, float]],
    ratios: list[float],
    outcome: Outcome,
) -> None:
    stall = max(turn["stall"] for turn in beside)
    usual = max(turn["stall"] for turn in alone)
    ratio = median(ratios)
    outcome.rows.append(
        {
            "latency": label,
            "pages/s": median(turn["rate"] for turn in alone),
            "pages/s beside": median(turn["rate"] for turn in beside),
            "ratio": ratio,
            "stall ms": 1e3 * usual,
            "stall ms beside": 1e3 * stall,
            "median stall ms": 1e3 * median(turn["stall"] for turn in alone),
            "median beside": 1e3 * median(turn["stall"] for turn in beside),
            "snapshot s": median(turn["seconds"] for turn in beside),
        }
    )
    outcome.bar(
        f"{label}: longest stall beside a snapshot, at most 20 ms",
        f"{1e3 * stall:.1f} ms (without: {1e3 * usual:.1f} ms)",
        met=stall <= _STALL,
    )
    for least, name in ((_RATIO, ""), (_MOONSHOT, " (moonshot)")):
        outcome.bar(
            f"{label}: throughput beside a snapshot, at least {least}x{name}",
            f"{ratio:.3f}x",
            met=ratio >= least,
        )


def _restore(folder: Path, outcome: Outcome) -> None:
    store = store_of(Config(encryption_key=_KEY), folder / JOB)
    (newest,) = store.newest(1)
    target = folder / "restored.db"
    started = time.perf_counter()
    store.load(newest.id, target)
    seconds = time.perf_counter() - started
    file = folder / JOB / "snapshots" / f"{newest.id}.snapshot"
    sizes: dict[str, Any] = {"store": newest.size, "snapshot": file.stat().st_size}
    outcome.data["restore"] = {"seconds": seconds, **sizes}
    outcome.notes.append(
        f"store {newest.size / 1e6:.0f} MB, snapshot {sizes['snapshot'] / 1e6:.0f} MB, "
        f"restored in {seconds:.2f} s"
    )
    pending = newest.progress["total"] - newest.progress["completed"]
    if (rows := rows_of(target)) != pending:
        outcome.check("restore", [f"{rows} requests, the snapshot said {pending}"])
