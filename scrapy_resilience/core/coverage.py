"""How many items have each of their fields, nested ones too."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    FieldsOf = Callable[[Any], Mapping[str, Any] | None]

__all__ = ["Coverage"]

_DEPTH: Final = 5
_PLAIN: Final = {str, int, float, bool, type(None)}
_LISTS: Final = {list, tuple}
_PATHS: Final = 1000
"""Paths in all; a crawl whose keys are data does not fill the memory."""


class Coverage:
    """Counts items by type and, in each type, by path: ``offers.price``, ``variants[].size``.

    A path is filled when its value is not None and not an empty text or collection; in a
    list, when it is in one of its elements. *fields_of* gives the fields of a value that has
    some, and None for any other. The field *without* is not part of the items: it is left out.
    """

    def __init__(self, fields_of: FieldsOf, without: str = "") -> None:
        self._fields_of = fields_of
        self._without = without
        self.items: Counter[str] = Counter()
        self._filled: dict[str, dict[str, int]] = {}
        self._paths = 0

    def add(self, kind: str, item: Any) -> None:
        """Count an item."""
        self.items[kind] += 1
        found: dict[str, bool] = {}
        self._look(found, "", item, 0)
        known = self._filled.setdefault(kind, {})
        for path, filled in found.items():
            if path in known:
                known[path] += filled
            elif self._paths < _PATHS:
                self._paths += 1
                known[path] = int(filled)

    def _look(self, found: dict[str, bool], path: str, value: Any, depth: int) -> None:
        """Note the fields below a value, by their paths."""
        fields = self._fields_of(value)
        if fields is None or depth == _DEPTH:
            return
        start = f"{path}." if path else ""
        for name, inner in fields.items():
            below = f"{start}{name}"
            if below == self._without:
                continue
            kind = type(inner)
            if kind in _PLAIN:
                filled = inner is not None and inner != ""
            else:
                filled = not _is_empty(inner)
                for each in inner if kind in _LISTS else ():
                    self._look(found, f"{below}[]", each, depth + 1)
                self._look(found, below, inner, depth + 1)
            found[below] = filled or found.get(below, False)

    def shares(self) -> Iterator[tuple[str, str, float]]:
        """Type, path, and share of the items of that type, from 0 to 1."""
        for kind, known in self._filled.items():
            for path, filled in known.items():
                yield kind, path, round(filled / self.items[kind], 4)

    def counts(self, path: str, kind: str = "") -> tuple[int, int]:
        """How many items there are, and how many of them have *path*.

        Of one *kind*, or of all that know the path; of all where none does.
        """
        kinds = (
            [kind] if kind else [each for each in self._filled if path in self._filled[each]]
        )
        items = sum(self.items[each] for each in kinds or self.items)
        return items, sum(self._filled.get(each, {}).get(path, 0) for each in kinds)

    def save(self) -> list[Any]:
        """Everything, as plain values."""
        return [dict(self.items), self._filled]

    def restore(self, saved: Iterable[Any]) -> None:
        """Go on from what :meth:`save` gave."""
        items, self._filled = saved
        self.items.update(items)
        self._paths = sum(map(len, self._filled.values()))


def _is_empty(value: Any) -> bool:
    return isinstance(value, (bytes, list, tuple, dict, set)) and not value
