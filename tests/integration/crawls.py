"""Crawls as a user runs them: a project in a folder, child processes, kills."""

from __future__ import annotations

import atexit
import csv
import datetime as dt
import json
import os
import pprint
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from textwrap import dedent
from threading import Lock
from typing import ClassVar

from forkserver import ForkServer

from scrapy_resilience.checkpoint.state import META
from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.files.layout import STORE
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.sqlite import SQLiteStore

ADDON = {"scrapy_resilience.ResilienceAddon": 500}
HERE = Path(__file__).parent
SHOP = "from shop import Base\nclass Shop(Base): pass\n"
PAGES = """
    import time, scrapy
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url, meta=self.settings.getdict("META"))
        def parse(self, response):
            yield dict(sku=response.url, at=time.time())
"""
BUSY = {
    "FEEDS": {"items.jsonl": {"format": "jsonlines"}},
    "CONCURRENT_REQUESTS": 16,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 8,
    "DOWNLOAD_TIMEOUT": 3,
}
"""For crawls of PAGES that are not to wait for their own limits."""
SICK = {**BUSY, "RESILIENCE_BREAKER_RECOVERY_TIMEOUT": 0.5}
"""The same, where breakers open: for short times."""
TIME_LIMIT = 120.0
"""A safety net: a crawl that needs as long hangs, on a busy machine too."""
KILLED = -signal.SIGKILL

_SETTINGS = {
    "ADDONS": ADDON,
    "SPIDER_MODULES": ["spider"],
    "JOBDIR": "job",
    "FEEDS": {"items.jsonl": {"format": "jsonlines"}, "items.csv": {"format": "csv"}},
    "FEED_EXPORT_ENCODING": "utf-8",
    "TWISTED_DNS_RESOLVER": "scrapy_resilience.testing.LoopbackResolver",
    "TELNETCONSOLE_ENABLED": False,
    "LOG_LEVEL": "INFO",
    "CONCURRENT_REQUESTS": 6,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 2,
    "RESILIENCE_CHECKPOINT_INTERVAL": 0.1,
    "RESILIENCE_RETRY_POLICIES": {"exponential_backoff": {"base": 0.05, "throttled_base": 0.1}},
}


csv.field_size_limit(2**31 - 1)  # items of the soak are larger than 128 KB


class Run:
    """One process that has ended, and what it said."""

    def __init__(self, code, log, out=""):
        self.code = code
        self.log = log
        self.out = out

    def __repr__(self):
        return f"<exit code {self.code}>"  # the test's report shows the log

    @cached_property
    def stats(self):
        found = re.search(
            r"Dumping Scrapy stats:\n(\{.*?\}\n)(?=\d{4}-|\Z)", self.log, re.DOTALL
        )
        return eval(found[1], {"datetime": dt}) if found else {}  # noqa: S307

    @property
    def reason(self):
        return self.stats.get("finish_reason")

    @property
    def errors(self):
        """The lines of level ERROR and CRITICAL."""
        wanted = re.compile(r" (ERROR|CRITICAL): ")
        return [line for line in self.log.splitlines() if wanted.search(line)]

    def check_finished(self):
        """It ended well: nothing was logged as an error."""
        assert (self.code, self.reason, self.errors) == (0, "finished", []), self

    def check_refused(self, *words):
        """It ended before it began, and one line says why."""
        assert self.code not in {0, KILLED, None}, self
        assert "Traceback" not in self.log, self
        assert len(self.errors) == 1, self
        for word in words:
            assert str(word) in self.errors[0], self


def _environment():
    """Ours without what is said to the tests: it is not a setting of a user.

    No bytecode of the project is kept: of two settings.py that are written in one second, and
    are as long, Python would take the one for the other.
    """
    ours = {k: v for k, v in os.environ.items() if not k.startswith("RESILIENCE_TEST_")}
    return {**ours, "PYTHONDONTWRITEBYTECODE": "1"}


_fork_servers = {}
"""Two, because strings hash alike in all children of one."""
_making = Lock()


def _fork_server(turn):
    """One of the two; tests may have crawls in several threads."""
    with _making:
        if turn not in _fork_servers:
            _fork_servers[turn] = ForkServer()
        return _fork_servers[turn]


@atexit.register
def end_fork_servers():
    """Leave no process behind."""
    while _fork_servers:
        _fork_servers.popitem()[1].close()


