"""For which request a line is logged: a context variable, of which each task has a copy."""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar
from os import urandom
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.names import META_REQUEST_ID
from scrapy_resilience.observe.logs.plain_values import plain_value
from scrapy_resilience.observe.trace_ids import trace_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import Token

    from scrapy import Request
    from typing_extensions import Self

__all__ = [
    "FIELDS", "LogContext", "clear", "current", "is_wanted", "leave", "of_request", "update",
    "want",
]  # fmt: skip

FIELDS: Final = ("trace_id", "request_id", "user_id", "component", "url")
"""What a context has; anything else that is set is an extra field of the line."""
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_ID_BYTES: Final = 8
_OF_A_PAGE: Final = frozenset({"callback", "errback"})


class LogContext:
    """``with context:`` is what is done in it. *told* goes before what *request* says.

    *owner* is whoever made it, None outside of a crawl.
    """

    __slots__ = ("_known", "_request", "_token", "component", "owner", "told", "written")

    def __init__(
        self,
        request: Request | None = None,
        component: str | None = None,
        owner: object = None,
        told: Mapping[str, Any] = _NOTHING,
    ) -> None:
        self._request = request
        self.component = component
        self.owner = owner
        self.told = told
        self._known: tuple[Any, ...] | None = None
        self.written = ""
        """For whoever formats lines: what it has made of the values, until they change."""
        self._token: Token[LogContext | None] | None = None

    def __enter__(self) -> Self:
        self._token = _context.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        with suppress(ValueError):  # in another context: what never came to its end
            _context.reset(self._token)

    def values(self) -> tuple[Any, ...]:
        """Those of :data:`FIELDS`: worked out when the first line is logged."""
        if self._known is None:
            found = {**self._of_request(), **self.told}
            self._known = tuple(plain_value(found.get(name)) for name in FIELDS)
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
        return {
            "trace_id": trace_id_of(request) or None,
            "request_id": request.meta.get(META_REQUEST_ID),
            "component": self.component,
            "url": request.url,
        }

    def is_of(self, request: Request, owner: object) -> bool:
        return self._request is request and self.owner is owner

    def with_told(self, told: Mapping[str, Any]) -> LogContext:
        return LogContext(self._request, self.component, self.owner, told)

    def forget(self) -> None:
        """What is told has changed."""
        self._known, self.written = None, ""


_context: ContextVar[LogContext | None] = ContextVar("scrapy_resilience_log", default=None)
current: Final[Callable[[], LogContext | None]] = _context.get
"""The context of whoever calls; None where nobody has set one."""


def of_request(request: Request, component: str, owner: object) -> LogContext:
    """What a crawl does for *request*; its pipelines know what its callback has set.

    A download is another try, and has an id of its own.
    """
    if component == "download":
        request.meta[META_REQUEST_ID] = urandom(_ID_BYTES).hex()
    found = current()
    if component == "errback" and found is not None and found.is_of(request, owner):
        return LogContext(request, component, owner, found.told)  # instead of the callback
    if component != "pipeline":  # begun by the engine, in the context of what has ended before
        return LogContext(request, component, owner, {})
    told = found.told if found is not None and found.owner is owner else _NOTHING
    return LogContext(request, component, owner, dict(told) if told else _NOTHING)


def update(told: Mapping[str, Any]) -> None:
    """Add to what is told from here on, in this task and in what it begins.

    What a callback adds is told in all tasks of its page: items may be in others.
    """
    found = current() or LogContext()
    if found.component in _OF_A_PAGE and isinstance(found.told, dict):
        found.told.update(told)
        found.forget()
    else:
        _context.set(found.with_told({**found.told, **told}))


def clear() -> None:
    """Forget what :func:`update` has added, and not what the crawl knows."""
    found = current()
    if found is None:
        return
    if found.component in _OF_A_PAGE and isinstance(found.told, dict):
        found.told.clear()
        found.forget()
    else:
        _context.set(found.with_told({}) if found.owner is not None else None)


def leave() -> None:
    """What begins in this context is done for no request: a timer may carry one on."""
    _context.set(None)


_wanted = False


def want() -> None:
    """Have the crawls that begin from now on say for which request they do something."""
    global _wanted  # noqa: PLW0603 - of the process, as its log handlers are
    _wanted = True


def is_wanted() -> bool:
    """Whether :func:`want` was called in this process."""
    return _wanted
