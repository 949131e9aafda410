"""The Abort extension: when the abort policy is judged, and how its crawl ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrapy import signals

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience._scrapy.refusals import Refusing
from scrapy_resilience._scrapy.running_command import set_exit_code
from scrapy_resilience.checkpoint.state import ABORT
from scrapy_resilience.core.masking import message_of, shown
from scrapy_resilience.deadletters import letters_of
from scrapy_resilience.exit_codes import exit_code
from scrapy_resilience.extensions.coverage import FieldCoverage
from scrapy_resilience.extensions.snapshots import Snapshots
from scrapy_resilience.guard.abort import abort_monitor_of
from scrapy_resilience.guard.in_vain import conditions_in_vain
from scrapy_resilience.jobs.crawl_job import is_skipped, job_of
from scrapy_resilience.pipelines.weighed import weighed_in
from scrapy_resilience.settings import Config
from scrapy_resilience.waits import waits_of

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience._clock import Timer

__all__ = ["Abort"]

logger = get_logger(__name__)

_LOOK: Final = 1.0
"""Seconds between two looks at what changes."""
_SNAPSHOT: Final = 60.0
"""Seconds that a snapshot may keep the crawl from its end."""


class Abort(Refusing):
    """Counts what conditions are about, and judges the policy where one is on."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.monitor = abort_monitor_of(crawler)
        self.monitor.snapshot = self._snapshot
        self._config = Config.from_settings(crawler.settings)
        self._look_each = min(_LOOK, self._config.abort_interval)
        self._timer: Timer | None = None
        self._reason = ""
        if (job := job_of(crawler)) is not None:
            job.state.register(ABORT, self.monitor.save, self.monitor.restore)
        connect = crawler.signals.connect
        connect(self._opened, signals.spider_opened)
        connect(self._started, signals.engine_started)
        connect(self._closed, signals.spider_closed)
        connect(self._stopped, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        job_of(crawler)  # a refusal of the job is told by who refuses it
        return super().from_crawler(crawler)

    def _opened(self) -> None:
        engine: Any = self.crawler.engine
        hooks_of(engine).ended.append(self.monitor.ended)
        if self.monitor.policy is not None:
            coverage = self.crawler.get_extension(FieldCoverage) is not None
            scored = self.crawler in weighed_in
            for line in conditions_in_vain(
                self.monitor.policy, coverage=coverage, confidence=scored
            ):
                logger.warning("%s", line)

    def _started(self) -> None:
        self._timer = _clock.call_later(self._look_each, self._started)
        self.monitor.tick()

    async def _snapshot(self, why: str) -> None:
        """Bounded; without a job there is nothing to make one of."""
        snapshots = self.crawler.get_extension(Snapshots)
        if snapshots is None:
            return
        try:
            work = snapshots.create_checkpoint({"reason": why})
            await waits_of(self.crawler).bounded(work, "a snapshot before the end", _SNAPSHOT)
        except Exception as error:  # noqa: BLE001 - the policy is obeyed without it
            told = shown(message_of(error))
            logger.error("No snapshot was made before the end: %s", told)  # noqa: TRY400

    def _closed(self, reason: str) -> None:
        self._reason = reason
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.monitor.close()

    def _stopped(self) -> None:
        """With a job the exit code is that of :mod:`.extensions.shutdown`."""
        if self._timer is not None:  # the spider could not be opened
            self._timer.cancel()
        if job_of(self.crawler) is not None or is_skipped(self.crawler) or not self._reason:
            return
        reason, config = self._reason, self._config
        if self.monitor.is_end(reason) or config.incomplete_exit_code:
            complete = reason in names.COMPLETE and not letters_of(self.crawler).count
            set_exit_code(self.crawler, exit_code(reason, config, complete=complete))
