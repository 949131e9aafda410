"""Feeds in trouble: what a commit, a batch or a storage that fails may not cost."""

from __future__ import annotations

import asyncio
import re
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import pytest_twisted
from scrapy import Spider
from scrapy.crawler import Crawler
from scrapy.exceptions import CloseSpider
from scrapy.extensions.feedexport import FileFeedStorage
from scrapy.utils.defer import deferred_from_coro

from scrapy_resilience.checkpoint.feeds import FeedRecord, recover
from scrapy_resilience.checkpoint.state import StateRegistry
from scrapy_resilience.checkpoint.waits import Waits
from scrapy_resilience.exceptions import StorageError
from scrapy_resilience.extensions.feedexport import ResilientFeedExporter
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.store import Changes
from scrapy_resilience.settings import Config


class Exporting:
    """A feed exporter of a job in *folder*, with the records of the run before."""

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
            all_done=False,
            incomplete=False,
        )
        self.exporter = ResilientFeedExporter(crawler)
        self.exporter.attach(self.job, self.write, lambda: None)
        self.exporter.open_spider(self.spider)

    def write(self, changes):
        """Take what a commit writes."""
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
        self.exporter.committed()

    @property
    def records(self):
        """Return what a resume would find."""
        return [FeedRecord(**self.codec.decode(data)) for data in self.stored.values()]

    def scrape(self, *numbers):
        """Put items into the feeds."""
        for number in numbers:
            self.exporter.item_scraped({"n": number}, self.spider)

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
        for slot in {*self.exporter.slots, *self.exporter._records}:
            if file := slot if hasattr(slot, "close") else slot.file:
                file.close()


def disk_is_full(*_):
    """Fail as a full disk does."""
    raise OSError("full")


@pytest_twisted.ensureDeferred
async def test_a_commit_that_fails_forgets_no_full_batch(tmp_path, monkeypatch):
    """The record of a stored batch goes with its spool, also when a commit failed between."""
    feeds = {
        f"{tmp_path}/b-%(batch_id)d.json": {"format": "json", "batch_item_count": 1},
        f"{tmp_path}/lines": {"format": "jsonlines"},
    }
    run = Exporting(tmp_path, feeds)
    run.scrape(1)
    run.commit()
    await run.stored_batches()
    lines = run.exporter.slots[1].file
    with monkeypatch.context() as patch:
        patch.setattr(lines, "settle", disk_is_full)
        with pytest.raises(OSError, match="full"):
            run.commit()

    run.commit()

    assert all((tmp_path / each.path).exists() for each in run.records)
    run.kill()


@pytest.mark.parametrize("kind", ["jsonlines", "json"])
def test_a_folder_is_no_feed(tmp_path, kind, caplog):
    """A feed whose name is that of a folder ends the crawl before it loses all items."""
    (tmp_path / "feed").mkdir()

    with pytest.raises(CloseSpider):
        Exporting(tmp_path, {str(tmp_path / "feed"): {"format": kind}})

    assert "can't be opened: [Errno 21] Is a directory" in caplog.text


def batches(folder, kind):
    """Batches of two, each in a folder of its own, in which the first one is written."""
    feeds = {f"{folder}/%(batch_id)d/feed": {"format": kind, "batch_item_count": 2}}
    return Exporting(folder, feeds)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("kind", ["jsonlines", "csv", "json"])
async def test_batches_that_can_not_be_opened_yet(tmp_path, kind):
    """No commit is made without their items, which are all there once they can be opened."""
    run = batches(tmp_path, kind)
    (tmp_path / "2").write_text("in the way")
    run.scrape(*range(1, 4))
    run.scrape(4, 5)  # the second batch is full, and the third one opens
    with pytest.raises(OSError, match=re.escape(f"'{tmp_path}/2")):
        run.commit()

    (tmp_path / "2").unlink()
    run.commit()
    run.scrape(6, 7)
    await run.close(all_done=True)

    found = [(tmp_path / str(n) / "feed").read_text() for n in range(1, 5)]
    numbers = [[int(n) for n in re.findall(r"\d", text)] for text in found]
    assert numbers == [[1, 2], [3, 4], [5, 6], [7]]
    run.kill()


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("kind", ["jsonlines", "json"])
async def test_a_batch_that_can_never_be_opened(tmp_path, kind):
    """After the close nothing is committed as written, and the next run goes on before it."""
    run = batches(tmp_path, kind)
    (tmp_path / "2").write_text("in the way")
    run.scrape(1)
    run.commit()
    run.scrape(2, 3)
    with pytest.raises(OSError, match="/2"):
        run.commit()
    await run.close()

    (tmp_path / "2").unlink()
    with pytest.raises(StorageError, match="can't be opened"):
        run.commit()

    run.kill()
    second = Exporting(tmp_path, run.exporter.settings["FEEDS"], run)
    second.scrape(2, 3)
    await second.close(all_done=True)
    found = [(tmp_path / str(n) / "feed").read_text() for n in (1, 2)]
    assert [re.findall(r"\d", text) for text in found] == [["1", "2"], ["3"]]
    second.kill()


