"""What a failure of a database means: it may pass, or the rows will never fit.

A row is given up only for what is known to be its own fault. What is not known, and what is
wrong with the table as a whole, holds all rows back until somebody has seen to it: a dead
letter for each would be the worse answer.
"""

from __future__ import annotations

import re
from typing import Final, Literal

__all__ = ["Fault", "fault_of", "is_lock", "is_withdrawn"]

Fault = Literal["lost", "passing", "data"]
"""The connection is lost or refused; it may pass (a deadlock, a lock, a table that is missing);
the row does not fit."""

_LOST_STATES: Final = ("08", "57P", "53", "25006", "28", "3D")
_DATA_STATES: Final = (
    "0A", "21", "22", "23", "2F", "38", "39", "42804", "42846", "44", "54", "P0",
)  # fmt: skip
_LOST_NUMBERS: Final = frozenset(
    {1040, 1044, 1045, 1049, 1053, 1077, 1080, 1129, 1130, 1152, 1158, 1159, 1160, 1161, 1184}
    | {1203, 1226, 1290, 1792, 1836, 1927, 2002, 2003, 2005, 2006, 2013, 2014, 2027, 2055, 3159}
)
_DATA_NUMBERS: Final = frozenset(
    {1048, 1062, 1118, 1136, 1138, 1153, 1169, 1216, 1217, 1230, 1231, 1263, 1264, 1265, 1292}
    | {1301, 1364, 1365, 1366, 1367, 1369, 1406, 1411, 1416, 1425, 1426, 1427, 1441, 1451, 1452}
    | {1525, 1526, 1557, 1558, 1586, 1644, 1690, 1748, 1761, 1762, 1977, 3140, 3141, 3156, 3157}
    | {3730, 3819, 3903, 3991, 4025, 4078, 4161}
)
"""1644 is SIGNAL: a trigger has refused the row."""
_SQLITE_LOST: Final = re.compile(
    r"unable to open|disk I/O|disk is full|readonly|read-only|malformed|not a database"
)
_LOCK_STATES: Final = frozenset({"55P03", "57014", "40001", "40P01"})
_LOCK_NUMBERS: Final = frozenset({1205, 1213, 1317, 1969, 3024})
_SQLITE_LOCK: Final = re.compile(r"\b(locked|busy)\b")
_WITHDRAWN_STATES: Final = frozenset({"42P01", "3F000", "42501"})
_WITHDRAWN_NUMBERS: Final = frozenset({1142, 1143, 1146})
_OF_DATA: Final = frozenset({"DataError", "IntegrityError", "NotSupportedError"})
_OF_CONNECTIONS: Final = frozenset({"OperationalError", "InterfaceError", "InternalError"})


def fault_of(dialect: str, name: str, code: str | int | None, text: str) -> Fault:
    """What an error of a driver means.

    :param dialect: ``postgresql``, ``mysql`` or ``sqlite``
    :param name: of the error's class, which PEP 249 defines
    :param code: SQLSTATE of PostgreSQL, the number of MySQL; None where it has none
    """
    if dialect == "postgresql" and isinstance(code, str):
        return _by_state(code)
    if dialect == "mysql" and isinstance(code, int):
        return _by_number(name, code)
    if dialect == "sqlite" and name in _OF_CONNECTIONS | {"DatabaseError"}:
        if name == "InterfaceError":  # it can't bind a parameter
            return "data"
        return "lost" if _SQLITE_LOST.search(text) else "passing"
    if name in _OF_DATA or name not in _OF_CONNECTIONS | {"DatabaseError", "Error"}:
        return "data"
    return "passing" if name == "InternalError" else "lost"


def is_lock(dialect: str, code: str | int | None, text: str) -> bool:
    """Whether somebody else has what the statement needs: it passes by itself."""
    if dialect == "sqlite":
        return _SQLITE_LOCK.search(text) is not None
    return code in (_LOCK_STATES if dialect == "postgresql" else _LOCK_NUMBERS)


def is_withdrawn(dialect: str, code: str | int | None, text: str) -> bool:
    """Whether a table is gone, or a right is missing: somebody can give it back."""
    if dialect == "sqlite":
        return "no such table" in text
    return code in (_WITHDRAWN_STATES if dialect == "postgresql" else _WITHDRAWN_NUMBERS)


def _by_state(state: str) -> Fault:
    if state.startswith(_LOST_STATES):
        return "lost"
    return "data" if state.startswith(_DATA_STATES) else "passing"


def _by_number(name: str, number: int) -> Fault:
    if number in _LOST_NUMBERS:
        return "lost"
    return "data" if number in _DATA_NUMBERS or name in _OF_DATA else "passing"
