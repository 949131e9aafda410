"""The tables that items go to: looked at before the crawl, and made where that is wanted.

All of it talks to the database, in a thread of the sink's.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from itemadapter import ItemAdapter

from scrapy_resilience import names
from scrapy_resilience._log import get_logger
from scrapy_resilience.core.sqlnames import ITEM_ID, ColumnNames, KeyColumns
from scrapy_resilience.core.sqlvalues import adapter
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.sql.columns import column_kind, key_type, ready, type_for
from scrapy_resilience.sql.indexes import other_indexes, unique_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from scrapy_resilience.core.sqlkinds import Kind
    from scrapy_resilience.settings import Config
    from scrapy_resilience.sql.engines import Database

__all__ = ["HIDDEN_COLUMNS", "CannotMakeError", "KnownTable", "Tables", "plain_json"]

logger = get_logger(__name__)

HIDDEN_COLUMNS: Final[dict[str, Any]] = {
    names.SQL_ITEM: sa.String(255),
    names.SQL_JOB: sa.String(16),
    names.SQL_COMMIT: sa.BigInteger(),
}
"""Of rows that say themselves which commit has brought them."""
_OF_COMMITS: Final = (names.SQL_JOB, names.SQL_COMMIT)
_ITEM_ID_LENGTH: Final = 64
_UNSAFE_ENGINE: Final = sa.text(
    "SELECT t.engine FROM information_schema.tables t JOIN information_schema.engines e "
    "ON e.engine = t.engine WHERE t.table_schema = COALESCE(:schema, DATABASE()) "
    "AND t.table_name = :name AND e.transactions = 'NO'"
)


@contextmanager
def _unwarned() -> Iterator[None]:
    """SQLAlchemy warns of types and of indexes that it does not know."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sa.exc.SAWarning)
        yield


def plain_json(value: Any) -> Any:
    """What JSON does not know, as what it knows. Raises :exc:`TypeError`."""
    if ItemAdapter.is_item(value):
        return ItemAdapter(value).asdict()
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if isinstance(value, bytes):
        raise TypeError("JSON can't hold bytes")
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if type(value).__module__ in {"decimal", "uuid"}:
        return str(value)
    if hasattr(value, "dtype") and hasattr(value, "item"):  # a number of numpy
        return value.item()
    if hasattr(type(value), "__members__"):
        return value.value
    raise TypeError(f"JSON can't hold a {type(value).__name__}")


class CannotMakeError(Exception):
    """The database makes no such table, or no such column."""


class KnownTable:
    """A table, its key, and what makes values ready for its columns."""

    def __init__(self, name: str, key: tuple[str, ...], family: str) -> None:
        self.name = name
        self.key = key
        self.by_item = key == (ITEM_ID,)
        """Whether rows are known by our id."""
        self.table: sa.Table | None = None
        """None while it is to be made."""
        self.kinds: dict[str, Kind] = {}
        self.adapters: dict[str, Callable[[Any], Any]] = {}
        self.fields: dict[str, tuple[str, Callable[[Any], Any]] | None] = {}
        """The column of each field that was seen, and its adapter; None for none."""
        self.missing: dict[str, Kind] = {}
        """Columns that are to be made before the next row is written."""
        self.lengths: dict[str, int | None] = {}
        """Characters that the columns hold, where they have a limit."""
        self.other_indexes: list[frozenset[str | None]] = []
        """Of MySQL, beside that of the key: the columns of those that are unique, None for an
        expression or a part of a column."""
        self.careful = False
        """Whether some rows are likely to be there already."""
        self.statements: dict[tuple[str, ...], Any] = {}
        """Of the columns that they write."""
        self._family = family

    def found(self, table: sa.Table) -> None:
        """It is there."""
        self.table = table
        self.statements.clear()
        self.fields = {}  # the event loop may be reading the other one
        for column in table.columns:
            self.lengths[column.name] = getattr(column.type, "length", None)
            self._adapt(column.name, column_kind(column))
            self.missing.pop(column.name, None)
        ready(table.columns, self._family)

    def plan(self, column: str, kind: Kind) -> None:
        """Have a column made, with the next row."""
        self.missing[column] = kind
        is_text = kind == "number" and self._family == "sqlite"  # as such a column is made
        self._adapt(column, "text" if is_text else kind)

    def _adapt(self, column: str, kind: Kind) -> None:
        self.kinds[column] = kind
        self.adapters[column] = adapter(kind, self._family, plain_json)


