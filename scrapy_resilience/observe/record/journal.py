"""The journal: what outlives the process and is not worth a row in the store.

The history, error groups and events of a job are told of here, each a *kind* of entry. At each
commit the kinds are asked for what is new, one after the other, and get a share of 2 KB
together; what does not fit waits for the next one. A batch is published when its commit is
durable: what a kill undoes was never in it. A job that goes back to a snapshot forgets what
came after it.

Nothing waits for the journal. What can't be written is skipped, and that is said once.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from scrapy_resilience._log import get_logger
from scrapy_resilience.checkpoint.parts import Part
from scrapy_resilience.files.layout import JOURNAL
from scrapy_resilience.files.ownership import open_own
from scrapy_resilience.observe.record.journalfile import (
    UNREADABLE,
    Batch,
    JournalFile,
    read_journal,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from scrapy_resilience.jobs.job import Job

__all__ = ["Journal", "journal_of_job", "newest", "stored_journal"]

logger = get_logger(__name__)

T = TypeVar("T")

ROOM: Final = 2_000
"""Bytes of a commit that all kinds share."""
_AT_THE_END: Final = 500_000
"""Bytes of what is left when the last commit was made."""
_MANY: Final = 16
_PATIENCE: Final = 2.0
"""Seconds for which the end of a crawl waits for the disk."""


def newest(count: int) -> Callable[[list[tuple[int, T]]], list[tuple[int, T]]]:
    """A fold that keeps the last so many entries."""
    return lambda entries: entries[-count:]


@dataclass
class _Kind(Generic[T]):
    name: str
    type: type[T]
    collect: Callable[[], T | None]
    fold: Callable[[list[tuple[int, T]]], list[tuple[int, T]]]
    room: int
    waiting: msgspec.Raw | None = None
    """An entry that did not fit into the last commit."""
    decoder: msgspec.msgpack.Decoder[T] = field(init=False)

    def __post_init__(self) -> None:
        self.decoder = msgspec.msgpack.Decoder(self.type)

    def decoded(self, entries: Iterable[tuple[int, msgspec.Raw]]) -> list[tuple[int, T]]:
        """Without those of another version."""
        found = []
        for commit, value in entries:
            with suppress(*UNREADABLE):
                found.append((commit, self.decoder.decode(value)))
        return found

    def folded(
        self, entries: Iterable[tuple[int, msgspec.Raw]]
    ) -> list[tuple[int, msgspec.Raw]]:
        return [(commit, _encoded(value)) for commit, value in self.fold(self.decoded(entries))]


_encoder: Final = msgspec.msgpack.Encoder()


def _encoded(value: Any) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(value))


class Journal(Part):
    """A part of a run; without a *file* it keeps nothing, and gives back what is in *batches*.

    *job* is the ident of the job and *commits* says how many commits it has been through,
    with the one that is being sealed.
    """

    def __init__(
        self,
        batches: Iterable[Batch] = (),
        *,
        file: JournalFile | None = None,
        job: str = "",
        commits: Callable[[], int] = lambda: 0,
        parts: list[Part] | None = None,
    ) -> None:
        self._parts = parts
        self._file = file
        self._job = job
        self._commits = commits
        self._kinds: dict[str, _Kind[Any]] = {}
        self._stored: defaultdict[str, list[tuple[int, msgspec.Raw]]] = defaultdict(list)
        for batch in batches:
            for kind, value in batch.entries:
                self._stored[kind].append((batch.commit, value))
        self._sealed: Batch | None = None
        self._durable = False
        """Whether all that was sealed is."""
        self._told = False
        self._behind = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="resilience-journal")

    def register(
        self,
        kind: str,
        entry: type[T],
        collect: Callable[[], T | None],
        restore: Callable[[list[T]], None],
        fold: Callable[[list[tuple[int, T]]], list[tuple[int, T]]],
        *,
        room: int = 0,
    ) -> None:
        """Keep entries of a kind, each of the type *entry*, which MessagePack can hold.

        *collect* is called in the event loop at each commit and gives the next entry, None when
        there is no more. *restore* is called at once with those of earlier runs, the oldest
        first. *fold* is called in a thread, with the older (commit, entry) pairs of a file that
        has grown too large, and returns fewer of them in the order of their commits. *room*:
        bytes of a commit that this kind has for itself, beside those that all share.
        """
        found = self._kinds[kind] = _Kind(kind, entry, collect, fold, room)
        restore([value for _, value in found.decoded(self._stored.pop(kind, ()))])

    @property
    def is_kept(self) -> bool:
        """Whether it outlives the process."""
        return self._file is not None

    @property
    def is_busy(self) -> bool:
        """Whether the disk is behind with what it was given."""
        return self._behind > _MANY

    def later(self, function: Callable[[], object]) -> None:
        """Call *function* in the journal's thread; an OSError is said once.

        Without a file it is called at once, and must not need a disk.
        """
        if self._file is None:
            self._try(function)
            return
        self._behind += 1
        try:
            self._thread.submit(self._try, function).add_done_callback(self._caught_up)
        except RuntimeError:  # the job has ended
            self._behind -= 1

    def _caught_up(self, _: object) -> None:
        self._behind -= 1

    # --- the phases of a commit ---

    def opened(self, scheduler: object) -> None:
        """Be the last of all: others have something to tell at their end."""
        if self._parts is not None:
            self._parts.remove(self)
            self._parts.append(self)
        self._stored.clear()  # of kinds that nobody asked for: the file has them

    def prepare(self) -> None:
        """All parts have contributed: what they count as done is in this commit."""
        self._durable = False
        self._sealed = self._collected(ROOM) if self._file is not None else None

    def written(self) -> None:
        """Publish what the commit covers."""
        self._durable = True
        self._publish(self._sealed)
        self._sealed = None

    def publish_rest(self) -> None:
        """After the last commit: whatever has not fitted is of it as well."""
        if self._file is not None and self._durable:
            self._publish(self._collected(_AT_THE_END))

    async def ended(self) -> None:
        self.publish_rest()
        last = asyncio.wrap_future(self._thread.submit(self._close))
        self._thread.shutdown(wait=False)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(last, _PATIENCE)

    # --- writing ---

    def _collected(self, shared: int) -> Batch | None:
        """What is new, the kinds taking turns in being the first."""
        entries: list[tuple[str, msgspec.Raw]] = []
        for kind in [*self._kinds.values()]:
            own = kind.room
            while (value := self._next(kind)) is not None:
                size = len(memoryview(value)) + len(kind.name)
                if size > shared + own:
                    kind.waiting = value if size <= ROOM + kind.room else None
                    break
                shared -= max(size - own, 0)
                own -= min(size, own)
                entries.append((kind.name, value))
        if self._kinds:
            first = next(iter(self._kinds))
            self._kinds[first] = self._kinds.pop(first)
        return Batch(self._job, self._commits(), entries) if entries else None

    def _next(self, kind: _Kind[Any]) -> msgspec.Raw | None:
        """None where there is no more; a kind that fails must not keep the commit."""
        value, kind.waiting = kind.waiting, None
        if value is not None:
            return value
        try:
            found = kind.collect()
            return None if found is None else _encoded(found)
        except Exception:
            logger.exception("The journal lacks an entry")
            return None

    def _publish(self, batch: Batch | None) -> None:
        if batch is not None:
            self.later(partial(self._append, batch))

    def _append(self, batch: Batch) -> None:
        if self._file is not None and self._file.append(batch):
            self._file.rewrite(self._folded)

    def _try(self, function: Callable[[], object]) -> None:
        try:
            function()
        except OSError as error:
            if not self._told:
                self._told = True
                logger.warning("The journal can't be written (%s): it lacks what comes", error)
        except Exception:
            logger.exception("The journal lacks an entry")

    def _folded(self, batches: list[Batch]) -> list[Batch]:
        by_kind: defaultdict[str, list[tuple[int, msgspec.Raw]]] = defaultdict(list)
        for batch in batches:
            for name, value in batch.entries:
                by_kind[name].append((batch.commit, value))
        entries: list[tuple[int, str, msgspec.Raw]] = []
        for name, found in by_kind.items():
            kind = self._kinds.get(name)
            fewer = found if kind is None else kind.folded(found)
            entries += [(commit, name, value) for commit, value in fewer]
        entries.sort(key=itemgetter(0))
        return [
            Batch(self._job, commit, [(name, value) for _, name, value in group])
            for commit, group in groupby(entries, itemgetter(0))
        ]

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()


def journal_of_job(job: Job) -> Journal:
    """The journal of an open job, which it takes part in; what its file lacks is said."""
    path = job.path / JOURNAL
    try:
        file = JournalFile(path, job.meta.ident, job.committed)
    except OSError as error:
        logger.warning("%s can't be used (%s): the job is run without a journal", path, error)
        return Journal()
    read = file.read
    if read.torn:
        logger.warning("%s was torn or damaged: %d bytes of its end are cut", path, read.torn)
    journal = Journal(
        read.batches,
        file=file,
        job=job.meta.ident,
        commits=lambda: job.meta.commits,
        parts=job.parts,
    )
    job.parts.append(journal)
    return journal


def stored_journal(jobdir: Path, job: str, commits: int) -> Journal:
    """What a job has told up to a commit, to be looked at; nothing where there is none."""
    try:
        fd = open_own(jobdir / JOURNAL, os.O_RDONLY)
    except OSError:
        return Journal()
    try:
        return Journal(read_journal(fd, job, commits).batches)
    finally:
        os.close(fd)
