"""A store whose file was damaged: right data or an error, never wrong data."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from hashlib import sha1

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scrapy_resilience.exceptions import CheckpointError, DamagedError
from scrapy_resilience.frontier.sqlite import SQLiteStore
from scrapy_resilience.frontier.store import Changes, Letter, Row

LANES = range(1, 6)


class Whole(tuple):
    """A path, bytes and content, too long to print."""

    __slots__ = ()

    def __new__(cls, *parts):
        return super().__new__(cls, parts)

    def __repr__(self):
        return "<store>"


def filled(path):
    """Make a store that holds rows of all kinds; return its bytes."""
    store = SQLiteStore(path)
    numbers = range(1, 201)
    store.commit(
        Changes(
            inserts=[
                Row(
                    1 + n % 5,
                    -n % 3,
                    n,
                    b"%d " % n * (n % 40),
                    *((5.5, 2.5) if n % 9 == 0 else ()),
                )
                for n in numbers
            ],
            fingerprints={sha1(b"%d" % n, usedforsecurity=False).digest() for n in numbers},
            lanes={lane: (f"lane{lane}", 40) for lane in LANES},
            start_keys=[n * 2**40 for n in numbers],
            outputs={str(n): b"x" * n for n in numbers},
            state={"name": b"value", "other": b"y" * 9000},
            letters=[Letter(n, b"letter %d" % n, b"about", b"z" * n) for n in numbers],
        )
    )
    store.close()
    return path.read_bytes()


def content(path):
    """All that a store gives, after it was verified."""
    store = SQLiteStore(path, read_only=True)
    try:
        store.verify()
        return [
            [list(store.read(lane, -(2**63), -(2**63))) for lane in LANES],
            store.fingerprints(b"", 1000),
            sorted(store.lanes()),
            sorted(store.delayed()),
            list(store.start_keys()),
            store.outputs(),
            store.state(),
            store.last_number(),
            store.letters(0, 1000),
        ]
    finally:
        store.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The path of a store, its bytes and its content."""
    path = tmp_path_factory.mktemp("damage") / "resilience.db"
    data = filled(path)
    return Whole(path, data, content(path))


def check(whole, damaged):
    """A damaged file gives an error or what was written."""
    path, _, expected = whole
    path.write_bytes(damaged)
    try:
        found = content(path)
    except CheckpointError:
        return True
    assert found == expected
    return False


@given(flips=st.sets(st.integers(0), min_size=1, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_bits(whole, flips):
    """Whatever bits are flipped, a store gives what was written, or is refused."""
    damaged = bytearray(whole[1])
    for flip in flips:
        place = flip % (len(damaged) * 8)
        damaged[place // 8] ^= 1 << place % 8
    check(whole, damaged)


@given(size=st.integers(0), fill=st.booleans())
def test_truncations(whole, size, fill):
    """A file that ends early, or is filled up with zeros, is refused."""
    data = whole[1]
    size %= len(data)
    check(whole, data[:size] + b"\0" * (len(data) - size) * fill)


def test_each_flip_in_what_is_stored_is_found(whole):
    """Of bits flipped in the stored values themselves, each is found."""
    _, data, _ = whole
    rng = random.Random(1)
    places = [data.index(b"value"), data.index(b"100 100 100"), data.index(b"yyyy")]
    places.append(data.index(b"letter 77"))
    places.append(data.index(sha1(b"7", usedforsecurity=False).digest()))
    for place in places:
        damaged = bytearray(data)
        damaged[place + rng.randrange(4)] ^= 1 << rng.randrange(8)
        assert check(whole, damaged)


@pytest.mark.parametrize("text", [b"namevalue", b"lane1", b"last_number"])
def test_text_that_is_none(whole, text):
    """Bytes that are no text are damage, not a trouble that passes."""
    path, data, _ = whole
    damaged = bytearray(data)
    damaged[data.rindex(text)] = 0xFF
    path.write_bytes(damaged)

    with pytest.raises(DamagedError):
        content(path)


@pytest.mark.parametrize(
    "statement",
    [
        'DELETE FROM requests WHERE abs("order") = 7',
        'UPDATE requests SET rank = rank + 1 WHERE "order" = 7',
        "UPDATE requests SET due = due + 1 WHERE due IS NOT NULL",
        "UPDATE lanes SET rows = 41 WHERE lane = 1",
        "UPDATE state SET data = x'00' WHERE name = 'name'",
        "UPDATE counters SET value = 5",
        "UPDATE start_keys SET key = 5 WHERE rowid = 5",
        "UPDATE outputs SET producer = 'x' WHERE producer = '7'",
        "PRAGMA user_version = 2",
        "UPDATE letters SET number = 777 WHERE number = 7",
        "UPDATE letters SET request = NULL WHERE number = 7",
        "UPDATE letters SET record = about, about = record WHERE number = 7",
    ],
)
def test_a_value_that_changed(whole, statement):
    """A file whose structure is whole but whose values are others is damaged."""
    path, data, _ = whole
    path.write_bytes(data)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    connection.close()

    with pytest.raises(DamagedError, match="is damaged"):
        content(path)


def test_a_delay_out_of_nothing_is_found(whole):
    """A bit that makes a delay of a row without one is found: hypothesis has seen it."""
    path, data, _ = whole
    path.write_bytes(data)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE requests SET delay = 0 WHERE due IS NULL")

    with pytest.raises(CheckpointError):
        content(path)


def test_a_counter_without_its_name_is_found(whole):
    """The number of the last request is not 0 because a bit of its name was flipped."""
    _, data, _ = whole
    place = data.index(b"last_number", data.index(b"CREATE TABLE counters") + 200)
    damaged = bytearray(data)
    damaged[place] ^= 1

    assert check(whole, damaged)


@pytest.mark.parametrize("name", ["7", "x'ff'", "1.5"])
@pytest.mark.parametrize("table", ["state", "lanes", "outputs"])
def test_a_name_of_another_type(tmp_path, table, name):
    """A zeroed page may leave any value in a row: it is damage, and no other error."""
    path = tmp_path / "store.db"
    SQLiteStore(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        which = {"state": "name", "lanes": "name", "outputs": "producer"}[table]
        values = [name if column == which else "1" for column in columns]
        connection.execute("PRAGMA ignore_check_constraints=ON")
        connection.execute(f"INSERT INTO {table} VALUES ({','.join(values)})")  # noqa: S608

    with closing(SQLiteStore(path, read_only=True)) as store, pytest.raises(DamagedError):
        getattr(store, table)()
