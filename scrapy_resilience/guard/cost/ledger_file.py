"""The file of costs: what was spent stays spent, whatever becomes of the process.

Each record is a frame of :mod:`scrapy_resilience.core.frames` with MessagePack in it, appended
by one write before what it tells of happens. A write outlives the process without being forced
to the disk; that is done with each commit. The file does not take part in commits: a job that
goes back to one, or to a snapshot, gets no money back.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from scrapy_resilience.core.frames import frame, frames
from scrapy_resilience.core.spending_records import Folded
from scrapy_resilience.files.ownership import open_own
from scrapy_resilience.files.whole_writes import APPEND, append_whole, write_all, write_draft

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

__all__ = ["LIMIT", "LedgerFile", "Read", "pieces", "read_ledger"]

LIMIT: Final = 4_000_000
"""Bytes above which a file is made smaller."""
_PIECE: Final = 4_000_000
"""Bytes that are read at a time."""
_WAITING: Final = 50_000
"""Records that wait for a full disk at the most."""
_SEARCHED: Final = 1_000_000
"""Bytes that are looked at for the next record behind damage."""
_LONGEST_FRAME: Final = 65_536
"""Behind damage; no record of ours is longer."""
_AHEAD: Final = 2_000_000
"""Bytes, if there are so many, that are there before damage is told from what is to be read:
more than a frame has, and than are searched."""
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
_decode: Final = msgspec.msgpack.Decoder().decode
_encode: Final = msgspec.msgpack.Encoder().encode


class Read(NamedTuple):
    """What a file holds."""

    folded: Folded
    length: int
    """Where its last record ends."""
    lost: int
    """Bytes that are no records."""


def pieces(fd: int, length: int) -> Iterator[bytes]:
    """The first *length* bytes of a file, some at a time. Raises OSError."""
    place = 0
    while piece := os.pread(fd, min(_PIECE, length - place), place):
        place += len(piece)
        yield piece


def read_ledger(parts: Iterable[bytes]) -> Read:
    """What a file that has these bytes comes to.

    A kill may have torn its end. Where a disk has damaged its middle, what comes behind counts
    all the same.
    """
    folded, place, lost, data = Folded(), 0, 0, b""
    left = iter(parts)
    while True:
        if len(data) <= _AHEAD and (part := next(left, b"")):
            data += part
            continue
        length = _take(folded, data)
        if not length:
            found = _next_frame(data)
            if found is None:
                return Read(folded, place, lost + len(data) + sum(map(len, left)))
            lost, length = lost + found, found
        place, data = place + length, data[length:]


def _take(folded: Folded, data: bytes) -> int:
    """Add what it begins with; how long that is."""
    length = 0
    for payload, length in frames(data):  # noqa: B007 - the last one counts
        folded.take(_decoded(payload))
    return length


def _decoded(payload: bytes) -> Any:
    """None for what nobody has encoded."""
    try:
        return _decode(payload)
    except _UNREADABLE:
        return None


def _next_frame(data: bytes) -> int | None:
    """Where the next whole frame begins behind what is none."""
    for begin in range(1, min(_SEARCHED, len(data) - 8)):
        size = int.from_bytes(data[begin : begin + 4], "little")
        is_possible = 0 < size <= _LONGEST_FRAME and begin + 8 + size <= len(data)
        if is_possible and next(frames(data[begin : begin + 8 + size]), None) is not None:
            return begin
    return None


class LedgerFile:
    """An open file that a process has for itself. Raises OSError."""

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        self._path = path
        self._draft = path.with_name(path.name + ".new")
        self._limit = self._grown_at = limit
        self._later: list[bytes] = []
        self._has_last = False
        """Whether the record that came last was taken."""
        self.is_dirty = False
        """Whether something was written since :meth:`sync`."""
        self._fd = open_own(path, APPEND)
        try:
            self._draft.unlink(missing_ok=True)
            self.read = read_ledger(pieces(self._fd, os.fstat(self._fd).st_size))
            self._length = self.read.length
            os.ftruncate(self._fd, self._length)
        except BaseException:
            self.close()
            raise

    @property
    def has_grown(self) -> bool:
        """Whether it should be made smaller."""
        return self._length > self._grown_at

    def append(self, *record: Any) -> None:
        """Write a record, and those that wait; where that fails, all of them wait."""
        self.append_later(*record)
        self.flush()

    def append_later(self, *record: Any) -> None:
        """Write it with the next one."""
        self._has_last = len(self._later) < _WAITING
        if self._has_last:
            self._later.append(frame(_encode(record)))

    def drop_last(self) -> None:
        """Forget the record that came last, which waits."""
        if self._has_last and self._later:
            self._later.pop()

    def flush(self) -> None:
        """Write what waits."""
        if not self._later:
            return
        data = b"".join(self._later)
        append_whole(self._fd, data, self._length)
        self._length += len(data)
        self._later.clear()
        self.is_dirty = True

    def sync(self) -> Callable[[], None]:
        """What forces it to the disk, in a thread or at once."""
        fd, self.is_dirty = os.dup(self._fd), False

        def force() -> None:
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

        return force

    # --- making it smaller ---

    def replace(self, records: Iterable[tuple[Any, ...]]) -> None:
        """Put a file with these records in its place, in one step."""
        fd = write_draft(self._draft, _parts(records))
        self._put(fd)

    def draft(self, since: float) -> Callable[[], tuple[int, int]]:
        """What makes a smaller file, in a thread: of entries before *since* it has sums only.

        It returns the open file, and how much of this one is in it, for :meth:`adopt`.
        """
        length, copy = self._length, os.dup(self._fd)

        def make() -> tuple[int, int]:
            try:
                folded = read_ledger(pieces(copy, length)).folded
            finally:
                os.close(copy)
            return write_draft(self._draft, _parts(folded.records(since))), length

        return make

    def adopt(self, fd: int, length: int) -> None:
        """Put that draft in the place of the file, with what has come since."""
        try:
            while rest := os.pread(self._fd, 1 << 20, length):
                write_all(fd, rest)
                length += len(rest)
        except BaseException:
            os.close(fd)
            raise
        self._put(fd)

    def leave_as_it_is(self) -> None:
        """It could not be made smaller: not at once again."""
        self._grown_at = self._length + self._limit // 4
        with suppress(OSError):
            self._draft.unlink(missing_ok=True)

    def _put(self, fd: int) -> None:
        try:
            self._draft.replace(self._path)
        except BaseException:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd, self._length = fd, os.fstat(fd).st_size
        self._grown_at = max(self._limit, 2 * self._length)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _parts(records: Iterable[tuple[Any, ...]]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    for record in records:
        waiting.append(frame(_encode(record)))
        if len(waiting) >= 1_000:  # noqa: PLR2004 - some tens of kilobytes
            yield b"".join(waiting)
            waiting.clear()
    yield b"".join(waiting)
