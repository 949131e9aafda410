"""An item as bounded text, for people: whatever it is made of."""

from __future__ import annotations

from itertools import islice
from reprlib import Repr
from typing import Any, Final

from itemadapter import ItemAdapter, is_item

from scrapy_resilience.core.masking import shown

__all__ = ["texts_of"]

_FIELDS: Final = 50
_LONGEST: Final = 200
"""Characters of a value and of a name."""
_PLAIN: Final = (int, float, bool, type(None))
_short: Final = Repr()
_short.maxstring = _short.maxother = _LONGEST


def texts_of(item: Any) -> dict[str, str]:
    """The first fifty fields, each cut after 200 characters; empty for what is no item."""
    try:
        fields = islice(ItemAdapter(item).items(), _FIELDS) if is_item(item) else ()
        return {_text(name): _text(value) for name, value in fields}
    except Exception:  # noqa: BLE001 - an item's own code never costs the crawl
        return {}


def _text(value: Any) -> str:
    if isinstance(value, str):
        text = value[:_LONGEST]
    elif isinstance(value, bytes):
        text = f"{len(value)} bytes"
    elif isinstance(value, _PLAIN):
        text = str(value)
    else:
        text = _short.repr(value)
    return shown(text)[:_LONGEST]
