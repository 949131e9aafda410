"""For which request a line is logged: a context variable, which each task has its own copy of."""

from __future__ import annotations

from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.core.masking import mask
from scrapy_resilience.names import SCRAPY_REDIRECT_TIMES, SCRAPY_RETRY_TIMES
from scrapy_resilience.observe.trace_ids import trace_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import Token

    from scrapy import Request
    from typing_extensions import Self

__all__ = ["FIELDS", "LogContext", "clear", "current", "leave", "of_request", "update"]

FIELDS: Final = ("trace_id", "request_id", "user_id", "component", "url")
"""What a context has; anything else that is set is an extra field of the line."""
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_ID_DIGITS: Final = 16


class LogContext:
    """``with context:`` is what is done in it. *told* goes before what *request* says.

    *owner* is whoever made it, None outside of a crawl; *crawled* is what :func:`clear` goes
    back to.
    """

    __slots__ = ("_known", "_request", "_token", "component", "crawled", "owner", "told")

    def __init__(
        self,
        request: Request | None = None,
        component: str | None = None,
        owner: object = None,
        told: Mapping[str, Any] = _NOTHING,
        crawled: LogContext | None = None,
    ) -> None:
        self._request = request
        self.component = component
        self.owner = owner
        self.told = told
        self.crawled = self if crawled is None and request is not None else crawled
        self._known: tuple[Any, ...] | None = None
        self._token: Token[LogContext | None] | None = None

    def __enter__(self) -> Self:
        self._token = _context.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        _context.reset(self._token)

    def values(self) -> tuple[Any, ...]:
        """Those of :data:`FIELDS`: worked out when the first line is logged."""
        if self._known is None:
            found = {**self._of_request(), **self.told}
            self._known = tuple(found.get(name) for name in FIELDS)
        return self._known

    def extra(self) -> Mapping[str, Any]:
        """What else was set."""
        if not self.told:
            return self.told
        return {name: value for name, value in self.told.items() if name not in FIELDS}

    def _of_request(self) -> dict[str, Any]:
        request = self._request
        if request is None:
            return {"component": self.component}
        trace_id = trace_id_of(request)
        return {
            "trace_id": trace_id or None,
            "request_id": f"{trace_id[:_ID_DIGITS]}-{_tries(request)}" if trace_id else None,
            "component": self.component,
            "url": mask(request.url),
        }

    def with_told(self, told: Mapping[str, Any]) -> LogContext:
        return LogContext(self._request, self.component, self.owner, told, self.crawled)


def _tries(request: Request) -> int:
    """How often it was sent, this time included: retries and redirects count."""
    times = (request.meta.get(key, 0) for key in (SCRAPY_RETRY_TIMES, SCRAPY_REDIRECT_TIMES))
    return 1 + sum(number for number in times if isinstance(number, int))


_context: ContextVar[LogContext | None] = ContextVar("scrapy_resilience_log", default=None)
current: Final[Callable[[], LogContext | None]] = _context.get
"""The context of whoever calls; None where nobody has set one."""


def of_request(request: Request, component: str, owner: object) -> LogContext:
    """What a crawl does for *request*; its pipelines know what its callback has set."""
    if component == "download" or component == "callback":
        return LogContext(request, component, owner)
    found = current()
    told = found.told if found is not None and found.owner is owner else _NOTHING
    return LogContext(request, component, owner, told)


def update(told: Mapping[str, Any]) -> None:
    """Add to what is told from here on, in this task and in what it begins."""
    found = current() or LogContext()
    _context.set(found.with_told({**found.told, **told}))


def clear() -> None:
    """Forget what :func:`update` has added, and not what the crawl knows."""
    found = current()
    if found is not None:
        _context.set(found.crawled)


def leave() -> None:
    """What begins in this context is done for no request: a timer may carry one on."""
    _context.set(None)
