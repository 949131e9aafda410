"""Selectors by name and version, with what each value came from."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from scrapy_resilience.selectors import registry
    from scrapy_resilience.selectors.extraction import Extraction, Provenance
    from scrapy_resilience.selectors.registry import Registry
    from scrapy_resilience.selectors.sets import SelectorSet

__all__ = ["Extraction", "Provenance", "Registry", "SelectorSet", "registry"]

_WHERE: Final = {
    "Extraction": "extraction",
    "Provenance": "extraction",
    "Registry": "registry",
    "SelectorSet": "sets",
}


def __getattr__(name: str) -> Any:
    """Import on first use: a crawl without selector sets needs little of it."""
    if name == "registry":
        return import_module(f"{__name__}.registry")
    if name in _WHERE:
        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
