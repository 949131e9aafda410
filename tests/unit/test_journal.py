"""The journal: what is read is what was committed, whatever has become of the file."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from types import SimpleNamespace

import msgspec
import pytest
import pytest_twisted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from journals import JOB, Notes, Run
from scrapy.utils.defer import deferred_from_coro

from scrapy_resilience.core.frames import frame
from scrapy_resilience.files.layout import JOURNAL
from scrapy_resilience.observe.record import journal as journal_module
from scrapy_resilience.observe.record import journalfile
from scrapy_resilience.observe.record.journal import (
    ROOM,
    Journal,
    journal_of_job,
    newest,
    stored_journal,
)
from scrapy_resilience.observe.record.journalfile import Batch, JournalFile

any_folder = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def stored(folder, commits=100, job=JOB):
    """The notes of a job up to a commit, as a command reads them."""
    return Notes(stored_journal(folder, job, commits)).found


def told(folder, *texts, commits=0):
    """Run a job that notes a text in each of its commits, and is killed."""
    run = Run(folder, commits)
    notes = Notes(run.journal)
    for text in texts:
        notes.new.append(text)
        run.commit()
    run.kill()
    return run


# --- commits ----------------------------------------------------------------------------------


def test_what_is_committed_outlives_the_process(tmp_path):
    """The next run finds it, in order."""
    run = told(tmp_path, "a", "b")

    assert Notes(Run(tmp_path, run.commits).journal).found == ["a", "b"]


def test_what_is_sealed_only_does_not(tmp_path):
    """A kill before the commit is durable undoes it."""
    run = Run(tmp_path)
    notes = Notes(run.journal)
    notes.new.append("a")
    run.seal()
    run.kill()

    assert stored(tmp_path) == []


def test_what_came_after_the_commit_is_forgotten(tmp_path):
    """A job that has gone back never had it: the file does not either."""
    told(tmp_path, "second", "third", "fourth")

    assert stored(tmp_path, 3) == ["second", "third"]
    assert Notes(Run(tmp_path, 3).journal).found == ["second", "third"]
    assert stored(tmp_path, 100) == ["second", "third"]


def test_numbers_that_are_used_again_do_not_collide(tmp_path):
    """What a job has told before it went back does not come back with the same numbers."""
    told(tmp_path, "a", "b", "c")
    told(tmp_path, "d", commits=2)

    assert stored(tmp_path) == ["a", "d"]


def test_another_job_in_the_same_folder(tmp_path):
    """Its entries are not this one's."""
    told(tmp_path, "a")

    assert stored(tmp_path, job="ffffffff") == []
    assert Notes(Run(tmp_path, 100, job="ffffffff").journal).found == []
    assert stored(tmp_path) == []


def test_a_commit_has_two_kilobytes(tmp_path):
    """What does not fit waits for the next one; nothing is lost, and the order is kept."""
    run = Run(tmp_path)
    notes = Notes(run.journal)
    texts = [f"{number:0400d}" for number in range(12)]
    notes.new.extend(texts)

    run.commit()

    assert len(stored(tmp_path)) * 400 <= ROOM
    assert (tmp_path / JOURNAL).stat().st_size < ROOM + 100
    for _ in range(3):
        run.commit()
    assert stored(tmp_path) == texts


def test_what_never_fits_is_left_out(tmp_path):
    """The others are not held up by it."""
    run = Run(tmp_path)
    notes = Notes(run.journal)
    notes.new.extend(["a", "b" * (ROOM + 1), "c"])

    run.commit()
    run.commit()

    assert stored(tmp_path) == ["a", "c"]


def test_kinds_take_turns(tmp_path):
    """One that has much to tell does not keep another one waiting."""
    run = Run(tmp_path)
    much, little = Notes(run.journal, "much"), Notes(run.journal, "little")
    much.new.extend(["x" * 900] * 100)

    for number in range(3):
        little.new.append(str(number))
        run.commit()
    run.kill()

    assert Notes(stored_journal(tmp_path, JOB, 100), "little").found == ["0", "1", "2"]


def test_a_kind_with_room_of_its_own(tmp_path):
    """Whatever must be told with a commit is, however much others tell."""
    run = Run(tmp_path)
    much = Notes(run.journal, "much")
    must = Notes(run.journal, "must", room=5000)
    much.new.extend(["x" * 900] * 100)
    must.new.extend(["y" * 900] * 5)

    run.commit()

    assert not must.new
    assert len(Notes(stored_journal(tmp_path, JOB, 100), "much").found) == 2


@pytest_twisted.ensureDeferred
async def test_the_end(tmp_path):
    """What has not fitted into the last commit is of that commit."""
    run = Run(tmp_path)
    notes = Notes(run.journal)
    notes.new.extend(["x" * 900] * 50)
    run.commit()

    await deferred_from_coro(run.journal.ended())

    assert len(stored(tmp_path, run.commits)) == 50


@pytest_twisted.ensureDeferred
async def test_an_end_without_its_last_commit(tmp_path):
    """Nothing is told of what was not committed."""
    run = Run(tmp_path)
    notes = Notes(run.journal)
    notes.new.append("a")
    run.commit()
    notes.new.append("b")
    run.seal()

    await deferred_from_coro(run.journal.ended())

    assert stored(tmp_path) == ["a"]


