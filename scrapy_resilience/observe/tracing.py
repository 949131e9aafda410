"""Spans of a crawl for OpenTelemetry: a trace for each request, with all that comes of it.

::

    GET                      from the first try to the answer; tries and failures are events
    ├─ callback              or errback
    └─ item                  each item's way through the pipelines

The id of a trace is the one by which the request is found everywhere
(:mod:`.trace_ids`), and whether it is sampled follows from the id: a request that is retried or
resumed is in the same trace, or in none. Attributes follow the semantic conventions of HTTP
client spans. A request that is not sampled costs one look at its id.

The libraries are imported when tracing is on, and nothing of OpenTelemetry's is global: each
crawl of a process has its own provider.
"""

from __future__ import annotations

import logging
import os
import random
from collections import OrderedDict
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Protocol

from scrapy.utils.httpobj import urlparse_cached

from scrapy_resilience.core.masking import mask, shown
from scrapy_resilience.exceptions import MissingLibraryError
from scrapy_resilience.observe.trace_ids import trace_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.trace import Span
    from scrapy import Request

    from scrapy_resilience.settings import Config

__all__ = ["TRACEPARENT", "Tracing", "current_tracing", "make_exporter"]

TRACEPARENT: Final = "traceparent"
"""The header of W3C's Trace Context."""
_OPEN: Final = 10_000
"""Requests whose spans are open; the oldest ends when there are more."""
_TIMEOUT: Final = 2.0
"""Seconds that a receiver may take for a batch."""
_QUEUE: Final = 2048
_BATCH: Final = 512
_LONGEST: Final = 2000
"""Characters of a URL."""
_BITS: Final = 56
"""Of the id, the lowest ones, by which a trace is sampled: W3C's level 2 has them random."""


