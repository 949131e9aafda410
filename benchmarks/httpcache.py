"""HTTP cache: pages stored and read back, in SQLite, Redis and files, against Scrapy's files.

- crawl: stock Scrapy with ``HTTPCACHE_ENABLED``, 5,000 pages of a site without latency, first
  to fill an empty cache, then to read all of it. Sides differ in ``HTTPCACHE_STORAGE`` only.
- storage: the same calls without a crawl around them: 5,000 pages of 30 KB that are stored,
  then read by a storage that is opened anew. What SQLite and Redis write behind the caller is
  waited for, and counts.

All items must be in the feed, and the second crawl must ask the site for nothing.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import closing, contextmanager
from functools import partial
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from scrapy import Request, Spider
from scrapy.http import HtmlResponse
from scrapy.utils.misc import load_object
from scrapy.utils.test import get_crawler

from benchmarks.content import feed_problems
from benchmarks.crawls import Plan, Result, crawl, interleave, middle, say
from benchmarks.report import Outcome
from scrapy_resilience.testing import RunningSite, SiteConfig, running_site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from benchmarks.crawls import Options

_SCRAPY, _ATOMIC, _SQLITE, _REDIS = "Scrapy's files", "files", "SQLite", "Redis"
_OURS = "scrapy_resilience.httpcache."
_STORAGES = {
    _SCRAPY: "scrapy.extensions.httpcache.FilesystemCacheStorage",
    _ATOMIC: f"{_OURS}AtomicCacheStorage",
    _SQLITE: f"{_OURS}SQLiteCacheStorage",
    _REDIS: f"{_OURS}RedisCacheStorage",
}
_REDIS_URL = "RESILIENCE_HTTPCACHE_REDIS_URL"
_REDIS_TIMEOUT = "RESILIENCE_HTTPCACHE_REDIS_TIMEOUT"
"""Long: a busy machine is no slow Redis."""
_BAR, _MOONSHOT = 1.0, 2.0
_WORDS = 4_000
"""Of a page of 30 KB."""


class _Measured(NamedTuple):
    store: float
    read: float
    megabytes: float


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome("pages stored in the HTTP cache, and read back")
    with _redis(options.folder) as url:
        sides = {name: path for name, path in _STORAGES.items() if url or name != _REDIS}
        if not url:
            outcome.notes.append("redis-server is not installed: its side was left out")
        _crawl_all(options, outcome, sides, url)
        _call_all(options, outcome, sides, url)
    return outcome


# --- crawls ------------------------------------------------------------------------------


def _crawl_all(options: Options, outcome: Outcome, sides: Mapping[str, str], url: str) -> None:
    config = SiteConfig(hosts=10, pages=options.of(500, 20), items=2)
    with running_site(config) as site:
        one = partial(_crawl_twice, options=options, outcome=outcome, site=site, url=url)
        runs: dict[str, Callable[[int], Result]] = {}
        filled: dict[str, list[Result]] = {}
        for name, path in sides.items():
            filled[name] = []
            runs[name] = partial(one, name=name, path=path, filled=filled[name])
        read = interleave(runs, options.repeat(3))
    pages = config.hosts * config.pages
    base = middle(read[_SCRAPY], lambda result: result.elapsed)
    base_cpu = middle(read[_SCRAPY], lambda result: result.cpu)
    for name in sides:
        stored = middle(filled[name], lambda result: result.elapsed)
        again = middle(read[name], lambda result: result.elapsed)
        outcome.rows.append(
            {
                "what": f"crawl, {name}",
                "stored/s": pages / stored,
                "read/s": pages / again,
                "read, against Scrapy's": base / again,
                "CPU, against Scrapy's": base_cpu / middle(read[name], lambda run: run.cpu),
            }
        )
        _bar(outcome, f"crawl of {pages:,} pages read back from", name, base / again)
    outcome.data["crawls"] = {
        name: {
            "stored": [result.elapsed for result in filled[name]],
            "read": [result.elapsed for result in read[name]],
            "read_cpu": [result.cpu for result in read[name]],
        }
        for name in sides
    }


def _crawl_twice(
    number: int,
    *,
    options: Options,
    outcome: Outcome,
    site: RunningSite,
    url: str,
    name: str,
    path: str,
    filled: list[Result],
) -> Result:
    cache = options.folder / f"cache, {name} {number}"
    settings = {
        "HTTPCACHE_ENABLED": "True",
        "HTTPCACHE_DIR": cache,
        "HTTPCACHE_STORAGE": path,
        _REDIS_URL: url,
        _REDIS_TIMEOUT: 10,
        "RESILIENCE_HTTPCACHE_REDIS_PREFIX": f"crawl{number}",
    }
    plan = Plan("shop", {"port": site.port, "hosts": site.config.hosts}, settings)
    for turn in ("stored", "read"):
        site.reset()
        folder = options.folder / f"{name} {number}, {turn}"
        result = crawl(plan, folder)
        outcome.check(str(folder), result.problems())
        outcome.check(str(folder), feed_problems(folder / "items.jsonl", site.expected_items()))
        if turn == "stored":
            filled.append(result)
    if asked := site.stats()["total"]["requests"]:
        outcome.check(str(folder), [f"{asked} pages came from the site, not from the cache"])
    shutil.rmtree(cache, ignore_errors=True)
    return result


# --- storages alone ----------------------------------------------------------------------


def _call_all(options: Options, outcome: Outcome, sides: Mapping[str, str], url: str) -> None:
    pages = _pages(options.of(5_000, 200), Random(options.seed))  # noqa: S311 - texts
    found: dict[str, list[_Measured]] = {name: [] for name in sides}
    for number in range(options.repeat(3)):
        for name, path in sides.items():
            folder = options.folder / f"storage, {name} {number}"
            settings = {
                "HTTPCACHE_DIR": str(folder),
                "HTTPCACHE_EXPIRATION_SECS": 0,
                _REDIS_URL: url,
                _REDIS_TIMEOUT: 10,
                "RESILIENCE_HTTPCACHE_REDIS_PREFIX": f"calls{number}",
            }
            found[name].append(_call(path, settings, pages, folder, outcome))
            say(f"{name} {number}: {found[name][-1]}")
            shutil.rmtree(folder, ignore_errors=True)
    base = median(each.read for each in found[_SCRAPY])
    for name, measured in found.items():
        store = median(each.store for each in measured) / len(pages)
        read = median(each.read for each in measured) / len(pages)
        ratio = base / len(pages) / read
        outcome.rows.append(
            {
                "what": f"storage, {name}",
                "stored/s": 1 / store,
                "read/s": 1 / read,
                "read, against Scrapy's": ratio,
                "MB on disk": median(each.megabytes for each in measured),
            }
        )
        _bar(outcome, f"storage alone, {len(pages):,} pages read back from", name, ratio)
    outcome.data["storages"] = found


def _pages(count: int, rng: Random) -> list[HtmlResponse]:
    words = [
        "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9)))
        for _ in range(3_000)
    ]
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Date": "Mon, 01 Jan 2024 00:00:00 GMT",
        "Server": "nginx",
        "Cache-Control": "max-age=60",
        "Set-Cookie": ["session=1; Path=/", "seen=2; Path=/"],
        "ETag": '"5f3a"',
    }
    return [
        HtmlResponse(
            f"http://shop.test/{number}",
            headers=headers,
            body=f"<html><p>{' '.join(rng.choices(words, k=_WORDS))}</p></html>".encode(),
        )
        for number in range(count)
    ]


def _call(
    path: str,
    settings: Mapping[str, Any],
    pages: list[HtmlResponse],
    folder: Path,
    outcome: Outcome,
) -> _Measured:
    crawler = get_crawler(Spider, dict(settings))
    spider = crawler._create_spider("shop")  # noqa: SLF001 - as a crawl makes it
    storage = load_object(path)(crawler.settings)
    storage.open_spider(spider)
    began = time.perf_counter()
    for page in pages:
        storage.store_response(spider, Request(page.url), page)
    storage.close_spider(spider)
    stored = time.perf_counter() - began
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    storage = load_object(path)(crawler.settings)
    storage.open_spider(spider)
    requests = [Request(page.url) for page in pages]
    began = time.perf_counter()
    found = [storage.retrieve_response(spider, request) for request in requests]
    read = time.perf_counter() - began
    storage.close_spider(spider)
    wrong = sum(a is None or a.body != b.body for a, b in zip(found, pages, strict=True))
    if wrong:
        outcome.check(path, [f"{wrong} pages did not come back"])
    return _Measured(stored, read, size / 1e6)


# --- both --------------------------------------------------------------------------------


def _bar(outcome: Outcome, text: str, name: str, ratio: float) -> None:
    if name in {_SQLITE, _REDIS}:
        outcome.bar(
            f"{text} {name}, ≥ {_BAR:g} × Scrapy's files, moonshot {_MOONSHOT:g}",
            f"{ratio:.2f}",
            met=ratio >= _BAR,
        )


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    """The URL of a server of our own; empty without the program."""
    program = shutil.which("redis-server")
    if program is None:
        yield ""
        return
    folder.mkdir(parents=True, exist_ok=True)
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        program,
        "--bind",
        "127.0.0.1",
        "--port",
        str(port),
        "--save",
        "",
        "--dir",
        folder,
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            _await(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()


def _await(port: int) -> None:
    deadline = time.monotonic() + 30
    with socket.socket() as asking:
        while asking.connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < deadline, "redis-server does not listen"
            time.sleep(0.05)