@pytest_twisted.ensureDeferred
async def test_a_disk_that_does_not_come_back(tmp_path, monkeypatch):
    """The end of a crawl does not wait for it."""
    monkeypatch.setattr(journal_module, "_PATIENCE", 0.01)
    run, free = Run(tmp_path), asyncio.Event()
    loop = asyncio.get_running_loop()
    blocked = asyncio.run_coroutine_threadsafe
    run.journal.later(lambda: blocked(free.wait(), loop).result())

    await deferred_from_coro(run.journal.ended())

    free.set()


def test_how_far_the_disk_is_behind(tmp_path):
    """It is not busy when it has done all that it was given, or can't be given any more."""
    without, run = Journal(), Run(tmp_path)
    for _ in range(20):
        without.later(lambda: None)
        run.journal.later(lambda: None)
    run.journal._thread.shutdown()
    for _ in range(20):
        run.journal.later(lambda: None)

    assert (without._behind, run.journal._behind) == (0, 0)


def test_without_a_job_nothing_is_kept():
    """And nothing is asked for."""
    journal = Journal()
    notes = Notes(journal)
    notes.new.append("a")

    journal.prepare()
    journal.written()

    assert notes.found == []
    assert [*notes.new] == ["a"]


def test_entries_of_another_version(tmp_path):
    """One that has another shape is left out; a kind that nobody knows stays in the file."""
    run = Run(tmp_path)
    run.journal.register("note", int, iter([1, None]).__next__, lambda _: None, list)
    other = Notes(run.journal, "other")
    other.new.append("b")
    run.commit()
    run.kill()

    assert Notes(Run(tmp_path, 100).journal).found == []
    assert Notes(stored_journal(tmp_path, JOB, 100), "other").found == ["b"]


@pytest.mark.parametrize("wrong", ["\ud800", object()])
def test_what_can_not_be_encoded(tmp_path, caplog, wrong):
    """It is left out, with a traceback, and the commit is made."""
    run = Run(tmp_path)
    notes, others = Notes(run.journal), Notes(run.journal, "other")
    notes.new.extend([wrong, "a"])
    others.new.append("b")

    run.commit()
    run.commit()

    assert stored(tmp_path) == ["a"]
    assert Notes(stored_journal(tmp_path, JOB, 100), "other").found == ["b"]
    assert [record.getMessage() for record in caplog.records] == ["The journal lacks an entry"]


@pytest.mark.parametrize("payload", [b"\x93\xa2\xff\xfe\x01\x90", b"\x91" * 5000, b"\x01"])
def test_a_frame_that_holds_something_else(tmp_path, payload):
    """What is whole and no batch is cut as well."""
    told(tmp_path, "a")
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(frame(payload))

    assert stored(tmp_path) == ["a"]
    assert Notes(Run(tmp_path, 100).journal).found == ["a"]


# --- damage -----------------------------------------------------------------------------------


@any_folder
@given(st.data())
def test_a_kill_between_any_two_bytes(tmp_path, data):
    """What is found is a beginning of what was told, and the job goes on from there."""
    (tmp_path / JOURNAL).unlink(missing_ok=True)
    told(tmp_path, "a", "b", "c", "d")
    size = (tmp_path / JOURNAL).stat().st_size
    os.truncate(tmp_path / JOURNAL, data.draw(st.integers(0, size)))

    run = Run(tmp_path, 10)
    notes = Notes(run.journal)
    notes.new.append("e")
    run.commit()
    run.kill()

    assert notes.found == ["a", "b", "c", "d"][: len(notes.found)]
    assert stored(tmp_path) == [*notes.found, "e"]


@any_folder
@given(st.data())
def test_any_damage(tmp_path, data):
    """Bytes that are changed cost what comes behind them, and nothing else."""
    (tmp_path / JOURNAL).unlink(missing_ok=True)
    told(tmp_path, "a", "b", "c", "d")
    path = tmp_path / JOURNAL
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place : place + 40] = data.draw(st.binary(min_size=1, max_size=40))
    path.write_bytes(content)

    found = stored(tmp_path)

    assert found == ["a", "b", "c", "d"][: len(found)]
    assert Notes(Run(tmp_path, 100).journal).found == found


def test_a_file_with_holes(tmp_path):
    """One that says that it has a terabyte takes no memory, and becomes short again."""
    told(tmp_path, "a")
    size = (tmp_path / JOURNAL).stat().st_size
    os.truncate(tmp_path / JOURNAL, 1 << 40)

    assert Notes(Run(tmp_path, 100).journal).found == ["a"]
    assert (tmp_path / JOURNAL).stat().st_size == size


def job_in(folder, commits=100):
    """A job, as far as the journal knows it."""
    meta = SimpleNamespace(ident=JOB, commits=commits + 1)
    return SimpleNamespace(path=folder, meta=meta, committed=commits, parts=[])


