"""Live field coverage: in the stats, how many items have each field."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from itemadapter import ItemAdapter, is_item
from scrapy import signals
from scrapy.exceptions import NotConfigured

from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience.checkpoint.state import OWN
from scrapy_resilience.core.coverage import Coverage
from scrapy_resilience.jobs.crawl_job import job_of
from scrapy_resilience.names import STAT_COVERAGE_PREFIX
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy.crawler import Crawler
    from typing_extensions import Self

__all__ = ["FieldCoverage"]

_EACH: Final = 100
"""Items between two looks at the stats."""
_LATEST: Final = 5


class FieldCoverage:
    """Sets ``resilience/coverage/<type>/<field>`` each 100 items and at the close."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        config = Config.from_settings(crawler.settings)
        self.coverage = Coverage(_fields_of, without=config.confidence_field)
        self.latest: deque[Any] = deque(maxlen=_LATEST)
        """The last items that were scraped."""
        self._left = _EACH
        crawler.signals.connect(self._opened, signals.spider_opened)
        crawler.signals.connect(self.publish, signals.spider_closed)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        if not Config.from_settings(crawler.settings).coverage_enabled:
            raise NotConfigured
        self = cls(crawler)
        if (job := job_of(crawler)) is not None:
            coverage = self.coverage
            job.state.register(OWN + "coverage", coverage.save, coverage.restore)
        return self

    def _opened(self) -> None:
        hooks_of(self.crawler.engine).scraped.append(self._scraped)

    def _scraped(self, item: Any) -> None:
        self.coverage.add(type(item).__name__, item)
        self.latest.append(item)
        self._left -= 1
        if not self._left:
            self._left = _EACH
            self.publish()

    def publish(self) -> None:
        for kind, path, share in self.coverage.shares():
            self.crawler.stats.set_value(f"{STAT_COVERAGE_PREFIX}{kind}/{path}", share)


def _fields_of(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, dict):
        return value
    if isinstance(value, (str, int, float, bytes, type(None))) or not is_item(value):
        return None
    return ItemAdapter(value)
