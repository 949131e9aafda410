"""Scrapy's ``SCHEDULER`` seam: glue between the engine and the frontier."""

from __future__ import annotations

import sys
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from scrapy import Request, Spider, signals
from scrapy.core.scheduler import BaseScheduler
from scrapy.exceptions import CloseSpider
from scrapy.utils.defer import deferred_from_coro

from scrapy_resilience import _clock, names
from scrapy_resilience._scrapy.engine import leave_unopened
from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience._scrapy.refusals import Refusing
from scrapy_resilience.checkpoint.run import Run
from scrapy_resilience.deadletters import letters_of
from scrapy_resilience.frontier.codec import RequestCodec, ValueCodec
from scrapy_resilience.frontier.handed_out import StartOutputs
from scrapy_resilience.frontier.in_flight import InFlightRequests
from scrapy_resilience.frontier.lanes import Frontier, HandOut
from scrapy_resilience.frontier.store import MemoryStore
from scrapy_resilience.gates.crawl_pauses import pauses_of
from scrapy_resilience.gates.gatekeeper import Gatekeeper, gatekeeper_of
from scrapy_resilience.gates.held_requests import HeldRequests, WakeTimer
from scrapy_resilience.gates.lane_names import domain_of
from scrapy_resilience.jobs.crawl_job import is_skipped, job_of
from scrapy_resilience.observe.logs import log_context
from scrapy_resilience.observe.trace_ids import TraceIds, give_ids
from scrapy_resilience.observe.tracing.outside import leave_trace
from scrapy_resilience.scheduling.concurrent_items import ConcurrentItems
from scrapy_resilience.scheduling.duplicates import UNREADABLE, Duplicates
from scrapy_resilience.scheduling.endings import Endings
from scrapy_resilience.scheduling.item_context import follow_items
from scrapy_resilience.scheduling.origins import Origin, Origins
from scrapy_resilience.scheduling.output_sources import OutputTracker, forget_source
from scrapy_resilience.scheduling.replacements import Replacements
from scrapy_resilience.scheduling.requests import WrongMeta, forget_parent, pop_delay
from scrapy_resilience.scheduling.scrapy_settings import check_settings, order_of, take_over
from scrapy_resilience.scheduling.slots import slot_limit, slot_name
from scrapy_resilience.scheduling.start_outputs import StartOutputFilter
from scrapy_resilience.scheduling.stored_requests import StoredRequests

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.crawler import Crawler
    from twisted.internet.defer import Deferred

    from scrapy_resilience.checkpoint.commit import Committer
    from scrapy_resilience.frontier.store import Store
    from scrapy_resilience.jobs.job import Job

__all__ = ["ResilientScheduler"]