def test_a_torn_end_is_told_once(tmp_path, caplog):
    """It is cut, and one line says so."""
    told(tmp_path, "a", "b")
    os.truncate(tmp_path / JOURNAL, (tmp_path / JOURNAL).stat().st_size - 1)

    assert Notes(journal_of_job(job_in(tmp_path))).found == ["a"]
    assert Notes(journal_of_job(job_in(tmp_path))).found == ["a"]

    [line] = caplog.messages
    assert "was torn or damaged" in line


def test_a_job_that_goes_back_is_no_damage(tmp_path, caplog):
    """Nothing is said of what is forgotten on purpose."""
    told(tmp_path, "a", "b")

    assert Notes(journal_of_job(job_in(tmp_path, 2))).found == ["a"]
    assert caplog.messages == []


def test_a_journal_that_is_a_link(tmp_path, caplog):
    """It is not followed: the job is run without a journal."""
    (tmp_path / "other").write_text("mine")
    (tmp_path / JOURNAL).symlink_to("other")
    job = job_in(tmp_path)

    journal = journal_of_job(job)

    assert not journal.is_kept
    assert job.parts == []
    assert "without a journal" in caplog.text
    assert (tmp_path / "other").read_text() == "mine"
    assert stored(tmp_path) == []


def test_the_journal_is_the_last_part(tmp_path):
    """What others tell at their end is in it."""
    job = job_in(tmp_path)
    journal = journal_of_job(job)
    job.parts.append("another")

    journal.opened(None)

    assert job.parts == ["another", journal]


# --- full disks -------------------------------------------------------------------------------


@pytest.fixture
def full(monkeypatch):
    """A disk that takes so many bytes of each write; None for all of them."""
    room = SimpleNamespace(bytes=None)
    write = os.write

    def written(fd, data):
        if room.bytes is None:
            return write(fd, data)
        if not room.bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken, room.bytes = write(fd, data[: room.bytes]), 0
        return taken

    monkeypatch.setattr(journalfile.os, "write", written)
    return room


@pytest.mark.parametrize("taken", [0, 1, 20])
def test_a_full_disk(tmp_path, full, caplog, taken):
    """What it does not take is skipped, said once, and what comes later is kept."""
    run = Run(tmp_path)
    notes = Notes(run.journal)
    for text, room in {"a": None, "b": taken, "c": taken, "d": None}.items():
        full.bytes = room
        notes.new.append(text)
        run.commit()

    assert stored(tmp_path) == ["a", "d"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "The journal can't be written" in caplog.text


# --- files that grow --------------------------------------------------------------------------


def long_run(folder, *, fold, limit=20_000, count=400):
    """Note many texts, one in each commit."""
    run = Run(folder, limit=limit)
    notes = Notes(run.journal, fold=fold)
    texts = [f"{number:0100d}" for number in range(count)]
    sizes = []
    for text in texts:
        notes.new.append(text)
        run.commit()
        sizes.append((folder / JOURNAL).stat().st_size)
    run.kill()
    return run, texts, sizes


@pytest.mark.parametrize("fold", [list, newest(7), lambda _: []])
def test_a_file_stays_small(tmp_path, fold):
    """However a kind folds, the newest entries are there, in order, and the oldest go."""
    run, texts, sizes = long_run(tmp_path, fold=fold)

    found = stored(tmp_path, run.commits)

    assert max(sizes) <= 20_000 + 200
    assert found[-60:] == texts[-60:]
    assert len(found) < len(texts)
    assert found == [text for text in texts if text in set(found)]


def test_a_job_may_go_back_behind_a_rewrite(tmp_path):
    """Entries keep their commits when the file is written anew."""
    run, texts, _ = long_run(tmp_path, fold=list)

    found = stored(tmp_path, run.commits - 10)

    assert found[-1] == texts[-11]


def test_a_rewrite_that_fails(tmp_path, monkeypatch, caplog):
    """The file that is there stays, and goes on, up to a limit."""
    monkeypatch.setattr(JournalFile, "_write_draft", _full)

    run, _, sizes = long_run(tmp_path, fold=list)

    assert max(sizes) <= 40_000
    assert len(stored(tmp_path, run.commits)) > 100
    assert len(caplog.messages) == 1


def _full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_kill_while_it_is_written_anew(tmp_path):
    """What is left of it is removed, and the file is the one before."""
    told(tmp_path, "a", "b")
    (tmp_path / f"{JOURNAL}.new").write_bytes(b"half of it")

    run = Run(tmp_path, 10)

    assert Notes(run.journal).found == ["a", "b"]
    assert [path.name for path in tmp_path.iterdir()] == [JOURNAL]


def test_a_reader_beside_a_writer(tmp_path):
    """A command reads the journal of a job that runs, and changes nothing."""
    run = Run(tmp_path)
    notes = Notes(run.journal)
    notes.new.append("a")
    run.commit()

    assert stored(tmp_path, run.commits) == ["a"]
    notes.new.append("b")
    run.commit()
    assert stored(tmp_path, run.commits) == ["a", "b"]


def test_batches_are_short():
    """What an entry costs beside its own bytes."""
    batch = Batch(JOB, 1_000_000, [("event", msgspec.Raw(b"\x01"))])
    assert len(msgspec.msgpack.encode(batch)) < 30
