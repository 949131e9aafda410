"""Which feeds hold an item, and in which bytes: all that accept it or none, whole or not."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import pytest_twisted
from engines import engine_of
from feeding import Exporting, Framed, Late
from scrapy import Field, Item, Spider
from scrapy.exceptions import CloseSpider
from scrapy.exporters import BaseItemExporter, CsvItemExporter, JsonLinesItemExporter
from scrapy.extensions.feedexport import ItemFilter
from twisted.internet.defer import succeed

from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience.deadletters import letters_of
from scrapy_resilience.exceptions import ItemRefusedError
from scrapy_resilience.feeds.batches import begun_after, note, was_let_go
from scrapy_resilience.feeds.cutting import ending_of
from scrapy_resilience.feeds.records import FeedRecord
from scrapy_resilience.feeds.slots import _is_lines
from scrapy_resilience.files.layout import BATCHES


class Numbered(JsonLinesItemExporter):
    """Gives each line its number."""

    number = 0

    def serialize_field(self, field, name, value):
        """Count."""
        self.number += 1
        return f"{self.number}: {value}"


class Marked(BaseItemExporter):
    """Derives from nothing of lines, writes a byte order mark and an encoding of its own."""

    def __init__(self, file, **kwargs):
        super().__init__(dont_fail=True, **kwargs)
        file.write("\ufeff".encode("utf-16-le"))
        self.file = file

    def export_item(self, item):
        """Write one."""
        self.file.write(f"{item['n']}\n".encode("utf-16-le"))


class Mixin:
    """Overrides from beside."""

    def start_exporting(self):
        """Begin."""
        self.file.write(b"[[\n")


class Mixed(Mixin, JsonLinesItemExporter):
    """Has nothing of its own."""


class Same(JsonLinesItemExporter):
    """Another name."""


def same(*args, **kwargs):
    """Make one."""
    return Same(*args, **kwargs)


EXPORTERS = [Framed, Late, Numbered, Marked, Mixed, Same, JsonLinesItemExporter]


def exporting(folder, exporter, before=None, **options):
    """Run with one feed of a class of exporters."""
    feeds = {f"{folder}/feed": {"format": "mine", **options}}
    return Exporting(folder, feeds, before, FEED_EXPORTERS={"mine": exporter})


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("exporter", EXPORTERS)
async def test_exporters_of_any_class(tmp_path, exporter):
    """A feed is the same whether its job was killed, stopped, both or neither."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    run = exporting(whole, exporter)
    run.scrape(*range(6))
    await run.close(all_done=True)

    run = exporting(broken, exporter)
    run.scrape(0, 1)
    run.commit()
    run.scrape(2, 3)
    run.kill()
    run = exporting(broken, exporter, run)
    run.scrape(2, 3)
    await run.close()
    run.commit()
    run.kill()
    run = exporting(broken, exporter, run)
    run.scrape(4, 5)
    await run.close(all_done=True)

    assert (broken / "feed").read_bytes() == (whole / "feed").read_bytes()


@pytest.mark.parametrize(
    ("exporter", "lines"),
    [
        (JsonLinesItemExporter, True),
        (CsvItemExporter, True),
        (Same, True),
        (Framed, False),
        (Late, False),
        (Numbered, False),
        (Marked, False),
        (Mixed, False),
        (same, False),
    ],
)
def test_who_writes_lines_and_nothing_else(exporter, lines):
    """Only a class that changes nothing of Scrapy's own ones is cut in place."""
    assert _is_lines(exporter) is lines


@pytest_twisted.ensureDeferred
async def test_lines_of_an_own_exporter_do_not_become_a_spool(tmp_path, caplog):
    """A feed that was lines can't get an exporter that needs all items: refused in words."""
    run = exporting(tmp_path, Same)
    run.scrape(1)
    run.commit()
    run.kill()

    with pytest.raises(CloseSpider):
        exporting(tmp_path, Framed, run)

    assert "give it that format again" in caplog.text


# --- items that are refused ---------------------------------------------------------------

