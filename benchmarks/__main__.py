"""``python -m benchmarks [names…]``: runs them, prints their tables and writes JSON.

Exit code 1 when a result is wrong; a bar that is missed only shows in the table.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
import tempfile
import time
import traceback
from importlib import import_module
from pathlib import Path

from benchmarks.crawls import Options
from benchmarks.report import Outcome, environment, show, write

_NAMES = (
    "kills",
    "throughput",
    "instructions",
    "million",
    "domains",
    "mixes",
    "items",
    "survive",
    "snapshots",
    "gates",
    "flaky",
    "pacing",
    "outages",
    "redirects",
    "observe",
    "page",
    "normalize",
    "reports",
    "drift",
    "logs",
    "metrics",
    "why",
    "memory",
    "adaptive",
    "browsers",
    "blocked",
    "budgets",
    "guards",
    "cache",
    "seen",
    "httpcache",
    "sql",
)
_JSON = Path(__file__).parent / "results" / "latest.json"


def main() -> int:
    """Run what the command line asks for."""
    arguments = _arguments()
    names: list[str] = arguments.names or list(_NAMES)
    folder = Path(tempfile.mkdtemp(prefix="scrapy-resilience-bench-"))
    options = Options(
        folder=folder,
        seed=arguments.seed if arguments.seed is not None else secrets.randbits(32),
        quick=arguments.quick,
        runs=arguments.runs,
        kills=arguments.kills,
        only=arguments.only,
        limit=arguments.limit,
        verbose=arguments.verbose,
    )
    header = {"seed": options.seed, "quick": options.quick, **environment()}
    print(", ".join(f"{key} {value}" for key, value in header.items()), flush=True)
    outcomes: dict[str, Outcome] = {}
    for name in names:
        outcomes[name] = _run(name, options)
        print(show(name, outcomes[name]), flush=True)
        write(arguments.json, outcomes, header)
    print(f"\nJSON: {arguments.json}")
    failed = [name for name, outcome in outcomes.items() if outcome.problems]
    if failed:
        print(f"WRONG RESULTS: {', '.join(failed)}; their files: {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of: {', '.join(_NAMES)}")
    parser.add_argument("--runs", type=int, help="how often to run each side")
    parser.add_argument(
        "--kills", type=int, help="how often to kill each job, or all jobs of survive"
    )
    parser.add_argument(
        "--only",
        default="",
        help="of mixes, gates, flaky, why, browsers and sql, those with this in the name; of "
        "throughput, that side and stock",
    )
    parser.add_argument(
        "--limit", type=float, default=300.0, help="seconds after which flaky ends a crawl"
    )
    parser.add_argument(
        "--verbose", action="store_true", help="of reports, those that are wrong or not read"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: does it work?")
    parser.add_argument("--seed", type=int, help="of the moments of the kills")
    parser.add_argument("--json", type=Path, default=_JSON, help=f"default: {_JSON}")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(_NAMES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    return arguments


def _run(name: str, options: Options) -> Outcome:
    module = import_module(f"benchmarks.{name}")
    started = time.perf_counter()
    try:
        outcome: Outcome = module.run(options.inside(name))
    except Exception as error:  # noqa: BLE001 - the others still run
        traceback.print_exc()
        outcome = Outcome("failed", problems=[f"it raised {error!r}"])
    outcome.data["took_seconds"] = round(time.perf_counter() - started, 1)
    return outcome


if __name__ == "__main__":
    sys.exit(main())
