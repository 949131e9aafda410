"""What the database sink costs: rows a second, and the throughput of a crawl.

- rows: 50,000 items are given to the pipeline of a crawl that has a JOBDIR, commits each
  second and does nothing else, until the last row is in; then the same rows, in the same
  batches of 100 a transaction, go into the same table of another database by ``executemany``
  of an insert or update that is written by hand for the driver. In turn, medians. All items
  are made before the clock starts
- throughput: the site without latency, and with 20 ms; everything on and durable. The sides, in
  turn: the JSON Lines feed alone, the feed and SQLite, SQLite alone
"""

from __future__ import annotations

import time
from contextlib import closing
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from sqlalchemy import MetaData, Table

from benchmarks.content import content, differences, feed_problems
from benchmarks.crawls import OURS, Plan, Result, crawl, interleave, middle
from benchmarks.databases import engine_of
from benchmarks.sql_spiders import ident, item_of
from scrapy_resilience.testing import RunningSite, SiteConfig, running_site

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sqlalchemy import Engine

    from benchmarks.crawls import Options
    from benchmarks.databases import Place
    from benchmarks.report import Outcome

_BATCH = 100
_RATE, _RATE_MOON = 0.8, 0.95
_SHARE, _SHARE_MOON = 0.9, 0.97
_EACH_SECOND = {**OURS, "RESILIENCE_CHECKPOINT_INTERVAL": "1"}
_FEED, _BOTH, _ALONE = "feed", "feed and SQLite", "SQLite"


# --- rows a second ---------------------------------------------------------------


def rows(options: Options, outcome: Outcome, places: list[Place]) -> None:
    """Against a hand-written executemany, on each database."""
    count = options.of(50_000, 5_000)
    for place in places:
        sink, hand = [], []
        for number in range(options.repeat(5)):
            folder = options.folder / f"rows, {place.name} {number}"
            url = place.new(folder)
            sink.append(_through_the_sink(outcome, folder, url, count))
            hand.append(_by_hand(url, place.new(folder / "by hand"), count))
        ratio = median(sink) / median(hand)
        label = f"rows, {place.name}"
        row = {"part, database": label, "rows": count}
        row |= {"sink rows/s": round(median(sink)), "by hand rows/s": round(median(hand))}
        outcome.rows.append({**row, "x": ratio})
        outcome.data[label] = {"sink": sink, "by hand": hand}
        text = f"{label}: rows a second, against executemany, at least {_RATE} ({_RATE_MOON})"
        outcome.bar(text, f"{ratio:.2f}", met=ratio >= _RATE)


def _through_the_sink(outcome: Outcome, folder: Path, url: str, count: int) -> float:
    settings = {
        **_EACH_SECOND,
        "RESILIENCE_SQL_URL": url,
        "RESILIENCE_SQL_CREATE": "True",
        "RESILIENCE_SQL_BATCH": _BATCH,
    }
    result = crawl(Plan("rows", {"count": count}, settings, feeds=()), folder)
    outcome.check(folder.name, result.problems())
    with engine_of(url).connect() as connection:
        query = "SELECT count(*), count(DISTINCT item_id) FROM items"
        if (found := tuple(connection.exec_driver_sql(query).one())) != (count, count):
            outcome.problems.append(f"{folder.name}: {found} rows and ids, not {count}")
    return count / float(result.stats.get("bench/rows_seconds", "nan"))


def _by_hand(like: str, url: str, count: int) -> float:
    """Rows a second of what one writes without a library, into a table like the sink's."""
    table = Table("items", MetaData(), autoload_with=engine_of(like))
    engine = engine_of(url)
    table.create(engine)
    columns = ["item_id", *item_of(0)]
    statement = _upsert(engine, columns)
    rows = [{"item_id": ident(number), **item_of(number)} for number in range(count)]
    started = time.perf_counter()
    with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
        for first in range(0, count, _BATCH):
            cursor.executemany(statement, rows[first : first + _BATCH])
            connection.commit()
        return count / (time.perf_counter() - started)


