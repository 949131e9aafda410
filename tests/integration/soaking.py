"""What the cases of ``./run soak`` draw at random, and the ways in which they end a crawl."""

from __future__ import annotations

import signal
import time

from crawls import wait_until

from scrapy_resilience.testing import SiteConfig

LIMIT = 400.0
"""Seconds for one crawl, on a machine that does other work too."""
WAYS = (
    *[(signal.SIGKILL,)] * 6,
    *[(signal.SIGABRT,)] * 2,
    (signal.SIGTERM,),
    (signal.SIGINT, signal.SIGINT),
)
CRASHES = (signal.SIGKILL, signal.SIGABRT)
FEEDS = {"items.jsonl": {"format": "jsonlines"}, "items.csv": {"format": "csv"}}


class Killer:
    """Ends crawls at random moments and in random ways, and counts how often."""

    def __init__(self, rng):
        self.rng = rng
        self.count = 0

    def interrupt(self, job, *command, env=None, until=None, way=None):
        """Start a run and end it, unless it ends before."""
        way = way or self.rng.choice(WAYS)
        commits = self.rng.randrange(4)
        delay = self.rng.uniform(0, 0.5 if commits else 1.5)
        enough = job.commits() + commits
        reached = until or (lambda: job.commits() >= enough)
        with job.process(*command, env=env) as process:
            wait_until(lambda: process.poll() is not None or reached(), LIMIT)
            time.sleep(delay)
            self.count += process.poll() is None
            for number in way:
                if process.poll() is None:
                    process.send_signal(number)
                    time.sleep(0.05)
            return job.ended(process, LIMIT)

    def survive(self, job, *command, env=None):
        """Interrupt a job 3 to 10 times, and let it come to a good end."""
        for _ in range(self.rng.randint(3, 10)):
            if is_finished(job):
                break
            self.interrupt(job, *command, env=env)
        finish(job, *command, env=env)


def is_finished(job):
    """Whether its last commit says so."""
    return bool((job.state() or {}).get("finished"))


def finish(job, *command, env=None):
    """Run to a good end; a kill may have come behind the last commit."""
    run = job.run(*command, env=env, limit=LIMIT)
    if "has finished" not in run.log:
        run.check_finished()


def drawn_site(rng, *, faults=True):
    """A site of some size, with faults that a crawl is to get over without waiting long."""
    return SiteConfig(
        hosts=rng.randint(1, 5),
        pages=rng.randint(40, 80),
        items=rng.randint(1, 3),
        latency=rng.choice([0, 0.02, 0.05]),
        redirects=rng.choice([0, 0.2, 0.5]) * faults,
        first_try_503=rng.choice([0, 0.1]) * faults,
        seed=rng.randrange(1000),
    )


def drawn_settings(rng):
    """Settings that must not matter."""
    feeds = rng.sample([*FEEDS], rng.randint(1, 2))
    return {
        "FEEDS": {name: FEEDS[name] for name in feeds},
        "CONCURRENT_REQUESTS": rng.choice([1, 6, 16, 32]),
        "CONCURRENT_REQUESTS_PER_DOMAIN": rng.choice([1, 2, 8]),
        "RESILIENCE_CHECKPOINT_INTERVAL": rng.choice([0.03, 0.1, 0.5]),
        "RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT": rng.choice([0.01, 0.05, 1]),
        "RESILIENCE_SNAPSHOT_ITEMS": rng.choice([0, 50]),
        "RESILIENCE_UVLOOP_ENABLED": rng.choice([True, False]),
    }


def check_items(job, expected=None):
    """Those of the two feeds that it has hold all items, each once."""
    chosen = {kind: name for name, kind in (("items.jsonl", "jsonl"), ("items.csv", "table"))}
    feeds = job.settings["FEEDS"]
    job.check_items(expected, **{kind: name in feeds and name for kind, name in chosen.items()})
