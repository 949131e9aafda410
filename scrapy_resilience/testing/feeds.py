"""What an exporter or a storage of your own must do, so that its feeds survive kill -9."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlparse

from scrapy import Spider
from scrapy.crawler import Crawler
from scrapy.extensions.feedexport import FeedExporter

from scrapy_resilience._scrapy.running_command import apply_settings
from scrapy_resilience.checkpoint.state import StateRegistry
from scrapy_resilience.extensions.feedexport import ResilientFeedExporter
from scrapy_resilience.feeds.cutting import recover
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.store import Changes
from scrapy_resilience.jobs.jobmeta import JobMeta
from scrapy_resilience.names import STORAGE_REPLACES
from scrapy_resilience.settings import Config
from scrapy_resilience.waits import Waits

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping

__all__ = ["check_exporter", "check_storage"]

_PLACES: Final = 10
"""Items behind which a job is interrupted, at the most."""
_ITEMS: Final = ({"n": 1}, {"n": 2}, {"n": 3})
_QUIET: Final = {
    "LOG_ENABLED": False,
    "TWISTED_REACTOR_ENABLED": False,
    "EXTENSIONS_BASE": {},
}


def check_exporter(
    exporter: type,
    items: Iterable[Any],
    *,
    options: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Check that the feeds of an exporter are the same whatever is killed.

    *items* are written as Scrapy alone writes them, and as a job does that is killed and
    resumed behind each of them, or stopped. *options* are those of the feed in ``FEEDS``.
    Raises :exc:`AssertionError`, which says what is different.

    Items must be of classes that can be imported, and two at least.
    """
    written = list(items)
    if len(written) < 2:  # noqa: PLR2004
        raise ValueError("give two items at least: a job is interrupted between them")
    project = {**(settings or {}), "FEED_EXPORTERS": {"checked": exporter}}
    _run(_check_exporter(written, {**(options or {}), "format": "checked"}, project))


