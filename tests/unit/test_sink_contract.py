"""The contract of sinks: the pipelines of the guide keep it, and others are found out."""

from __future__ import annotations

import importlib.util
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from scrapy_resilience import item_id
from scrapy_resilience.testing import SinkContract

SNIPPETS = Path(__file__).parents[2] / "docs" / "snippets"


def of_the_guide(name):
    """A module that the documentation shows."""
    spec = importlib.util.spec_from_file_location(name, SNIPPETS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class _InSQLite(SinkContract):
    file = "items.sqlite"

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

    def stored(self):
        with closing(sqlite3.connect(self.file)) as db:
            return db.execute("SELECT id FROM items").fetchall()


class TestOneRowAtATime(_InSQLite):
    """The pipeline that writes at once."""

    pipeline = of_the_guide("sink").SQLitePipeline


class TestBatches(_InSQLite):
    """The pipeline that collects, and writes for a commit."""

    pipeline = of_the_guide("batching").BatchingPipeline
    file = "batches.sqlite"


ROWS = []


class Appends:
    """Asynchronous, and of Scrapy's older signature; has no key."""

    async def process_item(self, item, spider):
        ROWS.append((item_id(), spider.name))
        return item


class Forgets:
    """Collects, and knows nothing of commits."""

    def open_spider(self):
        self.rows = []

    def process_item(self, item):
        self.rows.append(item)
        return item

    def close_spider(self):
        ROWS.extend(self.rows)


@pytest.mark.parametrize(
    ("cls", "failing"),
    [
        (Appends, "test_an_item_that_comes_again_is_stored_once"),
        (Forgets, "test_a_commit_finds_all_items_in_the_sink"),
    ],
)
def test_a_pipeline_that_breaks_it(cls, failing):
    """The test says which fact does not hold."""
    ROWS.clear()
    contract = type("Contract", (SinkContract,), {"pipeline": cls, "stored": lambda _: ROWS})()

    with pytest.raises(AssertionError):
        getattr(contract, failing)()


def test_the_ids_are_those_of_the_contract():
    """A pipeline sees the ids of the items."""
    ROWS.clear()
    contract = type(
        "Contract", (SinkContract,), {"pipeline": Appends, "stored": lambda _: ROWS}
    )

    contract().test_a_commit_finds_all_items_in_the_sink()

    assert ROWS == [("a:0", "contract"), ("a:1", "contract")]
    assert item_id() is None
