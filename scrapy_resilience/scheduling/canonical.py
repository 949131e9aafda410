"""Values in one form: equal ones are the same bytes in each run."""

from __future__ import annotations

import pickle
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from itemadapter import ItemAdapter, is_item

from scrapy_resilience.frontier.codec import PICKLE_PROTOCOL, UnserializableError, ValueCodec

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["canonical_bytes", "content_parts"]

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


def content_parts(value: Any) -> list[bytes]:
    """What tells any value apart from others; of what can't be pickled, its class.

    Sets may be anywhere in it: an object that holds one is another pickle in each process.
    """
    try:
        return [*_parts(value)]
    except RecursionError:  # it holds itself, which a pickle can express
        return [_encoded(value)]


def _parts(value: Any) -> Iterator[bytes]:
    if isinstance(value, _LEAVES):  # first: most values are, and is_item() takes its time
        yield _encoded(value)
    elif isinstance(value, dict):
        pairs = (b"".join(_parts(pair)) for pair in value.items())
        yield b"{%d" % len(value)
        yield from sorted(pairs)
    elif isinstance(value, (list, tuple)):
        yield b"[%d" % len(value)
        for element in value:
            yield from _parts(element)
    elif is_item(value):  # by its fields: one that can't be pickled hides no other
        yield type(value).__qualname__.encode()
        yield from _parts(dict(ItemAdapter(value)))
    else:
        yield _encoded(value)


def _encoded(value: Any) -> bytes:
    try:
        return _any.encode(value)
    except UnserializableError:  # it is another object in each run
        return type(value).__qualname__.encode()


class _SetPickler(pickle.Pickler):
    """Puts the elements of each set in an order on which all processes agree."""

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, (set, frozenset)):
            return None
        return type(value).__qualname__, sorted(value, key=_dumped)


def _dumped(value: Any) -> bytes:
    """For hashing only: sets do not come back."""
    file = BytesIO()
    _SetPickler(file, PICKLE_PROTOCOL).dump(value)
    return file.getvalue()


class _AnyCodec(ValueCodec):
    def _dumps(self, value: Any) -> bytes:
        return _dumped(value)


_LEAVES: Final = (str, bytes, int, float, type(None))
_any: Final = _AnyCodec()
