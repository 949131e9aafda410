"""Scrapy's ``SCHEDULER`` seam: glue between the engine and the frontier."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy import Request, Spider, signals
from scrapy.core.scheduler import BaseScheduler
from scrapy.exceptions import CloseSpider
from scrapy.utils.defer import deferred_from_coro

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import leave_unopened, under_way
from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience._scrapy.refusals import Refusing
from scrapy_resilience.checkpoint.run import Run
from scrapy_resilience.core.masking import counted
from scrapy_resilience.deadletters import letters_of
from scrapy_resilience.frontier.codec import (
    RequestCodec,
    ValueCodec,
)
from scrapy_resilience.frontier.handed_out import HandedOutRequest, StartOutputs
from scrapy_resilience.frontier.in_flight import InFlightRequests
from scrapy_resilience.frontier.lanes import Frontier, HandOut
from scrapy_resilience.frontier.store import MemoryStore, Row
from scrapy_resilience.gates.gatekeeper import Gatekeeper, gatekeeper_of
from scrapy_resilience.gates.held_requests import HeldRequests, WakeTimer
from scrapy_resilience.gates.lane_names import domain_of
from scrapy_resilience.jobs.job import is_skipped, job_of
from scrapy_resilience.observe.logs import log_context
from scrapy_resilience.observe.trace_ids import TraceIds, give_ids
from scrapy_resilience.observe.tracing import tracing
from scrapy_resilience.scheduling.concurrent_items import ConcurrentItems
from scrapy_resilience.scheduling.duplicates import UNREADABLE, Duplicates
from scrapy_resilience.scheduling.item_context import follow_items
from scrapy_resilience.scheduling.output_sources import OutputTracker, forget_source
from scrapy_resilience.scheduling.requests import (
    WrongMeta,
    forget_parent,
    is_redirected,
    pop_delay,
    request_key,
)
from scrapy_resilience.scheduling.scrapy_settings import check_settings, order_of, take_over
from scrapy_resilience.scheduling.slots import slot_limit, slot_name
from scrapy_resilience.scheduling.start_outputs import StartOutputFilter
from scrapy_resilience.scheduling.stored_requests import StoredRequests
from scrapy_resilience.settings import Config
from scrapy_resilience.waits import waits_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scrapy.crawler import Crawler
    from twisted.internet.defer import Deferred

    from scrapy_resilience.checkpoint.commit import Committer
    from scrapy_resilience.jobs.job import Job

__all__ = ["ResilientScheduler"]

logger = get_logger(__name__)

_COLLECT_AT_LEAST: Final = 256


class _Origin(NamedTuple):
    """Where a request came from, and the names by which a second run knows it again."""

    parent: HandedOutRequest | None
    fingerprint: bytes | None
    key: int | None
    start_key: int | None
    replaced: Request | None


class ResilientScheduler(Refusing, BaseScheduler):
    """Keeps every request in the frontier until it is done.

    No signal says that a request has ended. :meth:`_collect` compares what was handed out with
    what the engine still knows: when something waits, before a hand-out where it must be known,
    and at each commit.

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
        self._follows_redirects = not Config.from_settings(crawler.settings).filter_redirects
        self._keeper: Gatekeeper | None = None
        self._holding: HeldRequests | None = None
        self._collect_at = _COLLECT_AT_LEAST
        self._told_of_unsafe = False
        self._max_changes = sys.maxsize
        self._wrong_meta = WrongMeta()
        self._replacement: tuple[Request, Request] | None = None
        self.starts: StartOutputFilter | None = None
        """With a job."""
        self._run: Run | None = None
        self.committer: Committer | None = None
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
        self.frontier = Frontier(
            store,
            limit=slot_limit(engine.downloader),
            order=order_of(self.crawler.settings),
            gate=self._keeper.ready_at if self._keeper is not None else None,
            group=domain_of,
            now=_clock.monotonic(),
            wall=_clock.wall(),
        )
        self.in_flight = InFlightRequests(
            self.frontier,
            store.outputs(),
            values.encode,
            values.decode,
            store.last_letter(),
        )
        self._stored = StoredRequests(
            self.crawler, codec, self._is_under_way, durable=job is not None
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

    def _follow_engine(self) -> None:
        """Hear of what becomes of requests and items."""
        self.outputs = OutputTracker(self.crawler, self.in_flight, self.frontier.note_start)
        self._hooks = hooks_of(self.crawler.engine)
        self._hooks.tracker = self.outputs
        self._hooks.replacing = self._replacing
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
        imported = take_over(job.stock, self.frontier, spider, job.values) if job.stock else []
        done = () if job.config.rerun_start else chain(job.store.start_keys(), imported)
        self.starts = StartOutputFilter(job, StartOutputs(done), self._duplicates, self.outputs)
        self._letters.attach(self.in_flight, codec, job.meta.dead_letters)
        self._run = Run(
            self.crawler,
            job,
            frontier=self.frontier,
            in_flight=self.in_flight,
            letters=self._letters,
            starts=self.starts,
            collect=self._collect,
        )
        self.committer = self._run.committer
        self.crawler.signals.connect(self._spider_idle, signals.spider_idle)
        self.crawler.signals.connect(self._run.end, signals.engine_stopped)
        if job.resumed:
            self._stats.set_value(names.STAT_RESUMED, 1)
            rest = "" if job.meta.start_done else ", and what start() has not done yet"
            left = counted(len(self.frontier), "request")
            logger.info("Resuming %s: %s to do%s", job.path, left, rest)
        for part in [*job.parts]:  # feeds and sinks come to them
            part.opened(self)
        self._run.begin()

    def close(self, reason: str) -> Deferred[None]:
        return deferred_from_coro(self._close(reason))

    async def _close(self, reason: str) -> None:
        if is_skipped(self.crawler):
            return
        self._alarm.cancel()
        if self._keeper is not None:
            self._keeper.close()
        if held := self.frontier.held:
            self._stats.set_value(names.STAT_HELD, held)
        if self.job is None:
            self._collect()  # no commit counts what is done
        if self.job is None and reason == names.REASON_HELD and self._holding is not None:
            for row in self.frontier.drain():
                self._holding.lose(row.data)
        if self._run is not None:
            await self._run.commit_before_feeds(reason)
        if (closed := self._duplicates.close(reason)) is not None:
            timeout = Config.from_settings(self.crawler.settings).handler_timeout
            try:
                await waits_of(self.crawler).bounded(closed, "the duplicate filter", timeout)
            except TimeoutError as error:
                logger.error("The crawl ends without an answer: %s", error)  # noqa: TRY400

    def has_pending_requests(self) -> bool:
        return len(self.frontier) > 0

    def enqueue_request(self, request: Request) -> bool:
        self._hooks.arriving.discard(request)
        replaced = self._replaced_by(request)
        try:
            return self._enqueue(request, replaced)
        except Exception as error:  # Scrapy logs it, and goes on without the request
            if replaced is not None:
                self._give_up_replaced(
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
        if self._is_duplicate(request, fingerprint, replaced):
            return False
        key = None
        if parent is not None and self.job is not None and fingerprint is None:
            key = parent.child(self._key(request))
            if parent.has_put_out(key):
                self._inc(names.STAT_SUPPRESSED_REQUESTS)
                return True
        self._push(request, _Origin(parent, fingerprint, key, start_key, replaced))
        return True

    @contextmanager
    def _replacing(self, new: Request, old: Request) -> Iterator[None]:
        """A middleware has returned *new* for *old*, and the engine schedules it now."""
        self._replacement = new, old
        try:
            yield
        finally:
            self._replacement = None
            if self._keeper is not None:
                self._keeper.replaced(old)

    def _replaced_by(self, request: Request) -> Request | None:
        """The request that *request* stands for from now on, as a second try does."""
        if self._replacement is None or self._replacement[0] is not request:
            return None  # somebody else puts it in meanwhile
        return self._replacement[1]

    def _is_duplicate(
        self, request: Request, fingerprint: bytes | None, replaced: Request | None
    ) -> bool:
        if request.dont_filter:
            return False
        if replaced is None:
            return self._duplicates.has(request, fingerprint)
        follows = self._follows_redirects and not self._duplicates.is_own
        if follows and is_redirected(request, replaced):
            return False  # the same request on its way
        if not self._duplicates.has(request, fingerprint):
            return False
        if self._duplicates.alike(request, replaced):
            self._give_up_replaced(
                replaced,
                "a middleware has sent it again without dont_filter=True, and the filter of "
                "duplicates has dropped it",
            )
        return True

    def _give_up_replaced(
        self, request: Request, reason: str, error: Exception | None = None
    ) -> None:
        self._letters.add(
            request, kind="ignored", failure_class="ignored", reason=reason, exception=error
        )

    def next_request(self) -> Request | None:
        if self.committer is not None and self.committer.intake.up:
            return None
        forget_source()
        log_context.leave()
        tracing.leave()
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
        if self._collect():
            found = self.frontier.pop(now)
        self._commit_if_full()
        while found is None and self._holding is not None and self._holding.may_find_more(now):
            found = self.frontier.pop(now)  # whoever was let through may have left
        return found

    def _is_awaited(self) -> bool:
        """Whether anybody waits for a request to end: to look for that costs each of them."""
        somebody_waits = self._keeper is not None and bool(self._keeper.waiting)
        return len(self.frontier) > 0 or somebody_waits

    def _give_up(self) -> None:
        """Requests of domains that did not recover are done: as dead letters."""
        if self._holding is None:
            return
        for row, gate in self._holding.given_up():
            request = self._stored.request(row)
            if request is None:
                continue
            self._collect_before(request)
            self.in_flight.handed_out(request, row)
            self._holding.write_off(request, gate)

    def issued(self, request: Request) -> bool:
        """Whether the request was handed out here and is being downloaded for its callback.

        What bypasses the scheduler was not, nor is what a callback downloads again.
        """
        scraping = self.crawler.engine.scraper.slot
        known = request in self.in_flight.under_way
        return known and not (scraping and request in scraping.active)

    def _is_under_way(self, request: Request) -> bool:
        engine = self.crawler.engine
        if request in engine.downloader.active:
            return True  # a callback may download it for itself
        return request in self.in_flight.under_way and request in under_way(engine)

    def _hand_out(self, request: Request, found: HandOut, now: float) -> None:
        self._collect_before(request)
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

    # --- commits ---

    def _spider_idle(self) -> None:
        if self._stored.is_any_unreadable:
            raise CloseSpider(names.REASON_UNREADABLE)

    def _collect_before(self, request: Request) -> None:
        """*request* is handed out next: the engine does not know it yet.

        One that was under way before, as the same object, has ended: it must not be taken for
        the one that goes now.
        """
        known = self.in_flight.under_way
        if request in known or len(known) > self._collect_at:
            self._collect()
            self._commit_if_full()

    def _commit_if_full(self) -> None:
        if self.frontier.changed >= self._max_changes:
            self.commit_soon()

    def _collect(self) -> bool:
        """Learn which requests have ended. Whether that lets others go."""
        engine = self.crawler.engine
        busy = under_way(engine)
        changed = self.in_flight.vacate(engine.downloader.active)
        if self._keeper is not None and self._keeper.sweep(busy):
            changed = True
        done = self.in_flight.collect(busy)
        self._inc(names.STAT_REQUESTS_DONE, done)
        self._collect_at = max(_COLLECT_AT_LEAST, 2 * len(self.in_flight.under_way))
        return changed

    # --- inside ---

    def _push(self, request: Request, origin: _Origin) -> None:
        slot = lane = slot_name(self.crawler.engine.downloader.get_slot_key(request))
        if self._keeper is not None:
            lane = self._keeper.lane(slot, request)
        delay = self._delay_of(request, lane)
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
        if self.job is None:
            return
        if not durable:
            self._keep_open(row, request, origin)
        elif origin.start_key is not None:
            if self._duplicates.is_unfiltered(request):
                self.frontier.note_start(origin.start_key)
        elif origin.key is not None and origin.parent is not None:
            origin.parent.put_out(origin.key)
        elif origin.parent is None and self.in_flight.repeats:
            self.in_flight.hand_on(self._producer_of(origin.replaced), row)
        self._commit_if_full()

    def _delay_of(self, request: Request, lane: str) -> float:
        delay = pop_delay(request, self._wrong_meta)
        if delay and self._keeper is not None and self._keeper.is_given_up(lane):
            return 0.0  # it was under way when the others were given up
        return delay

    def _keep_open(self, row: Row, request: Request, origin: _Origin) -> None:
        """A request in memory only: whatever made it is not done before it is."""
        parent, fingerprint, key, start_key, _ = origin
        if start_key is not None:
            self.in_flight.add_volatile(row, start_key, fingerprint, from_start=True)
            return
        replaced = self._producer_of(origin.replaced)
        parent = parent or replaced
        if parent is None and not self._told_of_unsafe:
            self._told_of_unsafe = True
            logger.warning(
                "%s is made by no callback and can't be stored: it is lost at a kill. "
                "Give it a method of the spider as callback, and plain values",
                request,
            )
        if key is None:
            key = self._key(request)
            key = key if parent is None else parent.child(key)
        self.in_flight.add_volatile(
            row, key, fingerprint, parent=parent, replaces=replaced is not None
        )

    def _key(self, request: Request) -> int:
        assert self.job is not None
        return request_key(request, self.job.values, self.outputs.inherited())

    def _producer_of(self, request: Request | None) -> HandedOutRequest | None:
        return None if request is None else self.in_flight.under_way.get(request)


def _raise(error: Exception) -> None:
    raise error
