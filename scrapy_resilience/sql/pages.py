"""Rows of a query, page after page: for spiders that start from a table.

Each page begins behind the key of the last row, so that the last one costs no more than the
first, and rows that come or go meanwhile move no other (keyset pagination).
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience._scrapy.engine import engine_of, our_scheduler
from scrapy_resilience._scrapy.here import crawler_here
from scrapy_resilience.checkpoint.state import OWN
from scrapy_resilience.core.backoff import RetryPolicy
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.jobs.crawl_job import job_of
from scrapy_resilience.retry import execute_with_retry
from scrapy_resilience.settings import Config
from scrapy_resilience.sql.library import check_library
from scrapy_resilience.waits import Waits, in_thread, waits_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from scrapy.crawler import Crawler

    from scrapy_resilience.sql.reading import Page, Query

__all__ = ["Pages", "read_pages"]

_POLICY: Final = RetryPolicy(attempts=12, base=0.25, multiplier=2.0, max_delay=30.0)
_THREAD: Final = "resilience-sql-read"
_TIMEOUT: Final = 30.0


def read_pages(
    query: str,
    size: int = 1000,
    *,
    key: str | Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
    url: str = "",
    crawler: Crawler | None = None,
    resume: bool = False,
) -> Pages:
    """Read the rows of *query* as dicts, in the order of their key, *size* at a time.

    To be iterated with ``async for``, which reads in a thread, or with ``for``, which blocks.

    :param key: columns of the query that tell its rows apart and are never NULL; the first
        column by default
    :param parameters: values of ``:names`` in the query
    :param url: of the database; ``RESILIENCE_SQL_URL`` of the *crawler* by default, or of the
        crawl that runs, where it is the only one
    :param resume: whether a run that goes on with a job begins behind the rows that earlier
        runs have done, of this query of this database with these *parameters*; a run may read
        them once. A row is done when the next one is asked for: yield what comes of it before.
        Without this all rows are read again, and the scheduler leaves out what it knows

    Raises :exc:`.ConfigurationError` for a query or a key that can't be used,
    :exc:`ConnectionError` when the database stays away.
    """
    if size < 1:
        raise ConfigurationError(f"read_pages: size={size!r}: use a number of at least 1.")
    crawler = crawler or crawler_here()
    timeout = _TIMEOUT
    if crawler is not None:
        config = Config.from_settings(crawler.settings)
        url, timeout = url or config.sql_url, config.sql_timeout
    if not url:
        raise ConfigurationError(
            "read_pages: of which database? Give it a url, or set RESILIENCE_SQL_URL and give "
            "it the crawler."
        )
    check_library("read_pages")
    from scrapy_resilience.sql.engines import open_database  # noqa: PLC0415 - SQLAlchemy
    from scrapy_resilience.sql.reading import Query  # noqa: PLC0415

    names = (key,) if isinstance(key, str) else tuple(key)
    database = open_database(url, timeout, setting="read_pages: the URL")
    found = Query(database, query, size, names, dict(parameters or {}))
    return Pages(found, crawler, resume=resume)


class Pages:
    """What :func:`read_pages` gives."""

    def __init__(self, query: Query, crawler: Crawler | None, *, resume: bool) -> None:
        self._query = query
        self._crawler = crawler
        self._after: Any = None
        """Key values of the last row that is done."""
        self._saved: Any = None
        if resume:
            self._register()

    def _register(self) -> None:
        job = None if self._crawler is None else job_of(self._crawler)
        if job is None:
            return
        name = f"{OWN}pages.{_digest(self._query)}"
        if job.state.has(name):  # it would begin behind rows that only the first one has read
            raise ConfigurationError(
                "read_pages: the query is read with resume=True already in this run: go on "
                "with the first Pages, or leave out resume=True."
            )
        job.state.register(name, self._save, self._restore)

    def _save(self) -> Any:
        """Not beyond what a kill would take."""
        engine = None if self._crawler is None else engine_of(self._crawler)
        scheduler = None if engine is None else our_scheduler(engine)
        if scheduler is None or not scheduler.open_starts:
            self._saved = self._after
        return self._saved

    def _restore(self, saved: Any) -> None:
        self._after = self._saved = saved

    def __iter__(self) -> Iterator[dict[str, Any]]:
        try:
            page = self._read(self._after, None)
            while True:
                yield from self._each(page)
                if page.next is None:
                    break
                page = self._read(self._after, page.next)
        finally:
            self._query.database.close()

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        try:
            page = await self._read_async(self._after, None)
            while True:
                for row in self._each(page):
                    yield row
                if page.next is None:
                    break
                page = await self._read_async(self._after, page.next)
        finally:
            self._query.database.close()

    def _each(self, page: Page) -> Iterator[dict[str, Any]]:
        for key, row in zip(page.keys, page.rows, strict=True):
            yield row
            self._after = key

    def _read(self, after: Any, first: Any) -> Page:
        database = self._query.database
        after = None if after is None else tuple(after)

        def read() -> Page:
            return self._query.page(after, first)

        def is_lost(error: Exception) -> bool:
            is_ours = isinstance(error, ConfigurationError)
            return not is_ours and database.fault_of(error) == "lost"

        try:
            page: Page = execute_with_retry(read, _POLICY, on=is_lost, reraise=True)
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 - of a driver, which may tell secrets
            told = f"read_pages: {database.told(error)}"
            if is_lost(error):
                raise ConnectionError(told) from None
            raise ConfigurationError(told) from None
        return page

    async def _read_async(self, after: Any, first: Any) -> Page:
        work, _ = in_thread(lambda: self._read(after, first), _THREAD)
        waits = Waits() if self._crawler is None else waits_of(self._crawler)
        return await waits.bounded(work, "the database", None)


def _digest(query: Query) -> str:
    """The same for all readings of the same rows."""
    parameters = sorted(query.parameters.items())
    told = f"{query.database.place}\n{query.text}\n{query.key}\n{parameters}"
    return blake2b(told.encode(errors="replace"), digest_size=8).hexdigest()
