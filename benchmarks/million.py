"""Million: one million pending requests on 1,000 hosts, in the real scheduler, without network.

A crawl whose engine pauses drives its own scheduler: stock's disk queue in a JOBDIR on
one side, ResilientScheduler in a JOBDIR on the other. Three processes a side: one fills
the queue and closes; one opens it again and takes everything out; one opens an empty
JOBDIR, to compare with. Requests go round robin over the hosts, with the fingerprints of
a filtered crawl, 20 to a turn of the event loop.

- enqueue, dequeue: µs per call of the scheduler; ours includes the last commit. Between
  hand-outs, ``request_left_downloader`` is sent, as the engine does; what that costs is
  shown apart, and counts for the bar.
- memory: growth of the process from before the first request to the peak
- stall: how much longer than 1 ms a task that sleeps 1 ms had to wait at worst while
  commits ran; a turn of 20 requests is part of it, on both sides
- reopen: from the making of the spider to the first line of its ``start()``

Stock keeps two files open for each host: RLIMIT_NOFILE is raised to its hard limit, for
both. Checked: each request comes out exactly once, and a known one is not taken again.
"""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.crawls import JOB, OURS, STOCK, Plan, Result, crawl, interleave
from benchmarks.report import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.crawls import Options

_HOSTS = 1000
_PHASES = ("fill", "drain")
_SIDES: dict[str, Mapping[str, object]] = {
    "stock, disk queue": {**STOCK, "JOBDIR": JOB},
    "ours": {**OURS, "RESILIENCE_CHANGED_ARGUMENTS": "accept"},
}
_OPEN_FILES = {"BENCH_OPEN_FILES": 2**20}


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    requests = options.of(1_000_000, 100_000)
    outcome = Outcome(f"{requests:,} pending requests on {_HOSTS:,} hosts")
    outcome.notes.append("RLIMIT_NOFILE was raised to its hard limit: stock needs it")
    steps: dict[str, Callable[[int], Result]] = {}
    for phase in (*_PHASES, "empty"):
        for side in _SIDES:
            steps[f"{phase}, {side}"] = partial(
                _step,
                options=options,
                outcome=outcome,
                phase=phase,
                side=side,
                requests=0 if phase == "empty" else requests,
            )
    results = interleave(steps, options.repeat(1))
    _report(outcome, results)
    return outcome


def _step(
    number: int, *, options: Options, outcome: Outcome, phase: str, side: str, requests: int
) -> Result:
    job = "empty" if phase == "empty" else "job"
    folder = options.folder / f"{job}, {side} {number}"
    arguments = {
        "phase": "drain" if phase == "empty" else phase,
        "hosts": _HOSTS,
        "requests": requests,
    }
    plan = Plan("frontier", arguments, _SIDES[side], feeds=())
    result = crawl(plan.with_settings(_OPEN_FILES), folder)
    label = f"{folder.name}, {phase}"
    outcome.check(label, result.problems("measured"))
    if phase == "fill" and result.stats.get("bench/duplicates_taken") != 0:
        outcome.check(label, ["requests that were known have been taken again"])
    if phase == "drain" and result.stats.get("bench/popped_once") != requests:
        popped = result.stats.get("bench/popped_once")
        outcome.check(label, [f"{popped} of {requests} requests came out exactly once"])
    return result


def _report(outcome: Outcome, results: dict[str, list[Result]]) -> None:
    found: dict[str, dict[str, float]] = {}
    for side in _SIDES:
        fill, drain, empty = (results[f"{phase}, {side}"] for phase in (*_PHASES, "empty"))
        found[side] = {
            "enqueue µs": _figure(fill, "enqueue_us"),
            "dequeue µs": _figure(drain, "dequeue_us"),
            "left signal µs": _figure(drain, "release_us"),
            "memory MB": _figure(fill, "memory_bytes") / 1e6,
            "stall in ms": _figure(fill, "stall_max") * 1e3,
            "stall out ms": _figure(drain, "stall_max") * 1e3,
            "reopen s": _figure(drain, "open_seconds"),
            "open empty s": _figure(empty, "open_seconds"),
        }
        outcome.rows.append({"side": side, **found[side], "commits": _commits(fill, drain)})
    outcome.data = {name: [_bench(result) for result in runs] for name, runs in results.items()}
    _judge(outcome, *found.values())


def _bench(result: Result) -> dict[str, object]:
    return {
        key: value
        for key, value in result.stats.items()
        if key.startswith(("bench/", "resilience/checkpoint/"))
    }


def _figure(results: list[Result], name: str) -> float:
    return median(float(result.stats.get(f"bench/{name}", "nan")) for result in results)


def _commits(*phases: list[Result]) -> str:
    key = "resilience/checkpoint/commits"
    if all(key not in runs[0].stats for runs in phases):
        return "-"
    return " + ".join(str(runs[0].stats.get(key, 0)) for runs in phases)


def _judge(outcome: Outcome, stock: dict[str, float], ours: dict[str, float]) -> None:
    for name in ("enqueue µs", "dequeue µs"):
        base, value = stock[name], ours[name]
        if name == "dequeue µs":
            base += stock["left signal µs"]
            value += ours["left signal µs"]
        outcome.bar(
            f"{name}, no more than stock's disk queue",
            f"{value:.1f} against {base:.1f}",
            met=value <= base,
        )
    memory = ours["memory MB"]
    outcome.bar("memory growth, at most 150 MB", f"{memory:.0f} MB", met=memory <= 150)  # noqa: PLR2004
    outcome.bar("memory growth, at most 60 MB (moonshot)", f"{memory:.0f} MB", met=memory <= 60)  # noqa: PLR2004
    stall = max(ours["stall in ms"], ours["stall out ms"])
    outcome.bar("longest stall, at most 20 ms", f"{stall:.1f} ms", met=stall <= 20)  # noqa: PLR2004
    reopen = ours["reopen s"]
    outcome.bar("reopen, at most 1 s", f"{reopen:.2f} s", met=reopen <= 1)
