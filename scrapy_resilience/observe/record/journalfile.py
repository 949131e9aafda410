"""The file of the journal: batches of entries, one of each commit that has any.

Each batch is a frame of :mod:`scrapy_resilience.core.frames` with MessagePack in it, which
names the job and the commit that it belongs to. The commits in a file only grow. So what is of
no use is always an end of it: what a kill has torn, what a disk has damaged, and what came
after the commit to which a job has gone back. It is cut off when the file is opened, because
the numbers of those commits are used again.
"""

from __future__ import annotations

import os
from errno import EFBIG
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from scrapy_resilience.core.frames import frame, frames
from scrapy_resilience.files.ownership import open_own
from scrapy_resilience.files.whole_writes import APPEND, append_whole, write_draft

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    Fold = Callable[[list["Batch"]], list["Batch"]]

__all__ = ["UNREADABLE", "Batch", "JournalFile", "Read", "read_journal", "size_of"]

LIMIT: Final = 4_000_000
"""Bytes above which a file is written anew, with less in it."""
_KEPT_AS_IT_IS: Final = 0.5
_FOLDED: Final = 0.25
"""Shares of the limit: the newest batches, and what becomes of the others, at the most."""
_LONGEST: Final = 4 * LIMIT
"""Bytes that are read: a file with holes may have more of them than there is memory."""


class Batch(msgspec.Struct, array_like=True):
    """The entries of one commit, each with its kind."""

    job: str
    commit: int
    entries: list[tuple[str, msgspec.Raw]]


class Read(NamedTuple):
    """What a file holds."""

    batches: list[Batch]
    length: int
    """Bytes of it that are of use."""
    torn: int
    """Bytes behind them that are no batches."""


UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What decoding raises for bytes that nobody has encoded."""
_decoder: Final = msgspec.msgpack.Decoder(Batch)
_encoder: Final = msgspec.msgpack.Encoder()


def size_of(batch: Batch) -> int:
    """Bytes in the file, without what the batch itself costs."""
    return sum(len(kind) + len(memoryview(value)) for kind, value in batch.entries)


def read_journal(fd: int, job: str, commits: int) -> Read:
    """The batches of *job* up to the commit *commits*, from an open file."""
    data = os.pread(fd, _LONGEST, 0)
    batches: list[Batch] = []
    length = 0
    for payload, end in frames(data):
        try:
            batch = _decoder.decode(payload)
        except UNREADABLE:  # of another version
            break
        if batch.job != job or batch.commit > commits:
            return Read(batches, length, 0)
        batches.append(batch)
        length = end
    return Read(batches, length, os.fstat(fd).st_size - length)


class JournalFile:
    """An open file that a process has for itself. Raises OSError.

    *limit*: bytes above which :meth:`append` says that it should be written anew.
    """

    def __init__(self, path: Path, job: str, commits: int, limit: int = LIMIT) -> None:
        self._path = path
        self._job = job
        self._limit = limit
        self._draft = path.with_name(path.name + ".new")
        self._rewrite_at = limit
        self._fd = open_own(path, APPEND)
        try:
            self._draft.unlink(missing_ok=True)
            self.read: Read = read_journal(self._fd, job, commits)
            self._length = self.read.length
            os.ftruncate(self._fd, self._length)
        except BaseException:
            self.close()
            raise

    def append(self, batch: Batch) -> bool:
        """Write a batch, whole or not at all; whether the file has grown too large."""
        data = frame(_encoder.encode(batch))
        if self._length + len(data) > 2 * self._limit:
            raise OSError(EFBIG, "it has grown too large, and can't be made smaller")
        append_whole(self._fd, data, self._length)
        self._length += len(data)
        return self._length > self._rewrite_at

    def rewrite(self, fold: Fold) -> None:
        """Put a smaller file in the place of this one, in one step.

        The newest batches stay as they are, so that a job can go back to a commit of theirs;
        *fold* makes fewer of the others.
        """
        self._rewrite_at = self._length + self._limit // 10  # where it fails, not at once again
        batches = read_journal(self._fd, self._job, _ANY).batches
        newest = _newest(batches, self._limit * _KEPT_AS_IT_IS)
        folded = fold(batches[: len(batches) - len(newest)])
        kept = _newest(folded, self._limit * _FOLDED) + newest
        fd = self._write_draft(kept)
        try:
            self._draft.replace(self._path)
        except BaseException:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd, self._length, self._rewrite_at = fd, os.fstat(fd).st_size, self._limit

    def _write_draft(self, batches: Iterable[Batch]) -> int:
        """An open file that is on the disk."""
        return write_draft(self._draft, (frame(_encoder.encode(batch)) for batch in batches))

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


_ANY: Final = 1 << 62


def _newest(batches: list[Batch], size: float) -> list[Batch]:
    """As many of the last ones as have together not more than so many bytes."""
    for count, batch in enumerate(reversed(batches)):
        size -= size_of(batch)
        if size < 0:
            return batches[len(batches) - count :]
    return batches
