"""The database of a URL: how it is reached, and what is said of its errors.

What a driver says may hold the password, in a query of the URL too: nothing of it is shown
before :meth:`Database.told` has looked at it.
"""

from __future__ import annotations

import re
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, quote_plus

import sqlalchemy as sa

from scrapy_resilience.core.masking import HIDDEN, clipped, message_of
from scrapy_resilience.core.sqldrivers import drivername, family_of
from scrapy_resilience.core.sqlfailures import Fault, fault_of, is_lock, is_withdrawn
from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

__all__ = ["Database", "open_database"]

_SETTING: Final = "RESILIENCE_SQL_URL"
_LONGEST: Final = 400
"""Characters of what a database says."""
_MEMORY: Final = (None, "", ":memory:")


class Database:
    """An engine, and what may be said of it.

    :ivar family: ``postgresql``, ``mysql`` or ``sqlite``
    :ivar name: which database it is, without secrets
    :ivar place: the same for programs: what of the URL tells it from others
    :ivar most_bytes: of a statement; 0 for no limit that is known
    """

    def __init__(self, engine: Engine, url: URL) -> None:
        self.engine = engine
        self.family = family_of(url.drivername)
        place = f" at {url.host}" if url.host else ""
        self.name = f"{self.family} database {url.database or url.username!r}{place}"
        options = sorted(each for each in url.query.items() if "pass" not in each[0].lower())
        parts = (url.username, url.host, url.port, url.database, options)
        self.place = f"{self.family} {parts}"
        self.most_bytes = 0
        is_file = self.family == "sqlite" and not str(url.database).startswith("file:")
        self._file = Path(str(url.database)) if is_file else None
        self._secrets = _secrets(url)

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @property
    def new_file(self) -> Path | None:
        """The file that SQLite would make when it connects."""
        file = self._file
        return None if file is None or file.exists() else file.absolute()

    def make_file(self) -> None:
        """Make the file of SQLite, where there is none, with a write-ahead log.

        A commit waits once for the disk then and not four times, and who reads does not wait.
        """
        if self.new_file is not None:
            with self.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")

    def fault_of(self, error: BaseException) -> Fault:
        """What an error means: see :mod:`scrapy_resilience.core.sqlfailures`."""
        if isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated:
            return "lost"
        if isinstance(error, (sa.exc.TimeoutError, OSError)):
            return "lost"
        if isinstance(error, MemoryError):
            return "passing"
        inner = _inner(error)
        if not isinstance(error, sa.exc.DBAPIError):  # its numbers are no codes of a database's
            return fault_of(self.family, "Exception", None, str(inner))
        code = _code(inner, self.family)
        return fault_of(self.family, _base_name(inner), code, str(inner))

    def is_away(self, error: BaseException) -> bool:
        """Whether it helps to wait: it is not there, or somebody else has what is needed."""
        inner = _inner(error)
        return self.fault_of(error) == "lost" or (
            isinstance(error, sa.exc.DBAPIError)
            and is_lock(self.family, _code(inner, self.family), str(inner))
        )

    def is_withdrawn(self, error: BaseException) -> bool:
        """Whether a table is gone, or a right is missing."""
        inner = _inner(error)
        return is_withdrawn(self.family, _code(inner, self.family), str(inner))

    def told(self, error: BaseException) -> str:
        """What an error says, in one line and without secrets."""
        inner = getattr(error, "orig", None) or error
        arguments: tuple[Any, ...] = inner.args
        text = message_of(inner)
        if self.family == "mysql" and len(arguments) > 1 and isinstance(arguments[0], int):
            text = f"{arguments[1]} ({arguments[0]})"
        told = (" ".join(line.split()) for line in text.splitlines())
        text = "; ".join(filter(None, told)).rstrip("?") or type(inner).__name__
        for secret in self._secrets:
            text = secret.sub(HIDDEN, text)
        return clipped(text, _LONGEST)

    def ping(self) -> None:
        """Ask for nothing. Raises what the driver raises."""
        with self.engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _secrets(url: URL) -> list[re.Pattern[str]]:
    """The password and its forms in a URL, and whatever stands in the query."""
    found = [url.password or "", *(each for each in map(str, url.query.values()) if each)]
    forms = {form for each in found if each for form in (each, quote(each), quote_plus(each))}
    return [
        re.compile(rf"(?<!\w){re.escape(form)}(?!\w)")
        for form in sorted(forms, key=len, reverse=True)
    ]


_NAMES: Final = frozenset({
    "InterfaceError", "DataError", "OperationalError", "IntegrityError", "InternalError",
    "ProgrammingError", "NotSupportedError", "DatabaseError", "Error",
})  # fmt: skip