def check_storage(
    storage: type,
    uri: str,
    read: Callable[[], bytes | None],
    *,
    away: Callable[[], AbstractContextManager[Any]] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Check that a storage stores what it is given, and says so when it can't.

    *uri* is a place that holds nothing yet, and *read* gives what is stored there. While a
    context that *away* gives lasts, storing has to fail, with an exception. A class with
    ``resilience_replaces = True`` gets a feed twice, as from a job that is stopped and
    resumed, and must then hold it once.
    Raises :exc:`AssertionError`, which says what is wrong.
    """
    project = {**(settings or {}), "FEED_STORAGES": {urlparse(uri).scheme: storage}}
    _run(_check_storage(uri, read, away, project))


async def _check_exporter(
    items: list[Any], options: dict[str, Any], settings: dict[str, Any]
) -> None:
    with TemporaryDirectory() as folder:
        feeds = _Feeds(Path(folder), options, settings)
        whole = await feeds.stock(items)
        again = await feeds.stock(items)
        _same(again, whole, "differs each time that the same items are written")
        _same(await feeds.once(items), whole, "is not what Scrapy writes without a job")
        step = max(len(items) // _PLACES, 1)
        for place in range(1, len(items), step):
            killed = await feeds.killed(items, place)
            _same(killed, whole, f"differs after a kill behind item {place}")
            stopped = await feeds.stopped(items, place)
            _same(stopped, whole, f"differs after a stop behind item {place}")


async def _check_storage(
    uri: str,
    read: Callable[[], bytes | None],
    away: Callable[[], AbstractContextManager[Any]] | None,
    settings: dict[str, Any],
) -> None:
    with TemporaryDirectory() as folder:
        project = {**settings, "FEEDS": {uri: {"format": "jsonlines"}}}
        run = _Job(Path(folder), project)
        run.take(_ITEMS[:2])
        replaces = any(slot.replaces for slot in run.slots)
        if away is not None:
            with away():
                await run.close(all_done=True)
            assert run.job.incomplete, "the storage was away, and store() has not raised"
            run = run.resumed()
        elif replaces:
            await run.close(all_done=False)
            _same(read(), b'{"n": 1}\n{"n": 2}\n', "is not what the storage was given")
            run = run.resumed()
        run.take(_ITEMS[2:])
        await run.close(all_done=True)
        assert not run.job.incomplete, "store() has raised: the log says what"
        problem = (
            f"is there twice, or in part, though {STORAGE_REPLACES} is True"
            if replaces
            else "is not what the storage was given"
        )
        _same(read(), b'{"n": 1}\n{"n": 2}\n{"n": 3}\n', problem)


def _same(found: bytes | None, expected: bytes, problem: str) -> None:
    assert found == expected, f"the feed {problem}: {found!r}, not {expected!r}"


class _Feeds:
    """Makes one feed of some items, with this or that in between."""

    def __init__(self, folder: Path, options: dict[str, Any], settings: dict[str, Any]) -> None:
        self._folder = folder
        self._options = options
        self._settings = settings
        self._made = 0

    def _project(self) -> tuple[Path, Path, dict[str, Any]]:
        """A new JOBDIR, a feed that is not there yet, and settings."""
        self._made += 1
        job = self._folder / f"job{self._made}"
        job.mkdir()
        feed = self._folder / f"feed{self._made}"
        return job, feed, {**self._settings, "FEEDS": {str(feed): self._options}}

    async def stock(self, items: list[Any]) -> bytes:
        _, feed, settings = self._project()
        crawler = _crawler(settings)
        exporter = FeedExporter(crawler)
        assert crawler.spider is not None
        exporter.open_spider(crawler.spider)
        for item in items:
            exporter.item_scraped(item, crawler.spider)
        await exporter.close_spider(crawler.spider)
        return feed.read_bytes()

    async def once(self, items: list[Any]) -> bytes:
        job, feed, settings = self._project()
        run = _Job(job, settings)
        run.take(items)
        await run.close(all_done=True)
        return feed.read_bytes()

    async def killed(self, items: list[Any], place: int) -> bytes:
        job, feed, settings = self._project()
        run = _Job(job, settings)
        run.take(items[:place])
        run.commit()
        run.take(items[place : place + 1])
        run = run.resumed()
        run.take(items[place:])
        await run.close(all_done=True)
        return feed.read_bytes()

    async def stopped(self, items: list[Any], place: int) -> bytes:
        job, feed, settings = self._project()
        run = _Job(job, settings)
        run.take(items[:place])
        await run.close(all_done=False)
        run = run.resumed()
        run.take(items[place:])
        await run.close(all_done=True)
        return feed.read_bytes()


class _Job:
    """The feeds of a job, without the rest of it."""

    def __init__(
        self, folder: Path, settings: dict[str, Any], stored: dict[str, bytes] | None = None
    ) -> None:
        self._folder, self._settings = folder, settings
        self._stored = {} if stored is None else stored
        codec = ValueCodec()
        state = StateRegistry(dict(self._stored), codec)
        self.job: Any = SimpleNamespace(
            waits=Waits(),
            state=state,
            feeds=recover(state, folder, clean=False),
            path=folder,
            config=Config(),
            values=codec,
            meta=JobMeta(),
            all_done=False,
            had_finished=False,
            incomplete=False,
        )
        crawler = _crawler(settings)
        assert crawler.spider is not None
        self._spider = crawler.spider
        self._exporter = ResilientFeedExporter(crawler)
        self._exporter.attach(cast("Any", self.job), self._write, lambda: None)
        self._exporter.open_spider(self._spider)

    @property
    def slots(self) -> list[Any]:
        return list(self._exporter.slots)

    def _write(self, changes: Changes) -> None:
        for name, data in changes.state.items():
            if data is None:
                self._stored.pop(name, None)
            else:
                self._stored[name] = data

    def take(self, items: Iterable[Any]) -> None:
        for item in items:
            self._exporter.take(item)

    def commit(self) -> None:
        changes = Changes()
        self._exporter.contribute(changes)
        self._write(changes)
        self._exporter.written()

    async def close(self, *, all_done: bool) -> None:
        self.commit()
        self.job.all_done = all_done
        await self._exporter.close_spider(self._spider)
        self.commit()

    def resumed(self) -> _Job:
        """What the next run has, after the end or the kill of this one."""
        for slot in self.slots:
            close = getattr(slot, "close", None) or slot.file.close
            close()
        return _Job(self._folder, self._settings, self._stored)


def _crawler(settings: dict[str, Any]) -> Crawler:
    crawler = Crawler(Spider, {**_QUIET, **settings})
    crawler.spider = Spider("checked")
    crawler.spider.crawler = crawler
    apply_settings(crawler)
    return crawler


def _run(checks: Coroutine[Any, Any, None]) -> None:
    """In a thread of its own: an event loop, or a reactor, may be there already."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(checks)
        except BaseException as error:  # noqa: BLE001 - raised by the caller
            failed.append(error)

    with _without_reactor():
        thread = Thread(target=run)
        thread.start()
        thread.join()
    if failed:
        raise failed[0]


@contextmanager
def _without_reactor() -> Iterator[None]:
    """A reactor that is installed and does not run would never call back."""
    name = "twisted.internet.reactor"
    reactor = sys.modules.pop(name, None)
    try:
        yield
    finally:
        if reactor is not None:
            sys.modules[name] = reactor