class ResilientScheduler(Refusing, BaseScheduler):
    """Keeps every request in the frontier until it is done.

    No signal says that a request has ended: :class:`~.endings.Endings` looks, when something
    waits, before a hand-out where it must be known, and at each commit.

    With a JOBDIR requests are kept as bytes and a request is a copy of the one that was
    yielded, in this run as in the next; without one it is the same object. Commits are
    made by the Checkpoint extension; without it, only when the spider closes.
    """

    runs_jobs: Final = True

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        check_settings(crawler.settings)
        self.job = job_of(crawler)
        self._duplicates = Duplicates(crawler)
        self._trace_ids = TraceIds(
            self.job.meta.ident if self.job else "", by_content=self._duplicates.by_content
        )
        self._stats: Any = crawler.stats
        self._letters = letters_of(crawler)
        self._inc = self._stats.inc_value  # looking it up costs more than calling it
        self._pauses = pauses_of(crawler)
        self._keeper: Gatekeeper | None = None
        self._holding: HeldRequests | None = None
        self._max_changes = sys.maxsize
        self._wrong_meta = WrongMeta()
        self._origins: Origins | None = None
        self.starts: StartOutputFilter | None = None
        """With a job."""
        self._run: Run | None = None
        self.committer: Committer | None = None
        self.skips: Callable[[Request], bool] = lambda _: False
        """Asked of each request that is not a duplicate: it is dropped where it says so."""
        self.commit_soon: Callable[[], None] = lambda: None
        """Called when the next commit has grown to its limit, and for what must not be lost."""
        self.on_damage: Callable[[Exception], None] = _raise
        """Called when the store can't be read: nothing must be committed after that."""

    # --- BaseScheduler ---

    def open(self, spider: Spider) -> Deferred[None] | None:
        engine = self.crawler.engine
        if is_skipped(self.crawler):
            leave_unopened(engine, names.REASON_SKIPPED)
        job = self.job
        values = job.values if job else ValueCodec(allow_pickle=False)
        store = job.store if job else MemoryStore()
        codec = RequestCodec(spider, values)
        keeper = gatekeeper_of(self.crawler)
        self._keeper = keeper if keeper.active else None
        self.frontier = self._load_frontier(store)
        self.in_flight = InFlightRequests(
            self.frontier,
            store.outputs(),
            values.encode,
            values.decode,
            store.last_letter(),
        )
        self._endings = Endings(self.crawler, self.in_flight, self._keeper)
        self._replacements = Replacements(
            self.crawler, self._letters, self._duplicates, self._keeper
        )
        self._stored = StoredRequests(
            self.crawler, codec, self._endings.is_under_way, durable=job is not None
        )
        self._alarm = WakeTimer(self.crawler, self.frontier)
        if self._keeper is not None:
            self._keeper.attach(self)
            self._holding = HeldRequests(
                self.crawler, self.frontier, self._keeper, durable=job is not None
            )
        self._follow_engine()
        if job is not None:
            self._open_job(job, spider, codec)
        return self._duplicates.open(self.frontier, self.on_damage)

    def _load_frontier(self, store: Store) -> Frontier:
        """What *store* has of earlier runs included."""
        return Frontier(
            store,
            limit=slot_limit(self.crawler.engine.downloader),
            order=order_of(self.crawler.settings),
            gate=self._keeper.ready_at if self._keeper is not None else None,
            group=domain_of,
            now=_clock.monotonic(),
            wall=_clock.wall(),
        )

    def _follow_engine(self) -> None:
        """Hear of what becomes of requests and items."""
        self.outputs = OutputTracker(self.crawler, self.in_flight, self.frontier.note_start)
        self._hooks = hooks_of(self.crawler.engine)
        self._hooks.tracker = self.outputs
        self._hooks.replacing = self._replacements.replacing
        give_ids(self._hooks)
        self._hooks.is_scheduled = self.issued
        self._hooks.refused = partial(self._inc, names.STAT_REQUESTS_REFUSED)
        reached, left = signals.request_reached_downloader, signals.request_left_downloader
        self.crawler.signals.connect(self._reached, reached)
        self.crawler.signals.connect(self.in_flight.left, left)
        follow_items(self.crawler)
        ConcurrentItems(self.crawler)

    def _open_job(self, job: Job, spider: Spider, codec: RequestCodec) -> None:
        """Take up what earlier runs have left, and write down that this one has begun."""
        self._max_changes = job.config.checkpoint_max_changes
        imported = take_over(job, self.frontier, spider, self._keeper)
        done = () if job.config.rerun_start else chain(job.store.start_keys(), imported)
        self.starts = StartOutputFilter(job, StartOutputs(done), self._duplicates, self.outputs)
        self._origins = Origins(
            self.frontier,
            self.in_flight,
            duplicates=self._duplicates,
            outputs=self.outputs,
        )
        self._letters.attach(self.in_flight, codec, job.meta.dead_letters)
        self._run = Run(
            self.crawler,
            job,
            frontier=self.frontier,
            in_flight=self.in_flight,
            letters=self._letters,
            starts=self.starts,
            collect=self._endings.collect,
        )
        self.committer = self._run.committer
        self.crawler.signals.connect(self._spider_idle, signals.spider_idle)
        self.crawler.signals.connect(self._run.end, signals.engine_stopped)
        for part in [*job.parts]:  # feeds and sinks come to them
            part.opened(self)
        self._run.begin()

    def close(self, reason: str) -> Deferred[None]:
        return deferred_from_coro(self._close(reason))

    async def _close(self, reason: str) -> None:
        if is_skipped(self.crawler):
            return
        self._alarm.cancel()
        self._pauses.close()
        if self._keeper is not None:
            self._keeper.close()
        if held := self.frontier.held:
            self._stats.set_value(names.STAT_HELD, held)
        if self.job is None:
            self._endings.collect()  # no commit counts what is done
        if self.job is None and reason == names.REASON_HELD and self._holding is not None:
            for row in self.frontier.drain():
                self._holding.lose(row.data)
        if self._run is not None:
            await self._run.commit_before_feeds(reason)
        left = len(self.frontier) if self.job is None else self.job.meta.pending
        self._letters.ended(reason, left)
        await self._duplicates.close(reason)

    def has_pending_requests(self) -> bool:
        return len(self.frontier) > 0

    def enqueue_request(self, request: Request) -> bool:
        self._hooks.arriving.discard(request)
        replaced = self._replacements.replaced_by(request)
        try:
            return self._enqueue(request, replaced)
        except Exception as error:  # Scrapy logs it, and goes on without the request
            if replaced is not None:
                self._replacements.give_up(
                    replaced, "what a middleware has returned for it can't be scheduled", error
                )
            raise

    def _enqueue(self, request: Request, replaced: Request | None) -> bool:
        if self.in_flight.frozen:
            return True  # its parent is not done: the next run makes it again
        parent = self.outputs.maker() if replaced is None else None
        if parent is not None:
            forget_parent(request, is_page=self.outputs.is_page(request))
        start_key = self.starts.key_of(request) if self.starts is not None else None
        fingerprint = self._duplicates.fingerprint(request)
        if replaced is None:
            is_duplicate = self._duplicates.has(request, fingerprint) or self.skips(request)
        else:
            is_duplicate = self._replacements.is_duplicate(request, fingerprint, replaced)
        if is_duplicate:
            return False
        key = None
        if parent is not None and self._origins is not None and fingerprint is None:
            key = parent.child(self._origins.key(request))
            if parent.has_put_out(key):
                self._inc(names.STAT_SUPPRESSED_REQUESTS)
                return True
        self._push(request, Origin(parent, fingerprint, key, start_key, replaced))
        return True

    def next_request(self) -> Request | None:
        if self._pauses.up or (self.committer is not None and self.committer.intake.up):
            return None
        forget_source()
        log_context.leave()
        leave_trace()
        now = _clock.monotonic()
        try:
            self._give_up()
            while (found := self._pop(now)) is not None:
                request = self._stored.request(found.row)
                if request is not None:
                    self._hand_out(request, found, now)
                    return request
                self.frontier.vacate(found.slot)
        except UNREADABLE as error:
            self.on_damage(error)
            return None
        self._alarm.set(now)
        if self._holding is not None:
            self._holding.check(now)
        return None

    def _pop(self, now: float) -> HandOut | None:
        found = self.frontier.pop(now)
        if found is not None or not self._is_awaited():
            return found
        if self._endings.collect():
            found = self.frontier.pop(now)
        self._commit_if_full()
        while found is None and self._holding is not None and self._holding.may_find_more(now):
            found = self.frontier.pop(now)  # whoever was let through may have left
        return found

    def _is_awaited(self) -> bool:
        """Whether anybody waits for a request to end: to look for that costs each of them."""
        somebody_waits = self._keeper is not None and bool(self._keeper.waits.requests)
        return len(self.frontier) > 0 or somebody_waits

    def _give_up(self) -> None:
        """Requests of domains that did not recover are done: as dead letters."""
        if self._holding is None:
            return
        for row, gate in self._holding.given_up():
            request = self._stored.request(row)
            if request is None:
                continue
            if self._endings.collect_before(request):
                self._commit_if_full()
            self.in_flight.handed_out(request, row)
            self._holding.write_off(request, gate)

    def issued(self, request: Request) -> bool:
        """Whether the request was handed out here and is being downloaded for its callback.

        What bypasses the scheduler was not, nor is what a callback downloads again.
        """
        scraping = self.crawler.engine.scraper.slot
        known = request in self.in_flight.under_way
        return known and not (scraping and request in scraping.active)

    def _hand_out(self, request: Request, found: HandOut, now: float) -> None:
        if self._endings.collect_before(request):
            self._commit_if_full()
        row, lane, slot = found
        fingerprint = partial(self._duplicates.fingerprint, request)
        try:
            self.in_flight.handed_out(request, row, fingerprint, lane=lane, slot=slot)
        except Exception:
            self.frontier.vacate(slot)
            raise
        self._trace_ids.give(request, row.number)
        if self._keeper is not None:
            self._keeper.handed_out(request, lane, now)
        kind = "disk" if isinstance(row.data, bytes) else "memory"
        self._inc(f"scheduler/dequeued/{kind}")
        self._inc("scheduler/dequeued")

    def _reached(self, request: Request) -> None:
        key = request.meta[self.crawler.engine.downloader.DOWNLOAD_SLOT]
        self.in_flight.reached(request, slot_name(key))

    def __len__(self) -> int:
        return len(self.frontier)

    @property
    def open_starts(self) -> int:
        """Outputs of ``start()`` that a kill takes, and that only it can make again."""
        return self.in_flight.open_starts + self.outputs.open_starts

    def heal(self) -> None:
        """Nothing has happened for long: look at everything anew."""
        self._endings.collect()
        for lane in self.frontier.held_lanes():
            self.frontier.release(lane.name)  # its gate is asked again
        self._alarm.cancel()

    # --- commits ---

    def _spider_idle(self) -> None:
        if self._stored.is_any_unreadable:
            raise CloseSpider(names.REASON_UNREADABLE)

    def _commit_if_full(self) -> None:
        if self.frontier.changed >= self._max_changes:
            self.commit_soon()

    # --- inside ---

    def _push(self, request: Request, origin: Origin) -> None:
        slot = lane = slot_name(self.crawler.engine.downloader.get_slot_key(request))
        if self._keeper is not None:
            lane = self._keeper.lane(slot, request)
        delay = pop_delay(request, self._wrong_meta)
        if delay and self._keeper is not None and self._keeper.is_given_up(lane):
            delay = 0.0  # it was under way when the others were given up
        payload = self._stored.payload(request)
        row = self.frontier.push(
            lane,
            payload,
            priority=request.priority,
            start=bool(request.meta.get("is_start_request")),
            fifo=names.META_FAILED_AT in request.meta,
            fingerprint=origin.fingerprint,
            delay=delay,
            now=_clock.monotonic() if delay else 0.0,
            wall=_clock.wall() if delay else 0.0,
        )
        if lane != slot:
            self.frontier.reroute(lane, slot)
        durable = isinstance(payload, bytes)
        self._inc("scheduler/enqueued/disk" if durable else "scheduler/enqueued/memory")
        self._inc("scheduler/enqueued")
        if self._origins is None:
            return
        if durable:
            self._origins.stored(row, request, origin)
        else:
            self._origins.keep_open(row, request, origin)
        self._commit_if_full()


def _raise(error: Exception) -> None:
    raise error
