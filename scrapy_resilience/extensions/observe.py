"""The Observe extension: keeps the observer of a crawl, and its clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrapy import signals
from scrapy.exceptions import NotConfigured

from scrapy_resilience import _clock
from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience._scrapy.refusals import Refusing
from scrapy_resilience.extensions.coverage import FieldCoverage
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.jobs.crawl_job import job_of
from scrapy_resilience.observe.accounting.accountant import Accountant
from scrapy_resilience.observe.downloads import Downloads
from scrapy_resilience.observe.health.crawl_health import CrawlHealth
from scrapy_resilience.observe.item_texts import ItemTexts
from scrapy_resilience.observe.observer import observer_of
from scrapy_resilience.observe.trace_ids import forget_page
from scrapy_resilience.pipelines.weighed import weighed_in
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience._clock import Timer
    from scrapy_resilience.observe.view import Items

__all__ = ["Observe"]

_TICK: Final = 1.0
"""Seconds between two looks at the counts that rates are made of."""


class Observe(Refusing):
    """What is seen of the crawl: :mod:`scrapy_resilience.observe`."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.observer = observer_of(crawler)
        self.observer.accounting = Accountant(crawler)
        self.observer.recorder.follow(crawler)
        self._health = self.observer.health = CrawlHealth(crawler)
        self.observer.fill_items = self._fill_items
        self._texts = ItemTexts()
        self._timer: Timer | None = None
        crawler.signals.connect(self._started, signals.engine_started)
        crawler.signals.connect(self._tick, signals.engine_started)
        crawler.signals.connect(self._stopped, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        if not Config.from_settings(crawler.settings).observe_enabled:
            raise NotConfigured
        job_of(crawler)  # a refusal of the job is told by who refuses it
        return super().from_crawler(crawler)

    def _started(self) -> None:
        if not gatekeeper_of(self.crawler).active:
            self._downloads = Downloads(self.crawler, self.observer.settled)
        hooks = hooks_of(self.crawler.engine)
        hooks.sent.append(self.observer.sent)
        if not self.observer.is_ours:  # which does it where requests come in
            hooks.put_out = forget_page
        self._health.start()

    def _fill_items(self, items: Items) -> None:
        if self.crawler.spider is None:
            return
        if self.crawler in weighed_in:
            items.confidence.counts = list(weighed_in[self.crawler].histogram)
        coverage = self.crawler.get_extension(FieldCoverage)
        if coverage is not None:
            items.latest = self._texts.of(coverage.latest)

    def _tick(self) -> None:
        self._timer = _clock.call_later(_TICK, self._tick)  # first: a tick that fails is one
        self.observer.tick()

    def _stopped(self) -> None:
        self._health.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
