"""Kills: what a job that is killed with SIGKILL 20 times brings home, and what it costs.

The site has 5,000 pages on 10 hosts, 20 ms latency, a redirect before every tenth page,
a 503 at the first request of every twentieth, and two items a page. Three crawls of it:
stock Scrapy in memory, for comparison; ours, durable, undisturbed; ours, killed at random
moments: each at least one commit into its run, before the last page, and with requests
in flight (counted in the crawl, in memory shared with a file). A commit is seen from
outside, as ``scrapy resilience status`` sees it. All write a JSON Lines and a
CSV feed, which must have every item exactly once.

The server counts what was asked in all; the bound is the undisturbed run's count and, per
kill, one checkpoint interval of work (at the undisturbed run's average rate) and the 16
requests in flight. The interval is chosen so that the kills fit into the crawl.

``--only flaky``: 30 % of the pages answer 503 at their first request, and still there is no
dead letter.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from benchmarks.child import in_flight
from benchmarks.content import content, differences, feed_problems, read_feed
from benchmarks.crawls import (
    OURS,
    STOCK,
    Killed,
    Killing,
    Plan,
    Result,
    crawl,
    job_problems,
    kill_and_resume,
)
from benchmarks.report import Outcome
from scrapy_resilience.testing import RunningSite, SiteConfig, running_site

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.crawls import Options

_FEEDS = ("items.jsonl", "items.csv")
_USUAL, _FLAKY = 0.05, 0.3
"""Share of the pages that answer 503 at their first request."""
_IN_FLIGHT = 16
"""Scrapy's CONCURRENT_REQUESTS."""


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    config = SiteConfig(
        hosts=10,
        pages=options.of(500, 100),
        latency=0.02,
        redirects=0.1,
        first_try_503=_FLAKY if options.only == "flaky" else _USUAL,
        items=2,
    )
    kills = options.kills or options.of(20, 4)
    pages = config.hosts * config.pages
    outcome = Outcome(f"{kills} SIGKILLs, {pages:,} pages, seed {options.seed}")
    with running_site(config) as site:
        _measure(site, options, kills, outcome)
    return outcome


def _measure(site: RunningSite, options: Options, kills: int, outcome: Outcome) -> None:
    arguments = {"port": site.port, "hosts": site.config.hosts}
    folder = options.folder
    site.reset()
    stock = crawl(Plan("shop", arguments, STOCK, _FEEDS), folder / "stock")
    _add(outcome, site, folder / "stock", stock)
    site.reset()
    plan = Plan("shop", arguments, OURS, _FEEDS)
    calm = crawl(plan, folder / "undisturbed")
    asked = _add(outcome, site, folder / "undisturbed", calm)
    site.reset()
    interval = round(min(max(calm.elapsed / kills / 2, 0.02), 1.0), 3)
    watch = _Watch(folder / "killed")
    killing = Killing(kills, Random(options.seed), interval, counts=watch.in_flight)  # noqa: S311 - moments, not secrets
    often = plan.with_settings(
        {"RESILIENCE_CHECKPOINT_INTERVAL": interval, "BENCH_IN_FLIGHT": "True"}
    )
    killed = kill_and_resume(often, folder / "killed", killing)
    asked_again = _add(outcome, site, folder / "killed", killed.result, len(killed.kills))
    outcome.check("killed", killed.problems(kills) + job_problems(folder / "killed"))
    outcome.check(
        "killed against undisturbed", _compare(folder / "killed", folder / "undisturbed")
    )
    _judge(
        outcome,
        killed,
        watch,
        extra=asked_again - asked,
        rate=asked / calm.elapsed,
        interval=interval,
    )


class _Watch:
    """How many requests were in flight at each kill."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.counts: list[int] = []

    def in_flight(self) -> bool:
        """Whether the kill that was just made has cut any."""
        self.counts.append(in_flight(self._folder))
        return self.counts[-1] > 0


def _add(
    outcome: Outcome, site: RunningSite, folder: Path, result: Result, kills: int = 0
) -> int:
    """A line of the table, and the checks that every crawl has to pass."""
    stats = site.stats()
    total = stats["total"]
    outcome.rows.append(
        {
            "crawl": folder.name,
            "kills": kills,
            "items": result.stats.get("item_scraped_count") if not kills else _lines(folder),
            "asked in all": total["requests"],
            "pages served": total["pages"],
            "parallel per host": max(host["parallel"] for host in stats["hosts"].values()),
            "elapsed s": "" if kills else result.elapsed,
            "wall s": "" if kills else result.wall,
        }
    )
    outcome.check(folder.name, result.problems())
    for feed in _FEEDS:
        outcome.check(folder.name, feed_problems(folder / feed, site.expected_items()))
    return total["requests"]


def _lines(folder: Path) -> int:
    with (folder / _FEEDS[0]).open("rb") as feed:
        return sum(1 for _ in feed)


def _compare(folder: Path, other: Path) -> list[str]:
    found = []
    for feed in _FEEDS:
        one, two = (content(read_feed(place / feed)) for place in (folder, other))
        found += differences(one, two)
    return found


def _judge(
    outcome: Outcome, killed: Killed, watch: _Watch, *, extra: int, rate: float, interval: float
) -> None:
    kills = max(len(killed.kills), 1)
    bound = interval * rate + _IN_FLIGHT
    outcome.data = {
        "kills": killed.kills,
        "in_flight": watch.counts,
        "interval": interval,
        "asked_more_per_kill": extra / kills,
        "bound_per_kill": bound,
    }
    outcome.bar(
        f"asked more, per kill, than undisturbed, at most {bound:.0f} "
        f"({interval} s of work and {_IN_FLIGHT} in flight)",
        f"{extra / kills:.1f}",
        met=extra / kills <= bound,
    )
    outcome.bar(
        "every item exactly once", "no" if outcome.problems else "yes", met=not outcome.problems
    )
    outcome.notes.append(
        f"commits {killed.total('commits'):.0f}, aligned {killed.total('aligned'):.0f}; "
        f"in flight at the kills: {watch.counts}"
        " (a kill with none is made again)"
    )
