"""Snapshots give back what was copied, or an error: never anything else."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import sys
import tracemalloc
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import cache

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from snapshot_samples import KEY, URL, Clock, dump, make_store, snapshots_of

from scrapy_resilience.exceptions import ConfigurationError, SnapshotError, SnapshotKeyError
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.sqlite import SQLiteStore
from scrapy_resilience.frontier.store import Changes
from scrapy_resilience.jobs.progress import about
from scrapy_resilience.snapshots import cipher, copying, sealing
from scrapy_resilience.snapshots import store as module
from scrapy_resilience.snapshots.places import open_place
from scrapy_resilience.snapshots.sealing import Reader, write

FORMS = [{"key": key, "compress": compress} for key in ("", KEY) for compress in (True, False)]
forms = pytest.mark.parametrize("form", FORMS, ids=str)


@pytest.fixture(autouse=True)
def _cheap_keys(monkeypatch):
    """Stretch keys as little as scrypt can: there are thousands of files here."""
    monkeypatch.setattr(cipher, "_COST", {"n": 2, "r": 8, "p": 1})


@pytest.fixture
def store(tmp_path):
    """Return the path of a job's store."""
    return make_store(tmp_path)


@pytest.fixture
def target(tmp_path):
    """Return where a snapshot is loaded to."""
    return tmp_path / "loaded.db"


def path_of(folder, snapshot):
    """Return the file of a snapshot."""
    return folder / "snapshots" / f"{snapshot.id}.snapshot"


# --- there and back -----------------------------------------------------------------


@forms
def test_a_store_comes_back_as_it_was(tmp_path, store, target, form):
    """What is loaded holds what was copied."""
    snapshots = snapshots_of(tmp_path, **form)

    made = snapshots.create(store, about, metadata={"note": "before the change"})
    loaded = snapshots.load(made.id, target)

    assert dump(target) == dump(store)
    assert loaded == made
    assert loaded.metadata == {"note": "before the change"}
    assert loaded.encrypted == bool(form["key"])


def test_a_snapshot_is_of_the_last_commit(tmp_path, store, target):
    """What is in the write-ahead log is in the copy, while the writer goes on."""
    snapshots = snapshots_of(tmp_path)
    with closing(SQLiteStore(store)) as writer:
        writer.commit(Changes(state={"a": b"1"}))
        made = snapshots.create(store, about)
        writer.commit(Changes(state={"a": b"2"}))

    snapshots.load(made.id, target)
    with closing(SQLiteStore(target, read_only=True)) as loaded:
        assert loaded.state()["a"] == b"1"


def test_progress_is_that_of_the_copied_moment(tmp_path):
    """A snapshot tells how far the job had come, and why it was closed."""
    store = make_store(tmp_path, done=5, pending=2, items=9, reason="shutdown")

    made = snapshots_of(tmp_path).create(store, about, kind="close")

    assert made.progress == {
        "total": 7,
        "completed": 5,
        "failed": 0,
        "items": 9,
        "running_seconds": 0.0,
    }
    assert (made.spider, made.kind, made.reason) == ("shop", "close", "shutdown")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_only_the_owner_can_read(tmp_path, store, target):
    """Snapshots and what is loaded from them have mode 0600."""
    snapshots = snapshots_of(tmp_path)
    made = snapshots.create(store, about)
    snapshots.load(made.id, target)

    for path in (path_of(tmp_path, made), target):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "snapshots").stat().st_mode) == 0o700


def test_nothing_else_is_left(tmp_path, store):
    """A snapshot leaves no scratch file and no log."""
    before = set(tmp_path.iterdir())
    snapshots_of(tmp_path).create(store, about)

    assert set(tmp_path.iterdir()) - before <= {
        tmp_path / "snapshots",
        tmp_path / "resilience.db-wal",
        tmp_path / "resilience.db-shm",
    }
    assert len(list((tmp_path / "snapshots").iterdir())) == 1


def test_a_log_of_the_old_store_is_not_replayed(tmp_path, store):
    """Loading over a store removes its write-ahead log."""
    snapshots = snapshots_of(tmp_path)
    made = snapshots.create(store, about)
    before = dump(store)
    other = tmp_path / "other"
    other.mkdir()
    target = make_store(other, number=7)
    writer = SQLiteStore(target)
    writer.commit(Changes(state={"late": b"x"}))
    log = target.with_name(target.name + "-wal")
    kept = log.read_bytes()
    writer.close()
    log.write_bytes(kept)  # as after a kill

    snapshots.load(made.id, target)

    assert dump(target) == before


