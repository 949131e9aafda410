"""What crawls carry along: a report of their stats, local answers, and pipelines."""

from __future__ import annotations

import asyncio
import json
import mmap
import resource
import sqlite3
import struct
from functools import cache
from io import BytesIO
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp.resolver import ThreadedResolver
from scrapy import signals
from scrapy.exceptions import NotConfigured
from scrapy.http import HtmlResponse, Response

from scrapy_resilience import item_id
from scrapy_resilience.signals import checkpoint_prepare
from scrapy_resilience.testing.resolver import is_local

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from typing_extensions import Self

REPORT = "report.json"
IN_FLIGHT = "in_flight"
_NUMBER = struct.Struct("q")


class Report:
    """Writes all stats to a file at the very end, and sets the limit of open files."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        if wanted := crawler.settings.getint("BENCH_OPEN_FILES"):
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if crawler.settings["RESILIENCE_DOWNLOAD_HANDLER"] == "aiohttp":
            _resolve_locally()
        crawler.signals.connect(self.write, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    def write(self) -> None:
        assert self.crawler.stats is not None
        used = resource.getrusage(resource.RUSAGE_SELF)
        self.crawler.stats.set_value("bench/cpu_seconds", used.ru_utime + used.ru_stime)
        stats = self.crawler.stats.get_stats()
        Path(REPORT).write_text(json.dumps(stats, default=str), encoding="utf-8")


def _resolve_locally() -> None:
    """What LoopbackResolver does, for aiohttp; uvloop does not ask the socket module."""
    resolve = ThreadedResolver.resolve

    async def local(self: Any, host: str, *args: Any, **options: Any) -> Any:
        return await resolve(self, "127.0.0.1" if is_local(host) else host, *args, **options)

    ThreadedResolver.resolve = local  # type: ignore[method-assign]


class InFlight:
    """Keeps the number of requests sent and not answered where a SIGKILL leaves it."""

    def __init__(self, crawler: Crawler) -> None:
        Path(IN_FLIGHT).write_bytes(_NUMBER.pack(0))
        with Path(IN_FLIGHT).open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _NUMBER.size)
        self._count = 0
        crawler.signals.connect(self._sent, signals.request_reached_downloader)
        crawler.signals.connect(self._answered, signals.request_left_downloader)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        if not crawler.settings.getbool("BENCH_IN_FLIGHT"):
            raise NotConfigured
        return cls(crawler)

    def _sent(self) -> None:
        self._add(1)

    def _answered(self) -> None:
        self._add(-1)

    def _add(self, difference: int) -> None:
        self._count += difference
        _NUMBER.pack_into(self._shared, 0, self._count)


def in_flight(folder: Path) -> int:
    """What the last crawl in a folder had in flight when it ended."""
    number: int = _NUMBER.unpack((folder / IN_FLIGHT).read_bytes())[0]
    return number


class LocalAnswers:
    """Answers for the hosts ``local*.test`` without a network, after ``BENCH_LATENCY``.

    The answer still takes one of the downloader's ``CONCURRENT_REQUESTS`` places; of those that
    wait for it, ``BENCH_AT_ONCE`` do so at the same time.
    """

    def __init__(self, latency: float, at_once: int = 0) -> None:
        self.latency = latency
        self.places = asyncio.Semaphore(at_once or 1_000_000)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        if crawler.settings["BENCH_LATENCY"] is None:
            raise NotConfigured
        settings = crawler.settings
        return cls(settings.getfloat("BENCH_LATENCY"), settings.getint("BENCH_AT_ONCE"))

    async def process_request(self, request: Request) -> Response | None:
        parts = urlsplit(request.url)
        if not (parts.hostname or "").startswith("local"):
            return None
        if self.latency:
            async with self.places:
                await asyncio.sleep(self.latency)
        if parts.path.endswith(".png"):
            return Response(request.url, body=_picture(), request=request)
        return HtmlResponse(request.url, body=b"<h1>Local</h1>", request=request)


class Proxies:
    """Sends each request, and each retry, through one of ``BENCH_PROXIES`` at random."""

    def __init__(self, proxies: list[str], seed: int) -> None:
        self.proxies, self.rng = proxies, Random(seed)  # noqa: S311 - not secret

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        proxies = crawler.settings.getlist("BENCH_PROXIES")
        if not proxies:
            raise NotConfigured
        return cls(proxies, crawler.settings.getint("BENCH_SEED"))

    def process_request(self, request: Request) -> None:
        request.meta["proxy"] = self.rng.choice(self.proxies)


@cache
def _picture() -> bytes:
    from PIL import Image  # noqa: PLC0415 - only where images are fetched

    file = BytesIO()
    Image.new("RGB", (40, 30), "teal").save(file, "PNG")
    return file.getvalue()


class Check:
    """A pipeline as most are: it only computes."""

    def process_item(self, item: Any) -> Any:
        if not item:
            raise ValueError("an empty item")
        return item


class Batching:
    """A pipeline that buffers, and writes to ``items.sqlite`` in time for each commit."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        self = cls()
        crawler.signals.connect(self.flush, checkpoint_prepare)
        return self

    def open_spider(self) -> None:
        self.rows: list[tuple[str | None, str]] = []
        self.database = sqlite3.connect("items.sqlite")
        self.database.execute("CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, item)")

    def process_item(self, item: Any) -> Any:
        self.rows.append((item_id(), json.dumps(item)))
        return item

    def flush(self) -> None:
        if self.rows:  # the last commit comes after close_spider()
            with self.database:
                insert = "INSERT OR REPLACE INTO items VALUES (?, ?)"
                self.database.executemany(insert, self.rows)
            self.rows.clear()

    def close_spider(self) -> None:
        self.flush()
        self.database.close()


class Wait:
    """A pipeline that waits ``BENCH_PIPELINE_WAIT`` seconds, as for a database."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler.settings.getfloat("BENCH_PIPELINE_WAIT"))

    async def process_item(self, item: Any) -> Any:
        await asyncio.sleep(self.seconds)
        return item


class FourAtOnce(Wait):
    """The same for a database that has four connections."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.connections = asyncio.Semaphore(4)

    async def process_item(self, item: Any) -> Any:
        async with self.connections:
            return await super().process_item(item)
