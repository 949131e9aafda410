"""Throughput: everything on and durable, against stock Scrapy in memory with its defaults.

A site of 5,000 pages on 10 hosts, two items a page, in a process of its own, once with
20 ms latency and once with none. Both sides run the same spider and write a JSON Lines
feed; ours also commits each second. ``elapsed`` is Scrapy's own figure, ``wall`` is the
whole process. The sides, in turn, all of them in each round, or stock's two and the one
that ``--only`` names:

- stock: Scrapy as it is, nothing added
- stock, fewer items: with the CONCURRENT_ITEMS that the add-on sets
- ours: with JOBDIR, without uvloop
- ours, uvloop: the same, with the extra ``speed``
- ours, uvloop, aiohttp: and with Scrapy's experimental download handler

The server prints its maximum of requests under way at once for one host. Scrapy's limit
is 8; ours must never exceed it. With 16 requests at once and 20 ms for each, no client
can have more than 800 answers a second.
"""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from benchmarks.content import feed_problems
from benchmarks.crawls import OURS, STOCK, Plan, Result, crawl, interleave, middle
from benchmarks.report import Outcome
from scrapy_resilience.settings import Config
from scrapy_resilience.testing import RunningSite, SiteConfig, running_site

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.crawls import Options

_LIMIT = 8
"""Scrapy's CONCURRENT_REQUESTS_PER_DOMAIN."""

_EACH_SECOND = {"RESILIENCE_CHECKPOINT_INTERVAL": "1"}
_STOCK, _FEWER, _OURS = "stock", "stock, fewer items", "ours"
_UVLOOP, _AIOHTTP = "ours, uvloop", "ours, uvloop, aiohttp"


def _sides() -> dict[str, Mapping[str, object]]:
    sides: dict[str, Mapping[str, object]] = {
        _STOCK: STOCK,
        _FEWER: {"CONCURRENT_ITEMS": Config().concurrent_items},
        _OURS: {**OURS, **_EACH_SECOND},
    }
    if find_spec("uvloop"):
        fast = {**OURS, **_EACH_SECOND, "RESILIENCE_UVLOOP_ENABLED": "True"}
        sides[_UVLOOP] = fast
        sides[_AIOHTTP] = {**fast, "RESILIENCE_DOWNLOAD_HANDLER": "aiohttp"}
    return sides


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome("pages per second, durable against stock in memory")
    for latency in (0.02, 0.0):
        config = SiteConfig(hosts=10, pages=options.of(500, 100), latency=latency, items=2)
        with running_site(config) as site:
            _measure(site, options, outcome)
    if not find_spec("uvloop"):
        outcome.notes.append("uvloop is not installed: its side was left out")
    return outcome


def _measure(site: RunningSite, options: Options, outcome: Outcome) -> None:
    parallel: dict[str, int] = {}

    def one(name: str, settings: Mapping[str, object], number: int) -> Result:
        latency = f"{site.config.latency * 1000:.0f} ms"
        folder = options.folder / f"{latency}, {name} {number}"
        plan = Plan("shop", {"port": site.port, "hosts": site.config.hosts}, settings)
        site.reset()
        result = crawl(plan, folder)
        hosts = site.stats()["hosts"].values()
        most = max((host["parallel"] for host in hosts), default=0)
        parallel[name] = max(parallel.get(name, 0), most)
        outcome.check(folder.name, result.problems())
        outcome.check(folder.name, feed_problems(folder / "items.jsonl", site.expected_items()))
        return result

    sides: dict[str, Callable[[int], Result]] = {
        name: partial(one, name, settings)
        for name, settings in _sides().items()
        if not options.only or name in {_STOCK, _FEWER, options.only}
    }
    results = interleave(sides, options.repeat(5))
    _report(outcome, site, results, parallel)


def _report(
    outcome: Outcome,
    site: RunningSite,
    results: dict[str, list[Result]],
    parallel: dict[str, int],
) -> None:
    pages = site.config.hosts * site.config.pages
    latency = f"{site.config.latency * 1000:.0f} ms"
    for name, runs in results.items():
        elapsed = middle(runs, lambda result: result.elapsed)
        outcome.rows.append(
            {
                "latency, side": f"{latency}, {name}",
                "elapsed s": elapsed,
                "wall s": middle(runs, lambda result: result.wall),
                "cpu s": middle(runs, lambda result: result.cpu),
                "pages/s": pages / elapsed,
                "x stock": _ratio(results[_STOCK], runs),
                "x stock, wall": _wall_ratio(results[_STOCK], runs),
                "parallel per host": parallel[name],
                "commits": _stat(runs, "commits"),
                "aligned": _stat(runs, "aligned"),
            }
        )
        outcome.data[f"{latency}, {name}"] = {
            "elapsed": [result.elapsed for result in runs],
            "wall": [result.wall for result in runs],
            "cpu": [result.cpu for result in runs],
            "memory_max": [result.stats.get("memusage/max") for result in runs],
            "stall_max": [
                result.stats.get("resilience/checkpoint/stall_seconds_max") for result in runs
            ],
            "parallel": parallel[name],
        }
    _judge(outcome, latency, results)
    for name in (_OURS, _UVLOOP, _AIOHTTP):
        if parallel.get(name, 0) > _LIMIT:
            outcome.problems.append(
                f"{latency}, {name}: {parallel[name]} requests at once for one host"
            )


def _judge(outcome: Outcome, latency: str, results: dict[str, list[Result]]) -> None:
    asked = [
        ("ours against stock", _STOCK, _OURS, 1.5),
        ("ours with uvloop against stock (moonshot)", _STOCK, _UVLOOP, 2.0),
        ("ours with uvloop and aiohttp against stock (moonshot)", _STOCK, _AIOHTTP, 2.3),
        ("ours against stock with the same CONCURRENT_ITEMS", _FEWER, _OURS, 0.95),
    ]
    for text, base, side, least in asked:
        if base in results and side in results:
            ratio = _ratio(results[base], results[side])
            outcome.bar(
                f"{latency}: {text}, at least {least}x", f"{ratio:.2f}x", met=ratio >= least
            )


def _ratio(base: list[Result], runs: list[Result]) -> float:
    return middle(base, lambda result: result.elapsed) / middle(
        runs, lambda result: result.elapsed
    )


def _wall_ratio(base: list[Result], runs: list[Result]) -> float:
    return middle(base, lambda result: result.wall) / middle(runs, lambda result: result.wall)


def _stat(runs: list[Result], name: str) -> int | str:
    key = f"resilience/checkpoint/{name}"
    if key not in runs[0].stats:
        return "-"
    return int(middle(runs, lambda result: result.stats.get(key, 0)))
