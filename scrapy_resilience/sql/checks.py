"""Opens the database of the settings, and says before the crawl what is wrong with it."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import sqlalchemy as sa

from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.sql.engines import Database, open_database
from scrapy_resilience.sql.rows import TableChooser, fields_of
from scrapy_resilience.sql.tables import Tables
from scrapy_resilience.sql.take_back import make_batches

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy_resilience.core.sqlkinds import Kind
    from scrapy_resilience.settings import Config

__all__ = ["Opened", "check_database", "open_checked", "open_ready"]

_MORE: Final = 5.0
"""Seconds beside those that the database may take."""


class Opened(NamedTuple):
    """A database whose tables are as the settings say."""

    database: Database
    tables: Tables
    chooser: TableChooser

    def load(self, name: str) -> None:
        """Look at a table. Raises :exc:`ConfigurationError`, and what the driver raises."""
        fields: dict[str, Kind | None] = {}
        for kind, table in self.chooser.classes.items():
            if table == name:
                fields |= fields_of(kind, lambda field: self.tables.columns.column(name, field))
        self.tables.load(name, fields, self.chooser.names)


def check_database(config: Config, *, own_ids: bool = True) -> None:
    """Raises :exc:`ConfigurationError`, and :exc:`.MissingLibraryError`. Changes nothing.

    :param own_ids: whether items have ids of ours
    """
    open_checked(config, own_ids=own_ids).database.close()


def open_ready(config: Config, *, own_ids: bool, is_job: bool) -> Opened:
    """The database, with what is missing made, as far as it is known before the crawl.

    Raises :exc:`ConfigurationError`, and :exc:`.MissingLibraryError`. It waits for the
    database, for a bounded time, in a thread.

    :param is_job: whether it is kept which commit has brought a row
    """
    opened = open_checked(config, own_ids=own_ids)
    if is_job and config.sql_marks == "columns" and opened.chooser.is_function:
        opened.database.close()
        raise ConfigurationError(
            'RESILIENCE_SQL_MARKS="columns" can\'t be used with a function for '
            "RESILIENCE_SQL_TABLE: nobody knows then where rows are to be taken back. "
            'Use RESILIENCE_SQL_MARKS="table".'
        )

    def make() -> None:
        opened.database.make_file()
        if is_job and config.sql_marks == "table":
            make_batches(opened.database)
        for known in opened.tables.known.values():
            if config.sql_create:
                opened.tables.make_early(known)
            if is_job:
                opened.tables.check_deletes(known)

    _ask(opened.database, config, make)
    return opened


def open_checked(config: Config, *, own_ids: bool) -> Opened:
    """The database, looked at, and left as it is. Raises and waits as :func:`open_ready`."""
    database = open_database(config.sql_url, config.sql_timeout)
    opened = Opened(
        database,
        Tables(database, config, own_ids=own_ids),
        TableChooser(config.sql_table),
    )
    if config.sql_batch > config.sql_buffer:
        raise ConfigurationError(
            f"RESILIENCE_SQL_BUFFER={config.sql_buffer} is less than a batch "
            f"(RESILIENCE_SQL_BATCH={config.sql_batch}): use a larger number."
        )
    _ask(database, config, lambda: _look(opened, config))
    return opened


def _ask(database: Database, config: Config, work: Callable[[], None]) -> None:
    """Do it in a thread, in bounded time; the database is closed where it fails."""
    seconds = config.sql_timeout + _MORE
    with ExitStack() as stack:
        stack.callback(database.close)
        _asked(database, seconds, work)
        stack.pop_all()


def _asked(database: Database, seconds: float, work: Callable[[], None]) -> None:
    try:
        _within(seconds, work)
    except TimeoutError:
        raise ConfigurationError(
            f"RESILIENCE_SQL_URL: the {database.name} has not answered in {seconds:g} s."
        ) from None
    except (sa.exc.SQLAlchemyError, OSError) as error:
        raise ConfigurationError(
            f"RESILIENCE_SQL_URL: the {database.name} can't be used: {database.told(error)}."
        ) from None


def _look(opened: Opened, config: Config) -> None:
    if (path := opened.database.new_file) is None:
        opened.database.ping()
    elif not config.sql_create:
        raise ConfigurationError(
            f"RESILIENCE_SQL_URL: there is no file {path}: write the path of a database, or "
            "set RESILIENCE_SQL_CREATE=True."
        )
    elif not path.parent.is_dir():
        raise ConfigurationError(f"RESILIENCE_SQL_URL: there is no folder {path.parent}.")
    for name in opened.chooser.names:
        opened.load(name)


def _within(seconds: float, work: Callable[[], Any]) -> Any:
    """What *work* gives, in a thread. Raises :exc:`TimeoutError` when it takes too long."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((True, work()))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            outcome.append((False, error))

    thread = threading.Thread(target=run, name="resilience-sql", daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError
    succeeded, value = outcome[0]
    if not succeeded:
        raise value
    return value
