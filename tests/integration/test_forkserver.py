"""A process that the tests fork is as one that a shell begins."""

from __future__ import annotations

import json
import signal
from textwrap import dedent

import pytest
from crawls import KILLED, SHOP, Crawl

pytestmark = pytest.mark.integration

PROBE = """
    import asyncio, atexit, json, os, signal, sys, threading, time
    from scrapy.commands import ScrapyCommand
    class Command(ScrapyCommand):
        def short_desc(self):
            return "probes"
        def run(self, args, opts):
            atexit.register(print, "atexit")
            threading.Thread(target=lambda: time.sleep(0.1) or print("thread")).start()
            print(json.dumps({
                "argv": sys.argv, "path": sys.path, "cwd": os.getcwd(),
                "env": dict(os.environ), "main": sys.modules["__main__"].__name__,
                "reactor": "twisted.internet.reactor" in sys.modules,
                "threads": threading.active_count(), "stdin": sys.stdin.read(),
                "fds": sorted(os.listdir("/dev/fd")), "children": len(args),
                "handlers": [
                    str(signal.getsignal(n)).partition(" at ")[0] for n in range(1, 32)
                ],
            }), flush=True)
            if args[0] == "raise":
                raise SystemExit("sorry")
            if args[0].isdigit():
                os.kill(os.getpid(), int(args[0]))
            self.exitcode = 7
"""


@pytest.mark.parametrize(
    ("what", "code"), [("end", 7), ("raise", 1), (str(int(signal.SIGTERM)), -signal.SIGTERM)]
)
def test_a_forked_process_is_as_a_new_one(tmp_path, what, code):
    """What it finds around it is the same, and it ends with the same code and output."""
    job = Crawl(tmp_path, "", ADDONS={}, COMMANDS_MODULE="commands", LOG_LEVEL="ERROR")
    job.path("commands").mkdir()
    job.write("commands/probe.py", dedent(PROBE))

    forked = job.run("probe", what, env={"MORE": "1"})
    job.spawn = True
    spawned = job.run("probe", what, env={"MORE": "1"})

    assert (forked.code, spawned.code) == (code, code)
    assert forked.log == spawned.log
    found, *others = zip(forked.out.splitlines(), spawned.out.splitlines(), strict=True)
    ours, theirs = map(json.loads, found)
    assert [line for line, _ in others] == [line for _, line in others]
    assert ours == theirs


def test_two_forked_processes_hash_differently(tmp_path):
    """A set of strings has another order in the next run, as it has for a user."""
    job = Crawl(tmp_path, "print(hash('text'))", ADDONS={})

    assert len({job.run("list").out for _ in range(2)}) == 2


def test_the_end_of_a_forked_process_is_seen_once(tmp_path):
    """poll() says None while it runs and its code from then on; a signal then goes nowhere."""
    job = Crawl(tmp_path, "import time\ntime.sleep(60)", ADDONS={})

    with job.process("list") as process:
        assert process.poll() is None
        process.kill()
        assert process.wait() == process.poll() == process.returncode == KILLED
        process.send_signal(signal.SIGTERM)


def test_a_failed_test_shows_its_crawls(plain_crawl):
    """The report has each command, what is in the JOBDIR, and the last log."""
    job = plain_crawl(SHOP)
    job.run("list")
    job.finish(env={"MORE": "a b"})

    report = job.report()

    assert f"cd {job.folder}\n" in report
    assert "-m scrapy list 2>log.1\n" in report
    assert "'MORE=a b' " in report
    assert f" {job.job / 'resilience.db'}\n" in report
    assert report.endswith("Spider closed (finished)\n")
    assert job in Crawl.made