class Crawl:
    """A project of one spider in *folder*; settings are those of a user, and a few more.

    Processes are forked from one that has Scrapy loaded, or, with *spawn*, begun as a shell
    begins them. Scripts are always begun as a shell does.
    """

    made: ClassVar = []
    """Those of the test that runs, for its report."""

    def __init__(self, folder, source, site=None, rng=None, *, spawn=False, **settings):
        self.begin(folder, site, rng, spawn=spawn)
        self.settings = dict(_SETTINGS)
        if site is not None:
            self.settings["START"] = site.start_urls()
        self.settings.update(settings)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write("scrapy.cfg", "[settings]\ndefault = settings\n")
        self.write("spider.py", dedent(source))
        self.configure()

    def begin(self, folder, site=None, rng=None, *, spawn=False):
        """Take what is in the folder; nothing has run."""
        self.folder = Path(folder)
        self.site = site
        self.rng = rng
        self.spawn = spawn
        self.runs = 0
        self.kills = 0
        self.code = None
        self.commands = []
        self.under = ()
        """A command, such as a tracer, that runs what it is given."""
        self.made.append(self)

    def keep(self):
        """Make :meth:`restore` bring back what is in the folder now."""
        self._kept = (self.runs, self.kills, dict(self.settings))
        shutil.copytree(self.folder, self.folder.with_suffix(".kept"))
        return self

    def restore(self):
        """Put back what was kept, under the same paths: a job names its feeds."""
        self.runs, self.kills, settings = self._kept
        self.settings = dict(settings)
        shutil.rmtree(self.folder)
        shutil.copytree(self.folder.with_suffix(".kept"), self.folder)
        if self.site is not None:
            self.site.reset()
        self.commands = []
        self.made.append(self)
        return self

    def write(self, name, text):
        (self.folder / name).write_text(text, encoding="utf-8")

    def configure(self, **settings):
        """Change settings; None takes one away."""
        self.settings.update(settings)
        lines = (
            f"{name} = {pprint.pformat(value, sort_dicts=False)}\n"
            for name, value in self.settings.items()
            if value is not None
        )
        self.write("settings.py", "".join(lines))

    def path(self, name):
        return self.folder / name

    @property
    def job(self):
        return self.folder / self.settings["JOBDIR"]

    # --- processes ---

    @contextmanager
    def process(self, *command, env=None):
        """A child process under way: ``scrapy crawl shop`` by default."""
        self.runs += 1
        self.code = None
        log = self.folder / f"log.{self.runs}"
        command = [*map(str, command or ("crawl", "shop"))]
        script = command[0] == sys.executable
        if not script:
            command = [*self.under, sys.executable, "-m", "scrapy", *command]
        self.commands.append((command, env or {}))
        inherited = os.environ.get("PYTHONPATH")  # where another checkout is tested
        paths = os.pathsep.join(filter(None, (str(HERE), str(self.folder), inherited)))
        place = {
            "cwd": self.folder,
            "env": {**_environment(), "PYTHONPATH": paths, **(env or {})},
        }
        with log.open("wb") as err, log.with_suffix(f".{self.runs}.out").open("wb") as out:
            if script or self.spawn or self.under:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, **place
                )
            else:
                server = _fork_server(self.runs % 2)
                process = server.start(*command[2:], stdout=out, stderr=err, **place)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def ended(self, process, limit=TIME_LIMIT):
        """Wait for a process; one that does not end is a failure that shows its log."""
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"not ended in {limit} s: {self.last()}") from None
        self.code = process.returncode
        return self.last()

    def last(self):
        log = self.folder / f"log.{self.runs}"
        out = log.with_suffix(f".{self.runs}.out")
        return Run(
            self.code, log.read_text("utf-8", "replace"), out.read_text("utf-8", "replace")
        )

    def report(self):
        """What a failed test shows: each command, the last log, the JOBDIR."""
        lines = [f"cd {self.folder}"]
        for number, (command, env) in enumerate(self.commands, 1):
            words = [*(f"{name}={value}" for name, value in env.items()), *command]
            lines.append(f"{shlex.join(words)} 2>log.{number}")
        job = self.folder / (self.settings.get("JOBDIR") or "job")
        found = [job, *sorted(job.rglob("*"))] if job.exists() else []
        lines += [f"{path.stat().st_size:>9} {path}" for path in found]
        if self.commands:
            lines += [f"log.{self.runs}:", self.last().log[-20_000:]]
        return "\n".join(lines)

    def run(self, *command, env=None, limit=TIME_LIMIT):
        with self.process(*command, env=env) as process:
            return self.ended(process, limit)

    def is_over(self):
        """Whether the last kill came behind the last commit: nothing is left to do."""
        killed = self.code == KILLED and self.settings["JOBDIR"] is not None
        return killed and bool((self.state() or {}).get("finished"))

    def finish(self, *command, **kwargs):
        """Run to the end, which must be a good one."""
        if self.is_over():
            return self.last()
        run = self.run(*command, **kwargs)
        run.check_finished()
        return run

    def run_until(
        self, *command, commits=2, until=None, spread=0.1, number=signal.SIGKILL, env=None
    ):
        """Run for some commits (or *until*) and a random moment more, then send a signal."""
        if self.is_over():
            return self.last()
        enough = self.commits() + commits
        reached = until or (lambda: self.commits() >= enough)
        with self.process(*command, env=env) as process:
            end = time.monotonic() + TIME_LIMIT
            while process.poll() is None and not reached():
                assert time.monotonic() < end, self.last()
                time.sleep(0.02)
            time.sleep(self.rng.uniform(0, spread) if self.rng else 0)
            if process.poll() is None:
                process.send_signal(number)
            run = self.ended(process)
        self.kills += run.code == KILLED
        return run

    def survive(
        self, *command, kills=2, commits=2, spread=0.1, at_least=1, env=None, limit=TIME_LIMIT
    ):
        """Be killed several times, and then end well."""
        for _ in range(kills):
            run = self.run_until(*command, commits=commits, spread=spread, env=env)
            if run.code != KILLED or self.is_over():
                break
        else:
            run = self.run(*command, env=env, limit=limit)
        if run.code != KILLED:
            run.check_finished()
        assert self.kills >= at_least, f"only {self.kills} kills: make the crawl longer"
        return run

    # --- what came out ---

    def commits(self):
        """How many commits the job has seen in all runs; read without its lock."""
        return (self.state("resilience.totals") or {}).get("resilience/checkpoint/commits", 0)

    def state(self, name=META):
        """A named value of the store, None where there is none yet."""
        return next(iter(self.states(name)), None)

    def states(self, prefix):
        """The values of the store whose names begin with *prefix*."""
        path = self.job / STORE
        if not path.is_file():
            return []
        try:
            with closing(SQLiteStore(path, read_only=True)) as store:
                stored = store.state()
        except (CheckpointError, sqlite3.Error):
            return []
        return [ValueCodec().decode(stored[name]) for name in stored if name.startswith(prefix)]

    def items(self, name="items.jsonl"):
        text = self.path(name).read_text("utf-8")
        assert text.endswith("\n") or not text, "the last line is cut"
        return [json.loads(line) for line in text.splitlines()]

    def csv_rows(self, name="items.csv"):
        with self.path(name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def check_pages(self, urls=None):
        """Each of the URLs that PAGES asks for came once."""
        wanted = self.settings["URLS"] if urls is None else urls
        check_same([item.get("sku") for item in self.items()], wanted)

    def check_items(self, expected=None, *, key="sku", jsonl="items.jsonl", table="items.csv"):
        """Both feeds hold all expected items, each once."""
        expected = self.site.expected_items() if expected is None else expected
        if jsonl:
            check_same([item[key] for item in self.items(jsonl)], [i[key] for i in expected])
        if table:
            rows = self.csv_rows(table)
            check_same([row[key] for row in rows], [str(i[key]) for i in expected])
            assert key not in {row[key] for row in rows}, "a second header"


def check_same(found, expected):
    """Both hold the same, in any order; says what is lost and what came twice."""
    found, expected = Counter(found), Counter(expected)
    lost, extra = expected - found, found - expected
    assert lost + extra == Counter(), (
        f"lost {lost.total()}: {sorted(lost)[:5]}, extra {extra.total()}: {sorted(extra)[:5]}"
    )


def wait_until(condition, seconds=TIME_LIMIT):
    """Return as soon as the condition holds; fail if it does not in time."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found
