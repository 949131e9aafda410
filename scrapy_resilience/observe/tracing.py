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

from scrapy_resilience.core.masking import mask, mask_value, message_of, shown
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
_NAMES: Final = {"pipeline": "item"}
"""Of spans, where they are not called as what is done."""
_ERROR: Final = 400
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


class _Request:
    """A request on its way, through all of its tries."""

    __slots__ = ("failure_class", "resent", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.resent = 0
        self.failure_class = ""
        """Of the last try that failed."""


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
        self._open: OrderedDict[str, _Request] = OrderedDict()
        """Requests that are not through, by trace id."""
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
            with self._within(self._try(request, trace_id)):
                yield
            return
        known = self._open.get(trace_id) or self._begin(request, trace_id)
        is_last = component != "pipeline" and known.span.is_recording()
        if is_last:  # what comes now is below it, and after it
            if component == "errback":
                known.span.set_attribute("error.type", known.failure_class or "ignored")
                known.span.set_status(self._trace.StatusCode.ERROR)
            self.finish(known.span)
        try:
            with self.span(_NAMES.get(component, component), parent=known.span):
                yield
        finally:
            if is_last:
                self._open.pop(trace_id, None)

    def _try(self, request: Request, trace_id: str) -> Span:
        known = self._open.get(trace_id)
        if known is None:
            known = self._begin(request, trace_id)
        else:
            known.resent += 1
            known.span.set_attribute("http.request.resend_count", known.resent)
        known.span.add_event("try", {"url.full": _url(request)})
        self._carry_on(request, known.span)
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
        known = self._open[trace_id] = _Request(span)
        if len(self._open) > _OPEN:
            self.finish(self._open.popitem(last=False)[1].span)
        return known

    def _carry_on(self, request: Request, span: Span) -> None:
        """A redirect may lead to a domain that is not to know of it."""
        if not self._propagate:
            return
        if _address(request)[0] in self._propagate:
            about = span.get_span_context()
            value = f"00-{about.trace_id:032x}-{about.span_id:016x}-01"
            request.headers[TRACEPARENT] = value
        else:
            request.headers.pop(TRACEPARENT, None)

    def answered(self, request: Request, status: int) -> None:
        """A response goes to the spider."""
        if (known := self._open.get(trace_id_of(request))) is not None:
            known.span.set_attribute("http.response.status_code", status)
            if status >= _ERROR:
                known.span.set_attribute("error.type", str(status))
                known.span.set_status(self._trace.StatusCode.ERROR)

    def failed(self, request: Request, failure_class: str, reason: str) -> None:
        """A try has failed; the next one may not."""
        if (known := self._open.get(trace_id_of(request))) is not None:
            known.failure_class = failure_class
            about = {"error.type": failure_class, "reason": shown(reason)[:_LONGEST]}
            known.span.add_event("failure", about)

    def raised(self, error: BaseException) -> None:
        """A callback or pipeline has raised what Scrapy has caught."""
        self._blame(self._trace.get_current_span(), error)

    def _blame(self, span: Span, error: BaseException) -> None:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(self._trace.StatusCode.ERROR, shown(message_of(error))[:_LONGEST])

    def finish(self, span: Span) -> None:
        """It has ended; once is enough."""
        if span.is_recording():
            span.end()
            self.ended += 1

    # --- anything else ---

    @contextmanager
    def span(
        self,
        name: str,
        attributes: Mapping[str, Any] | None = None,
        *,
        parent: Span | None = None,
    ) -> Iterator[Span]:
        """A span under *parent*, or under the current one; an exception makes it an error."""
        context = None if parent is None else self._trace.set_span_in_context(parent)
        span = self._tracer.start_span(name, context=context, attributes=_plain(attributes))
        with self._within(span):
            try:
                yield span
            except Exception as error:
                self._blame(span, error)
                raise
            finally:
                self.finish(span)

    def begin(self, name: str, attributes: Mapping[str, Any] | None = None) -> Span:
        """A span of no request, which the caller gives to :meth:`finish`."""
        return self._tracer.start_span(
            name, context=self._nothing, attributes=_plain(attributes)
        )

    @contextmanager
    def _within(self, span: Span) -> Iterator[None]:
        token = _current.set(self)
        try:
            with self._trace.use_span(
                span, record_exception=False, set_status_on_exception=False
            ):
                yield
        finally:
            _current.reset(token)

    def close(self) -> None:
        """End what is open, and send what waits. Blocks, for some seconds at the worst."""
        for known in self._open.values():
            self.finish(known.span)
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
            # of its own: a spider may seed the one of the module
            self._random = random.Random(os.urandom(16))  # noqa: S311 - ids are no secrets

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
    """What ``RESILIENCE_TRACES`` names.

    *told* hears of each batch: how many spans it had, and whether they were taken. Raises
    :exc:`MissingLibraryError` without the extra ``otel``.
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
            f"RESILIENCE_TRACES={config.traces!r} needs {error.name}: install the extra with "
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


def _plain(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a span can hold; anything else as text, without what is secret in it."""
    return {
        str(name): value
        if isinstance(value, (bool, int, float))
        else shown(str(mask_value(value, str(name))))
        for name, value in (attributes or {}).items()
    }