def test_a_batch_that_another_job_has(tmp_path, monkeypatch):
    """A batch that is locked by the time it can be opened closes the crawl."""
    run = batches(tmp_path, "jsonlines")
    (tmp_path / "2").write_text("in the way")
    run.scrape(1, 2, 3)
    (tmp_path / "2").unlink()
    monkeypatch.setattr("scrapy_resilience.checkpoint.feeds.lock_fd", lambda _: False)

    with pytest.raises(StorageError, match="another job writes to"):
        run.commit()
    run.kill()


class Full:
    """A file of which the disk takes some writes only."""

    def __init__(self, file):
        self._file = file

    def write(self, data):
        """Fail for what holds a 2."""
        if b"2" in data:
            raise OSError("full")
        return self._file.write(data)

    def __getattr__(self, name):
        return getattr(self._file, name)


@pytest_twisted.ensureDeferred
async def test_a_disk_that_is_full_while_a_feed_is_produced(tmp_path, monkeypatch):
    """A feed is not stored without the items for which there was no room."""
    run = Exporting(tmp_path, {f"{tmp_path}/feed.json": {"format": "json"}})
    run.scrape(1, 2, 3)
    opened = FileFeedStorage.open
    with monkeypatch.context() as patch:
        patch.setattr(FileFeedStorage, "open", lambda *args: Full(opened(*args)))
        await run.close(all_done=True)

    assert run.job.incomplete
    assert not (tmp_path / "feed.json").exists()
    run.kill()


@pytest_twisted.ensureDeferred
async def test_a_spool_that_can_not_be_read(tmp_path, monkeypatch):
    """A feed is not stored without the items that this run can't read back."""
    run = Exporting(tmp_path, {f"{tmp_path}/feed.json": {"format": "json"}})
    run.scrape(1, 2)
    monkeypatch.setattr(ValueCodec, "decode", disk_is_full)
    await run.close(all_done=True)

    assert run.job.incomplete
    assert not (tmp_path / "feed.json").exists()
    run.kill()