FEEDS = {
    "jsonlines": lambda text: [json.loads(line) for line in text.splitlines()],
    "csv": lambda text: list(csv.DictReader(StringIO(text))),
    "json": lambda text: json.loads(text or "[]"),
    "xml": lambda text: [{"n": part.partition("<")[0]} for part in text.split("<n>")[1:]],
}
REFUSED = {
    "no JSON": {"n": object()},
    "a key": {"n": 1, None: 2},
    "half": {"a": "half a row", "n": 1, "z": object()},
}


def numbers(folder, kind):
    """Read what a feed holds."""
    path = folder / kind
    found = FEEDS[kind](path.read_text()) if path.exists() else []
    return [int(row["n"]) for row in found]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("bad", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("first", [True, False])
async def test_an_item_that_a_feed_refuses_is_in_none(tmp_path, bad, first):
    """Each feed is whole without it, and it does not count as taken."""
    run = Exporting(tmp_path, {f"{tmp_path}/{kind}": {"format": kind} for kind in FEEDS})
    if not first:
        run.scrape(0)
    with pytest.raises(ItemRefusedError, match=f"the feed {tmp_path}/.* can't hold the item: "):
        run.take(bad)
    run.commit()
    run.scrape(1, 2)
    await run.close(all_done=True)

    expected = [1, 2] if first else [0, 1, 2]
    assert {kind: numbers(tmp_path, kind) for kind in FEEDS} == dict.fromkeys(FEEDS, expected)
    assert run.taken == len(expected)


class Picky(JsonLinesItemExporter):
    """Refuses with half a line written, and then never again."""

    calls = 0

    def export_item(self, item):
        """Write in two steps."""
        self.file.write(b"half")
        if item["n"] == "bad":
            raise ValueError("I don't like it")
        self.file.write(b" of %d\n" % item["n"])


@pytest_twisted.ensureDeferred
async def test_half_a_line_is_cut_away(tmp_path):
    """Neither a spooled feed nor another one keeps a part of what an exporter refused."""
    feeds = {f"{tmp_path}/lines": {"format": "jsonlines"}, f"{tmp_path}/own": {"format": "own"}}
    run = Exporting(tmp_path, feeds, FEED_EXPORTERS={"own": Picky})
    run.scrape(1)
    with pytest.raises(ItemRefusedError, match="ValueError: I don't like it"):
        run.take({"n": "bad"})
    run.scrape(2)
    await run.close(all_done=True)

    assert (tmp_path / "own").read_text() == "half of 1\nhalf of 2\n"
    assert (tmp_path / "lines").read_text() == '{"n": 1}\n{"n": 2}\n'


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "ascii"])
async def test_a_first_row_that_is_refused_leaves_the_head(tmp_path, encoding):
    """The byte order mark and the header of a CSV feed are there once."""
    run = Exporting(
        tmp_path,
        {
            f"{tmp_path}/csv": {"format": "csv", "encoding": encoding},
            f"{tmp_path}/jsonl": {"format": "jsonlines"},
        },
    )
    with pytest.raises(ItemRefusedError):
        run.take({"n": object()})
    run.scrape(1)
    with pytest.raises(ItemRefusedError):
        run.take({"n": object()})
    run.scrape(2)
    await run.close(all_done=True)

    assert (tmp_path / "csv").read_bytes() == "n\r\n1\r\n2\r\n".encode(encoding)