def test_metadata_that_is_too_large_is_refused(tmp_path, store):
    """Metadata of a megabyte belongs elsewhere."""
    with pytest.raises(ValueError, match="512 kB"):
        snapshots_of(tmp_path).create(store, about, metadata={"a": "x" * 2**20})


# --- the job's other files --------------------------------------------------------------


@pytest.fixture
def spooled(tmp_path, store):
    """Return a spool of which nine bytes are committed."""
    spool = tmp_path / "spool" / "one"
    spool.parent.mkdir()
    spool.write_bytes(b"committed, and more")
    record = {"path": "spool/one", "offset": 9, "spooled": True}
    with closing(SQLiteStore(store)) as opened:
        opened.commit(
            Changes(
                state={
                    "resilience.feed/1": ValueCodec().encode(record),
                    "resilience.feed/2": ValueCodec().encode({"path": "/a", "offset": 5}),
                }
            )
        )
    return spool


@forms
@pytest.mark.usefixtures("spooled")
def test_items_that_wait_for_their_feed_are_in_it(tmp_path, store, target, form):
    """A spool is copied up to what the store knows of it; other feeds are not."""
    snapshots = snapshots_of(tmp_path, **form)
    made = snapshots.create(store, about)

    snapshots.load(made.id, target, tmp_path / "files")
    snapshots.load(made.id, tmp_path / "store alone")

    assert dump(target) == dump(store) == dump(tmp_path / "store alone")
    found = [path for path in (tmp_path / "files").rglob("*") if path.is_file()]
    assert [(path.parent.name, path.read_bytes()) for path in found] == [
        ("spool", b"committed")
    ]
    assert stat.S_IMODE(found[0].stat().st_mode) == 0o600


def test_a_spool_that_is_too_short(tmp_path, store, spooled):
    """No snapshot is made of a job that has lost items."""
    spooled.write_bytes(b"x")

    with pytest.raises(SnapshotError, match="is too short"):
        snapshots_of(tmp_path).create(store, about)
    assert snapshots_of(tmp_path).ids() == []


def test_a_spool_that_is_done_with(tmp_path, store, spooled):
    """A spool that goes away while the copy is made makes another copy."""

    def late(state):
        found = about(state)
        if spooled.exists():
            spooled.unlink()
            return found
        return replace(found, files={})

    assert snapshots_of(tmp_path).create(store, late)


def test_a_spool_that_goes_away_behind_the_copy(tmp_path, store, spooled, monkeypatch):
    """A spool that the next commit removes is in the snapshot of the commit before."""
    copy_store = module.copy_store

    def slow(*arguments):
        found = copy_store(*arguments)
        spooled.unlink()
        return found

    monkeypatch.setattr(module, "copy_store", slow)
    snapshots = snapshots_of(tmp_path)
    made = snapshots.create(store, about)

    snapshots.load(made.id, tmp_path / "loaded.db", tmp_path / "files")
    (found,) = (path for path in (tmp_path / "files").rglob("*") if path.is_file())
    assert found.read_bytes() == b"committed"


def test_no_file_of_a_damaged_snapshot_stays(tmp_path, store, target, spooled):
    """What a damaged newer snapshot has put out is not taken for the older one's."""
    snapshots = snapshots_of(tmp_path)
    snapshots.create(store, lambda state: replace(about(state), files={}))
    bad = path_of(tmp_path, snapshots.create(store, about))
    bad.write_bytes(bad.read_bytes()[:-1])

    snapshots.load_newest(target, files=tmp_path / "files")

    assert not list((tmp_path / "files").rglob("*"))
    assert spooled.exists()


@pytest.mark.parametrize(
    "names",
    [
        ["../out"],
        ["/out"],
        ["a/../../out"],
        [""],
        ["."],
        ["a", "./a"],
        ["a", "a/b"],
        ["x" * 300],
        ["a\0b"],
    ],
)
def test_no_file_leads_out_of_the_folder(tmp_path, store, monkeypatch, names):
    """Whatever a snapshot says, nothing is written elsewhere, and an older one can be tried."""
    copy_store = module.copy_store

    def forged(*arguments):
        of, _ = copy_store(*arguments)
        return replace(of, files=dict.fromkeys(names, 0)), []

    monkeypatch.setattr(module, "copy_store", forged)
    snapshots = snapshots_of(tmp_path)
    made = snapshots.create(store, about)

    with pytest.raises(SnapshotError, match="damaged"):
        snapshots.load(made.id, tmp_path / "loaded.db", tmp_path / "files")
    assert not list(tmp_path.rglob("out"))


