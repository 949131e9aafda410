"""Selectors by name and version, with what each value came from."""

from __future__ import annotations

from scrapy_resilience.selectors import registry
from scrapy_resilience.selectors.extraction import Extraction, Provenance
from scrapy_resilience.selectors.registry import Registry
from scrapy_resilience.selectors.sets import SelectorSet

__all__ = ["Extraction", "Provenance", "Registry", "SelectorSet", "registry"]
