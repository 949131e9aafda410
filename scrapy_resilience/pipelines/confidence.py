"""Says how far each item can be trusted, and what becomes of one that can't."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from itemadapter import ItemAdapter, is_item
from scrapy.exceptions import DropItem
from scrapy.extensions.feedexport import ItemFilter

from scrapy_resilience import names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.refusals import fail_quietly
from scrapy_resilience.checkpoint.state import OWN
from scrapy_resilience.confidence import Confidence, ConfidenceCalculator
from scrapy_resilience.core.usualpages import UsualPages
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.jobs.crawl_job import job_of
from scrapy_resilience.pipelines.evidence import evidence_of, said_by
from scrapy_resilience.pipelines.weighed import Weighed, weighed_in
from scrapy_resilience.pipelines.writing import Writer
from scrapy_resilience.scheduling.item_context import current, follow_items
from scrapy_resilience.scheduling.requests import host_of
from scrapy_resilience.settings import PREFIX, Config

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from typing_extensions import Self

__all__ = ["ConfidencePipeline", "DoubtfulItems", "TrustedItems", "calculator"]

logger = get_logger(__name__)

_OK: Final = 200


class ConfidencePipeline:
    """Weighs what the crawl knows of each item. Order 900: after what changes the values."""

    def __init__(self, crawler: Crawler, config: Config) -> None:
        self.crawler = crawler
        self._config = config
        self._calculator = calculator(config)
        self._writer = Writer(config.confidence_field)
        self._stats: Any = crawler.stats
        self._usual = UsualPages()
        self._pages: WeakKeyDictionary[Response, dict[str, Any]] = WeakKeyDictionary()
        self._failed: set[type] = set()
        self._weighed = weighed_in[crawler] = Weighed()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        config = Config.from_settings(crawler.settings)
        try:
            self = cls(crawler, config)
        except ConfigurationError as error:
            fail_quietly(crawler, error)
            raise
        if (job := job_of(crawler)) is not None:
            usual = self._usual
            job.state.register_map(OWN + "usual_pages", usual.changed, usual.restore)
            job.state.register(OWN + "confidence", self._save, self._restore)
        return self

    def open_spider(self) -> None:
        follow_items(self.crawler)

    def process_item(self, item: Any) -> Any:
        passage = current()
        if passage.response is None or not is_item(item):
            return item  # nothing is known of it
        values = ItemAdapter(item)
        try:
            found = self._judge(item, values, passage.response, passage.unread)
        except Exception as error:  # noqa: BLE001 - an item's own code never costs the item
            self._report(type(item), error)
            return item
        self._count(found)
        passage.doubtful = found.overall < self._config.confidence_minimum
        if passage.doubtful:
            self._doubt(found)
        if self._config.confidence_field:
            self._writer.write(values, {**found.as_dict(), "doubtful": passage.doubtful})
        return item

    def _judge(
        self, item: Any, values: ItemAdapter, response: Response, unread: tuple[str, ...]
    ) -> Confidence:
        evidence = evidence_of(item, values, response, unread)
        found = self._calculator.calculate(
            sources=evidence.sources,
            extraction_method=evidence.method,
            structured_data=said_by(response).any,
            **self._about(response),
        )
        found.warnings.extend(f"{name} is not what it should be" for name in unread)
        found.warnings.extend(
            f"{name} differs from the structured data" for name in evidence.differ
        )
        if found.overall < self._config.confidence_minimum:
            found.warnings[:] = found.reasons(self._config.confidence_minimum)
        return found

    def _about(self, response: Response) -> dict[str, Any]:
        """What the items of a page have in common; the first of them makes the page known."""
        if (about := self._pages.get(response)) is None:
            about = self._pages[response] = self._look_at(response)
        return about

    def _look_at(self, response: Response) -> dict[str, Any]:
        domain, length = host_of(response.url), len(response.body)
        seconds = response.meta.get("download_latency") if response.request else None
        if response.status == _OK and length:
            self._usual.add(domain, length, seconds)
        return {
            "content": response.body,
            "response_time": seconds,
            "status": response.status,
            "usual_length": self._usual.length(domain),
            "usual_response_time": self._usual.seconds(domain),
        }

    def _save(self) -> list[Any]:
        weighed = self._weighed
        return [weighed.count, weighed.sum, weighed.histogram]

    def _restore(self, saved: list[Any]) -> None:
        weighed = self._weighed
        weighed.count, weighed.sum, *rest = saved
        weighed.histogram = rest[0] if rest else weighed.histogram  # a job of before has none

    def _report(self, kind: type, error: Exception) -> None:
        """Say once for a class of items that they fail."""
        if kind not in self._failed:
            self._failed.add(kind)
            logger.error("%s is not weighed: it can't be read", kind.__name__, exc_info=error)

    def _count(self, found: Confidence) -> None:
        self._weighed.add(found.overall)
        self._stats.inc_value(names.STAT_CONFIDENCE + found.extraction_quality)
        self._stats.set_value(names.STAT_CONFIDENCE_MEAN, round(self._weighed.mean, 4))

    def _doubt(self, found: Confidence) -> None:
        self._stats.inc_value(names.STAT_CONFIDENCE_DOUBTFUL)
        if self._config.confidence_action == "drop":
            self._stats.inc_value(names.STAT_CONFIDENCE_DROPPED)
            why = ", ".join(found.warnings)
            raise DropItem(f"Confidence {found.overall:.2f}: {why}")


def calculator(config: Config) -> ConfidenceCalculator:
    """With the weights of ``RESILIENCE_CONFIDENCE_WEIGHTS``.

    Raises :exc:`~scrapy_resilience.exceptions.ConfigurationError` for what is not a weight.
    """
    try:
        return ConfidenceCalculator(config.confidence_weights)
    except ConfigurationError as error:
        raise ConfigurationError(f"{PREFIX}CONFIDENCE_WEIGHTS: {error}") from None


class TrustedItems(ItemFilter):
    """``item_filter`` of a feed without the items that :class:`ConfidencePipeline` doubts."""

    weighs_items: Final = True

    def accepts(self, item: Any) -> bool:
        return not current().doubtful and super().accepts(item)


class DoubtfulItems(ItemFilter):
    """``item_filter`` of a feed with the others: those that a person should look at."""

    weighs_items: Final = True

    def accepts(self, item: Any) -> bool:
        return current().doubtful and super().accepts(item)
