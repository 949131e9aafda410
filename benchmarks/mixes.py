"""Mixes: crawls that are hard to checkpoint, each killed five times at random moments.

==============  =======================================================================
awaiting        each callback awaits ``download_async`` before it yields
images          ImagesPipeline fetches a picture for each item
slow pipeline   a pipeline takes 1.5 s for each item
set             ``start()`` over a set: another order in each process
growing         ``start()`` over a file that grows while the crawl runs
many            ``start()`` with a million URLs
overwrite       ``-O``, onto a file that has other lines, and again on each resume
columns         CSV; some items have a column more, some one less
unfiltered      start requests with and without ``dont_filter``, each asked for twice
interrupted     five times SIGINT twice within 50 ms, instead of SIGKILL
==============  =======================================================================

Each mix runs on stock in memory, on ours undisturbed, and on ours killed; the seed of the
kills is new in each run of the benchmark, and another one for each mix. A kill comes after
at least one commit of its run. Every item must be in the feed exactly once in all three.
``aligned`` is the share of aligned commits over all runs of the killed job, ``drain`` the
longest wait for an aligned commit, during which no new response reaches the spider,
``stall`` the longest that a commit kept the event loop.

The site has latency, redirects and 503s at first tries; ``set``, ``growing``, ``many``
and ``unfiltered`` are answered by a downloader middleware, without a network.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from benchmarks.content import feed_problems, read_feed
from benchmarks.crawls import (
    OURS,
    Killed,
    Killing,
    Plan,
    crawl,
    job_problems,
    kill_and_resume,
)
from benchmarks.report import Outcome
from benchmarks.spiders import local_url
from scrapy_resilience.testing import RunningSite, SiteConfig, running_site

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.crawls import Options

_INTERVAL = 0.2
_SITE_KEYS = ("host", "page", "sku", "name", "price")

Items = Iterable[Mapping[str, Any]]


def _as_it_is(_: Path) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class Mix:
    """A crawl, and the items that it must write; of *keys* only, when given."""

    plan: Plan
    expected: Callable[[], Items]
    keys: tuple[str, ...] = ()
    spread: float = 0.3
    signals: tuple[signal.Signals, ...] = (signal.SIGKILL,)
    around: Callable[[Path], AbstractContextManager[None]] = _as_it_is
    """Entered with the folder before the first crawl in it, left after the last."""
    also: Callable[[Path, Sequence[Mapping[str, Any]]], list[str]] = lambda _folder, _items: []
    """What else must be true of the folder, given all expected items."""


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    kills = options.kills or options.of(5, 2)
    outcome = Outcome(f"{kills} kills each, seed {options.seed}")
    config = SiteConfig(
        hosts=10,
        pages=options.of(100, 40),
        latency=0.05,
        redirects=0.1,
        first_try_503=0.05,
        items=2,
    )
    with running_site(config) as site:
        mixes = {**_site_mixes(site), **_local_mixes(options)}
        for number, (name, mix) in enumerate(mixes.items()):
            if options.only not in name:
                continue
            rng = Random(f"{options.seed}/{number}")  # noqa: S311 - moments, not secrets
            folder = options.folder / name
            _measure(name, mix, site, outcome, folder=folder, kills=kills, rng=rng)
    clean = not outcome.problems
    outcome.bar("every item exactly once", "yes" if clean else "no", met=clean)
    return outcome


def _site_mixes(site: RunningSite) -> dict[str, Mix]:
    arguments = {"port": site.port, "hosts": site.config.hosts}
    images = {
        "ITEM_PIPELINES": '{"scrapy.pipelines.images.ImagesPipeline": 300}',
        "IMAGES_STORE": "images",
        "BENCH_LATENCY": 0.01,
    }
    slow = {
        "ITEM_PIPELINES": '{"benchmarks.child.Wait": 300}',
        "BENCH_PIPELINE_WAIT": 1.5,
    }
    return {
        "awaiting": Mix(Plan("awaiting", arguments), site.expected_items),
        "images": Mix(
            Plan("pictures", arguments, images),
            site.expected_items,
            keys=_SITE_KEYS,
            also=_all_pictures,
        ),
        "slow pipeline": Mix(Plan("shop", arguments, slow), site.expected_items, spread=2.0),
        "overwrite": Mix(
            Plan("shop", arguments, overwrite=True), site.expected_items, around=_old_lines
        ),
        "columns": Mix(
            Plan("columns", arguments, feeds=("items.csv",)),
            site.expected_items,
            keys=("host", "page", "sku", "name"),
            also=_one_header,
        ),
        "interrupted": Mix(
            Plan("shop", arguments),
            site.expected_items,
            signals=(signal.SIGINT, signal.SIGINT),
        ),
    }


def _local_mixes(options: Options) -> dict[str, Mix]:
    count, many = options.of(2000, 600), options.of(1_000_000, 50_000)

    def mix(spider: str, number: int, expected: Callable[[], Items], **more: Any) -> Mix:
        latency = 0 if number == many else 0.03
        plan = Plan(spider, {"count": number}, {"BENCH_LATENCY": latency})
        return Mix(plan, expected, **more)

    def each() -> Items:
        return _numbers(count)

    # A filtered page comes once, an unfiltered one as often as it was asked for.
    odd = [local_url(number) for number in range(1, count, 2)]
    return {
        "set": mix("unordered", count, each),
        "growing": mix("growing", count, each, around=lambda folder: _queue(folder, count)),
        "unfiltered": mix(
            "unfiltered", count, lambda: [*each(), *({"url": url} for url in odd)]
        ),
        "many": mix("numbers", many, lambda: _numbers(many), spread=options.of(60, 5)),
    }


def _numbers(count: int) -> Iterator[dict[str, str]]:
    for number in range(count):
        yield {"url": local_url(number)}


# --- one mix ---------------------------------------------------------------------


def _measure(
    name: str,
    mix: Mix,
    site: RunningSite,
    outcome: Outcome,
    *,
    folder: Path,
    kills: int,
    rng: Random,
) -> None:
    ours = mix.plan.with_settings(OURS, {"RESILIENCE_CHECKPOINT_INTERVAL": _INTERVAL})
    calm = {}
    for side, plan in (("stock", mix.plan), ("ours", ours)):
        site.reset()
        with _around(mix, folder / side):
            calm[side] = crawl(plan, folder / side)
        outcome.check(f"{name}, {side}", calm[side].problems())
        outcome.check(f"{name}, {side}", _feed_problems(mix, folder / side))
    site.reset()
    with _around(mix, folder / "killed"):
        killing = Killing(kills, rng, mix.spread, (mix.signals,))
        killed = kill_and_resume(ours, folder / "killed", killing)
    outcome.check(f"{name}, killed", killed.problems(kills))
    outcome.check(f"{name}, killed", job_problems(folder / "killed"))
    outcome.check(f"{name}, killed", _feed_problems(mix, folder / "killed"))
    outcome.rows.append(_row(name, calm["stock"].elapsed, calm["ours"].elapsed, killed))
    outcome.data[name] = {
        "kills": killed.kills,
        "stock": calm["stock"].elapsed,
        "ours": calm["ours"].elapsed,
        "ours_checkpoints": {
            key: value
            for key, value in calm["ours"].stats.items()
            if key.startswith("resilience/")
        },
    }


@contextmanager
def _around(mix: Mix, folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with mix.around(folder):
        yield


def _row(name: str, stock: float, ours: float, killed: Killed) -> dict[str, object]:
    commits, aligned = killed.total("commits"), killed.total("aligned")
    return {
        "mix": name,
        "kills": len(killed.kills),
        "stock s": stock,
        "ours s": ours,
        "x stock": stock / ours,
        "commits": int(commits),
        "aligned": f"{100 * aligned / commits:.0f} %" if commits else "-",
        "drain max ms": 1e3 * killed.total("drain_seconds_max"),
        "stall max ms": 1e3 * killed.total("stall_seconds_max"),
        "suppressed items": int(
            killed.result.stats.get("resilience/total/resilience/suppressed/items", 0)
        ),
    }


def _feed_problems(mix: Mix, folder: Path) -> list[str]:
    feed = folder / mix.plan.feeds[0]
    expected = mix.expected()
    found = feed_problems(feed, expected, mix.keys)
    return found or mix.also(folder, list(mix.expected()))


# --- what single mixes need ------------------------------------------------------


@contextmanager
def _old_lines(folder: Path) -> Iterator[None]:
    """A feed of an earlier crawl, which ``-O`` must empty."""
    (folder / "items.jsonl").write_text('{"sku": "old"}\n' * 1000, encoding="utf-8")
    yield


@contextmanager
def _queue(folder: Path, count: int) -> Iterator[None]:
    """A file that gets 20 lines each 40 ms, and then END."""
    stop = threading.Event()

    def grow() -> None:
        with (folder / "queue.txt").open("w", encoding="utf-8") as queue:
            for number in range(count):
                queue.write(local_url(number) + "\n")
                if number % 20 == 0:
                    queue.flush()
                    stop.wait(0.04)
            queue.write("END\n")

    writer = threading.Thread(target=grow)
    writer.start()
    while not (folder / "queue.txt").exists():
        time.sleep(0.01)
    try:
        yield
    finally:
        stop.set()
        writer.join()


def _all_pictures(folder: Path, items: Sequence[Mapping[str, Any]]) -> list[str]:
    """One file for each item, and one in each item."""
    pictures = sum(1 for _ in (folder / "images" / "full").iterdir())
    without = sum(not item["images"] for item in read_feed(folder / "items.jsonl"))
    found = [] if pictures == len(items) else [f"{pictures} pictures for {len(items)} items"]
    return [*found, *([f"{without} items without a picture"] if without else [])]


def _one_header(folder: Path, items: Sequence[Mapping[str, Any]]) -> list[str]:
    """One header, and rows with exactly its columns."""
    rows = read_feed(folder / "items.csv")
    found = [] if len(rows) == len(items) else [f"{len(rows)} rows for {len(items)} items"]
    ragged = sum(None in row or None in row.values() for row in rows)
    return [*found, *([f"{ragged} rows with other columns"] if ragged else [])]
