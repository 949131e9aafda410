r"""The selectors themselves: one line of text each, compiled once.

==============================  ==========  ================================================
``css:h1.title::text``          semantic    CSS as in parsel: ``::text``, ``::attr(name)``;
                                            an element alone stands for all its text
``xpath://a[@rel="next"]/@href``  semantic  XPath 1.0 with parsel's extensions
``jsonld:Product.offers.price``  structured  type and path in the page's JSON-LD
``microdata:Product.name``      structured  the same in microdata
``meta:og:title``               structured  ``content`` of the ``meta`` element of that
                                            ``property``, ``name`` or ``itemprop``
``regex:"sku":\s*"(\w+)"``      raw         group 1, or the whole match, in the page's source
==============================  ==========  ================================================

Without a prefix, what begins with ``/``, ``./`` or ``(`` is XPath and all else CSS.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import parsel  # also registers has-class() for XPath
from cssselect import SelectorError as CssError
from lxml import etree
from parsel.csstranslator import HTMLTranslator

from scrapy_resilience.exceptions import SelectorError
from scrapy_resilience.selectors.extraction import METHODS
from scrapy_resilience.selectors.structured import texts_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lxml.etree import _Element

    from scrapy_resilience.selectors.page import Page

    Finder = Callable[[Page], Iterable[Any]]

__all__ = ["Selector", "parse"]

_MOST: Final = 1000
"""Values that one selector gives at most."""

_TIMEOUT: Final = 0.05
"""Seconds for one regular expression on one page; what takes longer has found nothing."""

_PROBES: Final = tuple(character * 2000 + "\0" for character in 'a0 "<')
"""Texts on which an expression that backtracks for ever shows it."""
_PROBE_TIMEOUT: Final = 0.25

_NAMESPACES: Final = parsel.Selector(text="<html/>").namespaces
_string: Final = etree.XPath("string()", smart_strings=False)


@dataclass(frozen=True)
class Selector:
    """One compiled selector; equal to another with the same text."""

    text: str
    kind: str
    _find: Finder = field(compare=False, repr=False)

    @property
    def method(self) -> str:
        """``structured``, ``semantic`` or ``raw``."""
        return METHODS[self.kind]

    def values(self, page: Page) -> Iterator[str]:
        """What it finds, as texts with single spaces; empty ones are left out."""
        for found in islice(self._find(page), _MOST):
            if text := " ".join(_text(found).split()):
                yield text


def _text(found: Any) -> str:
    if isinstance(found, str):
        return found
    if etree.iselement(found):
        if not isinstance(found.tag, str):  # a comment, which lxml's XPath does not take
            return found.text or ""
        return str(_string(found))
    return str(found)


@lru_cache(maxsize=4096)
def parse(source: str) -> Selector:
    """Compile a selector. Raises :exc:`SelectorError` when it can't work."""
    kind, colon, rest = source.partition(":")
    if not (colon and kind in METHODS):
        kind = "xpath" if source.startswith(("/", "./", "(")) else "css"
        rest = source
    rest = rest.strip()
    if not rest:
        raise SelectorError(f"the selector {source!r} is empty after its kind")
    try:
        return Selector(f"{kind}:{rest}", kind, _COMPILERS[kind](rest))
    except RecursionError:
        raise SelectorError(f"the selector {source[:60]!r}... is nested too deep") from None


def _css(expression: str) -> Finder:
    try:
        return _xpath(HTMLTranslator().css_to_xpath(expression))
    except CssError as error:
        raise SelectorError(f"the CSS selector {expression!r} is wrong: {error}") from None


_XPATH_ERRORS: Final = (etree.XPathError, ValueError, re.error)
"""Also what parsel's and lxml's functions raise: has-class(), re:test()."""


def _xpath(expression: str) -> Finder:
    try:
        compiled = etree.XPath(expression, namespaces=_NAMESPACES, smart_strings=False)
    except _XPATH_ERRORS as error:
        raise SelectorError(f"the XPath {expression!r} is wrong: {error}") from None
    _found(compiled, etree.Element("html"))  # unknown functions show when it runs
    return lambda page: _found(compiled, page.root)


def _found(xpath: etree.XPath, root: _Element) -> Iterable[Any]:
    try:
        found = xpath(root)
    except _XPATH_ERRORS as error:  # within a condition it shows on a page that gets there
        raise SelectorError(f"the XPath {xpath.path!r} is wrong: {error}") from None
    if isinstance(found, list):
        return found
    return () if found is False else (found,)


def _meta(name: str) -> Finder:
    if '"' in name:
        raise SelectorError(f"the name of a meta element has no quotes: {name!r}")
    either = " or ".join(f'@{key}="{name}"' for key in ("property", "name", "itemprop"))
    return _xpath(f"//meta[{either}]/@content")


def _path(expression: str) -> tuple[str, tuple[str, ...]]:
    kind, *path = expression.split(".")
    if not (kind and path and all(path)):
        raise SelectorError(
            f"the path {expression!r} needs a type and a property, such as Product.name"
        )
    return kind, tuple(path)


def _json_ld(expression: str) -> Finder:
    kind, path = _path(expression)
    return lambda page: texts_at(page.json_ld.get(kind, ()), path)


def _microdata(expression: str) -> Finder:
    kind, path = _path(expression)
    return lambda page: texts_at(page.microdata.get(kind, ()), path)


def _regex(pattern: str) -> Finder:
    import regex  # noqa: PLC0415 - 14 ms that most sets don't need

    try:
        compiled = regex.compile(pattern)
    except regex.error as error:
        raise SelectorError(f"the regular expression {pattern!r} is wrong: {error}") from None
    if compiled.search(""):
        raise SelectorError(f"the regular expression {pattern!r} matches the empty text")
    try:
        for sample in _PROBES:
            compiled.search(sample, timeout=_PROBE_TIMEOUT)
    except TimeoutError:
        raise SelectorError(
            f"the regular expression {pattern!r} backtracks without end: take out a "
            "repetition within a repetition"
        ) from None
    group = 1 if compiled.groups else 0

    def find(page: Page) -> Iterator[str]:
        try:
            for match in compiled.finditer(page.text, timeout=_TIMEOUT):
                yield match[group] or ""
        except TimeoutError:
            return

    return find


_COMPILERS: Final[dict[str, Callable[[str], Finder]]] = {
    "css": _css,
    "xpath": _xpath,
    "jsonld": _json_ld,
    "microdata": _microdata,
    "meta": _meta,
    "regex": _regex,
}
