"""The database sink: kills, outages, bad rows, and what it costs.

On PostgreSQL, MariaDB and SQLite: servers of one's own, see :mod:`benchmarks.databases`; one
that is not installed is left out, and said. The site has 5,000 pages on 10 hosts, 20 ms
latency, a redirect before every tenth page, a 503 at the first request of every twentieth,
and two items a page. The table has no rows but those of the crawl.

- kills: 20 SIGKILLs of the crawl at random moments, each at least one commit into its run. The
  table must have each item in one row, equal by content, and so must the feed
- outages: the database is shut down for 10 s, five times; *back* is the time from its first
  answer to the first new row
- bad row: a constraint of the table refuses one row in 1,000: the others are in, and there is
  one dead letter, with the database's reason
- rows: rows a second through the sink, against a hand-written ``executemany``:
  :mod:`benchmarks.sql_rates`
- throughput: of the crawl with SQLite on, against its JSON Lines feed alone

``--only kills`` runs one of them, ``--only kills,mariadb`` on one database.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from random import Random
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect

from benchmarks import sql_rates
from benchmarks.content import content, differences, feed_problems
from benchmarks.crawls import (
    JOB,
    OURS,
    Killing,
    Plan,
    Result,
    crawl,
    finish,
    job_problems,
    kill_and_resume,
    say,
    start,
)
from benchmarks.databases import SERVERS, Place, engine_of
from benchmarks.report import Outcome
from scrapy_resilience.commands.deadletters import about, pages
from scrapy_resilience.files.layout import STORE
from scrapy_resilience.frontier.sqlite import SQLiteStore
from scrapy_resilience.testing import RunningSite, SiteConfig, running_site

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from benchmarks.crawls import Options

_FIELDS = ("host", "page", "sku", "name", "price")
_TABLE = """CREATE TABLE items (item_id VARCHAR(255) PRIMARY KEY, host VARCHAR(50),
    page VARCHAR(20), sku VARCHAR(50), name VARCHAR(200), price VARCHAR(20), CHECK ({check}))"""
_LOOK = 0.02
_PATIENCE = 120.0
_BACK = 2.0
"""Seconds after which the crawl has to go on."""


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome(f"the database sink, seed {options.seed}")
    parts: dict[str, Callable[[Options, Outcome, list[Place]], None]] = {
        "kills": _kills,
        "outages": _outages,
        "bad row": _bad_row,
        "rows": sql_rates.rows,
        "throughput": sql_rates.throughput,
    }
    words = [word.strip() for word in options.only.split(",") if word.strip()]
    with ExitStack() as stack:
        places = list(_places(stack, words, outcome))
        for name, part in parts.items():
            if not set(words) & set(parts) or name in words:
                part(options, outcome, places)
    return outcome


def _places(stack: ExitStack, words: list[str], outcome: Outcome) -> Iterable[Place]:
    chosen = set(words) & {*SERVERS, "sqlite"} or {*SERVERS, "sqlite"}
    for name, kind in SERVERS.items():
        if name in chosen and kind.program() is None:
            outcome.notes.append(f"{name} is not installed: it was left out")
        elif name in chosen:
            yield Place(name, stack.enter_context(kind()))
    if "sqlite" in chosen:
        yield Place("sqlite", None)


def _site(options: Options, **changed: Any) -> SiteConfig:
    usual: dict[str, Any] = {"hosts": 10, "pages": options.of(500, 100), "items": 2}
    usual |= {"latency": 0.02, "redirects": 0.1, "first_try_503": 0.05}
    return SiteConfig(**{**usual, **changed})


def _plan(site: RunningSite, url: str, **more: object) -> Plan:
    settings = {**OURS, "RESILIENCE_SQL_URL": url, "RESILIENCE_SQL_CREATE": "True", **more}
    return Plan("shop", {"port": site.port, "hosts": site.config.hosts}, settings)


# --- kills -----------------------------------------------------------------------


def _kills(options: Options, outcome: Outcome, places: list[Place]) -> None:
    with running_site(_site(options)) as site:
        for place in places:
            _killed(options, outcome, place, site)


def _killed(options: Options, outcome: Outcome, place: Place, site: RunningSite) -> None:
    kills = options.kills or options.of(20, 4)
    label = f"kills, {place.name}"
    calm_folder, folder = options.folder / f"{label}, calm", options.folder / label
    site.reset()
    url = place.new(calm_folder)
    calm = crawl(_plan(site, url), calm_folder)
    _check(outcome, f"{label}, calm", calm_folder, url, site)
    site.reset()
    url = place.new(folder)
    interval = round(min(max(calm.elapsed / kills / 2, 0.02), 1.0), 3)
    killing = Killing(kills, Random(options.seed), interval)  # noqa: S311 - moments, not secrets
    plan = _plan(site, url, RESILIENCE_CHECKPOINT_INTERVAL=interval)
    killed = kill_and_resume(plan, folder, killing)
    outcome.check(label, calm.problems() + killed.problems(kills) + job_problems(folder))
    found = _check(outcome, label, folder, url, site)
    outcome.rows.append(
        {
            "part, database": label,
            "kills": len(killed.kills),
            "items": len(site.expected_items()),
            "rows": found,
            "calm s": calm.elapsed,
        }
    )
    outcome.data[label] = {"kills": killed.kills, "interval": interval, "rows": found}


def _check(outcome: Outcome, label: str, folder: Path, url: str, site: RunningSite) -> int:
    """Compare the table and the feed with what the site has; how many rows there are."""
    expected = site.expected_items()
    outcome.check(label, feed_problems(folder / "items.jsonl", expected))
    found = read_table(url)
    outcome.check(label, differences(content(found, _FIELDS), content(expected, _FIELDS)))
    met = not any(problem.startswith(label) for problem in outcome.problems)
    if not label.endswith("calm"):
        text = f"{label}: {len(expected):,} rows, each once, equal by content"
        outcome.bar(text, f"{len(found):,}", met=met)
    return len(found)


def read_table(url: str) -> list[dict[str, Any]]:
    """All rows of the table of a crawl."""
    with engine_of(url).connect() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM items").mappings()
        return [dict(row) for row in rows]


def _count(url: str) -> int:
    engine = engine_of(url)
    if not inspect(engine).has_table("items"):
        return 0
    with engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM items").scalar_one())


# --- outages ---------------------------------------------------------------------


def _outages(options: Options, outcome: Outcome, places: list[Place]) -> None:
    with running_site(_site(options)) as site:
        for place in places:
            if place.server is not None:
                site.reset()
                _away(options, outcome, place, site)


def _away(options: Options, outcome: Outcome, place: Place, site: RunningSite) -> None:
    assert place.server is not None
    label = f"outages, {place.name}"
    folder, url = options.folder / label, place.new(options.folder / label)
    times, seconds = options.of(5, 2), options.of(10, 2)
    share = len(site.expected_items()) // (times + 1)
    started = time.perf_counter()
    child = start(_plan(site, url), folder)
    back = []
    for number in range(1, times + 1):
        if not _until_rows(url, number * share, child):
            break
        place.server.stop()
        time.sleep(seconds)
        place.server.start()
        returned, before = time.perf_counter(), _count(url)
        if not _until_rows(url, before + 1, child):
            break
        back.append(time.perf_counter() - returned)
        say(f"{label}: outage {number}, back in {back[-1]:.2f} s")
    result = finish(child, folder, started)
    ended = [f"only {len(back)} of {times} outages"] if len(back) < times else []
    outcome.check(label, [*_ended(result), *ended, *job_problems(folder)])
    found = _check(outcome, label, folder, url, site)
    worst = max(back, default=float("inf"))
    text = f"{label}: of {seconds} s, {times} times: goes on within {_BACK:g} s"
    outcome.bar(text, f"{worst:.2f} s", met=worst <= _BACK)
    outcome.rows.append(
        {
            "part, database": label,
            "items": len(site.expected_items()),
            "rows": found,
            "outages": len(back),
            "back s, worst": worst,
        }
    )
    outcome.data[label] = {"back": back, "stats": _of_sink(result.stats)}


def _until_rows(url: str, wanted: int, child: subprocess.Popen[bytes]) -> bool:
    """Wait until the table has so many rows; False when the crawl has ended before."""
    end = time.monotonic() + _PATIENCE
    while child.poll() is None and time.monotonic() < end:
        if _count(url) >= wanted:
            return True
        time.sleep(_LOOK)
    return False


def _ended(result: Result) -> list[str]:
    """Whether it ended well; its log may have errors."""
    stats = {**result.stats, "log_count/ERROR": 0}
    return Result(result.code, result.wall, stats).problems()


def _of_sink(stats: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in stats.items() if "/sql/" in name}


# --- a bad row -------------------------------------------------------------------


def _bad_row(options: Options, outcome: Outcome, places: list[Place]) -> None:
    with running_site(_site(options, hosts=1, pages=500)) as site:
        for place in places:
            site.reset()
            _refused(options, outcome, place, site)


def _refused(options: Options, outcome: Outcome, place: Place, site: RunningSite) -> None:
    label = f"bad row, {place.name}"
    folder, url = options.folder / label, place.new(options.folder / label)
    items = site.expected_items()
    bad = items[Random(options.seed).randrange(len(items))]  # noqa: S311 - not a secret
    with engine_of(url).begin() as connection:
        connection.exec_driver_sql(_TABLE.format(check=f"sku <> '{bad['sku']}'"))
    result = crawl(_plan(site, url, RESILIENCE_SQL_CREATE="False"), folder)
    found, letters = read_table(url), _letters(folder)
    expected = [item for item in items if item is not bad]
    problems = differences(content(found, _FIELDS), content(expected, _FIELDS))
    outcome.check(label, [*_ended(result), *problems])
    reasons = [letter.reason for letter in letters]
    text = f"{label}: {len(expected)} rows in, 1 dead letter with the reason"
    met = not problems and len(reasons) == 1 and "items" in reasons[0]
    outcome.bar(text, f"{len(found)} and {len(reasons)}", met=met)
    outcome.rows.append({"part, database": label, "items": len(items), "rows": len(found)})
    outcome.data[label] = {"reasons": reasons, "stats": _of_sink(result.stats)}


def _letters(folder: Path) -> list[Any]:
    with closing(SQLiteStore(folder / JOB / STORE, read_only=True)) as store:
        return [about(letter) for page in pages(store) for letter in page]
