"""A callback that blocks the event loop: when it is said, and whether with its line.

The log is read while the crawl runs: what counts is when the first line about it is there.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.crawls import OURS, STOCK, Plan, finish, start
from benchmarks.report import Outcome
from scrapy_resilience.testing import SiteConfig, running_site

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.crawls import Options

_BAR = 10.0
_POLL = 0.05
_SAID = "has stood still"
_PLACE = "block (benchmarks/spiders.py:"
_BEGUN = "blocking begins"
_SIDES: dict[str, Mapping[str, object]] = {"stock": STOCK, "ours": OURS}


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    seconds = options.of(30, 12)
    outcome = Outcome(f"a callback that blocks the loop for {seconds} s")
    with running_site(SiteConfig(hosts=1, pages=10)) as site:
        for side, settings in _SIDES.items():
            arguments = {"port": site.port, "seconds": seconds}
            plan = Plan("blocking", arguments, settings)
            site.reset()
            after, line = _one(plan, outcome, side, options)
            told = "nothing" if after is None else f"{after:.1f} s"
            outcome.rows.append({"side": side, "said after": told, "with its line": line})
            outcome.data[side] = {"seconds": after, "line": line}
            if side == "ours":
                met = after is not None and after <= _BAR and line
                outcome.bar(f"said within {_BAR:g} s, with its line", told, met=met)
    return outcome


def _one(
    plan: Plan, outcome: Outcome, side: str, options: Options
) -> tuple[float | None, bool]:
    """After how many seconds it was said, and whether with the line."""
    folder = options.folder / side
    began = time.perf_counter()
    child = start(plan, folder)
    output = folder / "crawl.log"
    output.unlink(missing_ok=True)
    blocked = said = None
    while child.poll() is None:
        text = output.read_text("utf-8", "replace") if output.exists() else ""
        if blocked is None and _BEGUN in text:
            blocked = time.perf_counter()
        if said is None and _SAID in text:
            said = time.perf_counter()
        time.sleep(_POLL)
    result = finish(child, folder, began)
    outcome.check(side, result.problems())
    if blocked is None:
        outcome.check(side, ["it did not block"])
    line = _PLACE in output.read_text("utf-8", "replace")
    return (said - blocked if said is not None and blocked is not None else None), line
