"""After how many pages drift is noticed, and how often it is seen where there is none.

A simulation with fixed seeds: it gives the same figures on each machine.
"""

from __future__ import annotations

import random
import time
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.report import Outcome
from scrapy_resilience.core.drift import Series

if TYPE_CHECKING:
    from benchmarks.crawls import Options

__all__ = ["false_alarms", "found_after", "run"]

WINDOW: Final = 50
LEAST: Final = 100
SEEDS: Final = 8000
RATE: Final = 0.95
BARS: Final = {0.0: 9, 0.5: 19, 0.76: 42}
"""Fill rate after the change: pages until the alarm, at the median."""


def found_after(rate: float, seed: int, *, learned: int = 0) -> int:
    """Pages from the change to the alarm; with *learned*, the baseline is as many pages."""
    numbers = random.Random(seed)  # noqa: S311 - a simulation
    series = Series() if learned else Series(RATE * 100_000, 100_000)
    for _ in range(WINDOW + learned):
        series.add(numbers.random() < RATE, WINDOW, LEAST)
    series.alarmed = False
    pages = 1
    while not series.add(numbers.random() < rate, WINDOW, LEAST):
        pages += 1
    return pages


def false_alarms(runs: int, pages: int, *, learned: int = 0) -> int:
    """Alarms in *runs* series of *pages* where nothing changes."""
    alarms = 0
    for seed in range(runs):
        numbers = random.Random(10_000 + seed)  # noqa: S311 - a simulation
        series = Series() if learned else Series(RATE * 100_000, 100_000)
        alarms += sum(
            series.add(numbers.random() < RATE, WINDOW, LEAST)
            for _ in range(WINDOW + learned + pages)
        )
    return alarms


def run(options: Options) -> Outcome:
    """The median of many seeds, with a baseline that is known and with one that is young."""
    outcome = Outcome(f"drift of a field that was found on {RATE:.0%} of the pages")
    seeds = 500 if options.quick else SEEDS
    for rate, most in BARS.items():
        known = median(found_after(rate, seed) for seed in range(seeds))
        young = median(found_after(rate, seed, learned=150) for seed in range(seeds))
        outcome.rows.append(
            {"found after": f"{rate:.0%}", "pages": known, "baseline of 150 pages": young}
        )
        outcome.bar(f"alarm at {rate:.0%}, pages", f"{known:g} of {most}", met=known <= most)
    count = false_alarms(60, 1000)
    outcome.bar("false alarms in 60,000 pages", f"{count}", met=count == 0)
    young_count = false_alarms(60, 1000, learned=LEAST)
    outcome.notes.append(f"false alarms with a baseline of {LEAST} pages: {young_count}")
    outcome.notes.append(f"one outcome of one series: {_cost():.1f} us")
    outcome.data = {"rows": outcome.rows, "false_alarms": count, "young": young_count}
    return outcome


def _cost() -> float:
    """Microseconds for an outcome."""
    series, started = Series(RATE * 100_000, 100_000), time.perf_counter()
    for page in range(100_000):
        series.add(page % 20 != 0, WINDOW, LEAST)
    return (time.perf_counter() - started) * 10