def _upsert(engine: Engine, columns: list[str]) -> str:
    form = ":{}" if engine.dialect.name == "sqlite" else "%({})s"
    values = ", ".join(form.format(column) for column in columns)
    insert = f"INSERT INTO items ({', '.join(columns)}) VALUES ({values})"  # noqa: S608 - ours
    others = columns[1:]
    if engine.dialect.name in {"mysql", "mariadb"}:
        changes = ", ".join(f"{column} = VALUES({column})" for column in others)
        return f"{insert} ON DUPLICATE KEY UPDATE {changes}"
    changes = ", ".join(f"{column} = excluded.{column}" for column in others)
    return f"{insert} ON CONFLICT (item_id) DO UPDATE SET {changes}"


# --- throughput ------------------------------------------------------------------


def throughput(options: Options, outcome: Outcome, _: list[Place]) -> None:
    """Of a crawl with SQLite on, against its feed alone."""
    for latency in (0.02, 0.0):
        config = SiteConfig(hosts=10, pages=options.of(500, 100), latency=latency, items=2)
        with running_site(config) as site:
            sides: dict[str, Callable[[int], Result]] = {
                side: partial(_crawl, side, options=options, outcome=outcome, site=site)
                for side in (_FEED, _BOTH, _ALONE)
            }
            _report(outcome, site, interleave(sides, options.repeat(7)))


def _crawl(
    side: str, number: int, *, options: Options, outcome: Outcome, site: RunningSite
) -> Result:
    latency = f"{site.config.latency * 1000:.0f} ms"
    folder = options.folder / f"throughput, {latency}, {side} {number}"
    folder.mkdir(parents=True)
    url = f"sqlite:///{folder / 'rows.sqlite'}"
    sink = {"RESILIENCE_SQL_URL": url, "RESILIENCE_SQL_CREATE": "True"}
    settings: Mapping[str, object] = {**_EACH_SECOND, **(sink if side != _FEED else {})}
    feeds = ("items.jsonl",) if side != _ALONE else ()
    arguments = {"port": site.port, "hosts": site.config.hosts}
    site.reset()
    result = crawl(Plan("shop", arguments, settings, feeds), folder)
    outcome.check(folder.name, result.problems())
    expected = site.expected_items()
    if feeds:
        outcome.check(folder.name, feed_problems(folder / feeds[0], expected))
    if side != _FEED:
        with engine_of(url).connect() as connection:
            found = connection.exec_driver_sql("SELECT * FROM items").mappings().all()
        outcome.check(
            folder.name,
            differences(content(found, list(item_of(0))), content(expected, list(item_of(0)))),
        )
    return result


def _report(outcome: Outcome, site: RunningSite, results: dict[str, list[Result]]) -> None:
    pages = site.config.hosts * site.config.pages
    latency = f"{site.config.latency * 1000:.0f} ms"
    for side, runs in results.items():
        pairs = [
            base.elapsed / run.elapsed for base, run in zip(results[_FEED], runs, strict=True)
        ]
        elapsed = middle(runs, lambda run: run.elapsed)
        outcome.rows.append(
            {
                "part, database": f"throughput, {latency}, {side}",
                "elapsed s": elapsed,
                "cpu s": middle(runs, lambda run: run.cpu),
                "pages/s": round(pages / elapsed),
                "x": median(pairs),
            }
        )
        outcome.data[f"throughput, {latency}, {side}"] = {
            "elapsed": [run.elapsed for run in runs],
            "cpu": [run.cpu for run in runs],
            "x": pairs,
        }
        if side != _FEED:
            text = (
                f"{latency}, {side}: pages a second, against the feed alone, at least {_SHARE}"
            )
            met = median(pairs) >= _SHARE
            outcome.bar(f"{text} ({_SHARE_MOON})", f"{median(pairs):.2f}", met=met)