class Serialized(Item):
    """Has a field that can't always be written."""

    n = Field(serializer=lambda value: 1 // value)


@pytest_twisted.ensureDeferred
async def test_a_serializer_that_raises(tmp_path):
    """An exception of a field's serializer is a refusal too."""
    run = Exporting(tmp_path, {f"{tmp_path}/{kind}": {"format": kind} for kind in FEEDS})
    run.take(Serialized(n=1))
    with pytest.raises(ItemRefusedError, match="ZeroDivisionError"):
        run.take(Serialized(n=0))
    await run.close(all_done=True)

    assert {kind: numbers(tmp_path, kind) for kind in FEEDS} == {kind: [1] for kind in FEEDS}


@pytest_twisted.ensureDeferred
async def test_a_refusal_does_not_fill_a_batch(tmp_path):
    """A batch has as many items as it is to have, none of which was refused."""
    feeds = {f"{tmp_path}/%(batch_id)d": {"format": "json", "batch_item_count": 2}}
    run = Exporting(tmp_path, feeds)
    run.scrape(1)
    with pytest.raises(ItemRefusedError):
        run.take({"n": object()})
    run.scrape(2, 3)
    await run.close(all_done=True)

    found = [json.loads((tmp_path / name).read_text()) for name in "12"]
    assert [[row["n"] for row in rows] for rows in found] == [[1, 2], [3]]


def test_a_pipe_that_is_closed_takes_no_item_from_a_file(tmp_path, monkeypatch, caplog):
    """What can't be written to a feed that is not covered is still in the others."""

    class Closed:
        def write(self, _):
            raise BrokenPipeError

        def close(self):
            pass

    class Standard:
        buffer = Closed()

    monkeypatch.setattr("sys.stdout", Standard)
    feeds = {"stdout:": {"format": "jsonlines"}, f"{tmp_path}/feed": {"format": "jsonlines"}}
    run = Exporting(tmp_path, feeds)

    run.scrape(1, 2)
    run.kill()

    assert (tmp_path / "feed").read_text() == '{"n": 1}\n{"n": 2}\n'
    assert "An item can't be written to stdout:" in caplog.text


# --- filters ------------------------------------------------------------------------------


class Once(ItemFilter):
    """Accepts a number once."""

    def __init__(self, options):
        super().__init__(options)
        self.seen = set()

    def accepts(self, item):
        """Remember."""
        new = item["n"] not in self.seen
        self.seen.add(item["n"])
        return new


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("kind", FEEDS)
@pytest.mark.parametrize("overwrite", [True, False])
async def test_a_filter_is_asked_once_for_each_item(tmp_path, kind, overwrite):
    """A filter that remembers accepts the first item, over an old file as well."""
    options = {"format": kind, "item_filter": Once, "overwrite": overwrite}
    if overwrite:
        (tmp_path / kind).write_text("old")
    run = Exporting(tmp_path, {f"{tmp_path}/{kind}": options})
    run.commit()
    run.scrape(1, 2, 1, 3)
    await run.close(all_done=True)

    assert numbers(tmp_path, kind) == [1, 2, 3]


@pytest_twisted.ensureDeferred
async def test_a_filter_that_a_function_makes(tmp_path):
    """A factory is as good as a class."""

    def once(options):
        return Once(options)

    options = {"format": "json", "item_filter": once}
    run = Exporting(tmp_path, {f"{tmp_path}/json": options})
    run.scrape(1, 1, 2)
    await run.close(all_done=True)

    assert numbers(tmp_path, "json") == [1, 2]


# --- exporters on trial -------------------------------------------------------------------


class Named(JsonLinesItemExporter):
    """Writes to the path of its file, as exporters do whose library wants one."""

    made = 0
    ended = 0

    def __init__(self, file, **kwargs):
        super().__init__(file, **kwargs)
        type(self).made += 1
        self.path, self.items = file.name, []
        assert file.fileno()

    def export_item(self, item):
        """Keep one."""
        self.items.append(item)

    def finish_exporting(self):
        """Write all."""
        type(self).ended += 1
        with Path(self.path).open("a") as file:
            file.write(json.dumps(self.items))


@pytest_twisted.ensureDeferred
async def test_an_exporter_that_wants_a_path(tmp_path):
    """On trial it has one too; each that was made is brought to its end."""
    run = exporting(tmp_path, Named)
    run.scrape(*range(250))
    await run.close(all_done=True)

    assert [item["n"] for item in json.loads((tmp_path / "feed").read_text())] == [*range(250)]
    assert Named.made == Named.ended


class Later(JsonLinesItemExporter):
    """Takes everything on trial, and not afterwards."""

    def export_item(self, item):
        """Write half, and then see where."""
        self.file.write(b"half")
        if self.file.name.endswith(".part") and item["n"] == 2:
            raise ValueError("not here")
        self.file.write(b" %d\n" % item["n"])


@pytest_twisted.ensureDeferred
async def test_an_item_that_is_refused_after_its_trial(tmp_path, caplog):
    """The feed is whole without it, it is in the log, and it is listed."""
    run = exporting(tmp_path, Later)
    run.scrape(1, 2, 3)
    await run.close(all_done=True)

    assert (tmp_path / "feed").read_bytes() == b"half 1\nhalf 3\n"
    assert "An item can't be written" in caplog.text
    assert letters_of(run.exporter.crawler).count == 1


class Plain(Item):
    """Comes as a dict where nothing may be pickled."""

    n = Field(serializer=str)


class Strict(JsonLinesItemExporter):
    """Takes items of one class."""

    def export_item(self, item):
        """Refuse others."""
        if not isinstance(item, Plain):
            raise TypeError("no dict, please")
        super().export_item(item)


def test_what_is_tried_is_what_is_written(tmp_path):
    """An exporter is tried with the item as it comes back from the spool."""

    class Local(Plain):
        """Can't be found by another process."""

    run = exporting(tmp_path, Strict)
    run.take(Plain(n=1))
    with pytest.raises(ItemRefusedError):
        run.take(Local(n=2))
    run.kill()


# --- behind the pipelines -----------------------------------------------------------------


class Modern:
    """Pipelines as Scrapy has them now."""

    async def process_item_async(self, item):
        """Change it."""
        return {**item, "piped": True}


class Legacy:
    """Pipelines of an ITEM_PROCESSOR that knows Deferreds only."""

    def process_item(self, item, spider):
        """Change it."""
        return succeed({**item, "piped": spider})


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(("pipelines", "mark"), [(Modern(), True), (Legacy(), Spider)])
async def test_feeds_come_behind_all_pipelines(pipelines, mark):
    """The feeds are given what the last pipeline has returned, and may refuse it."""
    taken = []
    engine = engine_of(itemproc=pipelines)
    scraper = engine.scraper
    hooks_of(engine).take = taken.append

    item = await scraper.itemproc.process_item_async({"n": 1})

    assert taken == [item] == [{"n": 1, "piped": taken[0]["piped"]}]
    assert mark is True or isinstance(taken[0]["piped"], mark)
    assert scraper._itemproc_has_async["process_item"]


# --- what a job notes of its batches ------------------------------------------------------


def test_a_note_is_read_after_a_torn_one(tmp_path):
    """What a full disk has torn, and what is of another version, is left out."""
    record = FeedRecord("t", "u", "/f1", 0, False, False, 1)  # noqa: FBT003
    note(tmp_path, record, 5, over=False, sync=True)
    with (tmp_path / BATCHES).open("a") as file:
        file.write('{"commits": 6, "over": false, "record": {"tem')
    later = replace(record, path="/f2")
    note(tmp_path, later, 7, over=False, sync=False)

    assert begun_after(tmp_path, 0) == [record, later]
    assert begun_after(tmp_path, 6) == [later]
    assert not was_let_go(tmp_path, later)
    assert (tmp_path / BATCHES).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("changed", [True, False])
def test_a_batch_that_somebody_has_changed_is_theirs(tmp_path, changed):
    """A full batch comes back as long as it is as the job has left it."""
    feed = tmp_path / "b-1"
    feed.write_bytes(b"1\n")
    record = FeedRecord("t", "u", str(feed), 0, False, False, 1)  # noqa: FBT003
    note(tmp_path, record, 5, over=False, sync=False)
    with feed.open("rb") as file:
        full = replace(record, offset=2, ending=ending_of(file, 2))
    note(tmp_path, full, 6, over=True, sync=False)
    if changed:
        feed.write_bytes(b"2\n")

    assert begun_after(tmp_path, 5) == ([] if changed else [full])
    assert was_let_go(tmp_path, record)


def test_a_note_follows_no_link(tmp_path):
    """Nobody can make a job write elsewhere."""
    (tmp_path / "other").write_text("kept")
    (tmp_path / BATCHES).symlink_to(tmp_path / "other")
    record = FeedRecord("t", "u", "/f", 0, False, False, 1)  # noqa: FBT003

    record = FeedRecord("t", "u", "/f", 0, existed=False, overwrite=False, batch_id=1)

    with pytest.raises(OSError, match=BATCHES):
        note(tmp_path, record, 0, over=False, sync=False)
    assert (tmp_path / "other").read_text() == "kept"