def _inner(error: BaseException) -> BaseException:
    """What the driver has raised."""
    inner = error.orig if isinstance(error, sa.exc.StatementError) else None
    return error if inner is None else inner


def _base_name(error: BaseException) -> str:
    """The class of PEP 249 that an error is of: psycopg has one for each state."""
    names = (each.__name__ for each in type(error).__mro__)
    return next((name for name in names if name in _NAMES), "Exception")


def _code(error: BaseException, family: str) -> str | int | None:
    for name in ("sqlstate", "pgcode"):
        code = getattr(error, name, None)
        if isinstance(code, str) and family != "mysql":  # its numbers tell more
            return code
    arguments = error.args
    number = arguments[0] if arguments else getattr(error, "errno", None)
    return number if isinstance(number, int) else None


def open_database(url: str, timeout: float, *, setting: str = _SETTING) -> Database:
    """Not connected yet. Raises :exc:`ConfigurationError` and :exc:`MissingLibraryError`.

    :param timeout: seconds for connecting, and for a statement
    :param setting: whence the URL is, for errors
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise ConfigurationError(
            f"{setting} is not a URL: use postgresql://user:password@host/database, "
            "mysql://… or sqlite:///file.db."
        ) from None
    _check(parsed, setting)
    parsed = parsed.set(drivername=drivername(parsed.drivername, _is_installed))
    if parsed.drivername.startswith(("mysql", "mariadb")) and "charset" not in parsed.query:
        parsed = parsed.update_query_dict({"charset": "utf8mb4"})
    try:
        engine = sa.create_engine(
            parsed,
            pool_size=1,
            max_overflow=2,
            pool_timeout=timeout,
            hide_parameters=True,
            json_serializer=str,
            connect_args=_connect_args(parsed, timeout),
        )
    except (ImportError, sa.exc.ArgumentError, TypeError) as error:
        raise ConfigurationError(f"{setting}: the driver can't be used ({error}).") from None
    database = Database(engine, parsed)
    sa.event.listen(engine, "connect", partial(_connected, database, timeout))
    return database


def _check(url: URL, setting: str) -> None:
    family = family_of(url.drivername)
    if "@" in (url.host or "") or "/" in (url.host or ""):
        raise ConfigurationError(
            f"{setting}: the password holds a character that has a meaning in URLs: write it "
            "as urllib.parse.quote_plus(password) gives it."
        )
    if family == "sqlite" and url.database in _MEMORY:
        raise ConfigurationError(
            f"{setting}: a database in memory is gone after the crawl: write sqlite:///file.db."
        )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # of the package around it
        return False


def _connect_args(url: URL, timeout: float) -> dict[str, Any]:
    """Nothing is waited for without an end: neither for a host nor for an answer."""
    seconds = max(int(timeout), 1)
    driver = url.drivername.partition("+")[2]
    if driver in {"psycopg", "psycopg2"}:
        found: dict[str, Any] = {
            "connect_timeout": min(seconds, 10),
            "keepalives_idle": 5,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": seconds * 1000,
        }
    elif driver in {"pymysql", "mysqldb"}:
        found = {
            "connect_timeout": min(seconds, 10),
            "read_timeout": seconds + 5,
            "write_timeout": seconds + 5,
        }
    elif driver == "pysqlite":
        found = {"timeout": min(seconds, 5)}
    else:
        found = {}
    return {name: value for name, value in found.items() if name not in url.query}


_ALWAYS_PLANNED: Final = (
    "SELECT set_config(name, 'force_custom_plan', false) FROM pg_settings "
    "WHERE name = 'plan_cache_mode'"
)
"""A plan that PostgreSQL keeps is that of a table that was empty when the crawl began."""


def _connected(database: Database, timeout: float, connection: Any, _: object) -> None:
    """What a session of ours needs: UTC, no silent cuts, an end to each statement."""
    milliseconds = int(timeout * 1000)
    if database.family == "postgresql":
        statements = [
            "SET TIME ZONE 'UTC'",
            f"SET statement_timeout = {milliseconds}",
            f"SET lock_timeout = {min(milliseconds, 10_000)}",
            _ALWAYS_PLANNED,
        ]
    elif database.family == "mysql":
        statements = [
            "SET SESSION time_zone = '+00:00'",
            "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')",
            f"SET SESSION innodb_lock_wait_timeout = {max(min(int(timeout), 10), 1)}",
        ]
    else:
        return
    cursor = connection.cursor()
    try:
        for statement in statements:
            cursor.execute(statement)
        if database.family == "mysql":
            cursor.execute("SELECT @@max_allowed_packet")
            database.most_bytes = int(cursor.fetchone()[0])
    finally:
        cursor.close()
    connection.commit()
