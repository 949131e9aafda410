"""The two stores, by one contract, and what only a file can suffer."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing

import pytest
from store_contract import FIRST, StoreContract, everything, filled, read, row

from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.frontier.schema import SCHEMA
from scrapy_resilience.frontier.sqlite import SQLiteStore
from scrapy_resilience.frontier.store import Changes, Letter, MemoryStore, Row

posix = pytest.mark.skipif(os.name != "posix", reason="file modes and SIGKILL are of POSIX")


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def reopen(self):
        """Return a function that gives one and the same store: it does not outlive itself."""
        store = MemoryStore()
        return lambda: store


@pytest.fixture
def path(tmp_path):
    """Return where the file of a store goes."""
    return tmp_path / "resilience.db"


@pytest.fixture
def opened(path):
    """Return a function that opens the store at *path*, and closes all in the end."""
    stores = []

    def open_(**more):
        stores.append(SQLiteStore(path, **more))
        return stores[-1]

    yield open_
    for store in stores:
        store.close()


class TestSQLiteStore(StoreContract):
    @pytest.fixture
    def reopen(self, path):
        """Return a function that closes the store of the last call and opens it again."""
        stores = []

        def reopen():
            if stores:
                stores.pop().close()
            stores.append(SQLiteStore(path))
            return stores[-1]

        yield reopen
        stores.pop().close()

    @pytest.fixture
    def store(self, reopen):
        """Return a store that is opened again before and after each access."""

        class Reopened:
            def __getattr__(self, name):
                return getattr(reopen(), name)

        return Reopened()


class TestOneSQLiteStore(StoreContract):
    """The same contract for a store that stays open, read through its second connection."""

    @pytest.fixture
    def reopen(self, opened):
        """Return a function that gives one and the same open store."""
        store = opened()
        return lambda: store


# --- the file ---------------------------------------------------------------------


@posix
def test_only_the_owner_may_read_the_file(path, opened):
    """The file and its WAL have mode 0600, whatever the umask allows."""
    before = os.umask(0)
    try:
        opened().commit(filled())
    finally:
        os.umask(before)

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert set(modes.values()) == {0o600}
    assert f"{path.name}-wal" in modes


def test_close_leaves_one_file(path):
    """A closed store is one file: its WAL is checkpointed and removed."""
    store = SQLiteStore(path)
    store.commit(filled())
    store.close()

    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_missing_file_is_no_store_to_read(path):
    """A reader of a file that is not there raises CheckpointError and makes no file."""
    with pytest.raises(CheckpointError, match=path.name):
        SQLiteStore(path, read_only=True)

    assert not path.exists()


def test_a_missing_folder_is_an_error_of_the_system(tmp_path):
    """A store in a folder that is not there can't be made."""
    with pytest.raises((OSError, CheckpointError)):
        SQLiteStore(tmp_path / "no" / "folder" / "x.db")


def foreign(path):
    """Make an SQLite file of somebody else."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE requests (data BLOB)")
        connection.commit()


def garbage(path):
    """Make a file that is not a SQLite file."""
    path.write_bytes(b"not a database, \0\xff" * 1000)


def empty(path):
    """Make a file of 0 bytes."""
    path.touch()


def half_a_header(path):
    """Make a file that ends within SQLite's header."""
    path.write_bytes(b"SQLite format 3\0"[:10])


def other_schema(path):
    """Make a store of another version of scrapy_resilience."""
    SQLiteStore(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA + 1}")


def directory(path):
    """Make a folder."""
    path.mkdir()


def many_rows(path):
    """Make a store of some pages, closed."""
    store = SQLiteStore(path)
    rows = [Row(1, 0, number, b"x" * 300) for number in range(1, 500)]
    store.commit(Changes(inserts=rows, lanes={1: ("one", len(rows))}))
    store.close()