# --- what can be read without the key -------------------------------------------------


@pytest.mark.parametrize("compress", [True, False])
def test_an_encrypted_snapshot_shows_no_url(tmp_path, store, compress):
    """Neither requests nor the user's metadata nor the folder can be read without the key."""
    made = snapshots_of(tmp_path, key=KEY, compress=compress).create(
        store, about, metadata={"at": URL.decode()}
    )

    content = path_of(tmp_path, made).read_bytes()
    for word in (b"secret.example", b"token", b"http", str(tmp_path).encode(), KEY.encode()):
        assert word not in content
    assert b'"spider": "shop"' in content


def test_a_plain_and_uncompressed_one_does(tmp_path, store):
    """The test above would see a URL that is there."""
    made = snapshots_of(tmp_path, compress=False).create(store, about)

    assert URL in path_of(tmp_path, made).read_bytes()


def test_two_snapshots_of_one_store_share_no_chunk(tmp_path, store):
    """Each file has its own key: what is the same in two does not show."""
    snapshots = snapshots_of(tmp_path, key=KEY)
    first, second = (path_of(tmp_path, snapshots.create(store, about)) for _ in range(2))

    assert first.read_bytes()[-200:] != second.read_bytes()[-200:]


def test_encryption_can_be_off_with_a_key(tmp_path, store, target):
    """RESILIENCE_SNAPSHOT_ENCRYPTION=False writes plain ones and still reads encrypted ones."""
    sealed = snapshots_of(tmp_path, key=KEY).create(store, about)
    snapshots = snapshots_of(tmp_path, key=KEY, encrypt=False)

    assert not snapshots.create(store, about).encrypted
    assert snapshots.load(sealed.id, target).encrypted


@pytest.mark.parametrize(
    ("key", "words"), [("", "is encrypted: set"), (KEY + "r", "was encrypted with another key")]
)
def test_a_wrong_or_missing_key(tmp_path, store, target, key, words):
    """The error says which it is, and shows no key; nothing is written."""
    made = snapshots_of(tmp_path, key=KEY).create(store, about, metadata={"a": 1})
    snapshots = snapshots_of(tmp_path, key=key)

    with pytest.raises(SnapshotKeyError, match=words) as caught:
        snapshots.load(made.id, target)

    assert "horse" not in str(caught.value)
    assert not target.exists()
    (listed,) = snapshots.newest()
    assert listed == replace(made, metadata=None)
    assert (made.readable, listed.readable) == (True, False)


@pytest.fixture
def planted(tmp_path, store):
    """Return an encrypted snapshot, and a later plain one that anybody may have written."""
    good = snapshots_of(tmp_path, key=KEY).create(store, about)
    return good, snapshots_of(tmp_path).create(store, about)


def test_with_a_key_no_plain_snapshot_is_restored(tmp_path, target, planted):
    """Whoever can write where snapshots are can write a plain one: it is as good as damaged."""
    good, plain = planted
    snapshots = snapshots_of(tmp_path, key=KEY)

    with pytest.raises(SnapshotError, match=f"{plain.id} is not encrypted.*_ENCRYPTION=False"):
        snapshots.load(plain.id, target)
    assert not target.exists()
    loaded, problems = snapshots.load_newest(target)

    assert loaded == good
    assert [plain.id in str(problem) for problem in problems] == [True]
    assert [listed.problem != "" for listed in snapshots.newest()] == [True, False]


def test_plain_snapshots_of_ones_own_are_asked_for(tmp_path, target, planted):
    """RESILIENCE_SNAPSHOT_ENCRYPTION=False restores what was made before there was a key."""
    _, plain = planted

    loaded, problems = snapshots_of(tmp_path, key=KEY, encrypt=False).load_newest(target)

    assert (loaded, problems) == (plain, [])


def test_plain_snapshots_take_no_place_of_encrypted_ones(tmp_path, store):
    """However many there are, the newest encrypted ones stay."""
    snapshots = snapshots_of(tmp_path, key=KEY, retention=2)
    good = snapshots.create(store, about)
    for _ in range(5):
        snapshots_of(tmp_path).create(store, about)

    snapshots_of(tmp_path, key=KEY, retention=2).create(store, about)

    assert good.id in snapshots.ids()