@pytest_twisted.ensureDeferred
async def test_a_feed_that_becomes_lines(tmp_path):
    """A feed whose items wait in a spool is produced from it in the format of today."""
    feed = tmp_path / "feed"
    first = Exporting(tmp_path, {str(feed): {"format": "json"}})
    first.scrape(1)
    first.commit()
    first.kill()

    second = Exporting(tmp_path, {str(feed): {"format": "jsonlines"}}, first)
    second.scrape(2)
    await second.close(all_done=True)

    assert feed.read_bytes() == b'{"n": 1}\n{"n": 2}\n'


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("kind", ["json", "jsonlines"])
@pytest.mark.parametrize("key", [Path, str])
@pytest.mark.parametrize("name", ["feed", "deep/feed %(name)s", "s:feed"])
async def test_a_resume_in_another_folder(tmp_path, monkeypatch, kind, key, name):
    """A feed with a relative path goes on where the first run wrote it."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    feeds = {key(name): {"format": kind}}
    monkeypatch.chdir(tmp_path / "one")
    first = Exporting(tmp_path, feeds)
    first.scrape(1)
    first.commit()
    first.kill()

    monkeypatch.chdir(tmp_path / "two")
    second = Exporting(tmp_path, feeds, first)
    second.scrape(2)
    await second.close(all_done=True)

    text = (tmp_path / "one" / name.replace("%(name)s", "feeds")).read_text()
    assert (text.count('{"n": 1}'), text.count('{"n": 2}')) == (1, 1)
    assert list((tmp_path / "two").iterdir()) == []


@pytest.mark.parametrize("changed", ["json", "csv"])
def test_lines_do_not_become_another_feed(tmp_path, changed):
    """Lines of the last run are neither overwritten nor continued in another format."""
    feed = tmp_path / "feed"
    first = Exporting(tmp_path, {str(feed): {"format": "jsonlines", "overwrite": True}})
    first.scrape(1)
    first.commit()
    first.kill()

    with pytest.raises(CloseSpider):
        Exporting(tmp_path, {str(feed): {"format": changed, "overwrite": True}}, first)
    assert feed.read_bytes() == b'{"n": 1}\n'


def test_lines_by_another_name(tmp_path):
    """``jsonl`` is what ``jsonlines`` is."""
    feed = tmp_path / "feed"
    first = Exporting(tmp_path, {str(feed): {"format": "jsonlines"}})
    first.scrape(1)
    first.commit()
    first.kill()

    second = Exporting(tmp_path, {str(feed): {"format": "jsonl"}}, first)
    second.scrape(2)
    second.commit()
    second.kill()

    assert feed.read_bytes() == b'{"n": 1}\n{"n": 2}\n'


def test_columns_that_change(tmp_path, caplog):
    """A CSV file has one header: the columns of its first run stay, and a warning says so."""
    feed = tmp_path / "feed"
    first = Exporting(tmp_path, {str(feed): {"format": "csv", "fields": ["n", "m"]}})
    first.scrape(1)
    first.commit()
    first.kill()

    changed = {str(feed): {"format": "csv", "fields": ["m", "n"]}}
    second = Exporting(tmp_path, changed, first)
    second.scrape(2)
    second.commit()
    second.kill()

    assert feed.read_text().split() == ["n,m", "1,", "2,"]
    assert "keeps the columns of its first run: n, m" in caplog.text


def test_what_overwrite_was_when_the_feed_was_opened(tmp_path):
    """Items that no commit has seen do not stay when the second run is told to append."""
    feed = tmp_path / "feed"
    feed.write_bytes(b"old\n")
    first = Exporting(tmp_path, {str(feed): {"format": "jsonlines", "overwrite": True}})
    first.scrape(1)
    first.kill()

    second = Exporting(tmp_path, {str(feed): {"format": "jsonlines"}}, first)
    second.scrape(1)
    second.kill()

    assert feed.read_bytes() == b'{"n": 1}\n'


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("name", ["feed", "link"])
async def test_a_produced_file_stays_what_it_was(tmp_path, name):
    """A file that is produced anew keeps its mode, and what a link points to is replaced."""
    feed = tmp_path / "feed"
    feed.write_bytes(b"")
    feed.chmod(0o600)
    (tmp_path / "link").symlink_to(feed)
    run = Exporting(tmp_path, {str(tmp_path / name): {"format": "json", "overwrite": True}})
    run.scrape(1)
    await run.close(all_done=True)

    assert feed.read_bytes() == b'[\n{"n": 1}\n]'
    assert feed.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "link").is_symlink()


class Appending:
    """A storage that has a feed twice when it is stored twice."""

    stored: ClassVar = []

    def __init__(self, uri, *, feed_options=None):
        pass

    def open(self, spider):
        """Return a file in memory."""
        return BytesIO()

    def store(self, file):
        """Add the feed."""
        self.stored.append(file.getvalue())


@pytest_twisted.ensureDeferred
async def test_a_batch_that_may_be_stored_once_waits_for_its_commit(tmp_path, monkeypatch):
    """A storage that may append gets a batch when no kill can make its items again."""
    monkeypatch.setattr(Appending, "stored", [])
    feeds = {"mine://%(batch_id)d": {"format": "jsonlines", "batch_item_count": 1}}
    run = Exporting(tmp_path, feeds, FEED_STORAGES={"mine": Appending})
    run.scrape(1)
    await run.stored_batches()
    before = list(Appending.stored)

    run.commit()
    await run.stored_batches()

    assert (before, Appending.stored) == ([], [b'{"n": 1}\n'])
    run.kill()
