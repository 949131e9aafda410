"""The DryRun extension: checks what a crawl needs, and tells what its first pages brought."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from scrapy import signals
from scrapy.exceptions import NotConfigured

from scrapy_resilience._scrapy import here
from scrapy_resilience._scrapy.refusals import Refusing
from scrapy_resilience._scrapy.running_command import set_exit_code
from scrapy_resilience.core.outlook import Outlook, Tried, outlook
from scrapy_resilience.deadletters import letters_of
from scrapy_resilience.dryrun.checks import Subject, checks_of, examine
from scrapy_resilience.dryrun.feeds import DryFeeds
from scrapy_resilience.dryrun.harmless_components import check_later
from scrapy_resilience.dryrun.judging import Seen, judge
from scrapy_resilience.dryrun.limit import limit_of
from scrapy_resilience.dryrun.rehearsal import Rehearsal, rehearsal_of, tell_result
from scrapy_resilience.dryrun.result import Result
from scrapy_resilience.extensions.coverage import FieldCoverage
from scrapy_resilience.guard.cost.crawl_costs import costs_of
from scrapy_resilience.names import (
    EXIT_FAILURE,
    STAT_CONFIDENCE_DOUBTFUL,
    STAT_CONFIDENCE_MEAN,
    STAT_NORMALIZE_FAILED,
)
from scrapy_resilience.waits import in_thread, waits_of

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.python.failure import Failure
    from typing_extensions import Self

    from scrapy_resilience.core.findings import Finding

__all__ = ["DryRun", "NothingLater"]

_PATIENCE: Final = 60.0
"""Seconds for all checks; each has less."""
_STATUS: Final = "downloader/response_status_count/"


class NothingLater(Refusing):
    """The first of all extensions: all add-ons are through, and no pipeline is made yet."""

    def __init__(self, crawler: Crawler) -> None:
        rehearsal = rehearsal_of(crawler)
        if rehearsal is not None:
            check_later(crawler.settings, rehearsal.config.dry_run_safe)
        raise NotConfigured


class DryRun:
    """The checks are through before the first request."""

    def __init__(self, crawler: Crawler, rehearsal: Rehearsal) -> None:
        self.crawler = crawler
        self._rehearsal = rehearsal
        self._limit = limit_of(crawler)
        self._seen = Seen()
        self._checked: list[Finding] = []
        self._reason = ""
        connect = crawler.signals.connect
        connect(self._started, signals.engine_started)
        connect(self._opened, signals.spider_opened)
        connect(self._spider_error, signals.spider_error)
        connect(self._item_error, signals.item_error)
        connect(self._closed, signals.spider_closed)
        connect(self._stopped, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        rehearsal = rehearsal_of(crawler)
        if rehearsal is None:
            raise NotConfigured
        return cls(crawler, rehearsal)

    async def _started(self) -> None:
        """The engine waits for this."""
        found, config = self._rehearsal.settings, self._rehearsal.config
        subject = Subject(found, config, self.crawler.spidercls.name, self._rehearsal.arguments)
        work, _ = in_thread(partial(examine, checks_of(found), subject), "resilience-checks")
        self._checked = await waits_of(self.crawler).bounded(work, "the checks", _PATIENCE)

    def _opened(self) -> None:
        """A spider may begin with rows, which the sink is not there for."""
        if self._rehearsal.config.sql_url:
            here.enter(self.crawler)

    def _spider_error(self, failure: Failure, response: Response | None) -> None:
        name = type(failure.value).__name__
        if response is None:
            self._seen.start_error = name
        else:
            self._seen.callback_errors[name] += 1

    def _item_error(self, failure: Failure) -> None:
        self._seen.item_errors[type(failure.value).__name__] += 1

    def _closed(self, reason: str) -> None:
        self._reason = reason

    def _stopped(self) -> None:
        self._rehearsal.writes.end()
        here.leave(self.crawler)
        result = self._result()
        if not result.is_well:
            set_exit_code(self.crawler, EXIT_FAILURE)
        tell_result(self.crawler, result)

    # --- what there is to tell ---

    def _result(self) -> Result:
        stats: dict[str, Any] = self.crawler.stats.get_stats()
        limit, feeds = self._limit, self.crawler.get_extension(DryFeeds)
        result = Result(
            spider=self.crawler.spidercls.name,
            limit=self._rehearsal.config.dry_run,
            reason=self._reason,
            requests=stats.get("downloader/request_count", 0),
            pages=stats.get("response_received_count", 0),
            statuses=_group(stats, _STATUS),
            seconds=self._seconds(),
            items=stats.get("item_scraped_count", 0),
            dropped=stats.get("item_dropped_count", 0),
            fields=self._fields(),
            unread=_group(stats, STAT_NORMALIZE_FAILED),
            confidence=stats.get(STAT_CONFIDENCE_MEAN),
            doubtful=stats.get(STAT_CONFIDENCE_DOUBTFUL, 0),
            feeds=dict(feeds.items) if feeds is not None else {},
            whole=self._whole() if limit.taken else None,
            skipped=self._rehearsal.skipped,
        )
        self._look(stats, feeds)
        result.findings = [*self._checked, *judge(result, self._seen)]
        return result

    def _look(self, stats: dict[str, Any], feeds: DryFeeds | None) -> None:
        seen = self._seen
        seen.refused = feeds.refused if feeds is not None else {}
        seen.letters = [(each.kind, each.reason) for each in letters_of(self.crawler).kept]
        seen.errors_logged = stats.get("log_count/ERROR", 0)
        seen.written = [*self._rehearsal.writes.paths]

    def _seconds(self) -> float:
        first = self._limit.first
        return 0.0 if first is None else max(self._limit.last, first) - first

    def _fields(self) -> dict[str, dict[str, float]]:
        coverage = self.crawler.get_extension(FieldCoverage)
        found: dict[str, dict[str, float]] = {}
        for kind, path, share in coverage.coverage.shares() if coverage is not None else ():
            found.setdefault(kind, {})[path] = share
        return found

    def _whole(self) -> Outlook:
        limit = self._limit
        return outlook(
            Tried(
                requests=limit.taken,
                waiting=limit.waiting,
                pages=self.crawler.stats.get_value("response_received_count", 0),
                found=limit.found,
                seconds=self._seconds(),
                dollars=costs_of(self.crawler).tracker.usage().total,
                start_is_through=limit.start_is_through,
            )
        )


def _group(stats: dict[Any, Any], prefix: str) -> dict[str, int]:
    """The stats whose names begin with *prefix*, by what follows it."""
    return {
        key[len(prefix) :]: value
        for key, value in stats.items()
        if isinstance(key, str) and key.startswith(prefix)
    }
