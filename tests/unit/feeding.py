"""A feed exporter of a job, up to a moment of a test's choice."""

from __future__ import annotations

import asyncio
import sqlite3
from types import SimpleNamespace

from scrapy import Spider
from scrapy.crawler import Crawler
from scrapy.exporters import CsvItemExporter, JsonLinesItemExporter
from scrapy.utils.defer import deferred_from_coro

from scrapy_resilience.checkpoint.state import StateRegistry
from scrapy_resilience.extensions.feedexport import ResilientFeedExporter
from scrapy_resilience.feeds.cutting import recover
from scrapy_resilience.feeds.records import FeedRecord
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.store import Changes
from scrapy_resilience.jobs.jobmeta import JobMeta
from scrapy_resilience.settings import Config
from scrapy_resilience.waits import Waits


class Framed(JsonLinesItemExporter):
    """Has a head and a foot."""

    def start_exporting(self):
        """Begin."""
        self.file.write(b"<<\n")

    def finish_exporting(self):
        """End."""
        self.file.write(b">>\n")


class Late(CsvItemExporter):
    """Keeps all rows until the end."""

    def __init__(self, file, **kwargs):
        super().__init__(file, **kwargs)
        self.rows = []

    def export_item(self, item):
        """Keep one."""
        self.rows.append(item)

    def finish_exporting(self):
        """Write all."""
        for row in self.rows:
            super().export_item(row)
        super().finish_exporting()


class Exporting:
    """A feed exporter of a job in *folder*, with the records of the run before."""

    full = False
    """Whether the disk of the job takes nothing."""

    def __init__(self, folder, feeds, before=None, **settings):
        crawler = Crawler(Spider, {"FEEDS": feeds, "LOG_ENABLED": False, **settings})
        crawler.spider = self.spider = Spider("feeds")
        self.spider.crawler = crawler
        crawler._apply_settings()
        self.codec = ValueCodec()
        self.stored = before.stored if before else {}
        state = StateRegistry(dict(self.stored), self.codec)
        self.job = SimpleNamespace(
            waits=Waits(),
            state=state,
            feeds=recover(state, folder, clean=False),
            path=folder,
            config=Config(),
            values=self.codec,
            meta=JobMeta(),
            all_done=False,
            had_finished=False,
            incomplete=False,
        )
        self.exporter = ResilientFeedExporter(crawler)
        self.taken = 0
        self.exporter.attach(self.job, self.write, self.took)
        self.exporter.open_spider(self.spider)

    def took(self):
        """Count an item that is in the feeds."""
        self.taken += 1

    def write(self, changes):
        """Take what a commit writes."""
        if self.full:
            raise sqlite3.OperationalError("database or disk is full")
        for name, data in changes.state.items():
            if data is None:
                self.stored.pop(name, None)
            else:
                self.stored[name] = data

    def commit(self):
        """Commit once."""
        changes = Changes()
        self.exporter.contribute(changes)
        self.write(changes)
        self.exporter.written()

    @property
    def records(self):
        """Return what a resume would find."""
        return [FeedRecord(**self.codec.decode(data)) for data in self.stored.values()]

    def scrape(self, *numbers):
        """Put items into the feeds."""
        for number in numbers:
            self.take({"n": number})

    def take(self, item):
        """Put an item into the feeds."""
        self.exporter.take(item)

    def stored_batches(self):
        """Wait until full batches are stored."""
        return deferred_from_coro(self._stored_batches())

    async def _stored_batches(self):
        if tasks := list(self.exporter._pending_close_tasks):
            await asyncio.wait(tasks)

    def close(self, *, all_done=False):
        """Close the spider."""
        self.job.all_done = all_done
        return deferred_from_coro(self.exporter.close_spider(self.spider))

    def kill(self):
        """End as a kill does: locks are gone, what was flushed is there."""
        for task in self.exporter._pending_close_tasks:
            task.cancel()
        for slot in {*self.exporter.slots, *self.exporter._records}:
            if file := slot if hasattr(slot, "close") else slot.file:
                file.close()
