"""Watches what selector sets find on this crawl's pages, and says when a field drifts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from scrapy.exceptions import NotConfigured
from scrapy.utils.httpobj import urlparse_cached

from scrapy_resilience import names, signals
from scrapy_resilience.checkpoint.job import job_of
from scrapy_resilience.checkpoint.state import OWN
from scrapy_resilience.core.drift import Alarm, DriftMonitor, Observation
from scrapy_resilience.exceptions import SelectorError
from scrapy_resilience.selectors.candidates import Candidate, candidates
from scrapy_resilience.selectors.extraction import watch
from scrapy_resilience.selectors.page import Page
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from typing_extensions import Self

    from scrapy_resilience.selectors.extraction import Extraction
    from scrapy_resilience.selectors.sets import SelectorSet

__all__ = ["DriftMiddleware"]

logger = logging.getLogger(__name__)

_REPORTED: Final = 1000


class DriftMiddleware:
    """A spider middleware, as it knows which responses are this crawler's. Any order.

    ``monitor`` has the rates of all fields, ``alarms`` what was found, with candidates.
    """

    def __init__(self, crawler: Crawler, config: Config) -> None:
        self.crawler = crawler
        self.monitor = DriftMonitor(
            window=config.drift_window,
            baseline=config.drift_baseline,
            domains=config.drift_domains,
        )
        self.alarms: list[tuple[Alarm, list[Candidate]]] = []
        self._act = {"rollback": _rollback, "promote": _promote}.get(config.drift_action)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        config = Config.from_settings(crawler.settings)
        if not config.drift_enabled:
            raise NotConfigured
        self = cls(crawler, config)
        if (job := job_of(crawler)) is not None:
            monitor = self.monitor
            job.state.register_map(OWN + "drift", monitor.changed, monitor.restore)
        return self

    def process_spider_input(self, response: Response) -> None:
        watch(response, self._observe)

    def _observe(
        self, response: Response, extraction: Extraction, selectors: SelectorSet
    ) -> None:
        domain = urlparse_cached(response).hostname or ""
        seen = (_observation(name, extraction, selectors) for name in extraction)
        for alarm in self.monitor.observe(
            extraction.set, extraction.version, domain, list(seen)
        ):
            self._raise_alarm(alarm, response, extraction, selectors)

    def _raise_alarm(
        self, alarm: Alarm, response: Response, extraction: Extraction, selectors: SelectorSet
    ) -> None:
        page = Page(response)
        found = candidates(page, alarm.field, selectors.fields[alarm.field])
        if len(self.alarms) < _REPORTED:
            self.alarms.append((alarm, found))
        self.crawler.stats.inc_value(names.STAT_DRIFT_ALARMS)
        shown = ", ".join(each.selector for each in found) or "none"
        logger.warning("Selector drift: %s. Elements with like names: %s", alarm, shown)
        self.crawler.signals.send_catch_log(
            signals.selector_drift,
            alarm=alarm,
            candidates=found,
            response=response,
            extraction=extraction,
        )
        if self._act is not None and selectors.version == alarm.version:
            self._change(alarm, page, extraction, selectors)

    def _change(
        self, alarm: Alarm, page: Page, extraction: Extraction, selectors: SelectorSet
    ) -> None:
        assert self._act is not None
        try:
            changed = self._act(alarm, page, extraction, selectors)
        except SelectorError as error:
            logger.warning("Selector drift changes nothing: %s", error)
            return
        if changed is not None:
            self.crawler.stats.inc_value(names.STAT_DRIFT_CHANGES)
            logger.warning("Selector drift: %s %s is active now", alarm.set, changed)


def _observation(name: str, extraction: Extraction, selectors: SelectorSet) -> Observation:
    expected = selectors.fields[name].fill
    found = extraction.provenance.get(name)
    if found is None:
        return Observation(name, None, expected_fill=expected)
    return Observation(name, found.index, found.valid, expected)


def _rollback(
    alarm: Alarm, page: Page, extraction: Extraction, selectors: SelectorSet
) -> str | None:
    """Back to the newest older version that finds the field on this page, if one does."""
    older = list(selectors.versions.values())
    older = older[: list(selectors.versions).index(alarm.version)]
    for version in reversed(older):
        found = version.extract(page).provenance.get(alarm.field)
        if found is not None and found.valid and found.index <= max(alarm.usual, 0):
            return selectors.rollback(version.version).version
    return None


def _promote(
    alarm: Alarm, page: Page, extraction: Extraction, selectors: SelectorSet
) -> str | None:
    """A new version in which the fallback that found the field comes first."""
    found = extraction.provenance.get(alarm.field)
    if alarm.kind != "fallback" or found is None:
        return None
    return selectors.promote(alarm.field, found.index, f"Drift on {alarm.domain}").version