# --- damage ---------------------------------------------------------------------------


def pieces(data):
    """Return data in pieces of a chunk, as they are read from a file."""
    return (data[at : at + sealing._CHUNK] for at in range(0, len(data), sealing._CHUNK))


def sealed(data, form):
    """Return the bytes of a snapshot of *data*."""
    file = io.BytesIO()
    header = {"id": "x", "size": len(data)}
    write(file, header, {"metadata": {"a": 1}}, pieces(data), **form)
    return file.getvalue()


def opened(content, key=KEY):
    """Return what a file gives."""
    target = io.BytesIO()
    reader = Reader(io.BytesIO(content), "x")
    details = reader.read(key, lambda _: [(target, reader.header.get("size"))])
    return target.getvalue(), details


DATA = os.urandom(300) + b"a" * 3000


@cache
def written(key, compress):
    """Return a snapshot in chunks of 100 bytes, written once for all that is done to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cipher, "_COST", {"n": 2, "r": 8, "p": 1})
        patch.setattr(sealing, "_CHUNK", 100)
        return sealed(DATA, {"key": key, "compress": compress})


any_form = st.sampled_from(FORMS)


@forms
def test_an_undamaged_file_opens(form):
    """The file that the next tests damage is a good one."""
    assert opened(written(**form)) == (DATA, {"metadata": {"a": 1}})


@given(any_form, st.data())
def test_a_flipped_bit_is_seen(form, data):
    """A flipped bit anywhere is an error, with and without the key."""
    damaged = bytearray(written(**form))
    place = data.draw(st.integers(0, 8 * len(damaged) - 1))
    damaged[place // 8] ^= 1 << place % 8

    with pytest.raises(SnapshotError):
        opened(bytes(damaged))
    with pytest.raises(SnapshotError):
        Reader(io.BytesIO(damaged), "x").check()


@given(any_form, st.data(), st.binary(min_size=1, max_size=9))
def test_a_torn_file_is_seen(form, data, more):
    """A file that ends too soon, or goes on, is an error."""
    content = written(**form)
    end = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(SnapshotError):
        opened(content[:end])
    with pytest.raises(SnapshotError):
        opened(content + more)


def frames_of(content):
    """Return where each chunk of a file begins and ends, and the file's lead."""
    at = 12 + int.from_bytes(content[8:12], "big")
    lead, found = content[:at], []
    while length := int.from_bytes(content[at : at + 4], "big"):
        found.append(content[at : at + 4 + length])
        at += 4 + length
    return lead, found


def resealed(lead, frames):
    """Return a file of these chunks with a digest that is right."""
    body = lead + b"".join(frames) + bytes(4)
    return body + sealing.sha256(body).digest()


def encrypted(data=DATA):
    """Return an encrypted snapshot with several chunks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealing, "_CHUNK", 100)
        return sealed(data, {"key": KEY, "compress": False})


def test_chunks_that_are_put_together_again_open():
    """The next test's files are right but for what it does to them."""
    content = encrypted()

    assert resealed(*frames_of(content)) == content


@pytest.mark.parametrize(
    "change",
    [
        lambda own, _: own[:-1],
        lambda own, _: [*own[:2], *own[3:]],
        lambda own, _: [own[0], own[2], own[1], *own[3:]],
        lambda own, _: [*own, own[-1]],
        lambda own, other: [own[0], other[1], *own[2:]],
        lambda _, other: other,
        lambda *_: [],
    ],
    ids=["cut", "gap", "swapped", "repeated", "one of another file", "another file's", "none"],
)
def test_encrypted_chunks_open_only_in_their_place(change):
    """Whoever has no key can't cut, reorder or mix chunks, not even with a right digest."""
    lead, frames = frames_of(encrypted())
    _, other = frames_of(encrypted())

    with pytest.raises(SnapshotError):
        opened(resealed(lead, change(frames, other)))


