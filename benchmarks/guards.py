"""What it costs to be guarded: a check of the watchdog, and all guards on a crawl's throughput.

A check: with 50 child processes that wait, in a process of its own event loop. ``processor`` is
the time of the loop's own thread for one check; ``turn`` is the longest turn of a loop that is
busy all the time while the watchdog's threads look, beside the longest one without a check.

Throughput: the site of the observe bench, 5,000 pages on 10 hosts without latency. The sides,
in turn: all guards off, and all as shipped. What is compared is the processor time of the
crawl's own process.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from scrapy.utils.test import get_crawler

from benchmarks.content import feed_problems
from benchmarks.crawls import OURS, Plan, Result, crawl, interleave, middle
from benchmarks.report import Outcome
from scrapy_resilience.guard.watchdog.watch import resource_watch_of
from scrapy_resilience.observe.health.resources import meter_of
from scrapy_resilience.settings import PREFIX
from scrapy_resilience.settings_guard import GuardConfig
from scrapy_resilience.testing import RunningSite, SiteConfig, running_site

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.crawls import Options

_CHILDREN = 50
_OFF, _ON = "off", "as shipped"


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome("what guards cost: the loop's time for a check, and processor time")
    with _children():
        asyncio.run(_check(options.of(200, 20), outcome))
    config = SiteConfig(hosts=10, pages=options.of(500, 100), latency=0.0, items=2)
    with running_site(config) as site:
        results = _measure(outcome, site, options)
    _report(outcome, results)
    return outcome


# --- a check -----------------------------------------------------------------------


@contextmanager
def _children() -> Iterator[None]:
    """Processes that wait; each says that it runs, as one that has just begun is smaller."""
    command = [sys.executable, "-c", "print(flush=True); input()"]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe) for _ in range(_CHILDREN)]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.communicate()


async def _check(times: int, outcome: Outcome) -> None:
    crawler = get_crawler()
    meter, watch = meter_of(crawler), resource_watch_of(crawler)
    watch.start()
    meter.start()

    async def check() -> None:
        watch.take(time.monotonic(), await meter.refresh(10.0))

    await check()
    found = watch.reading
    if found is None or found.children < _CHILDREN:
        outcome.problems.append(f"not all children were seen: {found}")
    own, elapsed = [], []
    for _ in range(times):
        began, used = time.perf_counter(), time.thread_time()
        await check()
        own.append(time.thread_time() - used)
        elapsed.append(time.perf_counter() - began)
    turns = {each: await _longest_turn(check, each, times) for each in (False, True)}
    meter.stop()
    _report_check(outcome, own, elapsed, turns)


async def _longest_turn(check: object, checks: bool, times: int) -> list[float]:  # noqa: FBT001
    """The longest turn of each of so many spans, with a check in each or without."""
    found = []
    for _ in range(times):
        task = asyncio.ensure_future(check()) if checks else None  # type: ignore[operator]
        longest, last = 0.0, time.perf_counter()
        end = last + 0.02
        while last < end or (task is not None and not task.done()):
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
        found.append(longest)
    return found


def _report_check(
    outcome: Outcome, own: list[float], elapsed: list[float], turns: dict[bool, list[float]]
) -> None:
    milliseconds = {
        "processor of the loop": own,
        "until it is there": elapsed,
        "longest turn without": turns[False],
        "longest turn": turns[True],
    }
    for name, values in milliseconds.items():
        ordered = sorted(values)
        outcome.rows.append(
            {
                "what": f"check, {name}",
                "median ms": 1e3 * median(values),
                "95 % ms": 1e3 * ordered[len(ordered) * 95 // 100],
                "most ms": 1e3 * ordered[-1],
            }
        )
    outcome.data["check"] = milliseconds
    usual = 1e3 * median(own)
    outcome.bar("a check takes 5 ms of the loop", f"{usual:.2f} ms", met=usual <= 5)  # noqa: PLR2004
    outcome.bar("a check takes 1 ms (moonshot)", f"{usual:.2f} ms", met=usual <= 1)


# --- throughput --------------------------------------------------------------------


def all_off() -> dict[str, str]:
    """The settings without any guard."""
    names = [each.name for each in fields(GuardConfig) if each.name.endswith("_enabled")]
    return {PREFIX + name.upper(): "False" for name in names}


def _measure(outcome: Outcome, site: RunningSite, options: Options) -> dict[str, list[Result]]:
    def one(name: str, settings: Mapping[str, str], number: int) -> Result:
        folder = options.folder / f"{name} {number}"
        arguments = {"port": site.port, "hosts": site.config.hosts}
        site.reset()
        result = crawl(Plan("shop", arguments, {**OURS, **settings}), folder)
        outcome.check(folder.name, result.problems())
        outcome.check(folder.name, feed_problems(folder / "items.jsonl", site.expected_items()))
        return result

    sides = {_OFF: partial(one, _OFF, all_off()), _ON: partial(one, _ON, {})}
    return interleave(sides, options.repeat(20))


def _report(outcome: Outcome, results: dict[str, list[Result]]) -> None:
    pairs = zip(results[_ON], results[_OFF], strict=True)
    ratios = sorted(on.cpu / off.cpu for on, off in pairs)
    for name, runs in results.items():
        outcome.rows.append(
            {
                "what": f"crawl, guards {name}",
                "cpu s": middle(runs, lambda result: result.cpu),
                "elapsed s": middle(runs, lambda result: result.elapsed),
            }
        )
        outcome.data[name] = {"cpu": [run.cpu for run in runs]}
    ratio = median(ratios)
    outcome.data["ratios"] = ratios
    outcome.bar("all guards: processor time at most 1.01x", f"{ratio:.3f}x", met=ratio <= 1.01)  # noqa: PLR2004
