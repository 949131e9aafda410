"""What a set found on a page: values, and where each comes from."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from scrapy.http import Response

    Watcher = Callable[[Response, "Extraction", Any], None]
    """The last one is the set, of a module that stands above this one."""

__all__ = [
    "METHODS",
    "Extraction",
    "Provenance",
    "extracted_from",
    "tell",
    "watch",
    "weakest",
]

METHODS: Final = {
    "jsonld": "structured",
    "microdata": "structured",
    "meta": "structured",
    "css": "semantic",
    "xpath": "semantic",
    "regex": "raw",
}
"""How a kind of selector knows what it takes, the surest first."""
_WEAKEST: Final = tuple(dict.fromkeys(METHODS.values()))
_KEPT: Final = 4
"""Extractions that are known of a response: a page has one or two."""


class Provenance(msgspec.Struct, frozen=True):
    """Where a value comes from. *index* 0 is the field's primary selector, others fall back."""

    set: str
    version: str
    selector: str
    index: int
    method: str
    valid: bool


class Extraction(dict[str, Any]):
    """Values by field: a text, a list of texts, or None. A dict, so it may be an item.

    ``provenance`` has a :class:`Provenance` for each field that was found.
    """

    def __init__(
        self,
        name: str,
        version: str,
        values: Mapping[str, Any],
        provenance: Mapping[str, Provenance],
    ) -> None:
        super().__init__(values)
        self.set = name
        self.version = version
        self.provenance = dict(provenance)

    @property
    def method(self) -> str | None:
        """The weakest method among the fields that were found; None when none was."""
        return weakest(each.method for each in self.provenance.values())

    @property
    def missing(self) -> list[str]:
        """The fields that were not found."""
        return [name for name in self if name not in self.provenance]


def weakest(methods: Iterable[str]) -> str | None:
    """The weakest of some methods of extraction, None of none."""
    return max(methods, key=_WEAKEST.index, default=None)


_watchers: WeakKeyDictionary[Response, Watcher] = WeakKeyDictionary()


def watch(response: Response, watcher: Watcher) -> None:
    """Have *watcher* told of each extraction from this response, and of its set."""
    _watchers[response] = watcher


_extractions: WeakKeyDictionary[Response, deque[Extraction]] = WeakKeyDictionary()


def extracted_from(response: Response) -> Iterable[Extraction]:
    """The latest extractions from this response."""
    return _extractions.get(response, ())


def tell(response: Response, extraction: Extraction, source: Any) -> None:
    """Keep the extraction for the response's items, and tell the watcher if there is one."""
    _extractions.setdefault(response, deque(maxlen=_KEPT)).append(extraction)
    if watcher := _watchers.get(response):
        watcher(response, extraction, source)
