"""Values of any kind as plain data for a line of a log: bounded, masked, whatever they are."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count, islice, takewhile
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.core.masking import BEYOND, HIDDEN, is_secret, mask, masked_start

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LONGEST", "plain_value", "text_of"]

LONGEST: Final = 32_768
"""Characters of one text; of a longer one the beginning and the end are kept."""
_END: Final = LONGEST // 4
_DEEPEST: Final = 5
_MOST: Final = 200
"""Elements of one list or table."""
_MOST_IN_ALL: Final = 2_000
_BIGGEST: Final = 2**63


def text_of(text: str) -> str:
    """*text* masked, in at most :data:`LONGEST` characters, without half characters."""
    masked = mask(text) if len(text) <= LONGEST else _cut(text)
    if masked.isascii() or masked.isprintable():
        return masked
    return masked.encode("utf-8", "backslashreplace").decode()


def _cut(text: str) -> str:
    begin = masked_start(text, LONGEST - _END)
    end = mask(text[-_END - BEYOND :]).split(maxsplit=1)[-1][-_END:]  # half a word may be one
    return f"{begin} … ({len(text) - LONGEST} characters left out) … {end}"


def plain_value(value: Any, name: str = "") -> Any:
    """*value* as JSON may hold it; *name* is that of the field it stands in.

    Anything else than numbers, texts, lists and tables is shown as its ``str()``. Never raises
    an :exc:`Exception`.
    """
    return _plain(value, name, 0, count())


def _plain(value: Any, name: str, depth: int, elements: Iterator[int]) -> Any:
    """*elements* counts those of all containers together: one may hold itself many times."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if name and is_secret(name):
        return HIDDEN
    if kind is float or (kind is int and -_BIGGEST <= value < _BIGGEST):
        return value
    if isinstance(value, (Mapping, list, tuple, set, frozenset)) and depth < _DEEPEST:
        try:
            return _container(value, depth + 1, elements)
        except Exception:  # noqa: BLE001 - a container of the user's
            return _shown(value)
    return _shown(value)


def _container(value: Any, depth: int, elements: Iterator[int]) -> Any:
    inside = islice(value.items() if isinstance(value, Mapping) else value, _MOST)
    counted = takewhile(lambda _: next(elements) < _MOST_IN_ALL, inside)
    if isinstance(value, Mapping):
        pairs = ((_key(key), each) for key, each in counted)
        return {key: _plain(each, key, depth, elements) for key, each in pairs}
    return [_plain(each, "", depth, elements) for each in counted]


def _key(key: Any) -> str:
    return text_of(key) if isinstance(key, str) else _shown(key)


def _shown(value: Any) -> str:
    try:
        if isinstance(value, (bytes, bytearray)):
            value = bytes(value[: 2 * LONGEST]).decode("utf-8", "backslashreplace")
        elif isinstance(value, BaseException):
            value = f"{type(value).__name__}: {value}"
        return text_of(str(value))
    except Exception:  # noqa: BLE001 - of the user's class
        return f"<{type(value).__name__} that can't be shown>"
