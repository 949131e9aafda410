"""Makes the view of a crawl that runs, on demand, from what the crawl counts anyway."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final

import msgspec
from scrapy.signals import spider_closed
from scrapy.utils.misc import load_object

from scrapy_resilience import _clock, names, signals
from scrapy_resilience._scrapy.engine import (
    engine_of,
    is_closing,
    our_scheduler,
    under_way,
)
from scrapy_resilience._scrapy.of_crawlers import WeakOfCrawlers
from scrapy_resilience.core.breaker import State
from scrapy_resilience.core.history import Sample as HistorySample
from scrapy_resilience.core.masking import clipped, shown
from scrapy_resilience.deadletters import letters_of
from scrapy_resilience.files.layout import STORE
from scrapy_resilience.gates.gatekeeper import gatekeeper_of, latency_of
from scrapy_resilience.jobs.crawl_job import job_of
from scrapy_resilience.observe.browser_views import browsers_of
from scrapy_resilience.observe.domain_views import DomainViews
from scrapy_resilience.observe.from_stats import (
    Grouped,
    checkpoint_of,
    confidence_of,
    number,
    plain,
)
from scrapy_resilience.observe.guards import Guards
from scrapy_resilience.observe.logs.plain_values import plain_value
from scrapy_resilience.observe.rates import Rates, Sample
from scrapy_resilience.observe.record.recorder import Recorded, Recorder
from scrapy_resilience.observe.sentences import eased_off, sentence
from scrapy_resilience.observe.traffic import TrafficCounts
from scrapy_resilience.observe.view import (
    Checkpoint,
    Drifting,
    Items,
    JobView,
    Progress,
    View,
)
from scrapy_resilience.settings import Config
from scrapy_resilience.settings_sources import describe
from scrapy_resilience.waits import waits_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from scrapy_resilience.core.drift import Alarm
    from scrapy_resilience.core.failures import Verdict
    from scrapy_resilience.frontier.lanes import Frontier
    from scrapy_resilience.gates.asking import Asking
    from scrapy_resilience.observe.accounting.accountant import Accountant
    from scrapy_resilience.observe.health.crawl_health import CrawlHealth

__all__ = ["Observer", "observer_of"]

_PAGES: Final = "response_received_count"
_ITEMS: Final = "item_scraped_count"
"""Scrapy's stats."""
_HANDED_OUT: Final = ("scheduler/dequeued", "scheduler/dequeued/redis")
"""Stats of Scrapy's scheduler, and of scrapy-redis."""
_FRESH: Final = 0.2
"""Seconds for which a view is given again."""
_CACHED: Final = "cached"
"""Scrapy's flag of a response that a cache gave."""
_ALARMS: Final = 100
_LONGEST: Final = 200
"""Characters of a close reason: a spider may put a whole page into it."""


