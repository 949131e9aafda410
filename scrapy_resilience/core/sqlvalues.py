"""Values of items as values of columns: faithfully, or not at all.

A value is stored as it is, or in another form that says the same: a time with an offset as the
same moment in UTC, a list as JSON, a number as the number that a text holds. Where a column
would keep less than the item says, :exc:`UnfitError` tells why, and the row is not written.
What the columns of a table have been made for is left to the database: it rounds to their scale
and refuses what is too long.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from decimal import Decimal, InvalidOperation
from math import isfinite, isnan
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.core.sqlkinds import INT64, PLAIN, exact

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy_resilience.core.sqlkinds import Kind

__all__ = ["UnfitError", "adapter", "as_json"]

_WHOLE: Final = re.compile(r"\s*[+-]?[0-9]+\s*")
_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""A NUL in JSON, and not a backslash with the letters behind it."""


class UnfitError(ValueError):
    """A value that a column can't hold as it is; the text says why."""


def adapter(kind: Kind, family: str, plain: Callable[[Any], Any] = str) -> Callable[[Any], Any]:
    """What makes values ready for a column of *kind*, which raises :exc:`UnfitError`.

    :param family: ``postgresql``, ``mysql`` or ``sqlite``
    :param plain: gives the plain form of what JSON does not know, and raises :exc:`TypeError`
    """
    adapt = _ADAPTERS[kind](family, plain)

    def adapted(value: Any) -> Any:
        if value is None:
            return None
        try:
            return adapt(value if type(value) in PLAIN else exact(value))
        except UnfitError:
            raise
        except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
            raise UnfitError(f"{type(value).__name__}: {error}") from None

    return _quick(adapted) if kind == "text" else adapted


def _quick(adapted: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """With a short way for most texts: any column and driver takes them as they are."""

    def adapt(value: Any) -> Any:
        if type(value) is str and value.isascii() and "\x00" not in value:
            return value
        return adapted(value)

    return adapt


# --- texts ---


def _text(family: str, plain: Callable[[Any], Any]) -> Callable[[Any], Any]:
    refuses_nul = family == "postgresql"

    def adapt(value: Any) -> str:
        text = value if type(value) is str else _as_text(value, plain)
        if refuses_nul and "\x00" in text:
            raise UnfitError("PostgreSQL can't keep the NUL character in it")
        return _encodable(text)

    return adapt


def _encodable(text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UnfitError(
                "it holds half of a surrogate pair, which is no character"
            ) from None
    return text


def _as_text(value: Any, plain: Callable[[Any], Any]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal)) or type(value).__name__ == "UUID":
        return str(value)
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, bytes):
        raise UnfitError("a text column can't hold bytes")
    return as_json(value, plain)


def as_json(value: Any, plain: Callable[[Any], Any]) -> str:
    """The JSON of a value, in which *plain* gives what JSON does not know."""
    try:
        return _encodable(json.dumps(value, ensure_ascii=False, allow_nan=False, default=plain))
    except UnfitError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise UnfitError(f"it has no JSON ({error})") from None


# --- numbers ---


def _integer(family: str, plain: Callable[[Any], Any]) -> Callable[[Any], Any]:
    other = _other(family, plain)
    most = 2 * INT64 if family == "mysql" else INT64  # it has unsigned ones

    def adapt(value: Any) -> Any:
        if type(value) is int or _is_whole(value):
            whole = int(value)
        elif family == "sqlite":  # its columns hold whatever comes
            return other(value)
        else:
            raise UnfitError(f"{_shown(value)} is no whole number")
        if not -INT64 <= whole < most:
            raise UnfitError(f"{_shown(value)} is beyond 64 bits")
        return whole

    return adapt


def _is_whole(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) < _LONGEST and _WHOLE.fullmatch(value) is not None
    if isinstance(value, Decimal):
        return value.is_finite() and value.adjusted() < _DIGITS and value == int(value)
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int)


_LONGEST: Final = 4000
"""Digits of a number in a text."""
_DIGITS: Final = 30
"""Of a whole number that may fit: others are not worked out."""


def _decimal(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, (int, float)):
        return Decimal(repr(value)) if isinstance(value, float) else Decimal(int(value))
    if isinstance(value, str) and len(value) < _LONGEST and value.isascii():
        try:
            return Decimal(value.strip())
        except InvalidOperation:
            pass
    raise UnfitError(f"{_shown(value)} is no number")


def _number(family: str, plain: Callable[[Any], Any]) -> Callable[[Any], Any]:
    other = _other(family, plain)

    def adapt(value: Any) -> Any:
        if family == "sqlite":
            return _sqlite_number(value, other)
        found = _decimal(value)
        if family == "mysql" and not found.is_finite():
            raise UnfitError(f"MySQL has no {_shown(value)}")
        return found

    return adapt


def _sqlite_number(value: Any, other: Callable[[Any], Any]) -> Any:
    """It keeps 64 bits, or 15 digits."""
    if isinstance(value, (Decimal, int)):
        number = Decimal(value)
        if not number.is_finite():
            raise UnfitError(f"SQLite has no {_shown(value)}")
        if number == number.to_integral_value() and abs(number) < INT64:
            return int(number)
        if Decimal(repr(float(number))) == number:
            return float(number)
        raise UnfitError(
            f"{_shown(value)} has more digits than SQLite keeps: use a TEXT column"
        )
    return other(value)


