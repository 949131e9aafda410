"""An item as bounded text, for people: whatever it is made of.

No ``repr()`` of the user's is called: one may write out megabytes, five times a second.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from itemadapter import ItemAdapter, is_item

from scrapy_resilience.core.masking import HIDDEN, clipped, is_secret

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ItemTexts", "texts_of"]

_FIELDS: Final = 50
_LONGEST: Final = 200
"""Characters of a value and of a name."""
_LOOKED_AT: Final = 2 * _LONGEST
"""Characters of a value that are masked: see :func:`.clipped`."""
_DEEPEST: Final = 2
_ELEMENTS: Final = 6
_BITS: Final = 1_000
"""Of a number that is written out."""
_BRACKETS: Final[tuple[tuple[type, str, str], ...]] = (
    (list, "[", "]"), (tuple, "(", ")"), (set, "{", "}"), (frozenset, "{", "}"),
)  # fmt: skip
_PLAIN: Final = frozenset(
    {bool, date, datetime, Decimal, float, time, timedelta, type(None), UUID}
)


class ItemTexts:
    """The texts of the latest items: each is made once, and looked at many times."""

    def __init__(self) -> None:
        self._made: list[tuple[Any, dict[str, str]]] = []

    def of(self, items: Iterable[Any]) -> list[dict[str, str]]:
        """The texts of each of *items*; those of other ones are forgotten."""
        self._made = [(item, self._texts(item)) for item in items]
        return [texts for _, texts in self._made]

    def _texts(self, item: Any) -> dict[str, str]:
        known = (texts for made, texts in self._made if made is item)
        found = next(known, None)
        return texts_of(item) if found is None else found


def texts_of(item: Any) -> dict[str, str]:
    """The first fifty fields, each cut after 200 characters; empty for what is no item."""
    try:
        fields = islice(ItemAdapter(item).items(), _FIELDS) if is_item(item) else ()
        return dict(_field(_text(name), value) for name, value in fields)
    except Exception:  # noqa: BLE001 - an item's own code never costs the crawl
        return {}


def _field(name: str, value: Any) -> tuple[str, str]:
    """Its name and its text: of a secret, whether there is one."""
    text = _text(value)
    return name, HIDDEN if text and is_secret(name) else text


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else _written(value, 0)
    return clipped(text[: _LOOKED_AT + 1], _LONGEST)


def _written(value: Any, level: int) -> str:
    """As Python writes it, as far as that is short; an object of another class by its name."""
    text = _scalar(value)
    return _container(value, level + 1) if text is None else text


def _scalar(value: Any) -> str | None:
    if isinstance(value, str):
        return repr(str(value[:_LOOKED_AT]))
    if isinstance(value, (bytes, bytearray)):
        return f"{len(value)} bytes"
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, int) and not isinstance(value, bool):
        return int.__repr__(value) if value.bit_length() < _BITS else None
    return str(value) if type(value) in _PLAIN else None


def _container(value: Any, level: int) -> str:
    for kind, opening, closing in _BRACKETS:
        if isinstance(value, kind):
            return f"{opening}{_elements(value, level)}{closing}"
    if isinstance(value, dict) or is_item(value):
        return f"{{{_pairs(value, level)}}}"
    return f"<{type(value).__name__}>"


def _elements(values: Any, level: int) -> str:
    if level > _DEEPEST:
        return "..." if values else ""
    texts = [_written(each, level) for each in islice(values, _ELEMENTS)]
    return ", ".join(texts + ["..."] * (len(values) > _ELEMENTS))


def _value(name: Any, value: Any, level: int) -> str:
    is_hidden = isinstance(name, str) and is_secret(name)
    return repr(HIDDEN) if is_hidden else _written(value, level)


def _pairs(value: Any, level: int) -> str:
    adapter = value if isinstance(value, dict) else ItemAdapter(value)
    if level > _DEEPEST:
        return "..." if adapter else ""
    pairs = [
        f"{_written(name, level)}: {_value(name, each, level)}"
        for name, each in islice(adapter.items(), _ELEMENTS)
    ]
    return ", ".join(pairs + ["..."] * (len(adapter) > _ELEMENTS))
