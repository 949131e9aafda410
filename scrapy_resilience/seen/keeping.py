"""When what a crawl has seen is written down.

With a job a page counts as seen when its items are durable, and not before. The commit that
holds its items holds its mark as well, as part of the job. Only when it is durable, and no sink
has refused an item in it, the mark becomes one of a batch of the next commit, and when that is
durable, too, it is written to the store. A kill at any moment leaves it in the job, which
writes it when it goes on; a job that never goes on has marked no page whose items it has not
brought.

Without a job nothing tells when items are durable. Marks are written each few seconds, when the
items of their page have passed all pipelines, and taken back when one is refused later.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from scrapy import signals

from scrapy_resilience import _clock
from scrapy_resilience import signals as event_signals
from scrapy_resilience._log import get_logger
from scrapy_resilience.checkpoint.commit import TROUBLES
from scrapy_resilience.checkpoint.parts import Part
from scrapy_resilience.checkpoint.state import OWN
from scrapy_resilience.seen.marks import Batch, Mark
from scrapy_resilience.waits import in_thread, waits_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from scrapy.crawler import Crawler

    from scrapy_resilience._clock import Timer
    from scrapy_resilience.checkpoint.parts import Prepared
    from scrapy_resilience.frontier.store import Changes, Letter
    from scrapy_resilience.jobs.job import Job
    from scrapy_resilience.seen.store import SeenStore
    from scrapy_resilience.waits import Waits

__all__ = ["KeptInJob", "KeptLoosely"]

logger = get_logger(__name__)

_THREAD: Final = "resilience-seen"
_STATE: Final = OWN + "seen"
_LEAST: Final = 100
"""Commits that a job may go back without a snapshot, as after a power loss."""
_AT_THE_END: Final = 15.0
"""Seconds for which the end of a crawl waits for the store."""
_EACH: Final = 5.0
_MANY: Final = 1_000
_LATEST: Final = 100_000
"""Pages whose marks are taken back without a job, when a row of theirs is refused."""
_MARGIN: Final = 3_600
"""Seconds by which the clock may have been set back since a commit."""


class KeptInJob(Part):
    """A part of a run. Raises OSError, :exc:`sqlite3.Error` and :exc:`CheckpointError`."""

    def __init__(self, crawler: Crawler, job: Job, store: SeenStore) -> None:
        self._job = job
        self._store = store
        self._young = _Waiting()
        """Of pages that have ended since the last commit."""
        self._ripe = _Waiting()
        """Their items are in the last commit, or in the one that is being written."""
        self._is_stale = False
        """Whether one was dropped since the last seal."""
        self._batches: list[Batch] = []
        """In the job, and not in the store as far as is known; the oldest first."""
        self._durable = 0
        """How many of them may be written to the store."""
        self._snapshots: list[int] = []
        """The number of commits when each of the last snapshots was made."""
        self._work: asyncio.Future[None] | None = None
        self._who = f"the disk that holds {store.path}"
        job.state.register(_STATE, self._save, self._restore)
        job.parts.append(self)
        crawler.signals.connect(self._event, event_signals.crawl_event)
        self._begin()

    def _begin(self) -> None:
        """Have the store be where the job is."""
        job, now = self._job, int(_clock.wall())
        since = (job.meta.last_checkpoint or 0.0) - _MARGIN
        taken = self._store.begin(job.meta.ident, job.committed, since, now)
        if taken is None:
            logger.warning(
                "%s: the job has gone back further than its store remembers: all pages that "
                "were seen since that commit are asked for again",
                self._store.path,
            )
        elif taken:
            logger.info(
                "%s: %d pages that the job had seen after the commit to which it went back are "
                "taken back",
                self._store.path,
                taken,
            )
        self._durable = len(self._batches)
        if self._batches:
            self._writing()()
            self._written()

    # --- pages ---

    def keep(self, mark: Mark) -> None:
        self._young.put(mark)
        self._ripe.marks.pop(mark.ident, None)

    def drop(self, page: int) -> None:
        """The items of a page are not durable after all."""
        for waiting in (self._young, self._ripe):
            if waiting.drop(page):
                self._is_stale = True

    # --- state ---

    def _save(self) -> dict[str, Any]:
        """As part of a commit: the one before is durable, and so are the items in it."""
        if self._ripe.marks:
            marks = [*self._ripe.marks.values()]
            self._batches.append(Batch(self._job.meta.commits, marks))
        self._ripe, self._young = self._young, _Waiting()
        self._is_stale = False
        return self._plain()

    def _plain(self) -> dict[str, Any]:
        return {
            "waiting": [list(mark) for mark in self._ripe.marks.values()],
            "batches": [batch.plain() for batch in self._batches],
            "snapshots": self._snapshots,
        }

    def _restore(self, saved: dict[str, Any]) -> None:
        self._ripe = _Waiting(Mark(*plain) for plain in saved["waiting"])
        self._batches = [Batch.of(plain) for plain in saved["batches"]]
        self._snapshots = [int(number) for number in saved["snapshots"]]

    def _event(self, kind: str, severity: str) -> None:
        if kind == "snapshot" and severity == "info":
            kept = self._job.config.snapshot_retention + 1
            self._snapshots = [*self._snapshots, self._job.meta.commits][-kept:]

    def _floor(self) -> int:
        """No snapshot that is kept is of an earlier commit."""
        latest = self._job.meta.commits - _LEAST
        if not self._job.config.snapshot_enabled:
            return latest
        is_full = len(self._snapshots) > self._job.config.snapshot_retention
        return min(latest, self._snapshots[0] - 1) if is_full else 0

    # --- commits ---

    def prepare(self) -> Prepared | None:
        """What the store has not taken yet holds this commit, as a sink does."""
        return self._settled if self._durable else None

    def prepared(self, changes: Changes, letters: Sequence[Letter]) -> None:
        """A page whose items a sink has refused since the seal is not in the commit."""
        if self._is_stale:
            changes.state[_STATE] = self._job.state.renewed(_STATE, self._plain())

    def written(self) -> None:
        self._durable = len(self._batches)
        if self._durable:
            self._start()

    def _start(self) -> None:
        self._work, _ = in_thread(self._writing(), _THREAD)
        self._work.add_done_callback(_heard)

    def _writing(self) -> Callable[[], None]:
        return partial(
            self._store.write,
            self._batches[: self._durable],
            self._job.meta.ident,
            floor=self._floor(),
            now=int(_clock.wall()),
        )

    async def _settled(self) -> tuple[()]:
        """Raises what the store does, and is tried again then; it has no letters."""
        if self._work is None:
            self._start()
        work, self._work = self._work, None
        assert work is not None
        await self._job.waits.bounded(asyncio.shield(work), self._who, None)
        self._written()
        return ()

    def _written(self) -> None:
        del self._batches[: self._durable]
        self._durable = 0

    async def ended(self) -> None:
        """A last try: what fails is in the job, which may never run again."""
        try:
            await self._job.waits.bounded(self._end(), self._who, _AT_THE_END)
        except TROUBLES as error:
            _tell_of_the_end(self._store, error)
        await _close(self._store, self._job.waits)

    async def _end(self) -> None:
        if self._durable:
            await self._settled()
        if self._job.meta.finished:
            end = partial(self._store.finished, self._job.meta.ident, int(_clock.wall()))
            work, _ = in_thread(end, _THREAD)
            await work

    def closed(self) -> None:
        self._store.close()


class KeptLoosely:
    """Without a job."""

    def __init__(self, crawler: Crawler, store: SeenStore) -> None:
        self._store = store
        self._waits = waits_of(crawler)
        self._waiting = _Waiting()
        self._written: dict[int | None, set[int]] = {}
        """The last pages that this crawl has written, with the idents of their marks."""
        self._gone: dict[int, int] = {}
        """Of marks that are to be taken back, with their pages."""
        self._timer: Timer | None = None
        self._work: asyncio.Future[None] | None = None
        self._told = False
        crawler.signals.connect(self._stopped, signals.engine_stopped)

    def keep(self, mark: Mark) -> None:
        self._waiting.put(mark)
        if len(self._waiting.marks) >= _MANY:
            self._write()
        else:
            self._write_soon()

    def drop(self, page: int) -> None:
        """A mark that is written is taken back with the next ones."""
        self._waiting.drop(page)
        if (idents := self._written.pop(page, None)) is not None:
            self._gone.update(dict.fromkeys(idents, page))
            self._write_soon()

    def _write_soon(self) -> None:
        if self._timer is None:
            self._timer = _clock.call_later(_EACH, self._write)

    def _write(self) -> None:
        """One batch at a time; what has failed comes again with the next."""
        self._cancel()
        if self._work is not None and not self._work.done():
            self._write_soon()
            return
        marks, gone = [*self._waiting.marks.values()], self._gone
        self._waiting, self._gone = _Waiting(), {}
        write = partial(self._store.write, [Batch(0, marks)], gone=[*gone.items()])
        self._work, _ = in_thread(write, _THREAD)
        self._work.add_done_callback(partial(self._done, marks, gone))
        for mark in marks:
            self._written.setdefault(mark.page, set()).add(mark.ident)
        while len(self._written) > _LATEST:
            del self._written[next(iter(self._written))]

    def _done(
        self, marks: list[Mark], gone: dict[int, int], work: asyncio.Future[None]
    ) -> None:
        error = None if work.cancelled() else work.exception()
        if error is None:
            return
        left = [mark for mark in marks if mark.ident not in self._gone]
        self._waiting = _Waiting([*left, *self._waiting.marks.values()])
        self._gone = {**gone, **self._gone}
        if not self._told:
            self._told = True
            logger.warning("%s can't be written (%s): trying again", self._store.path, error)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _stopped(self) -> None:
        self._cancel()
        who = f"the disk that holds {self._store.path}"
        try:
            if self._work is not None and not self._work.done():
                with suppress(*TROUBLES):  # what has failed is written below, once more
                    await self._waits.bounded(asyncio.shield(self._work), who, _AT_THE_END)
            if self._waiting.marks or self._gone:
                batch = Batch(0, [*self._waiting.marks.values()])
                write = partial(self._store.write, [batch], gone=[*self._gone.items()])
                work, _ = in_thread(write, _THREAD)
                await self._waits.bounded(work, who, _AT_THE_END)
        except TROUBLES as error:
            _tell_of_the_end(self._store, error)
        await _close(self._store, self._waits)


class _Waiting:
    """Marks by ident, which are found by their page, too."""

    def __init__(self, marks: Iterable[Mark] = ()) -> None:
        self.marks: dict[int, Mark] = {}
        self._of_page: dict[int | None, set[int]] = {}
        for mark in marks:
            self.put(mark)

    def put(self, mark: Mark) -> None:
        self.marks[mark.ident] = mark
        self._of_page.setdefault(mark.page, set()).add(mark.ident)

    def drop(self, page: int) -> bool:
        """Whether there was one."""
        before = len(self.marks)
        for ident in self._of_page.pop(page, ()):
            if ident in self.marks and self.marks[ident].page == page:
                del self.marks[ident]
        return len(self.marks) < before


async def _close(store: SeenStore, waits: Waits) -> None:
    """It waits for other processes, which the event loop must not."""
    work, _ = in_thread(store.close, _THREAD)
    with suppress(*TROUBLES):
        await waits.bounded(work, f"the disk that holds {store.path}", _AT_THE_END)


def _tell_of_the_end(store: SeenStore, error: Exception) -> None:
    logger.error(
        "%s can't be written (%s): pages are asked for again by the next job", store.path, error
    )


def _heard(work: asyncio.Future[None]) -> None:
    """Whoever waits for it is told."""
    if not work.cancelled():
        work.exception()
