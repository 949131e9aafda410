"""Makes the view of a crawl that runs, on demand, from what the crawl counts anyway."""

from __future__ import annotations

import heapq
from collections import deque
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Any, Final
from weakref import ReferenceType, WeakKeyDictionary, ref

import msgspec

from scrapy_resilience import _clock, names, signals
from scrapy_resilience._scrapy.engine import engine_of, is_closing
from scrapy_resilience.core.breaker import State
from scrapy_resilience.core.history import Sample as HistorySample
from scrapy_resilience.core.masking import shown
from scrapy_resilience.deadletters import letters_of
from scrapy_resilience.files.layout import STORE
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.gates.lane_names import RETRIES
from scrapy_resilience.jobs.job import job_of
from scrapy_resilience.observe.from_stats import (
    checkpoint_of,
    confidence_of,
    coverage_of,
    number,
    plain,
    traffic_of,
    unread_of,
)
from scrapy_resilience.observe.rates import Rates, Sample
from scrapy_resilience.observe.recorder import Recorded, Recorder
from scrapy_resilience.observe.sentences import sentence
from scrapy_resilience.observe.traffic import DomainCounts, TrafficCounts
from scrapy_resilience.observe.view import (
    Checkpoint,
    DomainView,
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
    from scrapy_resilience.core.gate import Gate
    from scrapy_resilience.frontier.lanes import Frontier
    from scrapy_resilience.gates.gatekeeper import Asking
    from scrapy_resilience.observe.accounting import Accountant
    from scrapy_resilience.observe.crawl_health import CrawlHealth

__all__ = ["Observer", "observer_of"]

_PAGES: Final = "response_received_count"
_ITEMS: Final = "item_scraped_count"
"""Scrapy's stats."""
_FRESH: Final = 0.2
"""Seconds for which a view is given again."""
_ALARMS: Final = 100
_SHOWN: Final = 1000
"""Domains of a view."""
_NOTABLE: Final = 2000
"""Domains with something to tell that are looked at for one view."""
_NO_COUNTS: Final = DomainCounts()


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
        self.accounting: Accountant | None = None
        self._changed_settings = {
            row["name"]: row["value"]
            for row in describe(crawler.settings)
            if row["origin"] != "default" and row["value"] != row["default"]
        }
        self._critical = frozenset(self.config.critical_domains)
        self.on_failure: list[Callable[[Request, Verdict], None]] = []
        """Called with each try that has failed, and why."""
        self.fill_items: Callable[[Items], None] | None = None
        """Adds what components know of items beside the stats."""
        self._drift: deque[Drifting] = deque(maxlen=_ALARMS)
        crawler.signals.connect(self._breaker_changed, signals.breaker_changed)
        crawler.signals.connect(self._drifted, signals.selector_drift)
        self._keeper.on_settled = self._settled

    # --- while the crawl runs ---

    def _settled(
        self, request: Request, result: Response | Exception, verdict: Verdict, domain: str
    ) -> None:
        meta, failed = request.meta, verdict.failure_class is not None
        body = getattr(result, "body", None)
        self.counts.settled(
            domain,
            failed=failed,
            is_retry=names.SCRAPY_RETRY_TIMES in meta,
            size=None if body is None else len(body),
            latency=meta.get("download_latency", 0.0),
        )
        if failed:
            for tell in self.on_failure:
                tell(request, verdict)

    def _breaker_changed(self, domain: str, new: str) -> None:
        if new == State.OPEN.value:
            self.counts.of(domain).opened += 1

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
        pages, items = (
            number(stats, "response_received_count"),
            number(stats, "item_scraped_count"),
        )
        pending = self._pending()
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
                under_way=self._under_way(),
                memory=None if self.health is None else self.health.meter.resident(),
                loop_lag=None if self.health is None else self.health.meter.loop_lag,
            )
        )

    # --- the view ---

    def view(self, *, history: bool = False) -> View:
        """The crawl now: computed at most each 0.2 s; with *history* on demand."""
        now = _clock.monotonic()
        if self._view is None or now - self._view[0] >= _FRESH:
            self._view = now, self._make(now, _clock.wall())
        view = self._view[1]
        if history:
            return msgspec.structs.replace(view, history=self.history.view())
        return view

    def renew(self) -> None:
        """Something has changed that who looks next must see at once."""
        self._view = None

    def _make(self, now: float, wall: float) -> View:
        job = job_of(self.crawler)
        stats = self._stats.get_stats()
        totals = stats if job is None else job.totals(stats)
        view = View(time=wall, settings=self._changed_settings, stats=plain(stats))
        view.job = self._job(now)
        view.progress = self._progress(totals)
        view.traffic = traffic_of(totals)
        view.traffic.latency = self.counts.latency()
        view.domains = self._domains(now, wall)
        view.domains_known = len(self.counts.domains)
        view.breakers = self._breakers()
        view.items = self._items(totals)
        view.checkpoint = self._checkpoint(stats)
        view.errors = self.errors.view()
        view.events = self.events.view()
        if self.accounting is not None:
            view.accounting = self.accounting.view()
        if self.health is not None:
            view.resources = self.health.resources()
        view.job.sentence = sentence(view)
        if self.health is not None:
            view.health = self.health.view(view)
        return view

    def _job(self, now: float) -> JobView:
        job, crawler = job_of(self.crawler), self.crawler
        waits = waits_of(crawler).waiting()
        return JobView(
            spider=shown(crawler.spider.name if crawler.spider else crawler.spidercls.name),
            path=None if job is None else str(job.path),
            ident="" if job is None else job.meta.ident,
            run=1 if job is None else job.meta.runs,
            started=self.started,
            running_seconds=round(now - self._began, 3),
            state="closing" if self._is_closing() else "running",
            reason=None if job is None else job.meta.reason,
            incomplete=self._letters.count > 0,
            waiting_for=[shown(str(each["for"])) for each in waits],
        )

    def _is_closing(self) -> bool:
        engine = engine_of(self.crawler)
        return engine is None or is_closing(engine)

    @property
    def _scheduler(self) -> Asking | None:
        """Ours, which the gates let go when the spider closes; None where there is another."""
        if self._keeper.scheduler is not None:
            self._known_scheduler = self._keeper.scheduler
        return self._known_scheduler

    @property
    def _frontier(self) -> Frontier | None:
        scheduler = self._scheduler
        return None if scheduler is None else scheduler.frontier

    def _pending(self) -> int:
        """Of our scheduler, those under way included."""
        frontier = self._frontier
        return 0 if frontier is None else len(frontier) + self._under_way()

    def _under_way(self) -> int:
        engine = engine_of(self.crawler)
        return 0 if engine is None else len(engine.downloader.active)

    def _progress(self, totals: Mapping[str, Any]) -> Progress:
        pages, items = self.rates.per_second()
        frontier = self._frontier
        return Progress(
            done=number(totals, names.STAT_REQUESTS_DONE),
            pending=self._pending(),
            under_way=self._under_way(),
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

    # --- domains ---

    def _domains(self, now: float, wall: float) -> list[DomainView]:
        """Those with something to tell first, then those with most traffic."""
        frontier = self._frontier
        left = _none_left if frontier is None else frontier.left
        told = [
            self._domain(gate.domain, gate, left, now, wall)
            for gate in islice(self._keeper.gates.notable(), _NOTABLE)
        ]
        told.sort(key=_trouble, reverse=True)
        del told[_SHOWN:]
        seen = {each.name for each in told}
        counts = self.counts.domains
        busiest = heapq.nlargest(_SHOWN, counts, key=lambda name: counts[name].settled)
        gates = self._keeper.gates
        rest = (
            self._domain(name, gates.known(name), left, now, wall)
            for name in busiest
            if name not in seen
        )
        return told + list(islice(rest, _SHOWN - len(told)))

    def _domain(
        self, name: str, gate: Gate, left: Callable[[str], int], now: float, wall: float
    ) -> DomainView:
        """A thousand of these are made for one view: nothing is looked up twice."""
        counts = self.counts.domains.get(name, _NO_COUNTS)
        under_way = gate.under_way
        pending = left(name) + left(name + RETRIES)
        view = DomainView(
            name=name,
            requests=counts.settled + under_way,
            answers=counts.answers,
            failures=counts.failures,
            retries=counts.retries,
            bytes=counts.bytes,
            latency=counts.latency,
            pending=pending + under_way,
            under_way=under_way,
            breaker=gate.breaker.state.value,
            opened=counts.opened,
            rate=_rate(gate),
            given_up=gate.given_up,
            critical=name in self._critical,
        )
        if pending:
            self._tell_wait(view, gate, now, wall)
        return view

    def _tell_wait(self, view: DomainView, gate: Gate, now: float, wall: float) -> None:
        gates = self._keeper.gates
        until = gate.ready_at(now, gates.config.slow_start)
        if until > now:
            view.waits_for = gates.why(gate.domain, now)
            view.next_try = None if until == inf else round(wall + until - now, 3)

    def _breakers(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for gate in self._keeper.gates.notable():
            if (state := gate.breaker.state) is not State.CLOSED:
                found[state.value] = found.get(state.value, 0) + 1
        return found

    # --- the rest ---

    def _items(self, totals: Mapping[str, Any]) -> Items:
        items = Items(
            coverage=coverage_of(totals),
            drift=list(self._drift),
            confidence=confidence_of(totals),
            unread=unread_of(totals),
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


def _trouble(view: DomainView) -> tuple[bool, bool, int, int]:
    """By what a list of domains begins with the ones that need a look."""
    return view.critical, view.breaker != "closed", view.pending, view.failures


def _none_left(_: str) -> int:
    """Of another scheduler nothing is known."""
    return 0


def _rate(gate: Gate) -> float | None:
    if gate.bucket is None and gate.pace is None:
        return None
    rates = [gate.bucket.per_second] if gate.bucket is not None else []
    if gate.pace is not None and gate.pace.rate is not None:
        rates.append(gate.pace.rate)
    return round(min(rates), 4) if rates else None


def _size(files: Iterable[Any]) -> int:
    try:
        return sum(file.stat().st_size for file in files)
    except OSError:  # one has gone meanwhile
        return 0


_observers: WeakKeyDictionary[Crawler, ReferenceType[Observer]] = WeakKeyDictionary()
# weak both ways: an observer knows its crawler


def observer_of(crawler: Crawler) -> Observer:
    """The observer of a crawler, made by whoever asks first, and kept by those who ask."""
    known = _observers.get(crawler)
    observer = known() if known is not None else None
    if observer is None:
        observer = Observer(crawler)
        _observers[crawler] = ref(observer)
    return observer