def test_the_header_of_an_encrypted_file_is_authenticated():
    """Whoever has no key can't change what the header says."""
    lead, frames = frames_of(encrypted())
    forged = lead.replace(b'"id": "x"', b'"id": "y"')

    with pytest.raises(SnapshotError, match="damaged"):
        opened(resealed(forged, frames))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a snapshot"),
        (b"SQLite format 3\0" + bytes(5000), "is not a snapshot"),
        (sealing._MAGIC, "is torn"),
        (sealing._MAGIC + b"\xff\xff\xff\xff" + bytes(99), "is damaged"),
        (sealing._MAGIC + b"\0\0\0\x02[]", "has format None"),
        (sealing._MAGIC + b"\0\0\0\x0d" + b'{"format": 9}', "has format 9"),
    ],
)
def test_another_file_is_refused(content, words):
    """What is not a snapshot of this format is named as such."""
    with pytest.raises(SnapshotError, match=words):
        opened(content)


def test_parameters_of_another_cipher_are_refused():
    """A header can't ask for a costly key or an unknown cipher."""
    known = cipher.Cipher.new(KEY).parameters
    for change in ({"n": 2**30}, {"cipher": "ROT13"}, {"salt": "no hex"}, {"prefix": None}):
        with pytest.raises(SnapshotError, match="does not know"):
            cipher.Cipher.of({**known, **change}, KEY, "x")


def test_another_schema_is_refused(tmp_path, store, target, monkeypatch):
    """A snapshot of a newer version is not loaded by this one."""
    snapshots = snapshots_of(tmp_path)
    monkeypatch.setattr(module, "SCHEMA", 99)
    made = snapshots.create(store, about)
    monkeypatch.undo()

    with pytest.raises(SnapshotError, match="has schema 99"):
        snapshots.load(made.id, target)
    assert not target.exists()


def test_a_renamed_snapshot_is_refused(tmp_path, store, target):
    """A file says which snapshot it is."""
    snapshots = snapshots_of(tmp_path)
    first, second = (snapshots.create(store, about) for _ in range(2))
    path_of(tmp_path, first).replace(path_of(tmp_path, second))

    with pytest.raises(SnapshotError, match="under a wrong name"):
        snapshots.load(second.id, target)


@pytest.mark.parametrize("ident", ["", "../x", "20261122T120001000000Z", "*"])
def test_what_is_no_id_is_refused(tmp_path, target, ident):
    """An id never leads out of the folder."""
    with pytest.raises(SnapshotError, match="is not an id"):
        snapshots_of(tmp_path).load(ident, target)


def test_an_unknown_id_is_refused(tmp_path, target):
    """An id that is not there is named."""
    with pytest.raises(SnapshotError, match="there is no snapshot 20261122"):
        snapshots_of(tmp_path).load("20261122T120001000000Z-00000000", target)


def test_a_damaged_store_makes_no_snapshot(tmp_path, store):
    """A damaged store does not push good snapshots out."""
    content = bytearray(store.read_bytes())
    content[8192 * 3 : 8192 * 4] = os.urandom(8192)
    store.write_bytes(content)
    snapshots = snapshots_of(tmp_path)

    with pytest.raises(SnapshotError, match="no snapshot is made of it"):
        snapshots.create(store, about)

    assert snapshots.ids() == []


def test_the_newest_good_one_is_loaded(tmp_path, store, target):
    """A damaged snapshot falls back to the one before it, and says so."""
    snapshots = snapshots_of(tmp_path)
    good, bad = (snapshots.create(store, about) for _ in range(2))
    path_of(tmp_path, bad).write_bytes(path_of(tmp_path, bad).read_bytes()[:-1])

    loaded, problems = snapshots.load_newest(target)

    assert loaded == good
    assert [bad.id in str(problem) for problem in problems] == [True]


def test_a_wrong_key_does_not_fall_back(tmp_path, store, target):
    """An older plain snapshot is no answer to a missing key."""
    snapshots_of(tmp_path).create(store, about)
    snapshots_of(tmp_path, key=KEY).create(store, about)

    with pytest.raises(SnapshotKeyError):
        snapshots_of(tmp_path).load_newest(target)


# --- sizes ------------------------------------------------------------------------------

_BOMB = 64 << 20


@contextmanager
def planted_as(tmp_path, monkeypatch, source, **header):
    """Put a snapshot of other bytes where the next one goes."""
    whole = module.write

    def other(target, told, details, _, **options):
        return whole(target, {**told, **header}, details, source, **options)

    with monkeypatch.context() as patched:
        patched.setattr(module, "write", other)
        yield snapshots_of(tmp_path)