class Tracing:
    """The spans of one crawl, which *exporter* sends.

    *sampled* is the share of traces, from 0 to 1; *propagate* are the domains whose requests
    carry the trace on, in the header ``traceparent``.
    """

    def __init__(
        self, exporter: SpanExporter, *, sampled: float, propagate: tuple[str, ...] = ()
    ) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - late, as is all of it here
        from opentelemetry.context import Context  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        self._trace = trace
        self._bound = round(sampled * 2**_BITS)
        self._propagate = frozenset(propagate)
        self._spans: OrderedDict[str, Span] = OrderedDict()
        self.ended = 0
        """Spans that were given to the exporter's queue."""
        self._nothing = Context()
        self._provider, self._ids = _provider()
        processor = BatchSpanProcessor(
            exporter, max_queue_size=_QUEUE, max_export_batch_size=_BATCH
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("scrapy_resilience")

    def samples(self, trace_id: str) -> bool:
        """Whether the trace of an id is one of those that are kept."""
        return bool(trace_id) and int(trace_id[-_BITS // 4 :], 16) < self._bound

    # --- requests ---

    @contextmanager
    def context(self, request: Request, component: str) -> Iterator[None]:
        """While *component* does something for *request*: see :attr:`.Hooks.context`."""
        trace_id = trace_id_of(request)
        if not self.samples(trace_id):
            token = _current.set(None)
            try:
                yield
            finally:
                _current.reset(token)
            return
        if component == "download":
            self._try(request, trace_id)
            with self._within(self._spans[trace_id]):
                yield
            return
        parent = self._spans.get(trace_id) or self._begin(request, trace_id)
        if component != "pipeline":
            self._end(trace_id)
        name = "item" if component == "pipeline" else component
        with self.span(name, parent=parent):
            yield

    def _try(self, request: Request, trace_id: str) -> None:
        span = self._spans.get(trace_id)
        if span is None:
            span = self._begin(request, trace_id)
        number = _count(request, "retry_times") + _count(request, "redirect_times")
        if number:
            span.set_attribute("http.request.resend_count", number)
        span.add_event("try", {"url.full": _url(request)})
        self._carry_on(request, span)

    def _begin(self, request: Request, trace_id: str) -> Span:
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
        self._spans[trace_id] = span
        if len(self._spans) > _OPEN:
            self._end(next(iter(self._spans)))
        return span

    def _carry_on(self, request: Request, span: Span) -> None:
        """A redirect may lead to a domain that is not to know of it."""
        if not self._propagate:
            return
        if _address(request)[0] in self._propagate:
            known = span.get_span_context()
            value = f"00-{known.trace_id:032x}-{known.span_id:016x}-01"
            request.headers[TRACEPARENT] = value
        else:
            request.headers.pop(TRACEPARENT, None)

    def answered(self, request: Request, status: int) -> None:
        """A response goes to the spider."""
        if (span := self._spans.get(trace_id_of(request))) is not None:
            span.set_attribute("http.response.status_code", status)

    def failed(self, request: Request, failure_class: str, reason: str) -> None:
        """A try has failed; the next one may not."""
        if (span := self._spans.get(trace_id_of(request))) is not None:
            about = {"error.type": failure_class, "reason": shown(reason)[:_LONGEST]}
            span.add_event("failure", about)

    def given_up(self, request: Request, kind: str) -> None:
        """The request comes to an error: *kind* is the class of it."""
        if (span := self._spans.get(trace_id_of(request))) is not None:
            span.set_attribute("error.type", kind)
            span.set_status(self._trace.StatusCode.ERROR)

    def _end(self, trace_id: str) -> None:
        if (span := self._spans.pop(trace_id, None)) is not None:
            span.end()
            self.ended += 1

    # --- anything else ---

    @contextmanager
    def span(
        self, name: str, attributes: Mapping[str, Any] | None = None, *, parent: Span | None = None
    ) -> Iterator[Span]:
        """A span under *parent*, or under the current one; an exception makes it an error."""
        context = None if parent is None else self._trace.set_span_in_context(parent)
        span = self._tracer.start_span(name, context=context, attributes=_plain(attributes))
        with self._within(span):
            try:
                yield span
            except Exception as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(self._trace.StatusCode.ERROR, shown(str(error))[:_LONGEST])
                raise
            finally:
                span.end()
                self.ended += 1

    def begin(self, name: str, attributes: Mapping[str, Any] | None = None) -> Span:
        """A span of no request, which the caller ends with :meth:`end`."""
        return self._tracer.start_span(
            name, context=self._nothing, attributes=_plain(attributes)
        )

    def end(self, span: Span) -> None:
        span.end()
        self.ended += 1

    @contextmanager
    def _within(self, span: Span) -> Iterator[None]:
        token = _current.set(self)
        try:
            with self._trace.use_span(span, record_exception=False, set_status_on_exception=False):
                yield
        finally:
            _current.reset(token)

    def close(self) -> None:
        """End what is open, and send what waits. Blocks, for some seconds at the worst."""
        while self._spans:
            self._end(next(iter(self._spans)))
        self._provider.shutdown()


_current: ContextVar[Tracing | None] = ContextVar("scrapy_resilience_tracing", default=None)


def current_tracing() -> Tracing | None:
    """The tracing of the crawl for which something is done now, where that is sampled."""
    return _current.get()


class _Ids(Protocol):
    """Gives ids; the next trace has :attr:`next_trace`, where that is not 0."""

    next_trace: int


def _provider() -> tuple[TracerProvider, _Ids]:
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.id_generator import IdGenerator  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: PLC0415

    class Ids(IdGenerator):
        def __init__(self) -> None:
            self.next_trace = 0
            self._random = random.Random(os.urandom(16))  # a spider may seed random's own

        def generate_span_id(self) -> int:
            return self._random.getrandbits(64) or 1

        def generate_trace_id(self) -> int:
            found, self.next_trace = self.next_trace, 0
            return found or self._random.getrandbits(128) or 1

    ids = Ids()
    provider = TracerProvider(
        sampler=ALWAYS_ON,  # it was decided before
        resource=Resource.create({"service.name": "scrapy"}),
        id_generator=ids,
        shutdown_on_exit=False,
    )
    return provider, ids


def make_exporter(config: Config, told: Callable[[int, bool], None]) -> SpanExporter:
    """What ``RESILIENCE_TRACES`` names; *told* hears of each batch: its size, and whether it
    was taken.

    Raises :exc:`MissingLibraryError` without the extra ``otel``.
    """
    try:
        from opentelemetry.sdk.trace.export import (  # noqa: PLC0415
            ConsoleSpanExporter,
            SpanExporter,
            SpanExportResult,
        )

        if config.traces == "console":
            inner: SpanExporter = ConsoleSpanExporter()
        else:
            inner = _otlp(config)
    except ImportError as error:
        raise MissingLibraryError(
            f'RESILIENCE_TRACES={config.traces!r} needs {error.name}: install the extra with '
            '`pip install "scrapy-resilience[otel]"`.'
        ) from None

    class Counting(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            try:
                result = inner.export(spans)
            except Exception:  # noqa: BLE001 - whatever a receiver does
                result = SpanExportResult.FAILURE
            told(len(spans), result is SpanExportResult.SUCCESS)
            return result

        def shutdown(self) -> None:
            inner.shutdown()

    return Counting()


def _otlp(config: Config) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )

    log = logging.getLogger("opentelemetry")
    if log.level == logging.NOTSET:
        log.setLevel(logging.CRITICAL)  # a receiver that is away is told of by us, once
    return OTLPSpanExporter(
        endpoint=config.traces_endpoint,
        headers={str(name): str(value) for name, value in config.traces_headers.items()},
        timeout=_TIMEOUT,
    )


def _url(request: Request) -> str:
    return mask(request.url)[:_LONGEST]


def _address(request: Request) -> tuple[str, int | None]:
    parts = urlparse_cached(request)
    try:
        return parts.hostname or "", parts.port
    except ValueError:  # no number
        return parts.hostname or "", None


def _count(request: Request, key: str) -> int:
    found = request.meta.get(key)
    return found if isinstance(found, int) else 0


def _plain(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a span can hold; anything else as text, without what is secret in it."""
    return {
        str(name): value if isinstance(value, (bool, int, float)) else shown(str(value))
        for name, value in (attributes or {}).items()
    }
