"""Values of items in one form: equal ones are the same bytes in each run."""

from __future__ import annotations

from typing import Any, Final

from itemadapter import ItemAdapter, is_item

from scrapy_resilience.frontier.codec import ValueCodec

__all__ = ["canonical_bytes"]

_plain: Final = ValueCodec(allow_pickle=False)


def canonical_bytes(value: Any) -> bytes:
    """Raises :exc:`.UnserializableError` for what has no plain form."""
    return _plain.encode(_canonical(value))


def _canonical(value: Any) -> Any:
    """Dicts and sets have no order."""
    if is_item(value):
        pairs = [[key, _canonical(each)] for key, each in ItemAdapter(value).items()]
        return {"fields": sorted(pairs, key=_plain.encode)}
    if isinstance(value, (set, frozenset)):
        return {"set": sorted(map(_canonical, value), key=_plain.encode)}
    if isinstance(value, (list, tuple)):
        return [*map(_canonical, value)]
    return value
