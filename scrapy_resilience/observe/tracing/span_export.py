"""Where spans go to: what OpenTelemetry needs for it.

Nothing of it is global: each crawl of a process has a provider of its own. The libraries are
imported when tracing is on.
"""

from __future__ import annotations

import logging
import os
import random
from typing import TYPE_CHECKING, Final, Protocol

from scrapy_resilience._log import get_logger
from scrapy_resilience.exceptions import MissingLibraryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    from scrapy_resilience.settings import Config

__all__ = ["Ids", "make_exporter", "make_provider"]

_TIMEOUT: Final = 2.0
"""Seconds that a receiver may take for a batch."""
_QUEUE: Final = 2048
_BATCH: Final = 512


class Ids(Protocol):
    """Gives ids; the next trace has :attr:`next_trace`, where that is not 0."""

    next_trace: int

    def generate_span_id(self) -> int:
        """Another one, at random."""


def make_provider(exporter: SpanExporter) -> tuple[TracerProvider, Ids]:
    """A provider of spans that *exporter* sends in batches, and what gives their ids."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.id_generator import IdGenerator  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: PLC0415

    class OurIds(IdGenerator):
        def __init__(self) -> None:
            self.next_trace = 0
            # of its own: a spider may seed the one of the module
            self._random = random.Random(os.urandom(16))  # noqa: S311 - ids are no secrets

        def generate_span_id(self) -> int:
            return self._random.getrandbits(64) or 1

        def generate_trace_id(self) -> int:
            found, self.next_trace = self.next_trace, 0
            return found or self._random.getrandbits(128) or 1

    ids = OurIds()
    provider = TracerProvider(
        sampler=ALWAYS_ON,  # it was decided before
        resource=Resource.create({"service.name": "scrapy"}),
        id_generator=ids,
        shutdown_on_exit=False,
    )
    provider.add_span_processor(
        BatchSpanProcessor(exporter, max_queue_size=_QUEUE, max_export_batch_size=_BATCH)
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

    log = get_logger("opentelemetry")
    if log.level == logging.NOTSET:
        log.setLevel(logging.CRITICAL)  # a receiver that is away is told of by us, once
    return OTLPSpanExporter(
        endpoint=config.traces_endpoint,
        headers={str(name): str(value) for name, value in config.traces_headers.items()},
        timeout=_TIMEOUT,
    )
