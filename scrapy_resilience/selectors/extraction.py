"""What a set found on a page: values, and where each comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from scrapy_resilience.selectors.language import METHODS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrapy.http import Response

    from scrapy_resilience.selectors.sets import SelectorSet

    Watcher = Callable[[Response, "Extraction", SelectorSet], None]

__all__ = ["Extraction", "Provenance", "tell", "watch"]

_WEAKEST: Final = tuple(dict.fromkeys(METHODS.values()))


@dataclass(frozen=True, slots=True)
class Provenance:
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
        found = {each.method for each in self.provenance.values()}
        return max(found, key=_WEAKEST.index, default=None)

    @property
    def missing(self) -> list[str]:
        """The fields that were not found."""
        return [name for name in self if name not in self.provenance]


_watchers: WeakKeyDictionary[Response, Watcher] = WeakKeyDictionary()


def watch(response: Response, watcher: Watcher) -> None:
    """Have *watcher* told of each extraction from this response, and of its set."""
    _watchers[response] = watcher


def tell(response: Response, extraction: Extraction, source: SelectorSet) -> None:
    """Tell the watcher of this response, if it has one."""
    if watcher := _watchers.get(response):
        watcher(response, extraction, source)
