"""Where the frontier is kept between runs: what a store must do, and one in memory.

A store changes in one step only, :meth:`Store.commit`: a crash leaves either all of a
:class:`Changes` or nothing of it. Everything else reads.
"""

from __future__ import annotations

from heapq import nsmallest
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

__all__ = ["Changes", "Key", "Letter", "MemoryStore", "Row", "Store"]

Key = tuple[int, int, int]
"""Lane, rank, order: the smallest of a lane goes first. ``abs(order)`` is the row's number."""


class Row(Struct, frozen=True, order=True, gc=False):
    """One stored request. *due* and *delay* are set while it must not run yet.

    *due* is a wall-clock time, *delay* the seconds that were asked for: after a jump of
    the clock the wait is never longer than that. A struct and not a tuple, because the
    garbage collector would look at each of some 100,000, time and again, and stop the event
    loop meanwhile.
    """

    lane: int
    rank: int
    order: int
    data: Any
    due: float | None = None
    delay: float | None = None

    @property
    def key(self) -> Key:
        return self.lane, self.rank, self.order

    @property
    def place(self) -> tuple[int, int]:
        """Within its lane."""
        return self.rank, self.order

    @property
    def number(self) -> int:
        return abs(self.order)


class Letter(NamedTuple):
    """A request that was given up.

    *request* holds its bytes, None when it has no such form. *about* is what to tell of it,
    *record* what it had put out, for its second run.
    """

    number: int
    request: bytes | None
    about: bytes
    record: bytes | None = None


class Changes(msgspec.Struct):
    """Everything that one commit changes."""

    inserts: list[Row] = []
    deletes: list[Key] = []
    fingerprints: set[bytes] = set()
    lanes: dict[int, tuple[str, int]] = {}
    """Lane → (name, number of its rows after this commit); 0 forgets the lane."""
    start_keys: list[int] = []
    outputs: dict[str, bytes | None] = {}
    """Name of a request that was handed out → what it put out so far; None forgets it."""
    state: dict[str, bytes | None] = {}
    """Named state of components; None forgets it."""
    letters: list[Letter] = []
    answered: list[int] = []
    """Numbers of letters that are taken away."""
    syncs: list[Callable[[], None]] = []
    """Called before the changes are written, in the thread that writes them."""
    forced: bool = False
    """Whether not even a power loss may take them back, whatever the settings."""


class Store(Protocol):
    """What a frontier needs of its store. Lanes and rows come back as committed."""

    def lanes(self) -> Iterable[tuple[int, str, int]]:
        """(lane, name, number of rows) of every lane that has rows."""

    def read(self, lane: int, rank: int, order: int) -> Generator[Row, None, None]:
        """The rows of a lane from (*rank*, *order*) on, in order; close it after use."""

    def delayed(self) -> Iterable[Row]:
        """Every row that has a due time."""

    def seen(self, fingerprint: bytes) -> bool: ...

    def fingerprints(self, start: bytes, limit: int) -> list[bytes]:
        """In order, those that are not less than *start*."""

    def last_number(self) -> int:
        """The largest row number that was ever committed."""

    def start_keys(self) -> Iterable[int]: ...

    def outputs(self) -> dict[str, bytes]: ...

    def state(self) -> dict[str, bytes]: ...

    def letters(self, after: int, limit: int) -> list[Letter]:
        """In order, those whose number is larger than *after*."""

    def last_letter(self) -> int:
        """The largest number of a letter that is there, 0 when none is."""

    def commit(self, changes: Changes) -> None:
        """All of *changes*, or nothing and an error."""

    def pin(self) -> None:
        """Nothing is committed until :meth:`unpin`: reading may rely on it to be fast."""

    def unpin(self) -> None: ...

    def close(self) -> None: ...


class MemoryStore:
    """A store that forgets: for crawls without JOBDIR, and for tests."""

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        self._lanes: dict[int, tuple[str, int]] = {}
        self._fingerprints: set[bytes] = set()
        self._start_keys: list[int] = []
        self._outputs: dict[str, bytes] = {}
        self._state: dict[str, bytes] = {}
        self._letters: dict[int, Letter] = {}
        self._last = 0

    def lanes(self) -> list[tuple[int, str, int]]:
        return [(lane, name, rows) for lane, (name, rows) in sorted(self._lanes.items())]

    def read(self, lane: int, rank: int, order: int) -> Generator[Row, None, None]:
        found = (row for key, row in self.rows.items() if key[0] == lane)
        yield from sorted(row for row in found if row.key >= (lane, rank, order))

    def delayed(self) -> list[Row]:
        return [row for row in self.rows.values() if row.due is not None]

    def seen(self, fingerprint: bytes) -> bool:
        return fingerprint in self._fingerprints

    def fingerprints(self, start: bytes, limit: int) -> list[bytes]:
        return nsmallest(limit, (found for found in self._fingerprints if found >= start))

    def last_number(self) -> int:
        return self._last

    def start_keys(self) -> list[int]:
        return self._start_keys

    def outputs(self) -> dict[str, bytes]:
        return dict(self._outputs)

    def state(self) -> dict[str, bytes]:
        return dict(self._state)

    def letters(self, after: int, limit: int) -> list[Letter]:
        return nsmallest(limit, (found for found in self._letters.values() if found[0] > after))

    def last_letter(self) -> int:
        return max(self._letters, default=0)

    def commit(self, changes: Changes) -> None:
        start_keys = list(changes.start_keys)
        self.rows.update((row.key, row) for row in changes.inserts)
        for key in changes.deletes:
            self.rows.pop(key, None)
        self._fingerprints |= changes.fingerprints
        self._lanes.update(changes.lanes)
        self._lanes = {lane: named for lane, named in self._lanes.items() if named[1]}
        self._start_keys.extend(start_keys)
        _merge(self._outputs, changes.outputs)
        _merge(self._state, changes.state)
        self._letters.update((letter.number, letter) for letter in changes.letters)
        for number in changes.answered:
            self._letters.pop(number, None)
        self._last = max([self._last, *(row.number for row in changes.inserts)])

    def pin(self) -> None:
        pass

    def unpin(self) -> None:
        pass

    def close(self) -> None:
        pass


def _merge(old: dict[str, bytes], new: dict[str, bytes | None]) -> None:
    for name, value in new.items():
        if value is None:
            old.pop(name, None)
        else:
            old[name] = value
