"""Random kills with many seeds, for as long as it may take: ``./run soak --help``.

A case is a test of ``tests/integration/soak_*.py``, or a file of stateful tests of
``tests/unit`` with many more examples; a round is one case with one seed, in a process and a
folder of its own. All that is random in a round comes from its seed. A repeat is as near as
can be, and not the same: the machine decides which instruction a kill hits.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from xml.etree import ElementTree as ET

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
MINUTES = 20
ROUND_LIMIT = 900
"""Seconds that a round may take, on a machine that does other work too."""
GRACE = 20
"""Seconds that a round has to end its crawls and sites, before they are killed."""
POLL = 0.1


def arguments(args=None):
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="./run soak", description="random kills with many seeds; exit code 1: one failed"
    )
    parser.add_argument("--minutes", type=float, help=f"begin no round later ({MINUTES})")
    parser.add_argument("--seed", type=int, help="of the whole soak (a random one)")
    parser.add_argument(
        "--case",
        default="",
        metavar="PATTERN",
        help="the case of this name, or all that have it in their names; with --seed and "
        "without --minutes each of them runs once, with that very seed",
    )
    parser.add_argument("--workers", type=int, default=2, help="rounds at a time (2)")
    parser.add_argument("--list", action="store_true", help="show the names of the cases")
    return parser.parse_args(args)


# --- which rounds -----------------------------------------------------------------------


def name_of(node):
    """A case's short name: ``mixes/slow`` is ``…/soak_mixes.py::test_mix[slow]``."""
    module, function, variant = re.fullmatch(
        r".*/soak_(\w+)\.py::test_(\w+)(?:\[(.+)\])?", node
    ).groups()
    return f"{module}/{variant or function.replace('_', '-')}"


def collected():
    """All cases: what pytest is to run, by name."""
    command = [*_PYTEST, "--collect-only", "--quiet"]
    found = subprocess.run(
        [*command, *map(str, sorted(TESTS.glob("integration/soak_*.py")))],
        cwd=tempfile.gettempdir(),
        text=True,
        capture_output=True,
        check=False,
    )
    if found.returncode:
        sys.exit(found.stdout + found.stderr)
    nodes = [line for line in found.stdout.splitlines() if "::" in line]
    cases = {name_of(node): str(ROOT / node) for node in nodes}
    assert len(cases) == len(nodes), "two cases have the same name"
    for path in TESTS.glob("unit/test_*_stateful.py"):
        part = path.stem.removeprefix("test_").removesuffix("_stateful")
        cases[f"stateful/{part}"] = str(path)
    return dict(sorted(cases.items()))


def chosen(names, pattern):
    """The case of that name, or all that have it in their names."""
    return [pattern] if pattern in names else [name for name in names if pattern in name]


def planned(options, names, seed):
    """The cases with their seeds: each once with that seed, or again and again with others."""
    if options.case and options.seed is not None and options.minutes is None:
        yield from ((name, seed) for name in names)
        return
    rng = Random(seed)
    while True:
        for name in rng.sample(names, len(names)):
            yield name, rng.randrange(10**9)


# --- one round --------------------------------------------------------------------------

_PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--rootdir={ROOT}"]


