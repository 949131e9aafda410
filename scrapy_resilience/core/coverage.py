"""How many items have each of their fields, nested ones too."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    FieldsOf = Callable[[Any], Mapping[str, Any] | None]

__all__ = ["Coverage"]

_DEPTH: Final = 5
_PATHS: Final = 1000
"""Paths in all; a crawl whose keys are data does not fill the memory."""


class Coverage:
    """Counts items by type and, in each type, by path: ``offers.price``, ``tags[]``.

    A path is filled when its value is not None and not an empty text or collection; in a
    list, when it is in one of its elements. *fields_of* gives the fields of a value that has
    some, and None for any other.
    """

    def __init__(self, fields_of: FieldsOf) -> None:
        self._fields_of = fields_of
        self.items: Counter[str] = Counter()
        self._filled: dict[tuple[str, str], int] = {}

    def add(self, kind: str, item: Any) -> None:
        """Count an item."""
        self.items[kind] += 1
        found: dict[str, bool] = {}
        for path, filled in self._walk("", item, 0):
            found[path] = filled or found.get(path, False)
        for path, filled in found.items():
            key = (kind, path)
            if key in self._filled:
                self._filled[key] += filled
            elif len(self._filled) < _PATHS:
                self._filled[key] = int(filled)

    def _walk(self, path: str, value: Any, depth: int) -> Iterator[tuple[str, bool]]:
        if path:
            yield path, not _is_empty(value)
        if depth == _DEPTH:
            return
        if isinstance(value, (list, tuple)):
            for each in value:
                if isinstance(each, (list, tuple)) or self._fields_of(each) is not None:
                    yield from self._walk(f"{path}[]", each, depth + 1)
        elif (fields := self._fields_of(value)) is not None:
            for name, inner in fields.items():
                yield from self._walk(f"{path}.{name}" if path else str(name), inner, depth + 1)

    def shares(self) -> Iterator[tuple[str, str, float]]:
        """Type, path, and share of the items of that type, from 0 to 1."""
        for (kind, path), filled in self._filled.items():
            yield kind, path, round(filled / self.items[kind], 4)

    def save(self) -> list[Any]:
        """Everything, as plain lists."""
        return [list(self.items.items()), [[*key, n] for key, n in self._filled.items()]]

    def restore(self, saved: Iterable[Any]) -> None:
        """Go on from what :meth:`save` gave."""
        items, filled = saved
        self.items.update(dict(items))
        self._filled.update({(kind, path): n for kind, path, n in filled})


def _is_empty(value: Any) -> bool:
    return value is None or (
        isinstance(value, (str, bytes, list, tuple, dict, set)) and not value
    )
