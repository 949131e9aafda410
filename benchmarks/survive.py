"""Survive: everything on at once, killed in all ways at random moments, job after job.

Each job crawls a site with redirects, 503s at first tries, latency and session cookies, with
six feeds (JSON Lines, CSV that overwrites, a JSON array, gzipped CSV, XML and JSON Lines in
batches) and a pipeline that buffers and writes to SQLite at ``checkpoint_prepare``, under
``item_id()``. Some requests live in memory (a lambda), some wait (``resilience_delay``), some
callbacks await a download; ``spider.state`` notes each page. One host is down for two seconds,
one throttles with ``Retry-After``, and each URL of one that is given up must be a dead letter,
once. A commit is made each 0.2 s, an encrypted snapshot each 100 items. Every other job aligns
its commits for 0.03 s only, so that many of them are not.

A job is killed at random moments, each after a commit of its run, until it ends by itself or
by the last kill: with SIGKILL, with SIGTERM, or with SIGINT twice within 50 ms. Jobs go on
until there were enough kills. Then each sink is compared by content with the items that the
site has: ``lost`` and ``doubled`` count items over all jobs. The seed decides the ways and
the moments.
"""

from __future__ import annotations

import csv
import gzip
import json
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from benchmarks.content import content, differences, read_feed
from benchmarks.crawls import JOB, OURS, Killing, Plan, job_problems, kill_and_resume, totals
from benchmarks.report import Outcome
from scrapy_resilience.commands.deadletters import about, pages
from scrapy_resilience.files.layout import STORE
from scrapy_resilience.frontier.sqlite import SQLiteStore
from scrapy_resilience.settings import Config
from scrapy_resilience.snapshots.store import store_of
from scrapy_resilience.testing import RunningSite, SiteConfig, running_site
from scrapy_resilience.testing.model import healthy_hosts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.content import Content
    from benchmarks.crawls import Killed, Options

_KEY = "a key of the benchmark's own"
_RECOVERING = ("outage.test", "throttled.test")
_LOST, _LOST_PAGES = "error.test", 20
_BATCH = 50
_SPREAD = 0.5
_ALIGN_TIMEOUTS = (1, 0.03)
_WAYS = (
    (signal.SIGKILL,),
    (signal.SIGKILL,),
    (signal.SIGTERM,),
    (signal.SIGINT, signal.SIGINT),
)
_FEEDS: dict[str, dict[str, Any]] = {
    "items.jsonl": {"format": "jsonlines"},
    "items.csv": {"format": "csv", "overwrite": True},
    "items.json": {"format": "json", "overwrite": True},
    "items.csv.gz": {
        "format": "csv",
        "overwrite": True,
        "postprocessing": ["scrapy.extensions.postprocessing.GzipPlugin"],
    },
    "xml/%(batch_id)d.xml": {"format": "xml", "batch_item_count": _BATCH},
    "parts/%(batch_id)d.jsonl": {"format": "jsonlines", "batch_item_count": _BATCH},
}
_SETTINGS = {
    **OURS,
    "FEEDS": json.dumps(_FEEDS),
    "ITEM_PIPELINES": '{"benchmarks.child.Batching": 300}',
    "RESILIENCE_CHECKPOINT_INTERVAL": 0.2,
    "RESILIENCE_SNAPSHOT_ITEMS": 100,
    "RESILIENCE_ENCRYPTION_KEY": _KEY,
    # Kills are what is measured: between two of them, a fraction of a second, the outage must
    # be met and left. What default settings do is in flaky and in kills --only flaky.
    "RESILIENCE_BREAKER_RECOVERY_TIMEOUT": 0.3,
    "RESILIENCE_BREAKER_MAX_RECOVERY_TIMEOUT": 0.5,
    "RESILIENCE_ADAPTIVE_RATE": "False",
    "RESILIENCE_RETRY_POLICY": "quick",
    "RESILIENCE_RETRY_POLICIES": '{"quick": {"attempts": 20, "base": 0.2, "max_delay": 1}}',
}

Rows = list[dict[str, Any]]


def _json(folder: Path) -> Rows:
    rows: Rows = json.loads((folder / "items.json").read_text(encoding="utf-8"))
    return rows


def _gzip(folder: Path) -> Rows:
    with gzip.open(folder / "items.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def _xml(folder: Path) -> Rows:
    roots = (ET.parse(path).getroot() for path in (folder / "xml").iterdir())  # noqa: S314 - ours
    return [{field.tag: field.text for field in item} for root in roots for item in root]


def _parts(folder: Path) -> Rows:
    return [row for path in (folder / "parts").iterdir() for row in read_feed(path)]


def _sqlite(folder: Path) -> Rows:
    with closing(sqlite3.connect(folder / "items.sqlite")) as database:
        return [json.loads(item) for (item,) in database.execute("SELECT item FROM items")]


_SINKS: dict[str, Callable[[Path], Rows]] = {
    "JSON Lines": lambda folder: read_feed(folder / "items.jsonl"),
    "CSV, overwrites": lambda folder: read_feed(folder / "items.csv"),
    "JSON": _json,
    "CSV, gzip": _gzip,
    "XML, batches": _xml,
    "JSON Lines, batches": _parts,
    "SQLite, buffered": _sqlite,
}


@dataclass
class _Tally:
    """What all jobs came to."""

    jobs: int = 0
    letters: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)
    commits: float = 0
    aligned: float = 0
    snapshots: int = 0
    figures: dict[str, Counter[str]] = field(
        default_factory=lambda: {sink: Counter() for sink in _SINKS}
    )

    def sum(self, figure: str) -> int:
        return sum(counts[figure] for counts in self.figures.values())


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    wanted = options.kills or options.of(50, 5)
    outcome = Outcome(f"{wanted} kills, everything on, seed {options.seed}")
    outcome.notes.append("short breakers and retries: an outage must end between two kills")
    config = SiteConfig(
        hosts=6,
        pages=80,
        latency=0.05,
        redirects=0.1,
        first_try_503=0.05,
        items=2,
        cookies=True,
        outage=2,
        throttle_requests=30,
        throttle_window=1,
    )
    tally = _Tally()
    with running_site(config) as site:
        hosts = (*healthy_hosts(config), *_RECOVERING)
        expected = content(site.expected_items(*hosts))
        while (kills := tally.ways.total()) < wanted:
            rng = Random(f"{options.seed}/{tally.jobs}")  # noqa: S311 - moments, not secrets
            folder = options.folder / f"job {tally.jobs}"
            killing = Killing(wanted - kills, rng, _SPREAD, _WAYS)
            killed = _job(site, folder, killing, _ALIGN_TIMEOUTS[tally.jobs % 2])
            _add(tally, killed, folder, expected, outcome)
            _check_letters(tally, folder, _lost(site), outcome)
    _report(tally, outcome)
    return outcome


