"""Which driver a database URL means: one that works in a thread, and is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrapy_resilience.exceptions import ConfigurationError, MissingLibraryError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["drivername", "family_of"]

_SETTING: Final = "RESILIENCE_SQL_URL"
_FAMILIES: Final = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "sqlite": "sqlite",
}
_DRIVERS: Final = {
    "postgresql": {"psycopg2": "psycopg2", "psycopg": "psycopg"},
    "mysql": {"mysqldb": "MySQLdb", "pymysql": "pymysql"},
    "sqlite": {"pysqlite": "sqlite3"},
}
"""Drivers in the order in which they are looked for, and the modules that have them."""
_CHOICE: Final = {"postgresql": "psycopg", "mysql": "pymysql", "sqlite": "pysqlite"}
"""What is named where none is there."""
_PACKAGES: Final = {
    "psycopg": '"psycopg[binary]"',
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "pymysql": "PyMySQL",
}


def family_of(name: str) -> str:
    """``postgresql``, ``mysql`` or ``sqlite``, by the part of a URL before ``://``.

    Raises :exc:`ConfigurationError` for other databases.
    """
    family = _FAMILIES.get(name.partition("+")[0].lower())
    if family is None:
        raise ConfigurationError(
            f"{_SETTING}: {name.partition('+')[0]!r} is not a database that rows can be "
            "written to: use postgresql://, mysql://, mariadb:// or sqlite:///."
        )
    return family


def drivername(name: str, has: Callable[[str], bool]) -> str:
    """*name* with a driver: that of the URL, or the first that *has* says is installed.

    Raises :exc:`ConfigurationError` for a driver that is not known or asynchronous, and
    :exc:`MissingLibraryError`.
    """
    family = family_of(name)
    base, _, driver = name.lower().partition("+")
    base = "postgresql" if base == "postgres" else base
    known = _DRIVERS[family]
    if not driver:
        found = next((each for each, module in known.items() if has(module)), None)
        driver = found or _CHOICE[family]
    if driver not in known:
        raise ConfigurationError(
            f"{_SETTING}: the driver {driver!r} can't be used, as it is asynchronous, or not "
            f"known to end every wait: write {base}+{_CHOICE[family]}://."
        )
    if not has(known[driver]):
        raise MissingLibraryError(
            f"{_SETTING}: {base}+{driver} needs a driver that is not installed: "
            f"pip install {_PACKAGES.get(known[driver], known[driver])}"
        )
    return f"{base}+{driver}"
