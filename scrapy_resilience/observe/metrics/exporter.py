"""The metrics of one crawl: what is asked for at ``/metrics``, pushed and written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy_resilience._scrapy.of_crawlers import OfCrawlers
from scrapy_resilience.core.metricnames import checked_labels
from scrapy_resilience.metrics import metrics_of
from scrapy_resilience.observe.metrics.text_format import content_type, wants_openmetrics
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy.crawler import Crawler

    from scrapy_resilience.observe.metrics.exposition import Exposition
    from scrapy_resilience.observe.view import View

__all__ = ["Exporter", "exporter_of"]


class Exporter:
    """One for each crawler, from :func:`exporter_of`.

    Raises :exc:`.ConfigurationError` for labels that Prometheus does not allow.
    """

    def __init__(self, crawler: Crawler) -> None:
        config = Config.from_settings(crawler.settings)
        checked_labels("RESILIENCE_METRICS_LABELS", config.metrics_labels)
        self._metrics = metrics_of(crawler)
        self._labels = {str(key): str(value) for key, value in config.metrics_labels.items()}
        self._most = config.metrics_domains
        self._names: list[str] = []
        self._began: View | None = None
        self._made: Exposition | None = None

    def begin(self, view: View) -> None:
        """A run begins, and counts from here on."""
        self._began = view

    @property
    def _exposition(self) -> Exposition:
        """Made when somebody asks: many crawls are never scraped."""
        if self._made is None:
            from scrapy_resilience.observe.metrics.exposition import (  # noqa: PLC0415 - as long
                DomainLabels,
                Exposition,
            )

            self._made = Exposition(self._labels, DomainLabels(self._most, self._names))
            if self._began is not None:
                self._made.begin(self._began)
        return self._made

    def text(self, view: View, *, openmetrics: bool = False) -> bytes:
        """All metrics of the crawl, the user's included, as they are in *view*."""
        registry: Any = self._metrics.registry if self._metrics.used else None
        return self._exposition.write(view, registry, openmetrics=openmetrics)

    def answer(self, view: View, accept: str = "") -> tuple[bytes, str]:
        """What a client that sends this ``Accept`` header gets, and its content type."""
        openmetrics = wants_openmetrics(accept)
        return self.text(view, openmetrics=openmetrics), content_type(openmetrics=openmetrics)

    def save(self) -> list[str]:
        """The domains that have series of their own, for the next run of the job."""
        return self._names if self._made is None else self._made.domains.names

    def restore(self, names: Iterable[str]) -> None:
        """Take those of an earlier run."""
        self._names, self._made = list(names), None


_exporters = OfCrawlers["Exporter"]("exporter")


def exporter_of(crawler: Crawler) -> Exporter:
    """The exporter of a crawler, made by whoever asks first."""
    return _exporters.of(crawler, lambda: Exporter(crawler))
