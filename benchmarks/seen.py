"""Seen before: a store of 10 million pages, and the second night of a crawl.

- store: filled in twenty nights, so that its pages are as full as those of many nights. A
  process that opens it looks up pages that are there and pages that are not, half and half.
  Memory is what that adds to the process, with its imports beside it. Without URLs
  (``RESILIENCE_SEEN_URLS=False``) and without validators.
- nights: 5,000 products on 10 hosts, of which 1 % changes, each due again in the second night.
  The lists that lead to them are asked for in both.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from array import array
from contextlib import closing
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from benchmarks.crawls import OURS, Plan, Result, crawl
from benchmarks.nightly_site import change, running_nightly_site
from benchmarks.report import Outcome
from scrapy_resilience.seen.marks import Batch, Mark, ident_of_page
from scrapy_resilience.seen.store import SeenStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.crawls import Options

_HOSTS = 10
_CHANGED = 100
_FILLED_IN = 20
_LOOKUPS = 200_000
_AT = 1_790_000_000
_US, _MB = 20.0, 1e6
_MOST_MB, _MOST_DISK = 100.0, 400.0
_HALF, _ALL = 0.55, 0.1


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome("pages of earlier jobs")
    options.folder.mkdir(parents=True, exist_ok=True)
    _store(options, outcome)
    for name, conditional, most in (("half", _HOSTS // 2, _HALF), ("all", _HOSTS, _ALL)):
        _nights(options, outcome, name, conditional, most)
    return outcome


# --- the store -------------------------------------------------------------------


def _store(options: Options, outcome: Outcome) -> None:
    count, path = options.of(10_000_000, 100_000), options.folder / "pages.seen"
    started = time.perf_counter()
    with closing(SeenStore(path)) as store:
        night = count // _FILLED_IN
        for start in range(0, count, night):
            store.write([Batch(0, list(_marks(start, start + night)))])
    built = time.perf_counter() - started
    command = [sys.executable, "-m", "benchmarks.seen", str(path), str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    found["disk_mb"] = path.stat().st_size / _MB
    outcome.data["store"] = {"pages": count, "built_seconds": built, **found}
    outcome.rows.append({"what": f"store of {count:,}", **found})
    if found.pop("wrong"):
        outcome.check("store", ["a page was not found, or one was that is not there"])
    outcome.bar(f"a lookup, at most {_US:g} µs", f"{found['us']:.1f}", met=found["us"] <= _US)
    outcome.bar(
        f"memory, at most {_MOST_MB:g} MB",
        f"{found['memory_mb']:.0f}",
        met=found["memory_mb"] <= _MOST_MB,
    )
    outcome.bar(
        f"disk, at most {_MOST_DISK:g} MB",
        f"{found['disk_mb']:.0f}",
        met=found["disk_mb"] <= _MOST_DISK,
    )
    path.unlink()


def _marks(start: int, end: int) -> Iterator[Mark]:
    for number in range(start, end):
        ident = ident_of_page(b"%d" % number)
        yield Mark(
            ident, _AT + number % 86_400, None, ident.to_bytes(8, "big", signed=True)[:6]
        )


def _look_up(path: Path, count: int) -> dict[str, Any]:
    """In this process: what it costs."""
    rng, wrong = random.Random(1), 0  # noqa: S311 - not a secret
    took, before = array("d", bytes(8 * _LOOKUPS)), _resident()
    with closing(SeenStore(path)) as store:
        worked = time.thread_time()
        for place in range(_LOOKUPS):
            number = rng.randrange(2 * count)
            ident = ident_of_page(b"%d" % number)
            began = time.perf_counter()
            found = store.find(ident)
            took[place] = time.perf_counter() - began
            wrong += (found is not None) is not (number < count)
        worked = time.thread_time() - worked
        after = _resident()
    hundredths = quantiles(took, n=100)
    return {
        "us": sum(took) / len(took) * 1e6,
        "cpu_us": worked / _LOOKUPS * 1e6,
        "us_99": hundredths[98] * 1e6,
        "us_max": max(took) * 1e6,
        "memory_mb": (after - before) / _MB,
        "imports_mb": before / _MB,
        "wrong": wrong,
    }


def _resident() -> int:
    """Bytes of memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# --- two nights ------------------------------------------------------------------


def _nights(
    options: Options, outcome: Outcome, name: str, conditional: int, most: float
) -> None:
    products = options.of(500, 100)
    config = {"products": products, "conditional": conditional, "changed": _CHANGED}
    with running_nightly_site(**config) as port:
        plan = Plan(
            "nightly",
            {"port": port, "hosts": _HOSTS},
            {
                **OURS,
                "RESILIENCE_SEEN_STORE": f"../{name}.seen",
                "RESILIENCE_SEEN_AGE": "0.001",
                "CONCURRENT_REQUESTS": "32",
            },
        )
        first = crawl(plan, options.folder / f"{name}, first night")
        change(port)
        second = crawl(plan, options.folder / f"{name}, second night")
    for result in (first, second):
        outcome.check(f"nights, {name}", result.problems())
    wanted = {f"h{host}/{n}" for host in range(_HOSTS) for n in range(0, products, _CHANGED)}
    found = [_name(item) for item in _items(options.folder / f"{name}, second night")]
    if sorted(found) != sorted(wanted):
        outcome.check(f"nights, {name}", [f"{len(found)} items, not {len(wanted)}"])
    share = _bytes(second) / _bytes(first)
    outcome.data[name] = {"bytes": [_bytes(first), _bytes(second)], "items": len(found)}
    outcome.rows.append(
        {
            "what": f"second night, 304 of {name} hosts",
            "items": len(found),
            "bytes": share,
            "elapsed s": second.elapsed,
            "first night s": first.elapsed,
        }
    )
    outcome.bar(
        f"bytes of the second night, {name} hosts with 304, at most {most:g} of the first",
        f"{share:.3f}",
        met=share <= most,
    )


def _bytes(result: Result) -> int:
    return int(result.stats["downloader/response_bytes"])


def _items(folder: Path) -> list[dict[str, Any]]:
    path = folder / "items.jsonl"
    text = path.read_text("utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def _name(item: dict[str, Any]) -> str:
    return f"{item['host'].partition('.')[0]}/{item['sku']}"


if __name__ == "__main__":
    print(json.dumps(_look_up(Path(sys.argv[1]), int(sys.argv[2]))))