def cut_in_half(path):
    """Make a store whose second half is gone."""
    many_rows(path)
    os.truncate(path, path.stat().st_size // 2)


def torn(path):
    """Make a store whose pages behind the first are zeros, as a lost write leaves them."""
    many_rows(path)
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\0" * (path.stat().st_size - 8192))


def without_tables(path):
    """Make a store with our mark and schema and nothing in it."""
    SQLiteStore(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE requests")


def view(path):
    """Make a store of some kilobytes of which one row is 900 MB, made when it is read."""
    _instead(path, """CREATE VIEW state AS SELECT 'a' AS name, zeroblob(900000000) AS data""")


def endless_view(path):
    """Make a store that goes on for ever."""
    _instead(
        path,
        """CREATE VIEW state AS
        WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n) SELECT x, x, x FROM n""",
    )


def made_column(path):
    """Make a store whose values are made when they are read."""
    made = "AS (zeroblob(900000000))"
    _instead(path, f"""CREATE TABLE state (name TEXT, data BLOB {made}, "check" INTEGER)""")


def trigger(path):
    """Make a store that grows by more than what is written."""
    grows = "INSERT INTO fingerprints VALUES (randomblob(900000000), x'')"
    _instead(path, f"CREATE TRIGGER more AFTER INSERT ON lanes BEGIN {grows}; END", gone="")


def index(path):
    """Make a store that makes a value for each row that is written."""
    _instead(path, "CREATE INDEX more ON lanes (hex(zeroblob(400000000 + rows)))", gone="")


def _instead(path, sql, *, gone="DROP TABLE state"):
    SQLiteStore(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"{gone}; {sql}")


@pytest.mark.parametrize(
    "make",
    [
        foreign,
        garbage,
        empty,
        half_a_header,
        other_schema,
        directory,
        cut_in_half,
        torn,
        without_tables,
        view,
        endless_view,
        made_column,
        trigger,
        index,
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_no_store_is_refused(path, make, read_only):
    """Whatever is wrong with a file, CheckpointError names its path, and it is left alone."""
    make(path)
    before = path.read_bytes() if path.is_file() else None

    with pytest.raises(CheckpointError) as caught:
        SQLiteStore(path, read_only=read_only).close()

    assert str(path) in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_store_that_was_analyzed_is_opened(path):
    """What SQLite keeps for its own use is not part of the job."""
    many_rows(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ANALYZE")

    SQLiteStore(path).close()


def test_another_schema_is_told_from_ours(path):
    """The refusal of another schema names both versions."""
    other_schema(path)

    with pytest.raises(CheckpointError, match=rf"schema {SCHEMA + 1}.* {SCHEMA}\b"):
        SQLiteStore(path)


def test_a_kill_while_the_file_is_made_does_no_harm(path, opened):
    """The file appears under its name when it is whole; what a kill left before that goes."""
    draft = path.with_name(path.name + ".new")
    with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE requests (half)")
    draft.with_name(draft.name + "-wal").touch()

    opened().commit(filled())

    assert opened(read_only=True).last_number() == 3
    assert not list(path.parent.glob("*.new*"))


# --- two connections ----------------------------------------------------------------


def test_a_reader_beside_a_writer(opened):
    """A read-only store sees each commit of the writer, and never a part of one."""
    writer = opened()
    reader = opened(read_only=True)
    assert everything(reader)["rows"] == []

    writer.commit(filled())
    assert everything(reader) == everything(writer)

    with pytest.raises(OSError, match="no space"):
        writer.commit(StoreContract().broken())
    assert everything(reader) == everything(writer)


def test_a_reader_in_the_middle_of_a_read_sees_one_moment(opened):
    """A read that began before a commit gives the rows from before it, to the end."""
    writer = opened()
    rows = [row(1, 0, number) for number in range(1, 50)]
    writer.commit(Changes(inserts=rows, lanes={1: ("one", 49)}))
    reader = opened(read_only=True)

    with closing(reader.read(1, *FIRST)) as reading:
        first = next(reading)
        writer.commit(Changes(deletes=[each.key for each in rows], lanes={1: ("one", 0)}))
        rest = list(reading)

    assert [first, *rest] == rows
    assert read(reader, 1) == []


def test_a_reader_can_not_write(opened):
    """A read-only store commits nothing."""
    opened()
    reader = opened(read_only=True)

    with pytest.raises(AssertionError):
        reader.commit(filled())
    with pytest.raises(sqlite3.OperationalError):
        reader._reader.execute("DELETE FROM requests")


def test_commits_may_come_from_another_thread(opened):
    """The thread that opened the store reads what a worker thread commits."""
    store = opened()
    worker = threading.Thread(target=store.commit, args=(filled(),))
    worker.start()
    worker.join()

    assert store.last_number() == 3


def test_a_lock_of_another_writer_is_an_error_without_effect(path, opened):
    """A commit that meets another writer's transaction fails and can be retried."""
    store = opened()
    store._writer.execute("PRAGMA busy_timeout=0")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            store.commit(filled())
        other.execute("ROLLBACK")
    assert store.last_number() == 0

    store.commit(filled())
    assert store.last_number() == 3


def test_a_numbers_beyond_63_bits_is_an_error_without_effect(opened):
    """A row that SQLite can't hold fails its commit as a whole."""
    store = opened()
    changes = filled()
    changes.inserts.append(row(1, -(2**64), 4))

    with pytest.raises(OverflowError):
        store.commit(changes)

    assert everything(store)["rows"] == []


# --- an older schema ------------------------------------------------------------------


@pytest.fixture
def older(path):
    """Return the path of a job that was written before there were dead letters."""
    store = SQLiteStore(path)
    changes = filled()
    changes.letters = []
    store.commit(changes)
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("DROP TABLE letters; PRAGMA user_version=2;")
    return path


def test_an_older_job_gets_the_table_of_letters(older, opened):
    """A job of schema 2 is opened with all that it holds, and can hold letters from then on."""
    store = opened()
    assert everything(store)["rows"] == sorted(filled().inserts)
    store.verify()

    store.commit(Changes(letters=[Letter(1, b"r", b"a")]))
    store.close()

    assert opened().letters(0, 9) == [Letter(1, b"r", b"a")]
    with closing(sqlite3.connect(older)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA,)


def test_reading_an_older_job_leaves_it_as_it_is(older, opened):
    """A reader of schema 2 finds no letters, and changes nothing."""
    before = older.read_bytes()
    store = opened(read_only=True)

    assert (store.letters(0, 9), store.last_letter()) == ([], 0)
    store.verify()
    store.close()

    assert older.read_bytes() == before


# --- SIGKILL ------------------------------------------------------------------------

_CHILD = """
import sys
from scrapy_resilience.frontier.sqlite import SQLiteStore
from scrapy_resilience.frontier.store import Changes, Letter, Row

store = SQLiteStore(sys.argv[1])
print("open", flush=True)
for number in range(1, 1_000_000):
    inserts = [Row(1, 0, 10 * number + part, b"x" * 500) for part in range(10)]
    deletes = [(1, 0, 10 * (number - 3) + part) for part in range(10)]
    store.commit(Changes(
        inserts=inserts,
        deletes=deletes,
        fingerprints={b"%d" % number},
        lanes={1: ("one", 10 * min(number, 3))},
        start_keys=[number],
        outputs={"n": b"%d" % number},
        state={"n": b"%d" % number},
        letters=[Letter(number, b"r", b"a")],
        answered=[number - 1],
    ))
    print(number, flush=True)
"""


@posix
@pytest.mark.parametrize("commits", [1, 7, 60])
def test_sigkill_leaves_a_prefix_of_whole_commits(path, commits, opened):
    """After SIGKILL the store holds every commit that had returned, at most one more, whole."""
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(path)], stdout=subprocess.PIPE, text=True
    )
    with child:
        for line in child.stdout:
            if line.strip() == str(commits):
                break
        child.send_signal(signal.SIGKILL)
        said = [int(line) for line in child.stdout]
    returned = said[-1] if said else commits

    store = opened()
    last = int(store.state()["n"])
    assert last in {returned, returned + 1}
    assert store.outputs() == {"n": b"%d" % last}
    assert store.letters(0, 9) == [Letter(last, b"r", b"a")]
    assert list(store.start_keys()) == list(range(1, last + 1))
    assert store.last_number() == 10 * last + 9
    assert list(store.lanes()) == [(1, "one", 10 * min(last, 3))]
    kept = range(max(last - 2, 1), last + 1)
    assert [each.order for each in read(store, 1)] == [
        10 * number + part for number in kept for part in range(10)
    ]
    assert all(store.seen(b"%d" % number) for number in range(1, last + 1))
    assert not store.seen(b"%d" % (last + 1))