def test_what_grows_beyond_its_size_is_refused(tmp_path, store, target, monkeypatch):
    """Some kilobytes that stand for gigabytes take no more memory than a block."""
    bomb = (b"\0" * 2**20 for _ in range(_BOMB >> 20))
    with planted_as(tmp_path, monkeypatch, bomb) as snapshots:
        made = snapshots.create(store, about)
    assert path_of(tmp_path, made).stat().st_size < _BOMB / 1000

    tracemalloc.start()
    try:
        with pytest.raises(SnapshotError, match="is damaged"):
            snapshots.load(made.id, target)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < _BOMB / 8
    assert not target.exists()


def test_no_more_than_there_is_room_for(tmp_path, store, target, monkeypatch):
    """A size that the disk has not is refused before the first byte, with both numbers."""
    with planted_as(tmp_path, monkeypatch, [b"x"], size=2**62) as snapshots:
        made = snapshots.create(store, about)

    with pytest.raises(SnapshotError, match=f"needs {2**62} bytes and {tmp_path} has [0-9]+"):
        snapshots.load(made.id, target)
    assert not target.exists()


@pytest.mark.parametrize("size", [-1, "9", None, 1.5, True, [1]])
def test_a_size_that_is_none(tmp_path, store, target, monkeypatch, size):
    """A size is a number of bytes."""
    with (
        planted_as(tmp_path, monkeypatch, [b"x"], size=size) as snapshots,
        suppress(SnapshotError),
    ):
        snapshots.create(store, about)

    with pytest.raises(SnapshotError, match="is damaged"):
        snapshots.load(*snapshots.ids(), target)


def framed(data):
    """Return a frame."""
    return len(data).to_bytes(4, "big") + data


@pytest.mark.parametrize("window", [21, 27])
def test_memory_for_decompression_is_bounded(window):
    """A stream that asks for a window of 128 MB is none of ours."""
    parameters = zstandard.ZstdCompressionParameters(window_log=window)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = packer.compress(DATA) + packer.flush()
    header = {"format": 1, "compression": "zstd", "encryption": None, "size": len(DATA)}
    lead = sealing._MAGIC + framed(json.dumps(header).encode())
    content = resealed(lead, [framed(b"{}"), framed(packed)])

    if window == 21:  # as we write
        assert opened(content, "") == (DATA, {})
    else:
        with pytest.raises(SnapshotError, match="is damaged"):
            opened(content, "")


@pytest.mark.parametrize("place", ["header", "details"])
def test_json_that_is_nested_too_deep(place):
    """It is damage, and not the end of the process."""
    deep = b"[" * 60_000
    lead, frames = frames_of(sealed(b"data", {"key": "", "compress": False}))
    if place == "header":
        lead = lead[:8] + framed(deep)
    else:
        frames[0] = framed(deep)

    with pytest.raises(SnapshotError, match="is damaged"):
        opened(resealed(lead, frames), "")


# --- ids and retention ------------------------------------------------------------------


def test_ids_sort_by_age_also_when_the_clock_goes_back(tmp_path, store):
    """A clock that went back, or stands still, gives ids that are later all the same."""
    clock = Clock()
    snapshots = snapshots_of(tmp_path, clock=clock)
    made = []
    for jump in (0, -3600, -1, 0, 7200):
        clock.now += timedelta(seconds=jump)
        made.append(snapshots.create(store, about).id)

    assert made == sorted(set(made))
    assert snapshots.ids() == made[::-1]
    assert all(re.fullmatch(r"\d{8}T\d{12}Z-[0-9a-f]{8}", each) for each in made)


@pytest.mark.parametrize(
    "stamp", ["99999999T999999999999Z", "99999999T999999999998Z", "20990101T000000000000Z"]
)
def test_a_name_alone_is_no_snapshot(tmp_path, store, stamp):
    """No file that others made changes how ours are named, listed and kept."""
    snapshots = snapshots_of(tmp_path, key=KEY, retention=2)
    first = snapshots.create(store, about)
    path_of(tmp_path, replace(first, id=f"{stamp}-{first.job}")).write_bytes(b"")

    made = [snapshots.create(store, about).id for _ in range(2)]

    assert snapshots.ids()[1:] == made[::-1]
    assert all(found.startswith("20261122T") for found in made)


