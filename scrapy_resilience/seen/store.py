"""A store of pages that were seen: one SQLite file, which all jobs of a spider share.

Jobs that run at the same time see at once what the others have written. Only one process writes
at a time, for as long as a batch takes: a lock beside the file sees to that, because two that
write or checkpoint at once meet SQLite's WAL-reset bug, up to 3.51.2.

What a job has written can be taken back: for as long as it may go back to an earlier commit,
the store keeps what was there before each of its marks. Marks of one page are a chain, whoever
made them: one that is taken back gives what was before it to the next, and one that is there
for good ends what may become of those before it.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from scrapy_resilience.files.lock import locked
from scrapy_resilience.seen.marks import Entry, Validators
from scrapy_resilience.seen.schema import connect, create

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from scrapy_resilience.seen.marks import Batch, Mark

__all__ = ["SeenStore", "transaction"]

_PATIENCE: Final = 10.0
"""Seconds for which another process may write."""
_FORGOTTEN: Final = 30 * 86_400
"""Seconds after which nobody goes back to a commit of an unfinished job."""
_FIND: Final = "SELECT at, period, content FROM seen WHERE ident=?"
_VALIDATORS: Final = "SELECT etag, modified FROM validators WHERE page=?"
_REMEMBER: Final = """
INSERT INTO undo(job, number, ident, page, at, period, content)
SELECT ?, ?, asked.ident, ?, at, period, content
FROM (SELECT ? AS ident) AS asked LEFT JOIN seen ON seen.ident=asked.ident
"""
_KEEP: Final = """
DELETE FROM undo WHERE n IN (
    SELECT before.n FROM undo AS kept JOIN undo AS before
    ON before.ident=kept.ident AND before.n<=kept.n WHERE kept.job=? AND kept.number<=?
)
"""
_PUT: Final = "INSERT OR REPLACE INTO seen(ident, at, period, content) VALUES(?, ?, ?, ?)"


class SeenStore:
    """Raises :exc:`CheckpointError` where *path* can't be used as one.

    :meth:`find` and :meth:`validators` are for one thread, everything else for any, one call
    at a time. What writes raises OSError and :exc:`sqlite3.Error`, and has done nothing then.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = path.with_name(path.name + ".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self._lock, _PATIENCE):
            create(path)
            self._writer = connect(path, read_only=False)
            self._writer.execute("PRAGMA synchronous=NORMAL")
            self._writer.execute("BEGIN IMMEDIATE")  # a file that is read-only says so now
            self._writer.execute("ROLLBACK")
        self._reader = connect(path, read_only=True)
        self._lookup = self._reader.cursor()
        self._is_closed = False
        _read_ahead(path)

    # --- in the event loop ---

    def find(self, ident: int) -> Entry | None:
        """Some microseconds, where the system has the file in memory."""
        found = self._lookup.execute(_FIND, (ident,)).fetchone()
        return None if found is None else Entry(found[0], found[1], found[2] or b"")

    def validators(self, page: int) -> Validators | None:
        found = self._lookup.execute(_VALIDATORS, (page,)).fetchone()
        return None if found is None else Validators(*found)

    # --- in a thread ---

    def write(
        self,
        batches: Iterable[Batch],
        job: str = "",
        *,
        floor: int = 0,
        now: int = 0,
        gone: Iterable[tuple[int, int]] = (),
    ) -> None:
        """Write what is new of them: a batch of a *job* that was written is left out.

        Nobody goes back behind the job's commit *floor* any more. Before all else the marks
        that are *gone* are taken away: the ident and the page of each.
        """
        with self._writing() as writer:
            _take_away(writer, [*gone])
            number, last = _job(writer, job, now) if job else (0, 0)
            for batch in batches:
                if job and batch.number <= last:
                    continue
                _write(writer, sorted(batch.marks), number, batch.number)
                last = max(last, batch.number)
            if job:
                _keep_for_good(writer, number, floor)
                writer.execute(
                    "UPDATE jobs SET number=?, floor=max(floor, ?), at=? WHERE job=?",
                    (last, floor, now, number),
                )

    def begin(self, job: str, committed: int, since: float, now: int) -> int | None:
        """Take back what *job* has written after the commit at which it is now.

        Returns of how many pages. None: it has gone back too far, and what all jobs have
        written *since* that commit, a time of day, is forgotten.
        """
        with self._writing() as writer:
            number, last = _job(writer, job, now)
            _forget_old_jobs(writer, number, now - _FORGOTTEN)
            if last <= committed:
                return 0
            (floor,) = writer.execute(
                "SELECT floor FROM jobs WHERE job=?", (number,)
            ).fetchone()
            taken: int | None = _take_back(writer, number, committed)
            if committed < floor:
                _forget_since(writer, int(since))
                taken = None
            writer.execute(
                "UPDATE jobs SET number=?, floor=min(floor, ?) WHERE job=?",
                (committed, committed, number),
            )
            return taken

    def finished(self, job: str, now: int) -> None:
        """The job has come to its end: what it has written over is not kept any longer."""
        with self._writing() as writer:
            number, last = _job(writer, job, now)
            _keep_for_good(writer, number, last)
            writer.execute("UPDATE jobs SET floor=? WHERE job=?", (last, number))

    def close(self) -> None:
        """The last one to close the file folds its log in."""
        if self._is_closed:
            return
        self._is_closed = True
        self._reader.close()
        with suppress(OSError, sqlite3.Error), locked(self._lock, _PATIENCE):
            self._writer.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with locked(self._lock, _PATIENCE), transaction(self._writer) as writer:
            yield writer


@contextmanager
def transaction(writer: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All of it or nothing."""
    writer.execute("BEGIN IMMEDIATE")
    try:
        yield writer
        writer.execute("COMMIT")
    except BaseException:
        if writer.in_transaction:  # SQLite may have rolled back by itself
            writer.execute("ROLLBACK")
        raise


def _job(writer: sqlite3.Connection, job: str, now: int) -> tuple[int, int]:
    """The number of a job here, and its last commit of which the store has heard."""
    writer.execute(
        "INSERT INTO jobs(ident, number, floor, at) VALUES(?, 0, 0, ?) ON CONFLICT DO NOTHING",
        (job, now),
    )
    found = writer.execute("SELECT job, number FROM jobs WHERE ident=?", (job,)).fetchone()
    return found[0], found[1]


def _write(writer: sqlite3.Connection, marks: list[Mark], job: int, number: int) -> None:
    if job:
        remembered = ((job, number, mark.page, mark.ident) for mark in marks)
        writer.executemany(_REMEMBER, remembered)
    else:
        writer.executemany("DELETE FROM undo WHERE ident=?", ((m.ident,) for m in marks))
    writer.executemany(_PUT, (mark[:4] for mark in marks))
    fresh = sorted(
        (m.page, m.etag, m.modified) for m in marks if m.page is not None and not m.keeps
    )
    there = [each for each in fresh if each[1] or each[2]]
    writer.executemany("INSERT OR REPLACE INTO validators VALUES(?, ?, ?)", there)
    gone = ((page,) for page, *values in fresh if not any(values))
    writer.executemany("DELETE FROM validators WHERE page=?", gone)
    named = ((mark.ident, mark.url) for mark in marks if mark.url)
    writer.executemany("INSERT INTO urls VALUES(?, ?) ON CONFLICT DO NOTHING", named)


def _take_away(writer: sqlite3.Connection, marks: list[tuple[int, int]]) -> None:
    """What was before them is not known: their pages are asked for again, in full."""
    for query in ("DELETE FROM seen WHERE ident=?", "DELETE FROM undo WHERE ident=?"):
        writer.executemany(query, ((ident,) for ident, _ in marks))
    writer.executemany("DELETE FROM validators WHERE page=?", ((page,) for _, page in marks))


def _keep_for_good(writer: sqlite3.Connection, job: int, floor: int) -> None:
    """What a job has written up to a commit, whatever becomes of the marks before."""
    writer.execute(_KEEP, (job, floor))


def _take_back(writer: sqlite3.Connection, job: int, committed: int) -> int:
    """The newest first. Validators go: without them a page is asked for in full."""
    rows = writer.execute(
        "SELECT n, ident, page, at, period, content FROM undo WHERE job=? AND number>? "
        "ORDER BY n DESC",
        (job, committed),
    ).fetchall()
    for n, ident, page, *before in rows:
        later = writer.execute(
            "SELECT min(n) FROM undo WHERE ident=? AND n>?", (ident, n)
        ).fetchone()[0]
        if later is not None:
            query = "UPDATE undo SET at=?, period=?, content=? WHERE n=?"
            writer.execute(query, (*before, later))
        elif before[0] is None:
            writer.execute("DELETE FROM seen WHERE ident=?", (ident,))
        else:
            writer.execute(_PUT, (ident, *before))
        writer.execute("DELETE FROM validators WHERE page=?", (page,))
        writer.execute("DELETE FROM undo WHERE n=?", (n,))
    return len(rows)


def _forget_since(writer: sqlite3.Connection, since: int) -> None:
    """All marks from a time of day on, be they those of other jobs: no page is lost by it."""
    writer.execute("DELETE FROM validators")
    writer.execute("DELETE FROM seen WHERE at>=?", (since,))
    writer.execute("UPDATE undo SET at=NULL, period=NULL, content=NULL WHERE at>=?", (since,))


def _forget_old_jobs(writer: sqlite3.Connection, but: int, before: int) -> None:
    query = "SELECT job, number FROM jobs WHERE at<? AND job<>? AND floor<number"
    for job, number in writer.execute(query, (before, but)).fetchall():
        _keep_for_good(writer, job, number)
        writer.execute("UPDATE jobs SET floor=number WHERE job=?", (job,))


def _read_ahead(path: Path) -> None:
    """Ask the system to have the file in memory: a disk that turns needs 10 ms a page."""
    with suppress(OSError, AttributeError):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(fd)
