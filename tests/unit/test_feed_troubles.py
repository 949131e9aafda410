"""Feeds in trouble: what a commit, a batch or a storage that fails may not cost."""

from __future__ import annotations

import os
import re
import sqlite3
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import pytest
import pytest_twisted
from feeding import Exporting
from scrapy.exceptions import CloseSpider
from scrapy.extensions.feedexport import FileFeedStorage

from scrapy_resilience.exceptions import CheckpointError, StorageError
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.store import Changes


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

    assert "can't be opened: IsADirectoryError: [Errno 21] Is a directory" in caplog.text


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
    monkeypatch.setattr("scrapy_resilience.feeds.cutting.lock_fd", lambda _: False)

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


def numbers_in(folder):
    """Read the numbers of all feeds in a folder, in the order of their batches."""
    paths = sorted(path for path in folder.glob("b-*") if path.suffix != ".part")
    return [int(n) for path in paths for n in re.findall(r"\b1\d\b", path.read_text())]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("name", ["b-%(batch_id)d", "b-%(batch_id)d-%(batch_time)s"])
@pytest.mark.parametrize("kind", ["jsonlines", "csv", "json", "xml"])
@pytest.mark.parametrize("comes_back", [True, False])
async def test_batches_that_no_record_tells_of_wait(tmp_path, kind, name, comes_back):
    """No byte of a batch is written while the disk of the job, which must know it, is full."""
    out, job = tmp_path / "out", tmp_path / "job"
    out.mkdir()
    job.mkdir()
    options = {"format": kind, "batch_item_count": 2, "item_export_kwargs": {}}
    if kind == "csv":
        options["item_export_kwargs"]["include_headers_line"] = False
        options["fields"] = ["n"]
    run = Exporting(job, {f"{out}/{name}": options})
    run.scrape(10)
    run.commit()
    run.full = True
    run.scrape(11, 12, 13, 14)
    with pytest.raises((sqlite3.Error, OSError)):
        run.commit()
    assert len(list(out.glob("b-*"))) <= 1
    if comes_back:
        run.full = False
        run.commit()
        run.scrape(15)
        await run.close(all_done=True)
    run.kill()
    if not comes_back:
        second = Exporting(job, run.exporter.settings["FEEDS"], run)
        second.scrape(*range(11, 16))
        await second.close(all_done=True)
        second.kill()

    assert numbers_in(out) == [10, 11, 12, 13, 14, 15]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("written", ["before", "after"])
async def test_a_batch_that_was_stored_is_not_stored_again(tmp_path, monkeypatch, written):
    """A kill soon after the storage has confirmed does not send the batch a second time."""
    monkeypatch.setattr(Appending, "stored", [])
    feeds = {"mine://%(batch_id)d": {"format": "jsonlines", "batch_item_count": 1}}
    run = Exporting(tmp_path, feeds, FEED_STORAGES={"mine": Appending})
    run.scrape(1)
    run.commit()
    late = Changes()
    run.exporter.contribute(late)
    await run.stored_batches()
    if written == "after":  # a commit that was sealed before
        run.write(late)
        run.exporter.written()
    run.kill()

    second = Exporting(tmp_path, feeds, run, FEED_STORAGES={"mine": Appending})
    second.scrape(2)
    await second.stored_batches()
    second.commit()
    await second.close(all_done=True)

    assert Appending.stored == [b'{"n": 1}\n', b'{"n": 2}\n']


@pytest.mark.parametrize("other", ["fifo", "folder", "device", "link", "nowhere"])
@pytest.mark.parametrize("kind", ["jsonlines", "json", "spool"])
def test_what_has_taken_the_place_of_a_feed(tmp_path, caplog, kind, other):
    """It is refused in words, and nobody waits for the other end of a pipe."""
    feed = tmp_path / "feed"
    feeds = {str(feed): {"format": kind.replace("spool", "json")}}
    run = Exporting(tmp_path, feeds)
    run.scrape(1)
    run.commit()
    if kind == "spool":
        (feed,) = (tmp_path / "spool").iterdir()
    was = feed.read_bytes() if feed.exists() else b"[1]"
    feed.unlink(missing_ok=True)
    replace_by(feed, other, was)
    if kind != "json" and other in {"fifo", "folder", "device"}:
        with pytest.raises(OSError, match="it is not a file"):
            run.commit()
    run.kill()

    if kind == "json" and other in {"link", "nowhere"}:
        Exporting(tmp_path, feeds, run).kill()  # what it leads to is replaced
        return
    with pytest.raises((CheckpointError, CloseSpider)) as caught:
        Exporting(tmp_path, feeds, run)
    assert re.search("feed|spool", f"{caught.value}{caplog.text}")


def replace_by(path, other, content):
    """Put something else there."""
    if other == "fifo":
        os.mkfifo(path)
    elif other == "folder":
        path.mkdir()
    elif other == "device":
        path.symlink_to("/dev/null")
    else:
        target = path.with_name("elsewhere")
        if other == "link":
            target.write_bytes(content)
        path.symlink_to(target)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("kind", ["jsonlines", "csv", "json", "xml"])
@pytest.mark.parametrize("stops", [False, True])
async def test_a_batch_without_items_leaves_no_folder(tmp_path, kind, stops):
    """Batches in folders of their own: the last one, which is empty, has none, as in Scrapy."""
    feeds = {f"{tmp_path}/b/%(batch_id)d/x/feed": {"format": kind, "batch_item_count": 1}}
    (tmp_path / "b").mkdir()
    run = Exporting(tmp_path, feeds)
    run.scrape(1)
    run.commit()
    if stops:
        await run.close()
        run.commit()
        run.kill()
        run = Exporting(tmp_path, feeds, run)
    await run.close(all_done=True)

    assert [path.name for path in (tmp_path / "b").iterdir()] == ["1"]
    run.kill()


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("kind", ["jsonlines", "csv", "json"])
@pytest.mark.parametrize("relative", [True, False])
async def test_a_folder_whose_name_is_no_text(tmp_path, monkeypatch, kind, relative):
    """Any name that the system allows is one for a feed, before and after a kill."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("a file system of text")
    monkeypatch.chdir(folder)
    feeds = {"feed" if relative else f"{folder}/feed": {"format": kind}}
    run = Exporting(tmp_path, feeds)
    run.scrape(11)
    run.commit()
    run.scrape(12)
    run.kill()
    run = Exporting(tmp_path, feeds, run)
    run.scrape(13)
    await run.close(all_done=True)
    run.commit()

    assert re.findall(r"1\d", (folder / "feed").read_text()) == ["11", "13"]
    run.kill()