def test_what_others_have_encrypted_does_not_count(tmp_path, store):
    """Snapshots of another key push out none of ours."""
    ours = snapshots_of(tmp_path, key=KEY, retention=2).create(store, about)
    theirs = [
        snapshots_of(tmp_path, key="another", retention=9).create(store, about)
        for _ in range(3)
    ]
    snapshots = snapshots_of(tmp_path, key=KEY, retention=2)

    last = snapshots.create(store, about)

    assert {ours.id, last.id} < set(snapshots.ids())
    assert len(snapshots.ids()) == 2 + len(theirs)


@pytest.mark.parametrize(
    "told",
    [
        {"progress": []},
        {"progress": {"items": {}}},
        {"size": "x"},
        {"created": None},
        {"spider": ["\x1b"]},
        {"kind": 5},
    ],
)
def test_a_header_that_tells_something_else(tmp_path, store, told):
    """A header can be read, and forged, without the key: a strange one is a damaged one."""
    snapshots = snapshots_of(tmp_path, key=KEY)
    made = snapshots.create(store, about)
    forged = replace(made, id=f"20990101T000000000000Z-{made.job}")
    with path_of(tmp_path, forged).open("wb") as file:
        write(file, {"id": forged.id, **told}, {}, [b""], key="another")

    found, good = snapshots.newest(verify=True)

    assert f"{forged.id} is damaged" in found.problem
    assert good == made
    assert snapshots.load_newest(tmp_path / "loaded.db")[0] == made


def test_the_newest_stay(tmp_path, store):
    """As many as the retention says."""
    snapshots = snapshots_of(tmp_path, retention=3)
    made = [snapshots.create(store, about).id for _ in range(5)]

    assert snapshots.ids() == made[:1:-1]
    assert [found.id for found in snapshots.newest(2)] == made[:2:-1]


def test_damaged_ones_do_not_count(tmp_path, store):
    """The good ones stay, as many as the retention says, whatever is damaged beside them."""
    made = [snapshots_of(tmp_path, retention=9).create(store, about) for _ in range(4)]
    for snapshot in made[2:]:
        path = path_of(tmp_path, snapshot)
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    snapshots = snapshots_of(tmp_path, retention=2)

    last = snapshots.create(store, about)

    listed = snapshots.newest(verify=True)
    good = [found.id for found in listed if not found.problem]
    assert good == [last.id, made[1].id]
    assert snapshots.ids()[-1] == made[1].id


def test_one_that_can_not_be_read(tmp_path, store, monkeypatch):
    """It is listed with the reason, and does not keep others from being made."""
    theirs = snapshots_of(tmp_path).create(store, about)
    snapshots = snapshots_of(tmp_path, retention=2)
    opened = snapshots.place.open

    def refuse(name):
        if name.startswith(theirs.id):
            raise PermissionError(13, "Permission denied", name)
        return opened(name)

    monkeypatch.setattr(snapshots.place, "open", refuse)
    ours = snapshots.create(store, about)

    found = {each.id: each.problem for each in snapshots.newest()}
    assert found == {ours.id: "", theirs.id: "Permission denied"}


def test_one_that_can_not_be_removed(tmp_path, store, monkeypatch, caplog):
    """The new one is made all the same."""
    snapshots = snapshots_of(tmp_path, retention=1)
    first = snapshots.create(store, about)

    def keep(name):
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(snapshots.place, "remove", keep)
    last = snapshots.create(store, about)

    assert snapshots.ids() == [last.id, first.id]
    assert "Older snapshots can't be removed: Permission denied" in caplog.text


def test_the_only_good_one_stays(tmp_path, store):
    """Damaged newer ones never push out the last good one."""
    snapshots = snapshots_of(tmp_path, retention=1)
    good = snapshots.create(store, about)
    for _ in range(3):
        bad = snapshots_of(tmp_path, retention=9).create(store, about)
        path_of(tmp_path, bad).write_bytes(b"torn")

    snapshots_of(tmp_path, retention=1).prune(good.job)

    assert good.id in snapshots.ids()


def test_other_jobs_are_left_alone(tmp_path, store):
    """Jobs may share a folder: each keeps and counts its own."""
    other = tmp_path / "other"
    other.mkdir()
    theirs = snapshots_of(other, tmp_path / "snapshots", retention=1).create(
        make_store(other, spider="else"), about
    )
    snapshots = snapshots_of(tmp_path, retention=1)
    ours = [snapshots.create(store, about) for _ in range(2)][-1]

    assert snapshots.ids(ours.job) == [ours.id]
    assert set(snapshots.ids()) == {ours.id, theirs.id}


