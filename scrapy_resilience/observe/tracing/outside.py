"""What those call who know nothing of tracing: of no effect where a crawl is not traced."""

from __future__ import annotations

from contextlib import nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Protocol

from scrapy_resilience._scrapy.of_crawlers import OfCrawlers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from scrapy.crawler import Crawler

__all__ = ["current", "leave_trace", "own_trace", "traced"]


class _Tracing(Protocol):
    """A :class:`.Tracing`: whose module is imported only where a crawl is traced."""

    def alone(
        self, name: str, attributes: Mapping[str, Any]
    ) -> AbstractContextManager[Any]: ...


traced: Final[OfCrawlers[_Tracing]] = OfCrawlers("tracing")
"""Crawlers that are traced, from when their spiders are open."""
current: Final[ContextVar[Any]] = ContextVar("scrapy_resilience_tracing", default=None)
"""Of what is done now: its tracing, its span and whose it is."""


def own_trace(
    crawler: Crawler, name: str, attributes: Mapping[str, Any]
) -> AbstractContextManager[Any]:
    """A span for what is done for no request."""
    return traced[crawler].alone(name, attributes) if crawler in traced else nullcontext()


def leave_trace() -> None:
    """What begins in this context is done for no request: a timer may carry one on."""
    found = current.get()
    if found is not None:
        found.tracing.leave()
