"""Spans of a crawl for OpenTelemetry: a trace for each request, with all that comes of it.

::

    GET                      from the first try to the answer; tries and failures are events
    ├─ callback              or errback
    └─ item                  each item's way through the pipelines

The id of a trace is the one by which the request is found everywhere
(:mod:`.trace_ids`), and whether it is sampled follows from the id: a request that is retried or
resumed is in the same trace, or in none. Attributes follow the semantic conventions of HTTP
client spans. A request that is not sampled costs a look at the end of its id.

The libraries are imported when tracing is on.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from scrapy.utils.httpobj import urlparse_cached

from scrapy_resilience._scrapy.contexts import NOTHING
from scrapy_resilience.core.masking import mask, mask_value, message_of, shown
from scrapy_resilience.names import META_TRACE_ID
from scrapy_resilience.observe.trace_ids import trace_id_of
from scrapy_resilience.observe.tracing.outside import current as _current
from scrapy_resilience.observe.tracing.span_export import make_provider

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span
    from scrapy import Request
    from scrapy.http import Response

__all__ = ["TRACEPARENT", "Tracing", "current_tracing"]

TRACEPARENT: Final = "traceparent"
"""The header of W3C's Trace Context."""
_NAMES: Final = {"pipeline": "item"}
"""Of spans, where they are not called as what is done."""
_ERROR: Final = 400
_OPEN: Final = 10_000
"""Requests whose spans are open; the oldest ends when there are more."""
_LONGEST: Final = 2000
"""Characters of a URL."""
_BITS: Final = 56
"""Of the id, the lowest ones, by which a trace is sampled: W3C's level 2 has them random."""
_DIGITS: Final = _BITS // 4


class _Request:
    """A request on its way, through all of its tries."""

    __slots__ = ("failure_class", "resent", "span", "trace_id")

    def __init__(self, trace_id: str, span: Span) -> None:
        self.trace_id = trace_id
        self.span = span
        self.resent = 0
        self.failure_class = ""
        """Of the last try that failed."""


class _Current:
    """``with`` it, what is done is of *span*, or of no trace at all.

    It may end in another task: one that goes on with a half-read callback has a copy of the
    context in which that began, and goes back to what was before, too.
    """

    __slots__ = ("_before", "_context", "_token", "page", "span", "tracing")

    def __init__(
        self,
        tracing: Tracing,
        context: Context,
        span: Span | None = None,
        page: _Request | None = None,
    ) -> None:
        self.tracing = tracing
        self.span = span
        self.page = page
        """Whose callback, errback or pipelines this is."""
        self._context = context

    def __enter__(self) -> Any:
        tracing = self.tracing
        self._before: Context = tracing.get_current()
        self._token: Token[_Current | None] = _current.set(self)
        tracing.attach(self._context)
        return self.span

    def __exit__(self, *_: object) -> None:
        try:
            _current.reset(self._token)
        except ValueError:
            if _current.get() is not self:  # nobody goes on: it is thrown away
                return
            before = self._token.old_value
            _current.set(before if isinstance(before, _Current) else None)
        self.tracing.attach(self._before)


class _Whole(_Current):
    """What is done in it is all of *span*; an exception makes that an error.

    *is_last*: nothing comes of the request of *page* afterwards.
    """

    __slots__ = ("is_last",)

    is_last: bool

    def __exit__(self, kind: object = None, error: object = None, *_: object) -> None:
        super().__exit__()
        assert self.span is not None
        if isinstance(error, Exception):
            self.tracing.blame(self.span, error)
        self.tracing.finish(self.span)
        if self.is_last and self.page is not None:
            self.tracing.through(self.page)