def test_foreign_files_are_left_alone(tmp_path, store):
    """A folder may hold other files."""
    folder = tmp_path / "snapshots"
    folder.mkdir()
    for name in ("readme.txt", "x.snapshot", "20261122T120001000000Z-00000000.snapshot.draft"):
        (folder / name).write_text("mine")

    snapshots_of(tmp_path, retention=1).create(store, about)

    assert [path.read_bytes() for path in folder.iterdir()].count(b"mine") == 3


# --- kills --------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for SIGKILL: nobody catches it."""


STEPS = [
    (copying, "_connect"),
    (module, "copy_store"),
    (module, "write"),
    (module.os, "fsync"),
    (module.SnapshotStore, "prune"),
]


@pytest.mark.parametrize("step", STEPS, ids=[name for _, name in STEPS])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@forms
def test_a_kill_at_any_step(tmp_path, monkeypatch, step, after, form):
    """After a kill all snapshots are good, and the next one cleans up and is good too."""
    store, target = make_store(tmp_path), tmp_path / "loaded.db"
    first = snapshots_of(tmp_path, **form).create(store, about)
    place, name = step
    do = getattr(place, name)

    def killed(*args, **kwargs):
        if after:
            do(*args, **kwargs)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(place, name, killed)
        patch.setattr(copying, "scratch_file", _left_behind)
        patch.setattr(module, "scratch_file", _left_behind)
        with pytest.raises(Killed):
            snapshots_of(tmp_path, **form).create(store, about)
    snapshots = snapshots_of(tmp_path, **form)
    assert first.id in snapshots.ids()
    assert not any(found.problem for found in snapshots.newest(verify=True))
    last = snapshots.create(store, about)

    snapshots.load(last.id, target)
    assert dump(target) == dump(store)
    assert all(path.suffix == ".snapshot" for path in (tmp_path / "snapshots").iterdir())
    assert not list(tmp_path.glob("*scratch*"))


@contextmanager
def _left_behind(path):
    """A scratch file of a process that is killed."""
    path.write_bytes(b"")
    yield path


@pytest.mark.parametrize("name", ["read", "check"])
def test_a_kill_while_loading_leaves_the_target(tmp_path, store, target, monkeypatch, name):
    """Until all is read and right, the old file is there."""
    snapshots = snapshots_of(tmp_path)
    made = snapshots.create(store, about)
    target.write_bytes(b"old")

    def killed(*_, **__):
        raise Killed

    if name == "read":
        monkeypatch.setattr(Reader, "read", killed)
    else:
        monkeypatch.setattr(module.os, "fsync", killed)
    with pytest.raises(Killed):
        snapshots.load(made.id, target)

    assert target.read_bytes() == b"old"


# --- places --------------------------------------------------------------------------------


@forms
def test_a_remote_store(tmp_path, store, target, form):
    """With fsspec a URL works as a folder does."""
    pytest.importorskip("fsspec")
    url = f"memory://{tmp_path.name}-{form['key']}-{form['compress']}/snapshots"
    snapshots = snapshots_of(tmp_path, url, retention=2, **form)
    assert snapshots.newest() == []

    made = [snapshots.create(store, about) for _ in range(3)]
    loaded = snapshots.load(made[-1].id, target)

    assert snapshots.ids() == [made[2].id, made[1].id]
    assert snapshots.newest(verify=True) == made[:0:-1]
    assert loaded == made[-1]
    assert dump(target) == dump(store)
    assert not list(tmp_path.glob("*.draft"))


def test_an_unknown_url_is_refused():
    """The error names the setting, and no secret of the URL."""
    with pytest.raises(ConfigurationError, match="RESILIENCE_SNAPSHOT_DIR") as caught:
        open_place("nowhere://user:hunter2@host/folder?key=hunter2")

    assert "hunter2" not in str(caught.value)


def test_a_url_without_fsspec_is_refused(monkeypatch):
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ConfigurationError, match=r"scrapy-resilience\[fsspec\]"):
        open_place("s3://bucket/folder")


def test_errors_of_a_remote_store_are_os_errors(tmp_path, store):
    """Whatever a store's client raises is an OSError that names the store."""
    snapshots = snapshots_of(tmp_path, "memory://errors")

    class Broken:
        def __getattr__(self, name):
            raise RuntimeError("no route")

    snapshots.place._fs = Broken()
    with pytest.raises(OSError, match="no route"):
        snapshots.create(store, about)
