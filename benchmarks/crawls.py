"""Crawls as child processes: run to the end, or killed on the way."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.child import REPORT
from scrapy_resilience.checkpoint.state import TOTALS
from scrapy_resilience.exceptions import ResilienceError
from scrapy_resilience.files.layout import STORE
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.sqlite import SQLiteStore
from scrapy_resilience.jobs.report import read_report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

JOB = "job"
STOCK: dict[str, str] = {}
OURS = {
    "ADDONS": '{"scrapy_resilience.ResilienceAddon": 500}',
    "RESILIENCE_UVLOOP_ENABLED": "False",
    "JOBDIR": JOB,
}
"""Everything on and durable; without uvloop, unless a benchmark turns it on."""

ROOT = Path(__file__).resolve().parents[1]
_POLL = 0.005
_COMMIT_TIMEOUT = 120.0
_CRAWL_TIMEOUT = 7200.0
_STOP_TIMEOUT = 10.0


@dataclass(frozen=True)
class Options:
    """The command line; ``runs`` and ``kills`` are None where each benchmark chooses."""

    folder: Path
    seed: int
    quick: bool = False
    runs: int | None = None
    kills: int | None = None
    only: str = ""
    limit: float = 300.0
    verbose: bool = False

    def of(self, full: int, quick: int) -> int:
        """A size of the work."""
        return quick if self.quick else full

    def repeat(self, full: int) -> int:
        """How often to run each side."""
        return self.runs or (1 if self.quick else full)

    def inside(self, name: str) -> Options:
        """These options, with a folder of its own for a benchmark."""
        return replace(self, folder=self.folder / name)


@dataclass(frozen=True)
class Plan:
    """A crawl that can be started, and started again in the same folder."""

    spider: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    feeds: Sequence[str] = ("items.jsonl",)
    overwrite: bool = False
    under: Sequence[str] = ()
    """The command of a program that runs it."""

    def with_settings(self, *more: Mapping[str, object]) -> Plan:
        """The same crawl with more settings."""
        merged = dict(self.settings)
        for settings in more:
            merged.update(settings)
        return replace(self, settings=merged)

    def command(self) -> list[str]:
        """The command line."""
        command = [*self.under, sys.executable, "-m", "scrapy", "crawl", self.spider]
        command += _options("-a", self.arguments) + _options("-s", self.settings)
        for feed in self.feeds:
            command += ["-O" if self.overwrite else "-o", feed]
        return command


def _options(letter: str, values: Mapping[str, object]) -> list[str]:
    return [text for key, value in values.items() for text in (letter, f"{key}={value}")]


@dataclass(frozen=True)
class Result:
    """A crawl that has ended. ``elapsed`` is Scrapy's own figure, ``wall`` includes all."""

    code: int
    wall: float
    stats: dict[str, Any]

    @property
    def elapsed(self) -> float:
        """Seconds between the opening and the closing of the spider."""
        return float(self.stats.get("elapsed_time_seconds", float("nan")))

    @property
    def cpu(self) -> float:
        """Seconds of processor time of the whole process."""
        return float(self.stats.get("bench/cpu_seconds", float("nan")))

    def problems(self, reason: str = "finished") -> list[str]:
        """Whether it ended as it should, without an error in the log."""
        found = []
        if self.code != 0:
            found.append(f"exit code {self.code}")
        if self.stats.get("finish_reason") != reason:
            found.append(f"finish_reason is {self.stats.get('finish_reason')!r}")
        if errors := self.stats.get("log_count/ERROR"):
            found.append(f"{errors} errors in its log")
        return found


def start(plan: Plan, folder: Path) -> subprocess.Popen[bytes]:
    """Start a crawl in a folder, which it also runs in."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT).unlink(missing_ok=True)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SCRAPY_", "RESILIENCE_"))
    }
    environ = {
        **kept,
        "PYTHONPATH": str(ROOT),
        "SCRAPY_SETTINGS_MODULE": "benchmarks.project",
    }
    with (folder / "output.txt").open("ab") as output:
        return subprocess.Popen(
            plan.command(),
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def finish(
    child: subprocess.Popen[bytes],
    folder: Path,
    started: float,
    limit: float = _CRAWL_TIMEOUT,
) -> Result:
    """Wait for the end of a crawl; one that takes too long is stopped."""
    try:
        code = child.wait(limit)
    except subprocess.TimeoutExpired:
        code = _stop(child)
    wall = time.perf_counter() - started
    report = folder / REPORT
    stats = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
    return Result(code, wall, stats)


def _stop(child: subprocess.Popen[bytes]) -> int:
    for end in (child.terminate, child.terminate, child.kill):
        end()
        with suppress(subprocess.TimeoutExpired):
            return child.wait(_STOP_TIMEOUT)
    return child.wait()


def crawl(plan: Plan, folder: Path) -> Result:
    """Run a crawl to its end."""
    started = time.perf_counter()
    result = finish(start(plan, folder), folder, started)
    say(f"{folder.parent.name}, {folder.name}: {result.elapsed:.2f} s")
    return result


def interleave(
    sides: Mapping[str, Callable[[int], Result]], runs: int
) -> dict[str, list[Result]]:
    """Run all sides in turn, A B A B …, so that the machine's moods meet all of them."""
    results: dict[str, list[Result]] = {name: [] for name in sides}
    for number in range(runs):
        for name, run in sides.items():
            results[name].append(run(number))
    return results


