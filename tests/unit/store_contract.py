"""What every store has to do: subclass StoreContract and say how to open one."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from scrapy_resilience.frontier.store import Changes, Letter, Row

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy_resilience.frontier.store import Store

FIRST = (-(2**63), -(2**63))


class BrokenList(list):
    """A list whose reader fails behind its last element: the disk is full, a bug."""

    def __iter__(self):
        """Yield the elements, then fail."""
        yield from super().__iter__()
        raise OSError("no space left on device")


def row(lane, rank, order, **more) -> Row:
    """Return a row whose data names its key."""
    return Row(lane, rank, order, f"{lane}/{rank}/{order}".encode(), **more)


def read(store: Store, lane: int, start: tuple[int, int] = FIRST) -> list[Row]:
    """Return the rows of a lane from *start* on."""
    with closing(store.read(lane, *start)) as rows:
        return list(rows)


def everything(store: Store, lanes: Iterable[int] = range(10)) -> dict:
    """Return all that a store gives back."""
    return {
        "rows": [found for lane in lanes for found in read(store, lane)],
        "lanes": sorted(store.lanes()),
        "delayed": sorted(store.delayed()),
        "last_number": store.last_number(),
        "start_keys": sorted(store.start_keys()),
        "outputs": store.outputs(),
        "state": store.state(),
        "letters": store.letters(0, 100),
        "last_letter": store.last_letter(),
        "a": store.seen(b"a"),
        "b": store.seen(b"b"),
    }


def filled() -> Changes:
    """Return changes of every kind."""
    return Changes(
        inserts=[row(1, 0, 1), row(1, 0, 2), row(2, 0, 3, due=9.5, delay=2.5)],
        fingerprints={b"a"},
        lanes={1: ("one", 2), 2: ("two", 1)},
        start_keys=[7, 7, -8],
        outputs={"1": b"out"},
        state={"totals": b"42"},
        letters=[Letter(1, b"request", b"about", b"record"), Letter(2, None, b"about")],
    )


class StoreContract:
    """Give the fixtures ``store`` and ``reopen``."""

    @pytest.fixture
    def reopen(self):
        """Return a function that gives the same store, opened again if it can be."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, reopen):
        """Return an empty store."""
        return reopen()

    # --- empty ---

    def test_a_new_store_is_empty(self, store):
        """A new store has nothing of any kind, and its last numbers are 0."""
        assert everything(store) == {
            "rows": [],
            "lanes": [],
            "delayed": [],
            "last_number": 0,
            "start_keys": [],
            "outputs": {},
            "state": {},
            "letters": [],
            "last_letter": 0,
            "a": False,
            "b": False,
        }

    def test_an_empty_commit_changes_nothing(self, store, reopen):
        """A commit of no changes leaves the store as it is."""
        store.commit(filled())
        before = everything(store)

        store.commit(Changes())

        assert everything(reopen()) == before

    # --- rows ---

    def test_rows_come_back_in_order(self, store, reopen):
        """Rows of a lane are read by rank, then order, however they were committed."""
        rows = [row(1, rank, order) for rank in (-4, 0, 3) for order in (-9, -2, 1, 8)]
        store.commit(Changes(inserts=rows[::-2], lanes={1: ("one", 6)}))
        store.commit(Changes(inserts=rows[-2::-2], lanes={1: ("one", 12)}))

        assert read(reopen(), 1) == rows

    def test_a_row_comes_back_exactly(self, store, reopen):
        """Numbers of 63 bits, empty and binary data, due time and delay are kept."""
        rows = [
            Row(2**40, -(2**63), -(2**63) + 1, b""),
            Row(2**40, 2**63 - 1, 2**63 - 1, bytes(range(256)), 1e9 + 1 / 3, 0.1),
        ]
        store.commit(Changes(inserts=rows, lanes={2**40: ("far", 2)}))

        found = read(reopen(), 2**40)

        assert found == rows
        assert [type(one) for one in found] == [Row, Row]

    def test_read_begins_at_a_key(self, store, reopen):
        """A read from (rank, order) begins with that row, and takes no row before it."""
        rows = [row(1, rank, order) for rank in (0, 1) for order in (-3, 4)]
        store.commit(Changes(inserts=rows, lanes={1: ("one", 4)}))
        store = reopen()

        assert read(store, 1, (0, 4)) == rows[1:]
        assert read(store, 1, (0, 5)) == rows[2:]
        assert read(store, 1, (2, 0)) == []

    def test_a_read_stays_in_its_lane(self, store, reopen):
        """A read gives rows of one lane only."""
        store.commit(
            Changes(inserts=[row(lane, 0, lane) for lane in (1, 2, 3)], lanes={2: ("two", 1)})
        )

        assert read(reopen(), 2) == [row(2, 0, 2)]

    def test_a_read_may_end_early(self, store):
        """Rows can be taken one by one, and the read closed before the last."""
        store.commit(
            Changes(inserts=[row(1, 0, n) for n in range(1, 6)], lanes={1: ("one", 5)})
        )

        rows = store.read(1, *FIRST)
        first = next(rows)
        rows.close()
        store.commit(Changes(deletes=[first.key], lanes={1: ("one", 4)}))

        assert read(store, 1) == [row(1, 0, n) for n in range(2, 6)]

    def test_deleted_rows_are_gone(self, store, reopen):
        """A commit takes away exactly the rows whose keys it names."""
        store.commit(Changes(inserts=[row(1, 0, n) for n in (1, 2, 3)], lanes={1: ("one", 3)}))
        store.commit(Changes(deletes=[(1, 0, 2)], lanes={1: ("one", 2)}))

        assert read(reopen(), 1) == [row(1, 0, 1), row(1, 0, 3)]

    def test_deleting_an_unknown_row_is_no_error(self, store, reopen):
        """A delete that was committed before may be committed again."""
        changes = Changes(deletes=[(1, 0, 1)])
        store.commit(filled())
        store.commit(changes)
        store.commit(changes)

        assert read(reopen(), 1) == [row(1, 0, 2)]

    def test_the_same_commit_twice_gives_the_same_rows(self, store, reopen):
        """Rows, lanes, fingerprints and named values of a repeated commit are there once."""
        changes = filled()
        changes.start_keys = []
        store.commit(changes)
        before = everything(store)
        store.commit(changes)

        assert everything(reopen()) == before

    def test_delayed_rows_are_found(self, store, reopen):
        """The delayed rows are those with a due time, of all lanes."""
        late = [row(1, 0, 2, due=5.0, delay=4.0), row(2, 1, 3, due=2.0, delay=1.0)]
        store.commit(Changes(inserts=[row(1, 0, 1), *late], lanes={1: ("a", 2), 2: ("b", 1)}))
        store = reopen()

        assert sorted(store.delayed()) == late

        store.commit(Changes(deletes=[late[0].key], lanes={1: ("a", 1)}))
        assert list(reopen().delayed()) == late[1:]

    # --- the rest ---

    def test_lanes_come_back(self, store, reopen):
        """A lane has the name and the number of rows of its last commit."""
        store.commit(Changes(lanes={1: ("one", 5), 2: ("ünï/…", 1)}))
        store.commit(Changes(lanes={1: ("one", 4)}))

        assert sorted(reopen().lanes()) == [(1, "one", 4), (2, "ünï/…", 1)]

    def test_a_lane_without_rows_vanishes(self, store, reopen):
        """A commit that says 0 rows forgets the lane, and one that says more brings it back."""
        store.commit(Changes(lanes={1: ("one", 2), 2: ("two", 0)}))
        assert list(reopen().lanes()) == [(1, "one", 2)]

        store.commit(Changes(lanes={1: ("one", 0)}))
        assert list(reopen().lanes()) == []

        store.commit(Changes(lanes={1: ("again", 1)}))
        assert list(reopen().lanes()) == [(1, "again", 1)]

    def test_fingerprints_come_in_order(self, store, reopen):
        """Fingerprints of any length come back in order, from a start and up to a limit."""
        store.commit(Changes(fingerprints={b"", b"b", b"a", b"\0" * 20, b"\xff" * 20, b"ab"}))
        store = reopen()

        assert store.fingerprints(b"", 9) == [b"", b"\0" * 20, b"a", b"ab", b"b", b"\xff" * 20]
        assert store.fingerprints(b"a\0", 2) == [b"ab", b"b"]
        assert store.fingerprints(b"\xff" * 21, 9) == []

    def test_fingerprints_are_seen(self, store, reopen):
        """A fingerprint is seen once it is committed, and only then."""
        store.commit(Changes(fingerprints={b"a", b"\0" * 20}))
        store.commit(Changes(fingerprints={b"a", b"c"}))
        store = reopen()

        assert [store.seen(each) for each in (b"a", b"\0" * 20, b"c", b"b", b"")] == [
            True,
            True,
            True,
            False,
            False,
        ]

    def test_last_number_is_the_largest_ever(self, store, reopen):
        """The last number is by the order's absolute value, and survives deletes."""
        assert store.last_number() == 0
        store.commit(Changes(inserts=[row(1, 0, -9), row(1, 0, 4)], lanes={1: ("one", 2)}))
        assert reopen().last_number() == 9

        store.commit(Changes(deletes=[(1, 0, -9), (1, 0, 4)], lanes={1: ("one", 0)}))
        store.commit(Changes(inserts=[row(1, 0, 5)], lanes={1: ("one", 1)}))
        assert reopen().last_number() == 9

    def test_start_keys_add_up(self, store, reopen):
        """Start keys are a multiset over all commits, of signed 64-bit numbers."""
        store.commit(Changes(start_keys=[5, 5, -(2**63)]))
        store.commit(Changes(start_keys=[5, 2**63 - 1]))

        assert sorted(reopen().start_keys()) == [-(2**63), 5, 5, 5, 2**63 - 1]

    @pytest.mark.parametrize("kind", ["outputs", "state"])
    def test_named_values(self, store, reopen, kind):
        """A named value is replaced by a new one and forgotten by None; others stay."""
        store.commit(Changes(**{kind: {"a": b"1", "b": b"", "c": b"3"}}))
        store.commit(Changes(**{kind: {"a": b"2", "c": None, "never": None}}))

        assert getattr(reopen(), kind)() == {"a": b"2", "b": b""}

    def test_letters_come_back_exactly(self, store, reopen):
        """Letters come in order of their numbers, with what has no bytes told from none."""
        found = [
            Letter(3, b"", b"\0about", None),
            Letter(7, None, b"", b""),
            Letter(2**62, bytes(range(256)), b"a", b"r"),
        ]
        store.commit(Changes(letters=found[::-1]))
        store = reopen()

        assert store.letters(0, 9) == found
        assert store.letters(3, 1) == found[1:2]
        assert store.letters(2**62, 9) == []
        assert store.last_letter() == 2**62
        assert all(type(letter) is Letter for letter in store.letters(0, 9))

    def test_letters_that_are_answered_are_gone(self, store, reopen):
        """A commit takes away exactly the letters that it names; others stay."""
        store.commit(Changes(letters=[Letter(n, b"r", b"a") for n in (1, 2, 3)]))
        store.commit(Changes(answered=[3, 1, 8]))
        store.commit(Changes(answered=[3, 1, 8]))

        assert reopen().letters(0, 9) == [Letter(2, b"r", b"a")]
        assert reopen().last_letter() == 2

    def test_a_letter_and_the_end_of_its_request_are_one_commit(self, store, reopen):
        """A commit that fails leaves the row and no letter; one that succeeds the letter."""
        store.commit(Changes(inserts=[row(1, 0, 1)], lanes={1: ("one", 1)}))
        changes = Changes(
            deletes=[(1, 0, 1)], lanes={1: ("one", 0)}, start_keys=BrokenList([1])
        )
        changes.letters = [Letter(1, b"r", b"a")]
        with pytest.raises(OSError, match="no space"):
            store.commit(changes)
        assert (len(read(reopen(), 1)), reopen().letters(0, 9)) == (1, [])

        changes.start_keys = []
        store.commit(changes)

        assert (read(reopen(), 1), len(reopen().letters(0, 9))) == ([], 1)

    def test_what_a_store_gives_is_a_copy(self, store):
        """Changing what the store gave back does not change the store."""
        store.commit(filled())
        store.outputs().clear()
        store.state().clear()

        assert store.outputs() == {"1": b"out"}
        assert store.state() == {"totals": b"42"}

    # --- all or nothing ---

    def broken(self) -> Changes:
        """Return changes of every kind whose commit fails after some of them."""
        return Changes(
            inserts=[row(1, 0, 50), row(3, 0, 51, due=1.0, delay=1.0)],
            deletes=[(1, 0, 1)],
            fingerprints={b"b"},
            lanes={1: ("one", 2), 2: ("two", 0), 3: ("three", 1)},
            start_keys=BrokenList([1, 2, 3]),
            outputs={"1": None, "2": b"x"},
            state={"totals": b"43"},
            letters=[Letter(3, b"other", b"about")],
            answered=[1],
        )

    def test_a_failed_commit_changes_nothing(self, store, reopen):
        """An error in the middle of a commit leaves the store as it was."""
        store.commit(filled())
        before = everything(store)

        with pytest.raises(OSError, match="no space"):
            store.commit(self.broken())

        assert everything(store) == before
        assert everything(reopen()) == before

    def test_a_failed_commit_can_be_retried(self, store, reopen):
        """The same changes can be committed once the error is gone."""
        store.commit(filled())
        changes = self.broken()
        with pytest.raises(OSError, match="no space"):
            store.commit(changes)

        changes.start_keys = [1, 2, 3]
        store.commit(changes)

        found = everything(reopen())
        assert found["rows"] == [
            row(1, 0, 2),
            row(1, 0, 50),
            row(2, 0, 3, due=9.5, delay=2.5),
            row(3, 0, 51, due=1.0, delay=1.0),
        ]
        assert found["lanes"] == [(1, "one", 2), (3, "three", 1)]
        assert found["last_number"] == 51
        assert sorted(found["start_keys"]) == sorted([7, 7, -8, 1, 2, 3])
        assert found["outputs"] == {"2": b"x"}
        assert found["state"] == {"totals": b"43"}
        assert [letter.number for letter in found["letters"]] == [2, 3]
        assert found["a"]
        assert found["b"]
