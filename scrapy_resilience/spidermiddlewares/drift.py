"""Watches what selector sets find on this crawl's pages, and says when a field drifts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrapy.exceptions import NotConfigured
from scrapy.utils.httpobj import urlparse_cached

from scrapy_resilience import names, signals
from scrapy_resilience._log import get_logger
from scrapy_resilience.checkpoint.state import OWN
from scrapy_resilience.core.drift import Alarm, DriftMonitor, Observation
from scrapy_resilience.exceptions import SelectorError
from scrapy_resilience.jobs.crawl_job import job_of
from scrapy_resilience.selectors.extraction import watch
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from typing_extensions import Self

    from scrapy_resilience.selectors.candidates import Candidate
    from scrapy_resilience.selectors.extraction import Extraction
    from scrapy_resilience.selectors.page import Page
    from scrapy_resilience.selectors.sets import SelectorSet
    from scrapy_resilience.selectors.version import Version

__all__ = ["DriftMiddleware"]

logger = get_logger(__name__)

_REPORTED: Final = 1000


class DriftMiddleware:
    """A spider middleware, as it knows which responses are this crawler's. Any order.

    ``monitor`` has the rates of all fields, ``alarms`` what was found, with candidates.
    """

    def __init__(self, crawler: Crawler, config: Config) -> None:
        self.crawler = crawler
        self._stats: Any = crawler.stats
        self.monitor = DriftMonitor(
            window=config.drift_window,
            baseline=config.drift_baseline,
            domains=config.drift_domains,
        )
        self.alarms: list[tuple[Alarm, list[Candidate]]] = []
        self._action = config.drift_action

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
        if any(found.index for found in extraction.provenance.values()):
            self._stats.inc_value(names.STAT_FALLBACKS)
        seen = (_observation(name, extraction, selectors) for name in extraction)
        for alarm in self.monitor.observe(
            extraction.set, extraction.version, domain, list(seen)
        ):
            self._raise_alarm(alarm, response, extraction, selectors)

    def _raise_alarm(
        self, alarm: Alarm, response: Response, extraction: Extraction, selectors: SelectorSet
    ) -> None:
        from scrapy_resilience.selectors.candidates import candidates  # noqa: PLC0415 - seldom
        from scrapy_resilience.selectors.page import Page  # noqa: PLC0415 - likewise

        page = Page(response)
        field = selectors.versions[alarm.version].fields[alarm.field]
        found = candidates(page, alarm.field, field)
        if len(self.alarms) < _REPORTED:
            self.alarms.append((alarm, found))
        self._stats.inc_value(names.STAT_DRIFT_ALARMS)
        shown = ", ".join(each.selector for each in found) or "none"
        logger.warning("Selector drift: %s. Elements with like names: %s", alarm, shown)
        self.crawler.signals.send_catch_log(
            signals.selector_drift,
            alarm=alarm,
            candidates=found,
            response=response,
            extraction=extraction,
        )
        if self._action == "report":
            return
        try:
            changed = self._change(alarm, page, extraction, selectors)
        except SelectorError as error:
            logger.warning("Selector drift changes nothing: %s", error)
            return
        if changed is not None:
            self._stats.inc_value(names.STAT_DRIFT_CHANGES)
            logger.warning("Selector drift: %s %s is active now", alarm.set, changed.version)

    def _change(
        self, alarm: Alarm, page: Page, extraction: Extraction, selectors: SelectorSet
    ) -> Version | None:
        """Make another version active, unless an alarm of the same page has done so already."""
        found = extraction.provenance.get(alarm.field)
        field = selectors.versions[alarm.version].fields[alarm.field]
        if selectors.fields.get(alarm.field) != field:
            return None
        if self._action == "rollback":
            good = _older_that_finds(alarm, page, selectors)
            return selectors.rollback(good) if good else None
        if alarm.kind != "fallback" or found is None:
            return None
        return selectors.promote(alarm.field, found.index, f"Drift on {alarm.domain}")


def _older_that_finds(alarm: Alarm, page: Page, selectors: SelectorSet) -> str | None:
    """The newest version before the alarm's that finds the field on this page."""
    versions = list(selectors.versions)
    for name in reversed(versions[: versions.index(alarm.version)]):
        found = selectors.versions[name].extract(page).provenance.get(alarm.field)
        if found and found.valid and (alarm.kind != "fallback" or found.index == 0):
            return name
    return None


def _observation(name: str, extraction: Extraction, selectors: SelectorSet) -> Observation:
    field = selectors.fields[name]
    found = extraction.provenance.get(name)
    if found is None:
        return Observation(name, field.ident, None, expected_fill=field.fill)
    return Observation(name, field.ident, found.index, found.valid, field.fill)
