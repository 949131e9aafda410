"""Rows wait here until a batch is full or a commit wants them, and are written in order.

A database that is away is asked again, four times a second, until it is back: then all goes on
by itself. Meanwhile rows wait, up to a limit, and behind it the pipelines do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience.checkpoint.commit import PromptThreads
from scrapy_resilience.core.masking import counted
from scrapy_resilience.core.sqlrows import batch_length
from scrapy_resilience.exceptions import RowRefusedError, SinkError
from scrapy_resilience.waits import forget, in_thread, let_go

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from threading import Thread

    from scrapy_resilience.core.sqlrows import Row
    from scrapy_resilience.sql.writer import BadRow, Outcome
    from scrapy_resilience.waits import Waits

__all__ = ["RowQueue"]

logger = get_logger(__name__)

_PROBE: Final = 0.25
"""Seconds between two tries while the database is away."""
_GRACE: Final = 5.0
"""Seconds for which a commit waits here, once it is known that the database is away."""
_BATCH_BYTES: Final = 4_000_000
_BUFFER_BYTES: Final = 32_000_000
_THREAD: Final = "resilience-sql"


class RowQueue:
    """Of one crawl.

    :param write: ``write(rows)`` in a thread; it raises :exc:`SinkError` when the database is
        away, and is called with ``attempts=1`` while it is known to be
    :param batch: rows of a transaction
    :param limit: rows that may wait
    """

    def __init__(
        self,
        write: Callable[..., Outcome],
        stats: Any,
        waits: Waits,
        *,
        batch: int,
        limit: int,
    ) -> None:
        self.trouble = ""
        """Why nothing can be written now."""
        self.on_bad: Callable[[BadRow], object] = lambda _: None
        """Called with each row that the database refuses."""
        self._write = write
        self._stats = stats
        self._waits = waits
        self._batch = batch
        self._limit = limit
        self._rows: deque[Row] = deque()
        self._bytes = 0
        self._added = 0
        self._written = 0
        self._due = 0
        """So many rows, of all that were ever added, are to be written now."""
        self._since = 0.0
        self._task: asyncio.Task[None] | None = None
        self._thread: Thread | None = None
        self._news: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    # --- rows ---

    @property
    def is_full(self) -> bool:
        """Whether no more rows should come."""
        return len(self._rows) >= self._limit or self._bytes >= _BUFFER_BYTES

    async def room(self, is_over: Callable[[], bool] = lambda: False) -> None:
        """Wait until there is room for a row.

        Raises :exc:`RowRefusedError` when the database is away, and *is_over* says so.
        """
        while self.is_full:
            if self.trouble and is_over():
                raise RowRefusedError(f"the database is away: {self.trouble}")
            await self._next_news()

    def add(self, row: Row) -> None:
        """Have a row written; called in the event loop."""
        self._rows.append(row)
        self._bytes += row.size
        self._added += 1
        if len(self._rows) >= self._batch or self.is_full:
            self._go_on()

    def write_soon(self) -> None:
        """Write what waits, however few they are."""
        self._due = self._added
        self._go_on()

    def flush(self) -> Awaitable[None]:
        """Have all rows up to now written; to be awaited.

        Raises :exc:`SinkError` while the database is away.
        """
        self.write_soon()
        return self._wait_for(self._added)

    async def _wait_for(self, wanted: int) -> None:
        began, patience = _clock.monotonic(), _GRACE if self.trouble else 0.0
        while self._written < wanted:
            await self._next_news()
            if self.trouble and _clock.monotonic() - began >= patience:
                raise SinkError(f"the database is away: {self.trouble}")

    async def close(self) -> None:
        """Write nothing any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._thread is not None:
            let_go(self._thread)  # it may hang for as long as its time-outs are
        self._tell()

    # --- the work ---

    def _go_on(self) -> None:
        if (self._task is None or self._task.done()) and self._is_due():
            self._task = asyncio.ensure_future(self._run())

    def _is_due(self) -> bool:
        is_wanted = self._written < self._due or self.is_full
        return bool(self._rows) and (is_wanted or len(self._rows) >= self._batch)

    def _batches(self) -> list[list[Row]]:
        """What is written next, in one go of a thread: not all, so that there is room soon."""
        most = max(self._limit // (2 * self._batch), 1)
        found: list[list[Row]] = []
        rows, end = iter(list(self._rows)), 0
        wanted = self._due - self._written if not self.is_full else len(self._rows)
        while len(found) < most:
            left = len(self._rows) - end
            if not left or (end >= wanted and left < self._batch):
                break
            count = batch_length(islice(self._rows, end, None), self._batch, _BATCH_BYTES)
            found.append(list(islice(rows, count)))
            end += count
        return found

    async def _run(self) -> None:
        while self._is_due():
            error = await self._in_thread(self._batches())
            if error is not None:  # the rows stay
                self._is_away(error)
                self._tell()
                await _clock.sleep(_PROBE)

    async def _in_thread(self, batches: list[list[Row]]) -> Exception | None:
        """Write batches, as far as it goes; what stands in the way of the others."""
        attempts = {"attempts": 1} if self.trouble else {}
        done: list[tuple[list[Row], Outcome, float]] = []

        def write() -> None:
            for rows in batches:
                began = _clock.stopwatch()
                outcome = self._write(rows, **attempts)
                done.append((rows, outcome, _clock.stopwatch() - began))

        error: Exception | None = None
        try:
            with PromptThreads():
                work, self._thread = in_thread(write, _THREAD)
                work.add_done_callback(forget)  # it may fail when nobody waits any more
                await self._waits.bounded(work, "the database", None)
        except Exception as raised:  # noqa: BLE001 - of a driver, or of ours
            error = raised
        self._thread = None
        for each in done:
            self._is_back()
            self._have_written(*each)
        self._tell()
        return error

    def _have_written(self, rows: list[Row], outcome: Outcome, seconds: float) -> None:
        self._count(rows, outcome, seconds)
        for row in rows:
            self._rows.popleft()
            self._bytes -= row.size
        self._written += len(rows)
        for bad in outcome.bad:
            self.on_bad(bad)

    def _count(self, rows: list[Row], outcome: Outcome, seconds: float) -> None:
        stats = self._stats
        stats.inc_value(names.STAT_SQL_ROWS, len(rows) - len(outcome.bad))
        stats.inc_value(names.STAT_SQL_BATCHES)
        stats.inc_value(names.STAT_SQL_SECONDS, seconds)
        stats.max_value(names.STAT_SQL_MAX, seconds)
        if outcome.retries:
            stats.inc_value(names.STAT_SQL_RETRIES, outcome.retries)
        if outcome.bad:
            stats.inc_value(names.STAT_SQL_BAD, len(outcome.bad))

    # --- who waits ---

    def _is_away(self, error: Exception) -> None:
        known = str(error) if isinstance(error, SinkError) else repr(error)
        if not self.trouble:
            self._since = _clock.monotonic()
            self._stats.inc_value(names.STAT_SQL_OUTAGES)
            logger.warning(
                "The database is away (%s): rows wait",
                known,
                exc_info=None if isinstance(error, SinkError) else error,  # a defect
            )
        self.trouble = known

    def _is_back(self) -> None:
        if self.trouble:
            self.trouble = ""
            seconds = _clock.monotonic() - self._since
            waiting = counted(len(self._rows), "row")
            logger.info("The database is back after %.1f s: %s to write", seconds, waiting)

    async def _next_news(self) -> None:
        """Wait for the end of a batch, good or bad."""
        if self._news is None:
            self._news = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._news)

    def _tell(self) -> None:
        self._stats.set_value(names.STAT_SQL_BUFFER, len(self._rows))
        if self._news is not None:
            news, self._news = self._news, None
            news.set_result(None)
