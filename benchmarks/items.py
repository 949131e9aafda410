"""Items: what CONCURRENT_ITEMS costs and brings, to document the add-on's default.

Scrapy starts that many tasks for each response, whether it has items or not. Pages per
second at 1 to 100, for pages of 2 and of 100 items, on stock and on ours, in turn:

- a pipeline that only computes, as most are
- a pipeline that waits 0.2 s for each item

The fault site answers without latency. All items must be in the feed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.content import feed_problems
from benchmarks.crawls import OURS, STOCK, Plan, Result, crawl, interleave, middle
from benchmarks.report import Outcome
from scrapy_resilience.testing import RunningSite, SiteConfig, running_site

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from benchmarks.crawls import Options

_SIDES: dict[str, Mapping[str, object]] = {"stock": STOCK, "ours": OURS}
_NUMBERS = (1, 2, 4, 8, 16, 100)
_PIPELINES: dict[str, Mapping[str, object]] = {
    "sync": {"ITEM_PIPELINES": '{"benchmarks.child.Check": 300}'},
    "0.2 s": {
        "ITEM_PIPELINES": '{"benchmarks.child.Wait": 300}',
        "BENCH_PIPELINE_WAIT": "0.2",
    },
}


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome("pages per second by CONCURRENT_ITEMS")
    for pipeline, items, pages in (
        ("sync", 2, options.of(100, 10)),
        ("sync", 100, options.of(20, 2)),
        ("0.2 s", 2, options.of(50, 10)),
        ("0.2 s", 100, options.of(10, 2)),
    ):
        config = SiteConfig(hosts=10, pages=pages, items=items)
        with running_site(config) as site:
            _measure(site, options, pipeline, outcome)
    return outcome


def _measure(site: RunningSite, options: Options, pipeline: str, outcome: Outcome) -> None:
    config = site.config
    label = f"{pipeline}, {config.items} items a page"
    numbers = _NUMBERS[::5] if options.quick else _NUMBERS
    sides: dict[str, Callable[[int], Result]] = {
        f"{side}, {number}": partial(
            _one,
            folder=options.folder / f"{label}, {side}, {number}",
            outcome=outcome,
            site=site,
            settings={**settings, **_PIPELINES[pipeline], "CONCURRENT_ITEMS": number},
        )
        for number in numbers
        for side, settings in _SIDES.items()
    }
    results = interleave(sides, options.repeat(3))
    pages = config.hosts * config.pages
    for side in _SIDES:
        rates = {
            str(number): pages / middle(results[f"{side}, {number}"], lambda run: run.elapsed)
            for number in numbers
        }
        outcome.rows.append({"pages/s at CONCURRENT_ITEMS": f"{label}, {side}", **rates})
    outcome.data[label] = {
        name: {"elapsed": [run.elapsed for run in runs], "cpu": [run.cpu for run in runs]}
        for name, runs in results.items()
    }


def _one(
    number: int,
    *,
    folder: Path,
    outcome: Outcome,
    site: RunningSite,
    settings: Mapping[str, object],
) -> Result:
    folder = folder / str(number)
    arguments = {"port": site.port, "hosts": site.config.hosts}
    result = crawl(Plan("shop", arguments, settings), folder)
    outcome.check(str(folder), result.problems())
    outcome.check(str(folder), feed_problems(folder / "items.jsonl", site.expected_items()))
    return result