def _float(family: str, plain: Callable[[Any], Any]) -> Callable[[Any], Any]:
    other = _other(family, plain)

    def adapt(value: Any) -> Any:
        if isinstance(value, str) and family == "sqlite":
            return other(value)
        found = value if type(value) is float else _to_float(value)
        if not isfinite(found):
            _check_finite(found, family)
        return found

    return adapt


def _to_float(value: Any) -> float:
    exact = _decimal(value)
    try:
        found = float(exact)
    except (OverflowError, ValueError):
        raise UnfitError(f"{_shown(value)} is too large") from None
    if isinstance(value, str) or not exact.is_finite():
        return found
    if isfinite(found) and Decimal(repr(found)) == exact:
        return found
    raise UnfitError(f"{_shown(value)} has more digits than such a column keeps")


def _check_finite(value: float, family: str) -> None:
    if family == "mysql" or (family == "sqlite" and isnan(value)):
        name = "MySQL" if family == "mysql" else "SQLite"
        raise UnfitError(f"{name} has no {value}")


def _boolean(value: Any) -> bool:
    if isinstance(value, (bool, int, float)) and value in {0, 1}:
        return bool(value)
    raise UnfitError(f"{_shown(value)} is neither true nor false")


# --- times ---


def _moment(value: Any) -> dt.datetime | None:
    if isinstance(value, dt.datetime):
        return value
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day)  # noqa: DTZ001 - as naive as it is
    if isinstance(value, str):
        text = value.strip()
        if text[-1:] in {"Z", "z"}:
            text = f"{text[:-1]}+00:00"
        try:
            return dt.datetime.fromisoformat(text)
        except ValueError:
            return None  # the database may know it
    raise UnfitError(f"{_shown(value)} is no time")


def _datetime(family: str, plain: Callable[[Any], Any], *, aware: bool) -> Callable[[Any], Any]:
    aware = aware and family == "postgresql"

    def adapt(value: Any) -> Any:
        if family == "sqlite" and not isinstance(value, (dt.date, str)):
            return _other(family, plain)(value)
        found = _moment(value)
        if found is None:
            return _encodable(value)
        if aware:
            return found if found.tzinfo else found.replace(tzinfo=dt.timezone.utc)
        if found.tzinfo is not None:
            found = _in_utc(found).replace(tzinfo=None)
        if family == "sqlite":
            return found.isoformat(" ", "microseconds")
        return found

    return adapt


def _in_utc(moment: dt.datetime) -> dt.datetime:
    try:
        return moment.astimezone(dt.timezone.utc)
    except OverflowError:
        raise UnfitError(f"{moment} is beyond the calendar in UTC") from None


def _date(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.date()
    if isinstance(value, dt.date):
        return value
    if isinstance(value, str):
        return _encodable(value)
    raise UnfitError(f"{_shown(value)} is no date")


def _time(value: Any) -> Any:
    if isinstance(value, (dt.time, dt.timedelta)):
        return value
    if isinstance(value, str):
        return _encodable(value)
    raise UnfitError(f"{_shown(value)} is no time of a day")


def _as_iso(adapt: Callable[[Any], Any], family: str) -> Callable[[Any], Any]:
    """SQLite has texts for times."""
    if family != "sqlite":
        return adapt

    def adapted(value: Any) -> Any:
        found = adapt(value)
        return str(found) if isinstance(found, dt.timedelta) else _iso(found)

    return adapted


def _iso(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


# --- the rest ---


def _binary(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return _encodable(value).encode()
    raise UnfitError(f"{_shown(value)} is neither bytes nor a text")


def _array(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else value


def _json(family: str, plain: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def adapt(value: Any) -> str:
        text = as_json(value, plain)
        if family == "postgresql" and "\\u0000" in text and _NUL.search(text):
            raise UnfitError("PostgreSQL can't keep the NUL character in it")
        return text

    return adapt


def _other(family: str, plain: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A column of a type that is not known, and one of SQLite that takes what comes."""
    text = _text(family, plain)

    def adapt(value: Any) -> Any:
        if family != "sqlite":
            if isinstance(value, (dict, list, tuple, set)):
                return as_json(value, plain)
            return _encodable(value) if isinstance(value, str) else value
        if isinstance(value, bytes):
            return value
        if isinstance(value, (int, Decimal)):
            return _sqlite_number(value, text)
        if isinstance(value, float):
            _check_finite(value, family)
            return value
        return text(value)

    return adapt


_ADAPTERS: Final[dict[Kind, Callable[[str, Callable[[Any], Any]], Callable[[Any], Any]]]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "float": _float,
    "boolean": lambda *_: _boolean,
    "datetime": lambda family, plain: _datetime(family, plain, aware=False),
    "datetimetz": lambda family, plain: _datetime(family, plain, aware=True),
    "date": lambda family, _: _as_iso(_date, family),
    "time": lambda family, _: _as_iso(_time, family),
    "binary": lambda *_: _binary,
    "json": _json,
    "array": lambda *_: _array,
    "other": _other,
}

_SHOWN: Final = 40


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**50 else "a number"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
