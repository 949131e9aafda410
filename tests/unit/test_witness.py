"""The number beside a store that tells when the store goes back."""

from __future__ import annotations

import pytest

from scrapy_resilience.checkpoint import witness
from scrapy_resilience.checkpoint.layout import META, STORE, WITNESS
from scrapy_resilience.checkpoint.quarantine import open_store
from scrapy_resilience.exceptions import DamagedError
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.sqlite import SQLiteStore
from scrapy_resilience.frontier.store import Changes
from scrapy_resilience.settings import Config


@pytest.fixture
def jobdir(tmp_path):
    """A job that has seen five commits and was closed."""
    store = SQLiteStore(tmp_path / STORE)
    store.commit(Changes(state={META: ValueCodec().encode({"commits": 5})}))
    store.close()
    return tmp_path


@pytest.mark.parametrize("text", ["", "\n", "5", "4\n", "torn", "\xff"])
def test_a_witness_that_is_behind_or_torn(jobdir, text):
    """A kill between a commit and its note, or within the note, is no damage."""
    (jobdir / WITNESS).write_text(text, encoding="latin-1")
    open_store(jobdir, Config()).close()


def test_a_store_that_went_back(jobdir):
    """A store with fewer commits than were noted, and without a log, is damaged."""
    witness.note(jobdir, 7)
    with pytest.raises(DamagedError, match="lacks 2 commits"):
        open_store(jobdir, Config())


def test_a_store_that_was_restored(jobdir):
    """Once the number is forgotten, any store is taken."""
    witness.note(jobdir, 7)
    witness.forget(jobdir)
    witness.forget(jobdir)
    open_store(jobdir, Config()).close()


def test_a_number_is_replaced_in_one_write(tmp_path, monkeypatch):
    """A kill just before the number is written leaves the one before."""
    witness.note(tmp_path, 9)
    with monkeypatch.context() as patch:
        patch.setattr(witness.os, "write", lambda *_: 0)
        witness.note(tmp_path, 10)
    assert witness.witnessed(tmp_path) == 9


def test_a_note_that_can_not_be_written(tmp_path):
    """A full disk does not stop a commit that is durable already."""
    witness.note(tmp_path / "missing", 1)
    assert witness.witnessed(tmp_path / "missing") == 0