def middle(results: Sequence[Result], figure: Callable[[Result], float]) -> float:
    """The median of a figure."""
    return median(map(figure, results))


def say(text: str) -> None:
    """Show progress, apart from the tables."""
    print(f"  … {text}", file=sys.stderr, flush=True)


# --- kills -----------------------------------------------------------------------


@dataclass(frozen=True)
class Killing:
    """How often, and when: at random within *spread* seconds of a run's first commit."""

    kills: int
    rng: Random
    spread: float
    ways: Sequence[Sequence[signal.Signals]] = ((signal.SIGKILL,),)
    """Signals to send, 50 ms apart; one of these, at random, for each kill."""
    counts: Callable[[], bool] = lambda: True
    """Asked after each: one with nothing in flight does not count, and another one comes."""


@dataclass
class Killed:
    """A job that was killed, and then ran to its end."""

    result: Result
    kills: list[dict[str, Any]] = field(default_factory=list)
    late: bool = False
    """Whether the last kill found a job that had just finished: no run came after it."""

    def problems(self, wanted: int) -> list[str]:
        """Whether there were as many kills as wanted, and the last run ended well."""
        counted = sum(kill["counts"] for kill in self.kills)
        early = [f"it ended after {counted} of {wanted} kills"] if counted < wanted else []
        return early + self.result.problems()

    def total(self, stat: str) -> float:
        """A ``resilience/checkpoint/…`` stat, over all runs, as far as commits know."""
        name = f"resilience/checkpoint/{stat}"
        totals = self.result.stats.get(f"resilience/total/{name}")
        return float(totals or self.result.stats.get(name) or 0)


def kill_and_resume(plan: Plan, folder: Path, killing: Killing) -> Killed:
    """Kill a job, each time after a commit of the run under way, then let it end."""
    kills: list[dict[str, Any]] = []
    while sum(kill["counts"] for kill in kills) < killing.kills:
        run, committed = len(kills) + 1, _committed(folder)
        started = time.perf_counter()
        child = start(plan, folder)
        try:
            alive = _await_commit(child, folder, run, committed)
            delay = killing.rng.uniform(0, killing.spread)
            if alive:
                time.sleep(delay)
            if not alive or child.poll() is not None:
                return Killed(finish(child, folder, started), kills)
            way = killing.rng.choice(killing.ways)
            _kill(child, way)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        seconds = time.perf_counter() - started
        kills.append({"seconds": seconds, "delay": delay, "counts": killing.counts()})
        kills[-1]["way"] = _way(way)
        say(f"{folder.name}: kill {len(kills)}, {_pending(folder)} requests committed to do")
        if not job_problems(folder):
            return Killed(finish(child, folder, started), kills, late=True)
    return Killed(crawl(plan, folder), kills)


def _way(signals: Sequence[signal.Signals]) -> str:
    return " ".join(kind.name for kind in signals)


def _kill(child: subprocess.Popen[bytes], signals: Sequence[signal.Signals]) -> None:
    for number, kind in enumerate(signals):
        if number:
            time.sleep(0.05)
        child.send_signal(kind)
    child.wait(_COMMIT_TIMEOUT)


def _await_commit(
    child: subprocess.Popen[bytes], folder: Path, run: int, before: float | None
) -> bool:
    """Return once this run has committed; False when it ended instead."""
    deadline = time.monotonic() + _COMMIT_TIMEOUT
    while child.poll() is None and time.monotonic() < deadline:
        report = job_report(folder)
        if report.get("runs") == run and report.get("last_checkpoint") not in {None, before}:
            return True
        time.sleep(_POLL)
    return False


def job_report(folder: Path) -> dict[str, Any]:
    """What ``status`` says of a crawl's job; empty where there is none."""
    try:
        return read_report(folder / JOB)
    except (ResilienceError, sqlite3.Error, OSError):
        return {}  # it has not been made yet


def _committed(folder: Path) -> float | None:
    committed: float | None = job_report(folder).get("last_checkpoint")
    return committed


def _pending(folder: Path) -> int:
    return int(job_report(folder).get("pending", 0))


def job_problems(folder: Path) -> list[str]:
    """Whether ``status`` says that the job is over and nothing is left."""
    report = job_report(folder)
    if report.get("state") == "finished" and report.get("pending") == 0:
        return []
    return [f"status says {report.get('state')!r} with {report.get('pending')} pending"]


def totals(folder: Path) -> dict[str, Any]:
    """Stats over all runs of a job, as its last commit has them."""
    store = SQLiteStore(folder / JOB / STORE, read_only=True)
    with closing(store):
        found: dict[str, Any] = ValueCodec().decode(store.state()[TOTALS])
    return found


def rows_of(path: Path) -> int:
    """How many requests a store holds."""
    with closing(SQLiteStore(path, read_only=True)) as store:
        return sum(rows for _, _, rows in store.lanes())
