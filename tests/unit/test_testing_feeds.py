"""The contract of a user's exporters and storages: kept by good ones, and it finds bad ones."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from io import BytesIO

import pytest
from feeding import Framed, Late
from scrapy.exporters import (
    CsvItemExporter,
    JsonItemExporter,
    JsonLinesItemExporter,
    PickleItemExporter,
    XmlItemExporter,
)
from scrapy.extensions.feedexport import BlockingFeedStorage

from scrapy_resilience.testing import check_exporter, check_storage

ITEMS = [{"n": n, "name": f"ï{n}"} for n in range(5)]


@pytest.mark.parametrize(
    "exporter",
    [
        JsonLinesItemExporter,
        CsvItemExporter,
        JsonItemExporter,
        XmlItemExporter,
        PickleItemExporter,
        Framed,
        Late,
    ],
)
def test_good_exporters(exporter):
    """Scrapy's own exporters keep the contract, and those with a head or a buffer do."""
    check_exporter(exporter, ITEMS)


def test_feeds_with_options():
    """Options are those of FEEDS."""
    options = {"encoding": "utf-8-sig", "fields": ["name"], "batch_item_count": 0}
    check_exporter(CsvItemExporter, ITEMS, options=options)


class Counted(JsonLinesItemExporter):
    """Counts the items of all feeds there ever were."""

    numbers = itertools.count()

    def export_item(self, item):
        """Write one with its number."""
        super().export_item({**item, "number": next(self.numbers)})


class Shared(Late):
    """Keeps its rows in one place for all feeds."""

    shared = []  # noqa: RUF012 - the mistake

    def __init__(self, file, **kwargs):
        super().__init__(file, **kwargs)
        self.rows = self.shared


class ByIdentity(JsonLinesItemExporter):
    """Knows items by where they are in memory."""

    def export_item(self, item):
        """Write an item of this process."""
        super().export_item({**item, "known": any(item is each for each in ITEMS)})


@pytest.mark.parametrize(
    ("exporter", "problem"),
    [
        (Counted, "differs each time"),
        (Shared, "differs each time"),
        (ByIdentity, "is not what Scrapy writes without a job"),
    ],
)
def test_bad_exporters(exporter, problem):
    """An exporter whose feed depends on more than its items is found out."""
    with pytest.raises(AssertionError, match=problem):
        check_exporter(exporter, ITEMS)


def test_two_items_at_least():
    """With one item there is no place for a kill."""
    with pytest.raises(ValueError, match="two items at least"):
        check_exporter(Framed, ITEMS[:1])


# --- storages -----------------------------------------------------------------------------


class Place:
    """Where the storages of a test store."""

    content = None
    away = False

    def read(self):
        """Return what is stored."""
        return self.content

    @contextmanager
    def gone(self):
        """Be away."""
        self.away = True
        yield
        self.away = False


@pytest.fixture
def place(monkeypatch):
    """A place that holds nothing."""
    place = Place()
    monkeypatch.setattr(Storage, "place", place)
    return place


class Storage:
    """Replaces what it has stored, and says so."""

    place = Place()
    resilience_replaces = True

    def __init__(self, uri, *, feed_options=None):
        pass

    def open(self, spider):
        """Return a file in memory."""
        return BytesIO()

    def store(self, file):
        """Store it."""
        if self.place.away:
            raise OSError("away")
        self.place.content = file.getvalue()


class Appending(Storage):
    """Adds to what it has stored."""

    resilience_replaces = False

    def store(self, file):
        """Add it."""
        before, self.place.content = self.place.content or b"", None
        super().store(file)
        self.place.content = before + self.place.content


class Blocking(BlockingFeedStorage):
    """Stores in a thread."""

    resilience_replaces = True

    def __init__(self, uri, *, feed_options=None):
        pass

    def _store_in_thread(self, file):
        file.seek(0)
        with file:
            Storage("").store(BytesIO(file.read()))


@pytest.mark.parametrize("storage", [Storage, Appending, Blocking])
@pytest.mark.parametrize("away", [True, False])
def test_good_storages(place, storage, away):
    """They store a feed, and raise when they can't."""
    check_storage(storage, "mine://x", place.read, away=place.gone if away else None)


class Silent(Storage):
    """Says nothing when it fails."""

    def store(self, file):
        """Store it, perhaps."""
        if not self.place.away:
            super().store(file)


class Liar(Appending):
    """Adds, and says that it replaces."""

    resilience_replaces = True


class Torn(Storage):
    """Stores a part."""

    def store(self, file):
        """Store some."""
        self.place.content = file.getvalue()[:5]


class Raising(Storage):
    """Never stores."""

    def store(self, file):
        """Fail."""
        raise OSError("never")


@pytest.mark.parametrize(
    ("storage", "away", "problem"),
    [
        (Silent, True, "store\\(\\) has not raised"),
        (Liar, False, "is there twice, or in part, though resilience_replaces is True"),
        (Torn, False, "is not what the storage was given"),
        (Raising, False, "is not what the storage was given|has raised"),
    ],
)
def test_bad_storages(place, storage, away, problem):
    """What a storage does wrong is said."""
    with pytest.raises(AssertionError, match=problem):
        check_storage(storage, "mine://x", place.read, away=place.gone if away else None)
