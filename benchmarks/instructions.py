"""What a page costs in instructions of the processor: a figure that no other work disturbs.

The time of a crawl differs by 5 % from one run to the next, and what one part costs is less.
So Valgrind counts instead what the process computes for 350 pages, and for 50: the difference,
divided, is that of a page, and differs by half a percent. The site is that of the throughput
bench, without latency. A crawl takes 20 times as long so, and what is done by the clock, twice
a second or so, weighs 20 times as much for each page: the figures of ours are upper bounds.
Commits are left to the end for that reason.

The sides: stock with the CONCURRENT_ITEMS that the add-on sets, ours with everything on, and
ours without some parts. It needs Valgrind (``apt-get install valgrind``).
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any, Final

from benchmarks.content import feed_problems
from benchmarks.crawls import OURS, Plan, crawl
from benchmarks.guards import all_off
from benchmarks.report import Outcome
from scrapy_resilience.settings import Config
from scrapy_resilience.testing import SiteConfig, running_site

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.crawls import Options

_VALGRIND: Final = (
    "valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null",
)  # fmt: skip
_COUNTED: Final = re.compile(r"I\s+refs:\s+([\d,]+)")
_STOCK, _OURS, _UNGUARDED, _UNSEEN = (
    "stock",
    "ours",
    "without guards",
    "without guards and view",
)
_AT_THE_END: Final = {**OURS, "RESILIENCE_CHECKPOINT_INTERVAL": "3600"}
_HOSTS: Final = 10


def _sides() -> dict[str, Mapping[str, Any]]:
    unguarded = {**_AT_THE_END, **all_off()}
    return {
        _STOCK: {"CONCURRENT_ITEMS": Config().concurrent_items},
        _OURS: _AT_THE_END,
        _UNGUARDED: unguarded,
        _UNSEEN: {**unguarded, "RESILIENCE_OBSERVE_ENABLED": "False"},
    }


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome("instructions for a page, counted by Valgrind")
    if shutil.which(_VALGRIND[0]) is None:
        outcome.notes.append("valgrind is not installed: nothing to count with")
        return outcome
    found: dict[str, float] = {}
    for name, settings in _sides().items():
        if options.only and name not in options.only.split(","):
            continue
        small, large = options.of(5, 2), options.of(35, 7)
        counts = [_count(name, settings, each, options, outcome) for each in (small, large)]
        found[name] = (counts[1] - counts[0]) / (_HOSTS * (large - small))
        row = {"side": name, "million a page": found[name] / 1e6}
        outcome.rows.append({**row, "x stock": found[name] / found.get(_STOCK, float("nan"))})
    outcome.data = {"instructions a page": found}
    _judge(outcome, found)
    return outcome


def _count(
    name: str, settings: Mapping[str, Any], pages: int, options: Options, outcome: Outcome
) -> int:
    """Instructions of a whole crawl."""
    folder = options.folder / f"{name}, {_HOSTS * pages} pages"
    with running_site(SiteConfig(hosts=_HOSTS, pages=pages, latency=0.0, items=2)) as site:
        arguments = {"port": site.port, "hosts": _HOSTS}
        patient = {"DOWNLOAD_TIMEOUT": "900", **settings}
        result = crawl(Plan("shop", arguments, patient, under=_VALGRIND), folder)
        outcome.check(folder.name, result.problems())
        outcome.check(folder.name, feed_problems(folder / "items.jsonl", site.expected_items()))
    counted = _COUNTED.search((folder / "output.txt").read_text(encoding="utf-8"))
    if counted is None:
        outcome.problems.append(f"{folder.name}: valgrind has counted nothing")
        return 0
    return int(counted[1].replace(",", ""))


def _judge(outcome: Outcome, found: Mapping[str, float]) -> None:
    if {_STOCK, _OURS} <= found.keys():
        share = 1 - found[_STOCK] / found[_OURS]
        outcome.bar("ours, of a page: at most 8 %", f"{share:.1%}", met=share <= 0.08)  # noqa: PLR2004
    if {_OURS, _UNGUARDED} <= found.keys():
        ratio = found[_OURS] / found[_UNGUARDED]
        outcome.bar("all guards: at most 1.01x", f"{ratio:.3f}x", met=ratio <= 1.01)  # noqa: PLR2004
