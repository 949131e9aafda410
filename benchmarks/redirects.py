"""Redirects: what a long crawl keeps of requests that have become others.

A site of 100,000 pages on 10 hosts, one in twenty behind a redirect, without latency. The
crawl is always busy, so nothing is swept because it has a moment to spare.

- strays: gate tickets of requests that are not under way any more, at worst, asked at
  every 100th page. Such a ticket keeps a place of its domain, and a half-open breaker waits
  for it.
- memory: what the process keeps, without garbage and what was freed, from a tenth of the
  pages to the end. Twisted keeps the time-out of each download until it would have been due,
  so the faster side has more of them: they are short here.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.content import feed_problems
from benchmarks.crawls import OURS, STOCK, Plan, Result, crawl, interleave, middle
from benchmarks.report import Outcome
from scrapy_resilience.testing import RunningSite, SiteConfig, running_site

if TYPE_CHECKING:
    from benchmarks.crawls import Options

_STOCK, _OURS = "stock", "ours"
_MOST_MB = 5.0
_SHORT = {"DOWNLOAD_TIMEOUT": "10"}


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome("what is kept of redirected requests")
    config = SiteConfig(hosts=10, pages=options.of(10_000, 500), redirects=0.05)
    with running_site(config) as site:
        one = partial(_one, site, options, outcome)
        sides = {name: partial(one, name) for name in (_STOCK, _OURS)}
        results = interleave(sides, options.repeat(1))
    _report(outcome, site, results)
    return outcome


def _one(
    site: RunningSite, options: Options, outcome: Outcome, name: str, number: int
) -> Result:
    folder = options.folder / f"redirects, {name} {number}"
    pages = site.config.hosts * site.config.pages
    arguments = {"port": site.port, "hosts": site.config.hosts, "pages": pages}
    site.reset()
    result = crawl(
        Plan("redirected", arguments, {**(OURS if name == _OURS else STOCK), **_SHORT}), folder
    )
    outcome.check(folder.name, result.problems())
    outcome.check(folder.name, feed_problems(folder / "items.jsonl", site.expected_items()))
    return result


def _report(outcome: Outcome, site: RunningSite, results: dict[str, list[Result]]) -> None:
    growth = {}
    for name, runs in results.items():
        growth[name] = middle(
            runs, lambda result: float(result.stats["bench/memory_growth"]) / 1e6
        )
        outcome.rows.append(
            {
                "side": name,
                "pages": site.config.hosts * site.config.pages,
                "elapsed s": middle(runs, lambda result: result.elapsed),
                "redirects": middle(
                    runs,
                    lambda result: result.stats.get("downloader/response_status_count/302", 0),
                ),
                "memory MB": growth[name],
            }
        )
    strays = max(int(result.stats.get("bench/strays", -1)) for result in results[_OURS])
    more = growth[_OURS] - growth[_STOCK]
    outcome.data = {"strays": strays, "memory_growth_mb": growth}
    outcome.bar("tickets of requests that are not under way, none", str(strays), met=not strays)
    outcome.bar(
        f"memory, at most {_MOST_MB:g} MB more than stock", f"{more:.1f}", met=more <= _MOST_MB
    )
