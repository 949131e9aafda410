"""The database sink of one crawl: its rows, its commits, and what it has refused."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import engine_of, is_closing
from scrapy_resilience.core.deadletter import DATABASE
from scrapy_resilience.core.masking import counted, shown
from scrapy_resilience.deadletters import letters_of
from scrapy_resilience.exceptions import (
    CheckpointError,
    ConfigurationError,
    RowRefusedError,
    SinkError,
)
from scrapy_resilience.scheduling.item_context import Place, current
from scrapy_resilience.sql.checks import Opened, open_ready
from scrapy_resilience.sql.row_queue import RowQueue
from scrapy_resilience.sql.rows import Rows
from scrapy_resilience.sql.take_back import ColumnMarks, NoMarks, TableMarks
from scrapy_resilience.sql.writer import RowWriter
from scrapy_resilience.waits import forget, in_thread, let_go, waits_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scrapy.crawler import Crawler

    from scrapy_resilience.core.sqlrows import Row
    from scrapy_resilience.frontier.store import Letter
    from scrapy_resilience.jobs.job import Job
    from scrapy_resilience.settings import Config
    from scrapy_resilience.sql.tables import KnownTable
    from scrapy_resilience.sql.writer import BadRow

__all__ = ["Sink"]

logger = get_logger(__name__)

_THREAD: Final = "resilience-sql"
_AGAIN: Final = 0.5


def _nothing() -> None:
    return None


class Sink:
    """Opened, with its tables looked at. Raises :exc:`ConfigurationError`.

    *job* is that of the crawl, None where there are no commits.
    """

    def __init__(
        self, crawler: Crawler, config: Config, job: Job | None, *, own_ids: bool
    ) -> None:
        self._crawler = crawler
        self._config = config
        self._job = job
        self._stats: Any = crawler.stats
        self._waits = waits_of(crawler)
        self._letters = letters_of(crawler)
        self._opened: Opened = open_ready(config, own_ids=own_ids, is_job=job is not None)
        self.database = self._opened.database
        self._tables = self._opened.tables
        self._refused: dict[str, str] = {}
        """Tables that can't be used, and why."""
        self._rows = Rows(self._tables, creates=config.sql_create)
        self._loading: dict[str, asyncio.Task[None]] = {}
        """Tables that are being looked at."""
        self.marks = self._marks_of(job)
        self._writer = RowWriter(self.database, self._tables, self.marks)
        self.queue = RowQueue(
            self._writer.write,
            crawler.stats,
            self._waits,
            batch=config.sql_batch,
            limit=config.sql_buffer,
        )
        self.queue.on_bad = self._refuse
        self._bad: list[BadRow] = []
        """Refused rows of which no commit has a letter yet."""
        self._timer: _clock.Timer | None = None
        self._trouble = ""
        self._closing_since: float | None = None

    def _marks_of(self, job: Job | None) -> NoMarks:
        if job is None:
            return NoMarks()
        kind = ColumnMarks if self._config.sql_marks == "columns" else TableMarks
        return kind(self.database, job.meta.ident, self._opened.chooser.names)

    @property
    def trouble(self) -> str:
        """Why the database can't be used now."""
        return self.queue.trouble or self._trouble

    # --- before the crawl ---

    async def take_back(self, commit: int) -> None:
        """Delete what the job has inserted after that commit.

        Raises :exc:`SinkError` when the database stays away, :exc:`ConfigurationError` and
        :exc:`CheckpointError`.
        """
        began, longest = _clock.monotonic(), self._config.storage_timeout
        taken: int = await self._insist(
            partial(self._writer.take_back, commit),
            lambda: _clock.monotonic() - began >= longest,
        )
        if taken:
            self._stats.inc_value(names.STAT_SQL_TAKEN_BACK, taken)
            rows = counted(taken, "row")
            logger.info("Took back %s that came after the last commit", rows)

    async def _insist(self, work: Callable[[], Any], is_over: Callable[[], bool]) -> Any:
        """Its result; while the database is away it is done again, until *is_over* says so."""
        try:
            while True:
                try:
                    return await self._in_thread(work)
                except (ConfigurationError, CheckpointError):
                    raise
                except Exception as error:  # noqa: BLE001 - of a driver: it may pass
                    self._wait_or_raise(error, is_over)
                await _clock.sleep(_AGAIN)
        finally:
            self._trouble = ""

    def _wait_or_raise(self, error: Exception, is_over: Callable[[], bool]) -> None:
        told = self.database.told(error)
        if not self.database.is_away(error):
            raise SinkError(told) from None
        if is_over():
            raise SinkError(f"the database is away: {told}") from None
        if not self._trouble:
            logger.warning("The database is not ready (%s): trying again", told)
        self._trouble = told

    def _is_over(self) -> bool:
        """Whether a crawl without a job has waited long enough at its end."""
        engine = engine_of(self._crawler)
        if self._job is not None or engine is None or not is_closing(engine):
            return False
        if self._closing_since is None:
            self._closing_since = _clock.monotonic()
        return _clock.monotonic() - self._closing_since >= self._config.storage_timeout

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        future, _ = in_thread(work, _THREAD)
        return await self._waits.bounded(future, "the database", None)

    # --- items ---

    def take(self, item: Any) -> Awaitable[None] | None:
        """Have an item stored when it is written. What comes back is to be awaited.

        Raises :exc:`RowRefusedError`.
        """
        name = self._opened.chooser.table(item)
        if name is None:
            return None
        known = self._tables.known.get(name)
        if known is None or self.queue.is_full:
            return self._take_later(item, name)
        self._take(item, known)
        return None

    async def _take_later(self, item: Any, name: str) -> None:
        if name not in self._tables.known:
            await self._loaded(name)
        await self.queue.room(self._is_over)
        self._take(item, self._tables.known[name])

    async def _loaded(self, name: str) -> None:
        """A table that a function has named: looked at once, whoever waits for it."""
        if name not in self._refused:
            task = self._loading.get(name)
            if task is None:
                task = self._loading[name] = asyncio.ensure_future(self._load(name))
                task.add_done_callback(lambda _: self._loading.pop(name))
                task.add_done_callback(forget)
            await asyncio.shield(task)
        if name in self._refused:
            raise RowRefusedError(self._refused[name])

    async def _load(self, name: str) -> None:
        try:
            await self._insist(partial(self._opened.load, name), self._is_over)
        except ConfigurationError as error:
            self._refused[name] = str(error)
        except SinkError as error:
            raise RowRefusedError(f"the table {name} can't be looked at: {error}") from None

    def _take(self, item: Any, known: KnownTable) -> None:
        passage = current()
        row = self._rows.row(item, known, passage.ident(), self.database.most_bytes)
        row.place = passage.place
        if row.place is None and passage.response is not None and passage.response.request:
            row.place = Place(passage.response.request, None, 0)
        passage.when_written(partial(self._add, row), _nothing)

    def _add(self, row: Row) -> None:
        if self._job is not None:
            row.commit = self._job.meta.commits + 1
        elif self._timer is None:
            self._timer = _clock.call_later(self._config.sql_flush_interval, self._flush_now)
        self.queue.add(row)

    def _flush_now(self) -> None:
        self._timer = None
        self.queue.write_soon()

    # --- commits ---

    def prepare(self, commit: int) -> Awaitable[list[Letter]]:
        """Have all rows up to now written; to be awaited.

        It gives the letters of those that were refused, and are in that commit.
        """
        return self._prepare(commit, self.queue.flush())

    async def _prepare(self, commit: int, flushed: Awaitable[None]) -> list[Letter]:
        await flushed
        bad = [each for each in self._bad if each.row.commit <= commit]
        self._bad = [each for each in self._bad if each.row.commit > commit]
        return [letter for each in _by_request(bad) for letter in self._letter(each)]

    def _letter(self, bad: list[BadRow]) -> list[Letter]:
        row, message = bad[0]
        more = f" (and {counted(len(bad) - 1, 'other row')})" if len(bad) > 1 else ""
        reason = f"the database refused the row of {row.table}: {message}{more}"
        place: Place | None = row.place
        return self._letters.of_items(
            None if place is None else place.request,
            None if place is None else place.stored,
            [each.row.place.ordinal for each in bad if each.row.place is not None],
            kind="pipeline",
            failure_class=DATABASE,
            reason=reason,
        )

    def _refuse(self, bad: BadRow) -> None:
        place: Place | None = bad.row.place
        url = "" if place is None else f" of {shown(place.request.url)}"
        logger.error("The database refused a row of %s%s: %s", bad.row.table, url, bad.message)
        if self._job is None:
            self._letter([bad])
        else:
            self._bad.append(bad)

    def ping(self) -> None:
        """Ask the database for nothing, in a thread. Raises :exc:`SinkError`."""
        try:
            self.database.ping()
        except Exception as error:  # noqa: BLE001 - of a driver, which may tell secrets
            raise SinkError(self.database.told(error)) from None

    # --- the end ---

    async def flush(self, patience: float) -> bool:
        """Whether all rows are written, within so many seconds."""
        with suppress(TimeoutError):
            await self._waits.bounded(self._flush_all(), "the last rows", patience)
        return not len(self.queue)

    async def _flush_all(self) -> None:
        while len(self.queue):
            with suppress(SinkError):
                await self.queue.flush()

    async def close(self) -> None:
        """Let go of the database."""
        if self._timer is not None:
            self._timer.cancel()
        for task in [*self._loading.values()]:
            task.cancel()
        await self.queue.close()
        closed, thread = in_thread(self._writer.close, _THREAD)
        try:
            await self._waits.bounded(closed, "the database to close", self._config.sql_timeout)
        except TimeoutError:
            let_go(thread)


def _by_request(bad: list[BadRow]) -> list[list[BadRow]]:
    """Bad rows of one page together: a replay fetches it once."""
    found: dict[int, list[BadRow]] = {}
    for each in bad:
        place = each.row.place
        found.setdefault(id(each if place is None else place.request), []).append(each)
    return [*found.values()]
