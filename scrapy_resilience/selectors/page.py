"""A response as selectors see it: one tree, one text, each parsed once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

from lxml import etree
from scrapy.http import TextResponse

from scrapy_resilience.selectors.structured import by_type, json_ld, microdata

if TYPE_CHECKING:
    from lxml.etree import _Element
    from scrapy.http import Response

    from scrapy_resilience.selectors.structured import Node

__all__ = ["Page"]

_TEXT_LIMIT: Final = 1_000_000
"""Characters of a page that regular expressions look at."""

_EMPTY: Final = etree.Element("html")


class Page:
    """What can be taken from a response. One that is not markup is an empty page."""

    def __init__(self, response: Response) -> None:
        self._response = response if isinstance(response, TextResponse) else None

    @cached_property
    def root(self) -> _Element:
        if self._response is None:
            return _EMPTY
        root = self._response.selector.root
        return root if etree.iselement(root) else _EMPTY

    @cached_property
    def text(self) -> str:
        return "" if self._response is None else self._response.text[:_TEXT_LIMIT]

    @cached_property
    def json_ld(self) -> dict[str, list[Node]]:
        return by_type(json_ld(self.root))

    @cached_property
    def microdata(self) -> dict[str, list[Node]]:
        return by_type(microdata(self.root))
