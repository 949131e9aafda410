"""Commits: everything that changed, sealed in one step and written by one thread."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience.checkpoint.barrier import Barrier
from scrapy_resilience.exceptions import SinkError, StorageError
from scrapy_resilience.failpoints import failpoint
from scrapy_resilience.frontier.store import Changes
from scrapy_resilience.names import STAT_SEAL_MAX, STAT_WRITE_ERRORS, STAT_WRITE_MAX
from scrapy_resilience.waits import Waits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

    from scrapy_resilience.checkpoint.parts import Part, Prepared
    from scrapy_resilience.frontier.lanes import Frontier
    from scrapy_resilience.frontier.store import Store

__all__ = ["TROUBLES", "Committer", "PromptThreads"]

logger = get_logger(__name__)

TROUBLES: Final = (sqlite3.Error, OSError, SinkError)
"""What may pass: a full disk, a locked file, a database that is away."""
_RETRY_DELAYS: Final = (0.1, 0.5, 2.0)
_SINK_DELAY: Final = 0.5
"""Seconds: a sink waits by itself for what it needs, and goes on when that is back."""
_PROMPT: Final = 0.0005
_T = TypeVar("_T")


class Committer:
    """Seals what changed and writes it to the store, one commit at a time.

    Each of *parts* is asked in the event loop in the phases of a commit (:mod:`.parts`). One
    whose ``contribute`` may fail goes first: nothing is sealed then.

    When a commit can't be written, it is kept and tried again for *patience* seconds; until
    it succeeds the *intake* is closed.
    """

    def __init__(
        self,
        store: Store,
        frontier: Frontier,
        stats: Any,
        *,
        patience: float = 300.0,
        waits: Waits | None = None,
        parts: Sequence[Part] = (),
    ) -> None:
        self.lock = asyncio.Lock()
        """Held from before :meth:`seal` until what it gave was awaited."""
        self.intake = Barrier()
        """Up while no new work should be taken: nobody knows when it can be written."""
        self.abandoned = False
        """Set when nothing more is to be written, whatever is under way."""
        self.trouble = ""
        """Why the intake is closed, as far as it is for trouble."""
        self.on_trouble: Callable[[Exception], object] = lambda _: None
        """Called when commits begin to fail."""
        self.on_recovery: Callable[[float], object] = lambda _: None
        """Called when one succeeds again, with the seconds that it took."""
        self.patience = patience
        self.waits = waits or Waits()
        self._store = store
        self._frontier = frontier
        self._stats = stats
        self._parts = parts
        self._unwritten = False  # something was sealed and is not in the store
        self._trouble_since: float | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="resilience-commit")

    @property
    def broken(self) -> bool:
        """Whether no further commit can follow what is in the store."""
        return self._unwritten or self.abandoned

    async def commit(self) -> None:
        """Write everything up to now. Raises :exc:`StorageError` when that is not possible."""
        async with self.lock:
            if not self.broken:
                await self._insist(self._commit)

    async def _commit(self) -> None:
        await self.seal()

    def seal(self) -> Awaitable[None]:
        """Seal everything up to now; await what comes back until it is written.

        The caller holds :attr:`lock`. Raises :exc:`StorageError` where the commit before it was
        not written.
        """
        if self.broken:
            raise StorageError("the commit before it was not written")
        started = _clock.stopwatch()
        named = Changes()
        for part in self._parts:
            part.contribute(named)
        changes = self._frontier.seal()
        changes.outputs, changes.state, changes.syncs = named.outputs, named.state, named.syncs
        changes.letters = named.letters
        prepared = [step for part in self._parts if (step := part.prepare()) is not None]
        self._stats.max_value(STAT_SEAL_MAX, _clock.stopwatch() - started)
        return self._finish(changes, prepared)

    async def _finish(self, changes: Changes, prepared: Sequence[Prepared]) -> None:
        self._unwritten = True
        failpoint("commit/sealed")
        letters = [letter for step in prepared for letter in await self._insist(step) or ()]
        for part in self._parts:
            part.prepared(changes, letters)
        failpoint("commit/prepared")
        await self._insist(partial(self._write, changes))
        failpoint("commit/written")
        self._frontier.committed(changes)
        self._unwritten = False
        self._well_again()
        for part in self._parts:
            if (waiting := part.written()) is not None:
                await waiting
        failpoint("commit/done")

    async def _insist(self, step: Callable[[], Awaitable[_T]]) -> _T:
        """Await *step* until it succeeds. Raises :exc:`StorageError` when patience ends."""
        for delay in chain(_RETRY_DELAYS, repeat(_RETRY_DELAYS[-1])):
            try:
                return await step()
            except TROUBLES as error:
                self.note_trouble(error)
                is_sink = isinstance(error, SinkError)
            await _clock.sleep(min(delay, _SINK_DELAY) if is_sink else delay)
        raise AssertionError("the delays have no end")

    def note_trouble(self, error: Exception) -> None:
        """Close the intake. Raises :exc:`StorageError` when patience ends."""
        now = _clock.monotonic()
        self._stats.inc_value(STAT_WRITE_ERRORS)
        if self._trouble_since is None:
            self._trouble_since = now
            self.trouble = f"the checkpoint can't be written ({error})"
            self.intake.rise()
            logger.error("The checkpoint can't be written (%s): trying again", error)
            self.on_trouble(error)
        elif now - self._trouble_since >= self.patience:
            raise StorageError(f"nothing could be written for {self.patience:g} s: {error}")

    def _well_again(self) -> None:
        if self._trouble_since is not None:
            seconds = _clock.monotonic() - self._trouble_since
            logger.info("The checkpoint is written again, after %.1f s", seconds)
            self._trouble_since, self.trouble = None, ""
            self.on_recovery(seconds)
        if not self.abandoned:
            self.intake.lift()

    async def _write(self, changes: Changes) -> None:
        started = _clock.stopwatch()
        loop = asyncio.get_running_loop()
        with PromptThreads():
            written = loop.run_in_executor(self._thread, self._store.commit, changes)
            await self.waits.bounded(written, "the disk that holds the JOBDIR", None)
        self._stats.max_value(STAT_WRITE_MAX, _clock.stopwatch() - started)

    def write_now(self, changes: Changes) -> None:
        """Write a few rows before the next line runs, behind what is being written.

        Not even a power loss takes them back: a feed of which nobody knows can't be cut.
        """
        changes.forced = True
        self._thread.submit(self._store.commit, changes).result()

    def close(self) -> None:
        self._thread.shutdown()


class PromptThreads:
    """While a context lasts, a waiting thread gets Python's lock after 0.5 ms, not 5.

    A busy event loop lets go of the lock for a moment at each turn, and each time the wait
    of the writing thread starts over: a commit of 0.1 s took 3 s.
    """

    _open: ClassVar = 0
    _usual: ClassVar = 0.0

    def __enter__(self) -> None:
        cls = PromptThreads
        if not cls._open:
            cls._usual = sys.getswitchinterval()
            sys.setswitchinterval(min(cls._usual, _PROMPT))
        cls._open += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        cls = PromptThreads
        cls._open -= 1
        if not cls._open:
            sys.setswitchinterval(cls._usual)
