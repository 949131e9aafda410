"""The note beside a store that tells when the store goes back."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from scrapy_resilience.exceptions import DamagedError
from scrapy_resilience.files.layout import STORE, WATERMARK
from scrapy_resilience.frontier.statements import commits_without_log
from scrapy_resilience.frontier.store import Changes
from scrapy_resilience.jobs import watermark
from scrapy_resilience.jobs.quarantine import open_store
from scrapy_resilience.jobs.watermark import Note, open_current
from scrapy_resilience.settings import Config

HERE, ELSEWHERE = "this-boot", "another-boot"


@pytest.fixture(autouse=True)
def _booted(monkeypatch):
    """Name the boot."""
    monkeypatch.setattr(watermark, "_boot", lambda: HERE)


@pytest.fixture
def jobdir(tmp_path):
    """A job that has seen five commits, the second of which was forced, and was closed."""
    store = open_current(tmp_path)
    for number in range(1, 6):
        store.commit(Changes(state={"a": b"%d" % number}, forced=number == 2))
    store.close()
    return tmp_path


def test_what_is_noted(jobdir):
    """Each commit is noted when it is durable, with the last one that was forced."""
    assert watermark.read(jobdir) == Note(5, 2, 0, HERE)

    store = open_current(jobdir)
    store.commit(Changes())
    store.close()

    assert watermark.read(jobdir) == Note(6, 2, 5, HERE)


def test_a_store_that_forces_all(tmp_path):
    """With safety from power losses each commit is a forced one."""
    store = open_current(tmp_path, power_loss_safe=True)
    store.commit(Changes())
    store.close()

    assert watermark.read(tmp_path) == Note(1, 1, 0, HERE)


@pytest.mark.parametrize("note", [Note(), Note(4, 2, 0, HERE), Note(5, 5, 0, HERE)])
def test_a_note_that_is_behind(jobdir, note):
    """A kill between a commit and its note is not a damage."""
    watermark.write(jobdir, note)
    open_store(jobdir, Config()).close()


@pytest.mark.parametrize("text", ["", "\n", "5", "torn", "\xff", f"{9:020d}\n"])
def test_a_note_that_is_none(jobdir, text, caplog):
    """A kill within the first note is not a damage to the store; it is said."""
    (jobdir / WATERMARK).write_text(text, encoding="latin-1")
    open_store(jobdir, Config()).close()
    assert f"{WATERMARK} is gone or damaged: whether" in caplog.text


def test_each_flipped_bit_of_a_note_is_found(jobdir):
    """Whatever bit is another one, there is no note or the same one."""
    path, noted = jobdir / WATERMARK, watermark.read(jobdir)
    whole = path.read_bytes()
    for place in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert watermark.read(jobdir) in {Note(), noted}


@pytest.mark.parametrize("read_only", [True, False])
def test_a_store_that_went_back(jobdir, read_only):
    """A store with fewer commits than were noted is damaged, and left alone."""
    watermark.write(jobdir, Note(7, 2, 0, HERE))
    before = (jobdir / STORE).read_bytes()

    with pytest.raises(DamagedError, match="lacks 2 commits"):
        open_current(jobdir, read_only=read_only)

    assert (jobdir / STORE).read_bytes() == before


def test_a_power_loss(jobdir, caplog):
    """After a boot, commits that were not forced may be missing: that is said."""
    watermark.write(jobdir, Note(7, 5, 0, ELSEWHERE))

    open_store(jobdir, Config()).close()

    assert "lacks its last 2 commits, as after a power loss" in caplog.text


@pytest.mark.parametrize("boot", ["", ELSEWHERE])
def test_what_a_power_loss_does_not_take(jobdir, boot):
    """A store that lacks a commit that was forced is damaged after any boot."""
    watermark.write(jobdir, Note(7, 6, 0, boot))
    with pytest.raises(DamagedError, match="lacks 2 commits"):
        open_store(jobdir, Config())


def test_a_boot_without_a_name(jobdir, monkeypatch):
    """Where boots have no names, each may have been another one."""
    monkeypatch.setattr(watermark, "_boot", lambda: "")
    watermark.write(jobdir, Note(7, 5, 0, ""))
    open_store(jobdir, Config()).close()


def test_a_store_that_was_put_back_counts_on(jobdir):
    """A commit can be the one after others that the store has not seen."""
    store = open_current(jobdir)
    store.commit(Changes(), after=40)
    assert store.commits() == 41
    store.close()
    assert watermark.read(jobdir).commits == 41


def test_a_note_is_replaced_in_one_write(jobdir, monkeypatch):
    """A kill just before a note is written leaves the one before, whatever their lengths."""
    with monkeypatch.context() as patch:
        patch.setattr(watermark.os, "write", lambda *_: 0)
        watermark.write(jobdir, Note(10, 10, 0, HERE))
    assert watermark.read(jobdir) == Note(5, 2, 0, HERE)

    watermark.write(jobdir, Note(10, 10, 0, ""))
    assert watermark.read(jobdir) == Note(10, 10, 0, "")


def test_a_note_that_can_not_be_written(tmp_path):
    """A full disk does not stop a commit that is durable already."""
    watermark.write(tmp_path / "missing", Note(1, 1, 0, HERE))
    assert watermark.read(tmp_path / "missing") == Note()


def killed(jobdir, *, commits):
    """Leave a log beside the store, as a kill does."""
    store = open_current(jobdir)
    for number in range(commits):
        store.commit(Changes(state={"b": b"%d" % number}))
    kept = {path: path.read_bytes() for path in jobdir.glob(STORE + "*")}
    store.close()
    for path, content in kept.items():
        path.write_bytes(content)


def test_an_older_copy_beneath_a_newer_log(jobdir):
    """A store that is a mixture of two moments is damaged, however sound it looks."""
    older = (jobdir / STORE).read_bytes()
    store = open_current(jobdir)
    store.commit(Changes(state={"c": b"1"}))
    store.close()
    killed(jobdir, commits=2)
    open_current(jobdir, read_only=True).close()

    (jobdir / STORE).write_bytes(older)

    with pytest.raises(DamagedError, match=f"{STORE} is older than its log"):
        open_current(jobdir)


def test_a_log_that_was_folded_in(jobdir):
    """A store into which somebody has folded its log is not an older one."""
    killed(jobdir, commits=3)
    with closing(sqlite3.connect(jobdir / STORE)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    open_current(jobdir).close()


def test_what_a_log_makes_of_a_torn_file(jobdir):
    """A page that only the log has whole says nothing of the file's age."""
    killed(jobdir, commits=3)
    with (jobdir / STORE).open("r+b") as file:
        file.write(bytes(8192))
    assert commits_without_log(jobdir / STORE) == 0