@dataclass
class Round:
    """A case with one seed, under way or ended."""

    name: str
    node: str
    seed: int
    folder: Path = field(init=False)
    process: subprocess.Popen = field(init=False)
    started: float = field(init=False)
    seconds: float = 0.0
    problem: str = ""
    skipped: str = ""
    kills: int = 0

    def __post_init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix=f"soak-{self.name.replace('/', '-')}-"))
        self.started = time.monotonic()
        command = [
            *_PYTEST,
            "--tb=short",
            "--override-ini=junit_family=xunit1",  # of properties: how many kills
            f"--timeout={ROUND_LIMIT}",
            f"--basetemp={self.folder / 'files'}",
            f"--junitxml={self.folder / 'result.xml'}",
            f"--hypothesis-seed={self.seed}",
            self.node,
        ]
        environment = {
            "RESILIENCE_TEST_SEED": str(self.seed),
            "RESILIENCE_TEST_HYPOTHESIS": "soak",
        }
        with (self.folder / "pytest.txt").open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,  # all of it can be ended at once
            )

    @property
    def repeat(self):
        """The command that does it again."""
        return f"./run soak --seed {self.seed} --case '{self.name}'"

    def has_ended(self):
        """Whether it has; one that takes too long is made to."""
        if time.monotonic() > self.started + ROUND_LIMIT + GRACE:
            self.problem = f"not ended in {ROUND_LIMIT} s"
            self.stop()
        elif _has_ended(self.process):
            self._clear()
        return self.process.returncode is not None

    def stop(self):
        """End what still runs of it: at Ctrl-C pytest ends its crawls and sites."""
        os.kill(self.process.pid, signal.SIGINT)
        end = time.monotonic() + GRACE
        try:
            while not _has_ended(self.process) and time.monotonic() < end:
                time.sleep(POLL)
        finally:
            self._clear()

    def _clear(self):
        """Leave no process of it behind; not yet waited for, its id is still its own."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.seconds = time.monotonic() - self.started

    def judge(self):
        """Read what came out of it, and remove the folder of a good one."""
        try:
            suite = ET.parse(self.folder / "result.xml").getroot()  # noqa: S314 - ours
        except (OSError, ET.ParseError):
            self.problem = self.problem or f"exit code {self.process.returncode}, no result"
        else:
            self._read(suite)
        if not self.problem:
            shutil.rmtree(self.folder)

    def _read(self, suite):
        failed = [*suite.iter("failure"), *suite.iter("error")]
        if failed:
            self.problem = self.problem or failed[0].get("message", "")
        elif self.process.returncode:
            self.problem = self.problem or f"exit code {self.process.returncode}"
        self.skipped = next((found.get("message") for found in suite.iter("skipped")), "")
        self.kills = sum(
            int(found.get("value"))
            for found in suite.iter("property")
            if found.get("name") == "kills"
        )

    def report(self):
        """A line; of a failure how to repeat it, where it is, and its last words too."""
        if not self.problem:
            word = "skipped" if self.skipped else "passed"
            told = f"{self.seconds:.0f} s, {self.kills} kills"
            return f"{word} {self.name}, seed {self.seed}: {told}"
        logs = sorted(self.folder.rglob("log.*"), key=lambda path: path.stat().st_mtime)
        tails = [self.folder / "pytest.txt", *logs[-1:]]
        return "\n".join(
            [
                f"FAILED {self.name}: {self.problem.strip().partition(chr(10))[0]}",
                f"  repeat: {self.repeat}",
                f"  folder: {self.folder}",
                *(f"  JOBDIR: {path.parent}" for path in self.folder.rglob("resilience.db")),
                *(f"  {path.name}: {line}" for path in tails for line in _tail(path)),
            ]
        )


def _has_ended(process):
    """Whether it has, without waiting for it."""
    return bool(
        process.returncode is not None
        or os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    )


def _tail(path, lines=40):
    return path.read_text("utf-8", "replace").splitlines()[-lines:]


# --- many of them -----------------------------------------------------------------------


def soak(rounds, workers, deadline):
    """Run rounds, some at a time, and yield those that have ended; none begins too late."""
    running = []
    try:
        while True:
            while len(running) < workers and time.monotonic() < deadline:
                if (following := next(rounds, None)) is None:
                    break
                running.append(Round(*following))
            if not running:
                return
            time.sleep(POLL)
            for ended in [each for each in running if each.has_ended()]:
                running.remove(ended)
                ended.judge()
                yield ended
    finally:
        for each in running:
            each.stop()
            shutil.rmtree(each.folder, ignore_errors=True)


def table(rounds):
    """What came of all rounds, a line for each case."""
    lines = [f"{'case':32} {'rounds':>7} {'kills':>7} {'failures':>9}"]
    by_case = {}
    for each in rounds:
        by_case.setdefault(each.name, []).append(each)
    for name, those in [*sorted(by_case.items()), ("all", rounds)]:
        sums = len(those), sum(e.kills for e in those), sum(bool(e.problem) for e in those)
        skipped = {e.skipped for e in those if e.skipped} if name != "all" else ()
        notes = "".join(f"  ({reason})" for reason in skipped)
        lines.append("{:32} {:>7} {:>7} {:>9}{}".format(name, *sums, notes))
    return "\n".join(lines)


def main(args=None):
    """Run the command; the exit code is 1 when a round failed, 130 after Ctrl-C."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background ignores SIGINT
        signal.signal(number, signal.default_int_handler)
    options = arguments(args)
    cases = collected()
    names = chosen(list(cases), options.case)
    if not names:
        sys.exit(f"no case has {options.case!r} in its name: see --list")
    if options.list:
        print(*names, sep="\n")
        return 0
    seed = Random().randrange(10**9) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    rounds = ((name, cases[name], of_it) for name, of_it in planned(options, names, seed))
    deadline = time.monotonic() + 60 * (options.minutes or MINUTES)
    done, interrupted = [], False
    try:
        with closing(soak(rounds, options.workers, deadline)) as ended:
            for each in ended:
                done.append(each)
                print(each.report(), flush=True)
    except KeyboardInterrupt:
        interrupted = True
    print(table(done), *(each.repeat for each in done if each.problem), sep="\n")
    return 130 if interrupted else int(any(each.problem for each in done))


if __name__ == "__main__":
    sys.exit(main())
