"""What the hooks are given, and call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractContextManager

    from scrapy import Request

__all__ = ["Handling", "Method", "Tracker", "UserWork"]

Method: TypeAlias = "Callable[..., Any]"
Handling: TypeAlias = "Callable[[Coroutine[Any, Any, Any], Request], Coroutine[Any, Any, Any]]"
UserWork: TypeAlias = "Callable[[str, Request | None], AbstractContextManager[Any]]"


class Tracker(Protocol):
    """Knows whose output is whose."""

    def producing(self, request: Request) -> AbstractContextManager[None]:
        """While the outputs of *request* are handled."""

    async def item(self, process: Method, item: Any, response: Any) -> None:
        """Give *item* to the pipelines: ``process(item, response=response)``."""