class Observer(Recorded):
    """One for each crawler, from :func:`observer_of`.

    Whatever else is to be seen fills in an attribute; a part that is not there is left out.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.config = Config.from_settings(crawler.settings)
        self.counts = TrafficCounts()
        self.rates = Rates()
        self.health: CrawlHealth | None = None
        super().__init__(Recorder())
        self.started = _clock.wall()
        self._began = _clock.monotonic()
        self._keeper = gatekeeper_of(crawler)
        self._letters = letters_of(crawler)
        self._stats: Any = crawler.stats
        self._known_scheduler: Asking | None = None
        self._view: tuple[float, View] | None = None
        self._whole: View | None = None
        """The same view with its history, once somebody has asked for it."""
        self.accounting: Accountant | None = None
        self._changed_settings = {
            row["name"]: plain_value(row["value"], row["name"])
            for row in describe(crawler.settings)
            if row["origin"] != "default" and row["value"] != row["default"]
        }
        scheduler = load_object(crawler.settings["SCHEDULER"])
        self.is_ours: bool = getattr(scheduler, "runs_jobs", False)
        critical = self.config.critical_domains
        self._domains = DomainViews(self._keeper, self.counts, critical)
        stock_retries = not self.config.retry_enabled
        self._retry_key = names.SCRAPY_RETRY_TIMES if stock_retries else names.META_FAILED_AT
        self.on_failure: list[Callable[[Request, Verdict], None]] = []
        """Called with each try that has failed, and why."""
        self.fill_items: Callable[[Items], None] | None = None
        """Adds what components know of items beside the stats."""
        self.fill: list[Callable[[View], None]] = []
        """Each adds what it knows to a view that is being made; health comes after them."""
        self._guards = Guards(crawler)
        self._drift: deque[Drifting] = deque(maxlen=_ALARMS)
        crawler.signals.connect(self._breaker_changed, signals.breaker_changed)
        crawler.signals.connect(self._drifted, signals.selector_drift)
        crawler.signals.connect(self._closed, spider_closed)
        self._reason: str | None = None
        """Of the close of the spider, as it may be shown."""
        self._keeper.on_settled = self.settled

    # --- while the crawl runs ---

    def sent(self, request: Request) -> None:
        """A request has left for the network."""
        self.counts.sent(self._domain_of(request))

    def _domain_of(self, request: Request) -> str:
        ticket = self._keeper.ticket(request)
        return self._keeper.domain(request) if ticket is None else ticket.gate.domain

    def settled(
        self, request: Request, result: Response | Exception, verdict: Verdict, domain: str, /
    ) -> None:
        """A try of *request* came to this."""
        meta, failed = request.meta, verdict.failure_class is not None
        body = getattr(result, "body", None)
        self.counts.settled(
            domain,
            failed=failed,
            is_retry=self._retry_key in meta,
            size=None if body is None else len(body),
            latency=None if _is_cached(result) else latency_of(meta),
        )
        if failed:
            for tell in self.on_failure:
                tell(request, verdict)

    def _breaker_changed(self, domain: str, new: str) -> None:
        if new == State.OPEN.value:
            self.counts.of(domain).opened += 1

    def _closed(self, reason: str) -> None:
        self._reason = clipped(str(reason), _LONGEST)
        if not self.is_ours:
            self._letters.ended(reason)
        self.renew()

    def _drifted(self, alarm: Alarm) -> None:
        self._drift.append(
            Drifting(
                set=shown(alarm.set),
                field=shown(alarm.field),
                domain=shown(alarm.domain),
                kind=alarm.kind,
                since=_clock.wall(),
            )
        )

    def tick(self) -> None:
        """Each second: what rates and the history are made of."""
        stats = self._stats.get_stats()
        pages, items = number(stats, _PAGES), number(stats, _ITEMS)
        busy = len(self._under_way())
        pending = self._pending(busy)
        self.rates.add(Sample(_clock.monotonic(), pages, items, pending))
        frontier = self._frontier
        self.history.tick(
            HistorySample(
                pages=pages,
                items=items,
                errors=self.errors.total,
                retries=number(stats, "retry/count"),
                bytes=number(stats, "downloader/response_bytes"),
                pending=pending,
                held=0 if frontier is None else frontier.held,
                under_way=busy,
                memory=None if self.health is None else self.health.meter.resident(),
                loop_lag=None if self.health is None else self.health.meter.lag.longest(),
            )
        )

    # --- the view ---

    def view(self, *, history: bool = False) -> View:
        """The crawl now: computed at most each 0.2 s; with *history* on demand, as often."""
        now = _clock.monotonic()
        if self._view is None or now - self._view[0] >= _FRESH:
            self._view, self._whole = (now, self._make(now, _clock.wall())), None
        view = self._view[1]
        if not history:
            return view
        if self._whole is None:
            self._whole = msgspec.structs.replace(view, history=self.history.view())
        return self._whole

    def renew(self) -> None:
        """Something has changed that who looks next must see at once."""
        self._view = None

    def _make(self, now: float, wall: float) -> View:
        job = job_of(self.crawler)
        stats = self._stats.get_stats()
        totals = stats if job is None else job.totals(stats)
        view = View(time=wall, settings=self._changed_settings, stats=plain(stats))
        view.job = self._job(now)
        busy, grouped = self._under_way(), Grouped(totals)
        view.progress = self._progress(totals, busy)
        view.traffic = grouped.traffic()
        view.traffic.latency = self.counts.latency()
        busy_domains = Counter(map(self._domain_of, busy))
        view.domains = self._domains.of(self._frontier, busy_domains, now, wall)
        gates = self._keeper.gates
        view.domains_known = max(len(self.counts.domains), len(gates), len(view.domains))
        view.breakers = {
            state.value: len(found)
            for state, found in gates.notable.not_closed.items()
            if found
        }
        view.items = self._items(totals, grouped)
        view.checkpoint = self._checkpoint(stats)
        view.errors = self.errors.view()
        view.events = self.events.view()
        if self.accounting is not None:
            view.accounting = self.accounting.view()
        if self.health is not None:
            view.resources = self.health.resources()
        view.guard = self._guards.view(now, wall)
        view.browsers = browsers_of(stats)
        for fill in self.fill:
            fill(view)
        view.job.sentence, view.guard.sentence = sentence(view), eased_off(view)
        if self.health is not None:
            view.health = self.health.view(view)
        return view

    def _job(self, now: float) -> JobView:
        job, crawler = job_of(self.crawler), self.crawler
        spider = crawler.spider or crawler.spidercls
        waits = waits_of(crawler).waiting()
        return JobView(
            spider=shown(getattr(spider, "name", None) or ""),
            path=None if job is None else str(job.path),
            ident="" if job is None else job.meta.ident,
            run=1 if job is None else job.meta.runs,
            started=self.started,
            running_seconds=round(now - self._began, 3),
            state="closing" if self._is_closing() else "running",
            reason=self._reason,
            incomplete=self._letters.incomplete > 0,
            waiting_for=[shown(str(each["for"])) for each in waits],
        )

    def _is_closing(self) -> bool:
        engine = engine_of(self.crawler)
        return engine is None or is_closing(engine)

    @property
    def _scheduler(self) -> Asking | None:
        """Ours, also when the spider has closed; None where there is another, or none yet."""
        if self._known_scheduler is None and (engine := engine_of(self.crawler)) is not None:
            self._known_scheduler = our_scheduler(engine)
        return self._known_scheduler

    @property
    def _frontier(self) -> Frontier | None:
        scheduler = self._scheduler
        return None if scheduler is None else scheduler.frontier

    def _under_way(self) -> set[Request]:
        engine = engine_of(self.crawler)
        return set() if engine is None else under_way(engine)

    def _pending(self, under_way: int) -> int | None:
        frontier = self._frontier
        if frontier is None:
            return under_way if self.is_ours else None
        return len(frontier) + under_way

    def _progress(self, totals: Mapping[str, Any], busy: set[Request]) -> Progress:
        pages, items = self.rates.per_second()
        frontier = self._frontier
        return Progress(
            done=self._done(totals, busy),
            pending=self._pending(len(busy)),
            under_way=len(busy),
            held=0 if frontier is None else frontier.held,
            dead_letters=self._letters.count,
            pages=number(totals, _PAGES),
            items=number(totals, _ITEMS),
            dropped=number(totals, "item_dropped_count"),
            duplicates=number(totals, "dupefilter/filtered"),
            pages_per_second=round(pages, 3),
            items_per_second=round(items, 3),
            seconds_left=self.rates.seconds_left(),
        )

    def _done(self, totals: Mapping[str, Any], busy: set[Request]) -> int:
        """With another scheduler, what it has handed out and is not under way any more."""
        done, scheduler = number(totals, names.STAT_REQUESTS_DONE), self._scheduler
        if scheduler is not None:
            return done + scheduler.in_flight.ended(busy)
        if self.is_ours:
            return done
        handed_out = sum(number(totals, key) for key in _HANDED_OUT)
        return max(handed_out - len(busy), 0) if handed_out else number(totals, _PAGES)

    # --- the rest ---

    def _items(self, totals: Mapping[str, Any], grouped: Grouped) -> Items:
        items = Items(
            coverage=grouped.coverage(),
            drift=list(self._drift),
            confidence=confidence_of(totals),
            unread=grouped.unread(),
        )
        if self.fill_items is not None:
            self.fill_items(items)
        return items

    def _checkpoint(self, stats: Mapping[str, Any]) -> Checkpoint:
        view, job = checkpoint_of(stats), job_of(self.crawler)
        if job is None:
            return view
        view.enabled = self.config.checkpoint_enabled
        view.last = job.meta.last_checkpoint
        view.store_bytes = _size(job.path.glob(STORE + "*"))
        scheduler = self._scheduler
        if scheduler is not None and scheduler.committer is not None:
            view.trouble = shown(scheduler.committer.trouble)
        return view


def _is_cached(result: Response | Exception) -> bool:
    return _CACHED in getattr(result, "flags", ())


def _size(files: Iterable[Any]) -> int:
    try:
        return sum(file.stat().st_size for file in files)
    except OSError:  # one has gone meanwhile
        return 0


_observers: Final = WeakOfCrawlers(Observer)


def observer_of(crawler: Crawler) -> Observer:
    """The observer of a crawler, made by whoever asks first, and kept by those who ask."""
    return _observers.of(crawler)