class Tables:
    """Those of one crawl.

    :param own_ids: whether items have ids of ours
    """

    def __init__(self, database: Database, config: Config, *, own_ids: bool) -> None:
        self._database = database
        self._config = config
        self._own_ids = own_ids
        self.keys = KeyColumns(config.sql_key)
        self.columns = ColumnNames(config.sql_columns)
        self.known: dict[str, KnownTable] = {}

    # --- what is there ---

    def load(
        self, name: str, fields: Mapping[str, Kind | None], others: Iterable[str] = ()
    ) -> KnownTable:
        """Look at a table. Raises :exc:`ConfigurationError` when its rows can't be written.

        :param fields: of the items that go there, and what they hold, as far as it is known
        :param others: tables that the settings name beside it
        """
        known = KnownTable(name, self._key(name), self._database.family)
        columns = dict(fields)
        for column in (*self.columns.named(name, [name, *others]), *known.key):
            columns.setdefault(column, None)
        if known.by_item:
            columns[ITEM_ID] = "text"
        if self.hides:
            columns |= dict.fromkeys(HIDDEN_COLUMNS, "text")
        table = self._reflect(name)
        if table is None:
            self._refuse_missing(name)
        else:
            known.found(table)
            self._check_key(known)
            if self._database.family == "mysql":
                self._check_engine(known)
                known.other_indexes = other_indexes(self._database.engine, name, known.key)
        lacking = [column for column in columns if column not in known.adapters]
        if lacking and not self._config.sql_create:
            self._refuse_columns(name, lacking)
        for column in lacking:
            if (kind := columns[column]) is not None:
                known.plan(column, kind)
        self.known[name] = known
        return known

    def existing(self, name: str) -> KnownTable | None:
        """A table that rows were written to before, None where it is gone."""
        known = self.known.get(name)
        if known is None and (table := self._reflect(name)) is not None:
            known = KnownTable(name, self._key(name), self._database.family)
            known.found(table)
        return None if known is None or known.table is None else known

    @property
    def hides(self) -> bool:
        """Whether rows say themselves which commit has brought them."""
        return self._config.sql_marks == "columns" and self._own_ids

    def _key(self, name: str) -> tuple[str, ...]:
        key = self.keys.key(name)
        if not key and not self._own_ids:
            raise ConfigurationError(
                f"RESILIENCE_SQL_KEY names no columns for {name}: only ResilientScheduler "
                "knows the ids of items. Name columns that tell the rows apart."
            )
        return key or (ITEM_ID,)

    def _reflect(self, name: str) -> sa.Table | None:
        if self._database.new_file is not None:
            return None
        schema, _, bare = name.rpartition(".")
        try:
            with _unwarned():
                return sa.Table(
                    bare,
                    sa.MetaData(),
                    schema=schema or None,
                    autoload_with=self._database.engine,
                    resolve_fks=False,
                )
        except sa.exc.NoSuchTableError:
            return None

    def _refuse_missing(self, name: str) -> None:
        if not self._config.sql_create:
            raise ConfigurationError(
                f"RESILIENCE_SQL_TABLE: there is no table {name} in the {self._database.name}: "
                "create it, or set RESILIENCE_SQL_CREATE=True."
            )

    def _refuse_columns(self, name: str, lacking: list[str]) -> None:
        if lacking == [ITEM_ID]:
            raise ConfigurationError(
                f"RESILIENCE_SQL_KEY: the table {name} has no column {ITEM_ID} for the ids of "
                f"items: add one that is unique (ALTER TABLE {name} ADD COLUMN {ITEM_ID} "
                "VARCHAR(255) UNIQUE), or name columns that tell the rows apart."
            )
        listed = ", ".join(lacking)
        raise ConfigurationError(
            f"RESILIENCE_SQL_TABLE: the table {name} lacks the columns {listed}: add them, "
            "name others with RESILIENCE_SQL_COLUMNS, or set RESILIENCE_SQL_CREATE=True."
        )

    def _check_key(self, known: KnownTable) -> None:
        assert known.table is not None
        lacking = [name for name in known.key if name not in known.adapters]
        if lacking:
            return  # they are refused, or made
        if known.by_item:
            length = known.lengths[ITEM_ID]
            if length is not None and length < _ITEM_ID_LENGTH:
                raise ConfigurationError(
                    f"RESILIENCE_SQL_KEY: the column {ITEM_ID} of {known.name} holds {length} "
                    f"characters: ids have up to {_ITEM_ID_LENGTH}."
                )
        with _unwarned():
            unique = unique_columns(self._database.engine, known.name)
        if frozenset(known.key) not in unique:
            listed = ", ".join(known.key)
            raise ConfigurationError(
                f"RESILIENCE_SQL_KEY: nothing makes ({listed}) of {known.name} unique: CREATE "
                f"UNIQUE INDEX … ON {known.name} ({listed}), or name other columns."
            )

    def _check_engine(self, known: KnownTable) -> None:
        """Of MySQL, where a table may have one that takes nothing back."""
        schema, _, bare = known.name.rpartition(".")
        with self._database.engine.connect() as connection:
            found = connection.execute(_UNSAFE_ENGINE, {"schema": schema or None, "name": bare})
            engine = found.scalar()
        if engine is not None:
            raise ConfigurationError(
                f"RESILIENCE_SQL_TABLE: the table {known.name} has the engine {engine}, which "
                f"knows no transactions: ALTER TABLE {known.name} ENGINE=InnoDB."
            )

    def check_deletes(self, known: KnownTable) -> None:
        """Raises :exc:`ConfigurationError` where rows can't be taken back."""
        if known.table is None:
            return
        try:
            with self._database.engine.begin() as connection:
                connection.execute(sa.delete(known.table).where(sa.false()))
        except sa.exc.DBAPIError as error:
            if not self._database.is_away(error):
                told = self._database.told(error)
                raise ConfigurationError(
                    f"RESILIENCE_SQL_TABLE: rows of {known.name} can't be deleted ({told}): "
                    "grant it, as rows beyond the last commit are taken back after a kill."
                ) from None

    # --- what is made ---

    def make(
        self, known: KnownTable, wanted: Collection[str], *, is_early: bool = False
    ) -> None:
        """Create the table, or those of the *wanted* columns that are missing.

        Raises :exc:`CannotMakeError` where the database refuses. In the crawl a table that is
        gone and a right that is missing hold the rows: the driver's error is raised.
        """
        needed = {*wanted, *(HIDDEN_COLUMNS if self.hides else ())}
        lacking = {name: kind for name, kind in [*known.missing.items()] if name in needed}
        if known.table is not None and not lacking:
            return
        try:
            if known.table is None:
                self._create(known, lacking)
            else:
                self._add_columns(known, lacking)
        except sa.exc.DBAPIError as error:
            database = self._database
            if database.is_away(error) or (not is_early and database.is_withdrawn(error)):
                raise
            told = database.told(error)
            raise CannotMakeError(f"{known.name} can't be changed: {told}") from None

    def make_early(self, known: KnownTable) -> None:
        """Create the table, as far as its columns are known: now it can be refused."""
        if known.by_item or set(known.key) <= known.adapters.keys():
            try:
                self.make(known, [*known.missing], is_early=True)
            except CannotMakeError as error:
                raise ConfigurationError(f"RESILIENCE_SQL_CREATE: {error}.") from None

    def _create(self, known: KnownTable, kinds: Mapping[str, Kind]) -> None:
        schema, _, bare = known.name.rpartition(".")
        parts: list[Any] = [
            sa.Column(
                name,
                self._type(known, name, kind),
                primary_key=name in known.key,
                autoincrement=False,
            )
            for name, kind in {**dict.fromkeys(known.key, "text"), **kinds}.items()
        ]
        if self.hides:
            parts.append(sa.Index(f"ix_{bare}_resilience", *_OF_COMMITS))
        table = sa.Table(
            bare,
            sa.MetaData(),
            *parts,
            schema=schema or None,
            mysql_charset="utf8mb4",
            mariadb_charset="utf8mb4",
        )
        try:
            table.create(self._database.engine)
        except sa.exc.DBAPIError:  # another process was quicker
            if (made := self._reflect(known.name)) is None:
                raise
            known.found(made)
            self.make(known, [*kinds])
            return
        logger.info("Created the table %s in the %s", known.name, self._database.name)
        found = self._reflect(known.name)
        known.found(table if found is None else found)

    def _type(self, known: KnownTable, column: str, kind: Any) -> Any:
        if column in HIDDEN_COLUMNS:
            return HIDDEN_COLUMNS[column]
        return key_type(kind) if column in known.key else type_for(kind)

    def _add_columns(self, known: KnownTable, kinds: Mapping[str, Kind]) -> None:
        assert known.table is not None
        engine = self._database.engine
        preparer = engine.dialect.identifier_preparer
        for name, kind in kinds.items():
            made = self._type(known, name, kind).compile(dialect=engine.dialect)
            sql = (
                f"ALTER TABLE {preparer.format_table(known.table)} "
                f"ADD COLUMN {preparer.quote(name)} {made}"
            )
            try:
                with engine.begin() as connection:
                    connection.exec_driver_sql(sql)
            except sa.exc.DBAPIError:  # another process was quicker
                again = self._reflect(known.name)
                if again is None or name not in again.columns:
                    raise
            logger.info("Added the column %s to %s", name, known.name)
        found = self._reflect(known.name)
        assert found is not None
        if not set(kinds).isdisjoint(known.key):
            columns = [found.columns[name] for name in known.key]
            sa.Index(f"uq_{found.name}_key", *columns, unique=True).create(engine)
        known.found(found)