class Tracing:
    """The spans of one crawl, which *exporter* sends.

    *sampled* is the share of traces, from 0 to 1; *propagate* are the domains whose requests
    carry the trace on, in the header ``traceparent``.
    """

    def __init__(
        self, exporter: SpanExporter, *, sampled: float, propagate: tuple[str, ...] = ()
    ) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - late, as is all of it here
        from opentelemetry.context import Context, attach, get_current  # noqa: PLC0415

        self._trace = trace
        bound = round(sampled * 2**_BITS)
        self._bound = f"{bound:0{_DIGITS}x}" if bound < 2**_BITS else "g"  # above all digits
        self._propagate = frozenset(propagate)
        self._open: OrderedDict[str, _Request] = OrderedDict()
        """Requests that are not through, by trace id."""
        self.ended = 0
        """Spans that were given to the exporter's queue."""
        self.attach, self.get_current = attach, get_current
        self._nothing = Context()
        self._provider, self._ids = make_provider(exporter)
        self._tracer = self._provider.get_tracer("scrapy_resilience")

    def samples(self, trace_id: object) -> bool:
        """Whether the trace of an id is one of those that are kept."""
        return isinstance(trace_id, str) and "" < trace_id[-_DIGITS:] < self._bound

    # --- requests ---

    def context(self, request: Request, component: str) -> AbstractContextManager[Any]:
        """While *component* does something for *request*: see :attr:`.Hooks.context`."""
        # the end of the id says it of most; only then is it looked at as a whole
        if not self.samples(request.meta.get(META_TRACE_ID)) or not trace_id_of(request):
            if self._propagate and component == "download":
                span_id = self._ids.generate_span_id()
                self._carry_on(request, trace_id_of(request), span_id, "00")
            is_there = self.get_current() is self._nothing
            return NOTHING if is_there else _Current(self, self._nothing)
        if component == "download":
            span = self._try(request, trace_id_of(request))
            return _Current(self, self._trace.set_span_in_context(span), span)
        return self._handling(request, trace_id_of(request), component)

    def _handling(self, request: Request, trace_id: str, component: str) -> _Whole:
        page = self._page() if component == "pipeline" else None
        known = page or self._open.get(trace_id) or self._begin(request, trace_id)
        if component == "errback" and known.span.is_recording():  # there was no answer
            known.span.set_attribute("error.type", known.failure_class or "ignored")
            known.span.set_status(self._trace.StatusCode.ERROR)
        self.finish(known.span)
        handling = self._under(known, _NAMES.get(component, component))
        handling.is_last = known is not page
        return handling

    def through(self, known: _Request) -> None:
        """All that comes of a request is done."""
        if self._open.get(known.trace_id) is known:
            del self._open[known.trace_id]

    def _page(self) -> _Request | None:
        """Whose items these are. Another download may have the id of the page by now."""
        found = _current.get()
        return found.page if found is not None and found.tracing is self else None

    def _try(self, request: Request, trace_id: str) -> Span:
        known = self._open.get(trace_id)
        if known is None or not known.span.is_recording():  # its callback sends it again
            known = self._begin(request, trace_id)
        else:
            known.resent += 1
            known.span.set_attribute("http.request.resend_count", known.resent)
        known.span.add_event("try", {"url.full": _url(request)})
        if self._propagate:
            self._carry_on(request, trace_id, known.span.get_span_context().span_id, "01")
        return known.span

    def _begin(self, request: Request, trace_id: str) -> _Request:
        host, port = _address(request)
        self._ids.next_trace = int(trace_id, 16)
        span = self._tracer.start_span(
            request.method,
            context=self._nothing,
            kind=self._trace.SpanKind.CLIENT,
            attributes={
                "http.request.method": request.method,
                "url.full": _url(request),
                "server.address": host,
                **({"server.port": port} if port else {}),
            },
        )
        known = self._open[trace_id] = _Request(trace_id, span)
        if len(self._open) > _OPEN:
            self.finish(self._open.popitem(last=False)[1].span)
        return known

    def _carry_on(self, request: Request, trace_id: str, span_id: int, flags: str) -> None:
        """A redirect may lead to a domain that is not to know of it."""
        if trace_id and _address(request)[0] in self._propagate:
            request.headers[TRACEPARENT] = f"00-{trace_id}-{span_id:016x}-{flags}"
        else:
            request.headers.pop(TRACEPARENT, None)

    def answered(self, request: Request, response: Response) -> None:
        """A response goes to the spider, or to whoever else waits for it."""
        if not self.samples(request.meta.get(META_TRACE_ID)):
            return
        if (known := self._open.get(trace_id_of(request))) is not None:
            status = response.status
            known.span.set_attribute("http.response.status_code", status)
            if status >= _ERROR:
                known.span.set_attribute("error.type", str(status))
                known.span.set_status(self._trace.StatusCode.ERROR)
            self.finish(known.span)

    def failed(self, request: Request, failure_class: str, reason: str) -> None:
        """A try has failed; the next one may not."""
        if (known := self._open.get(trace_id_of(request))) is not None:
            known.failure_class = failure_class
            about = {"error.type": failure_class, "reason": shown(reason)[:_LONGEST]}
            known.span.add_event("failure", about)

    def bypassed(self, request: Request, error: BaseException | None) -> None:
        """A download has ended of which no callback hears: an image, a robots.txt."""
        known = self._open.pop(trace_id_of(request), None)
        if known is not None and known.span.is_recording():
            if error is not None:
                self.blame(known.span, error)
            self.finish(known.span)

    def raised(self, error: BaseException) -> None:
        """A callback or pipeline has raised what Scrapy has caught."""
        found = _current.get()
        if found is not None and found.tracing is self and found.span is not None:
            self.blame(found.span, error)

    def blame(self, span: Span, error: BaseException) -> None:
        """It is an error, and this is why."""
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(self._trace.StatusCode.ERROR, shown(message_of(error))[:_LONGEST])

    def finish(self, span: Span) -> None:
        """It has ended; once is enough."""
        if span.is_recording():
            span.end()
            self.ended += 1

    # --- anything else ---

    def span(self, name: str, attributes: Mapping[str, Any] | None = None) -> _Whole:
        """A span under the current one, to be entered; an exception makes it an error."""
        return self._whole(
            self._tracer.start_span(name, attributes=_plain(attributes)), self._page()
        )

    def alone(self, name: str, attributes: Mapping[str, Any] | None = None) -> _Whole:
        """The same in a trace of its own, of something that is done for no request."""
        return self._whole(self.begin(name, attributes))

    def _under(self, known: _Request, name: str) -> _Whole:
        context = self._trace.set_span_in_context(known.span)
        return self._whole(self._tracer.start_span(name, context=context), known)

    def _whole(self, span: Span, page: _Request | None = None) -> _Whole:
        whole = _Whole(self, self._trace.set_span_in_context(span), span, page)
        whole.is_last = False
        return whole

    def begin(self, name: str, attributes: Mapping[str, Any] | None = None) -> Span:
        """Like :meth:`alone`, until the caller gives it to :meth:`finish` or :meth:`fail`."""
        return self._tracer.start_span(
            name, context=self._nothing, attributes=_plain(attributes)
        )

    def fail(self, span: Span, why: str) -> None:
        """It has ended, and what it stands for is not done."""
        span.set_status(self._trace.StatusCode.ERROR, why)
        self.finish(span)

    def leave(self) -> None:
        """Be in no trace from here on, in this task and in what it begins."""
        _current.set(None)
        self.attach(self._nothing)

    # --- the end ---

    def end_requests(self) -> None:
        """No request goes on."""
        while self._open:
            self.finish(self._open.popitem()[1].span)

    def flush(self) -> None:
        """Send what waits. Blocks, for some seconds at the worst, as :meth:`close` does."""
        self._provider.force_flush()

    def close(self) -> None:
        """Send what waits, and nothing afterwards."""
        self._provider.shutdown()


def current_tracing() -> Tracing | None:
    """The tracing of the crawl for which something is done now, where that is sampled."""
    found: _Current | None = _current.get()
    return None if found is None or found.span is None else found.tracing


def _url(request: Request) -> str:
    return mask(request.url)[:_LONGEST]


def _address(request: Request) -> tuple[str, int | None]:
    parts = urlparse_cached(request)
    try:
        return parts.hostname or "", parts.port
    except ValueError:  # no number
        return parts.hostname or "", None


def _plain(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a span can hold; anything else as text, without what is secret in it."""
    return {
        str(name): value
        if isinstance(value, (bool, int, float))
        else shown(str(mask_value(value, str(name))))
        for name, value in (attributes or {}).items()
    }