def _job(site: RunningSite, folder: Path, killing: Killing, align: float) -> Killed:
    """One job, to its end."""
    site.reset()
    folder.mkdir(parents=True)
    for name in ("items.csv", "items.json", "items.csv.gz"):
        (folder / name).write_text("of an earlier crawl\n" * 1000, encoding="utf-8")
    sick = " ".join([*site.start_urls(*_RECOVERING), *_lost(site)])
    arguments = {"port": site.port, "hosts": site.config.hosts, "sick": sick}
    settings = {**_SETTINGS, "RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT": align}
    return kill_and_resume(Plan("everything", arguments, settings, feeds=()), folder, killing)


def _lost(site: RunningSite) -> list[str]:
    return [site.url(_LOST, f"/{number}") for number in range(_LOST_PAGES)]


def _check_letters(tally: _Tally, folder: Path, lost: list[str], outcome: Outcome) -> None:
    """Whether each URL that was given up has one dead letter, and no other one has any."""
    with closing(SQLiteStore(folder / JOB / STORE, read_only=True)) as store:
        found = Counter(about(letter).url for page in pages(store) for letter in page)
    expected = Counter(lost)
    tally.letters.update(
        checked=expected.total(),
        lost=(expected - found).total(),
        doubled=(found - expected).total(),
    )
    outcome.check(f"{folder.name}, dead letters", differences(found, expected))


def _add(
    tally: _Tally, killed: Killed, folder: Path, expected: Content, outcome: Outcome
) -> None:
    tally.jobs += 1
    tally.ways.update(kill["way"] for kill in killed.kills)
    sums = totals(folder)
    tally.commits += sums.get("resilience/checkpoint/commits", 0)
    tally.aligned += sums.get("resilience/checkpoint/aligned", 0)
    outcome.check(folder.name, job_problems(folder) + _end_problems(killed, expected))
    outcome.check(folder.name, _snapshot_problems(tally, folder))
    for sink, read in _SINKS.items():
        try:
            found = content(read(folder))
        except Exception as error:  # noqa: BLE001 - whatever a torn file makes of a parser
            outcome.check(folder.name, [f"{sink} can't be read: {error!r}"])
            found = content(())
        tally.figures[sink].update(
            checked=expected.total(),
            lost=(expected - found).total(),
            doubled=(found - expected).total(),
        )
        outcome.check(f"{folder.name}, {sink}", differences(found, expected))
    outcome.data[folder.name] = killed.kills


def _end_problems(killed: Killed, expected: Content) -> list[str]:
    """Whether the last run ended well, and ``spider.state`` has each page."""
    if killed.late:  # it was killed when all was written
        return []
    wanted = len({(item["host"], item["page"]) for item in map(json.loads, expected)})
    pages = killed.result.stats.get("bench/pages")
    found = [] if pages == wanted else [f"spider.state has {pages} of {wanted} pages"]
    return found + killed.result.problems()


def _snapshot_problems(tally: _Tally, folder: Path) -> list[str]:
    """Whether each snapshot that is there can be used."""
    store = store_of(Config(encryption_key=_KEY), folder / JOB)
    snapshots = store.newest(verify=True)
    tally.snapshots += len(snapshots)
    bad = [snapshot.problem for snapshot in snapshots if snapshot.problem]
    return bad if snapshots else ["it has no snapshot"]


def _report(tally: _Tally, outcome: Outcome) -> None:
    outcome.rows.append(
        {
            "sink": "all",
            "kills": tally.ways.total(),
            "jobs": tally.jobs,
            "commits": int(tally.commits),
            "aligned": f"{100 * tally.aligned / max(tally.commits, 1):.0f} %",
            **_figures(tally.sum),
        }
    )
    for sink, counts in tally.figures.items():
        outcome.rows.append({"sink": sink, **_figures(counts.__getitem__)})
    outcome.rows.append({"sink": "dead letters", **_figures(tally.letters.__getitem__)})
    ways = ", ".join(f"{count} {way}" for way, count in sorted(tally.ways.items()))
    outcome.notes.append(f"kills: {ways}; {tally.snapshots} snapshots read, all encrypted")
    wrong = tally.sum("lost") + tally.sum("doubled")
    wrong += tally.letters["lost"] + tally.letters["doubled"]
    outcome.bar("nothing lost or doubled", f"{wrong} items and letters", met=not wrong)


def _figures(count: Callable[[str], int]) -> dict[str, object]:
    return {
        "items checked": count("checked"),
        "lost": count("lost"),
        "doubled": count("doubled"),
    }
