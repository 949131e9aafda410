"""Why a crawl is not faster: twice a second, what its time is spent on.

The loop's thread tells how much of the time it computed, waited for a processor, or was blocked
(:mod:`.loop_time`). The rest is shared by the download slots, ``CONCURRENT_REQUESTS`` of them:
what those in use are doing, and what would fill the others. The sums and what they mean are in
:mod:`scrapy_resilience.core.accounting`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from scrapy import signals

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import is_closing
from scrapy_resilience.checkpoint.state import OWN
from scrapy_resilience.core.accounting import (
    BLOCKED,
    CALLBACKS,
    OTHER_WORK,
    PACED,
    PROCESSOR,
    Key,
    Spans,
    Sum,
    spread,
)
from scrapy_resilience.core.advice import advice
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.jobs.crawl_job import job_of
from scrapy_resilience.observe.accounting.loop_time import LoopMeter
from scrapy_resilience.observe.accounting.slot_causes import SlotCauses
from scrapy_resilience.observe.view import Accounting, Cause, Share

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from scrapy_resilience._clock import Timer

__all__ = ["STATE", "Accountant", "accounting_of", "stored_accounting"]

STATE: Final = OWN + "accounting"
_INTERVAL: Final = 0.5

logger = get_logger(__name__)


class _Stored(msgspec.Struct):
    seconds: float
    weights: list[tuple[str, str, str, float]]


class Accountant:
    """Samples a crawl from its opening to its close."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._keeper = gatekeeper_of(crawler)
        self._spans = Spans()
        self._slots: SlotCauses | None = None
        self._meter: LoopMeter | None = None
        self._timer: Timer | None = None
        self._last = 0.0
        crawler.signals.connect(self._begin, signals.spider_opened)
        crawler.signals.connect(self._end, signals.spider_closed)

    def _begin(self) -> None:
        """The job is open: whatever refuses it has had its say."""
        job = job_of(self._crawler)
        if job is not None:
            job.state.register(STATE, self._spans.job.dump, self._restore)
        barrier = None if job is None else job.barrier
        self._slots = SlotCauses(self._crawler, self._keeper, barrier)
        self._meter = LoopMeter()
        self._last = _clock.monotonic()
        self._timer = _clock.call_later(_INTERVAL, self._tick)

    def _restore(self, saved: Any) -> None:
        try:
            self._spans.job.merge(_sum_of(saved))
        except msgspec.ValidationError as error:  # no crawl ends for it
            logger.warning("The time accounting of earlier runs can't be read: %s", error)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._meter is not None:
            self._meter.close()
            self._meter = None

    def _tick(self) -> None:
        self._timer = _clock.call_later(_INTERVAL, self._tick)
        if not is_closing(self._crawler.engine):
            self.sample()

    # --- a sample ---

    def sample(self) -> None:
        """Note what the seconds since the last sample were spent on."""
        assert self._meter is not None
        assert self._slots is not None
        now = _clock.monotonic()
        seconds, self._last = now - self._last, now
        use = self._meter.take(_INTERVAL)
        slots = self._slots.causes(now)
        weights = spread(max(1.0 - use.computing - use.waiting - use.blocked, 0.0), slots)
        for key, share in (
            (Key(PROCESSOR), use.computing),
            (Key(PROCESSOR, OTHER_WORK), use.waiting),
            (Key(CALLBACKS, BLOCKED), use.blocked),
        ):
            weights[key] = weights.get(key, 0.0) + share
        self._spans.add(now, seconds, weights)

    # --- the view ---

    def view(self) -> Accounting:
        """Shares of the last minute, the last hour and the job, and what to change."""
        now = _clock.monotonic()
        hour = self._spans.hour(now)
        return accounting_of(
            self._spans.minute(now), hour, self._spans.job, advice(hour, self._rate)
        )

    def _rate(self, reason: str, domain: str) -> str:
        """How fast *domain* is asked where that is the reason to wait."""
        if reason == PACED:
            slot = getattr(self._crawler.engine.downloader, "slots", {}).get(domain)
            return _shown_rate(1 / slot.delay) if slot is not None and slot.delay else ""
        gate = self._keeper.gates.known(domain)
        limits = (gate.bucket and gate.bucket.per_second, gate.pace and gate.pace.rate)
        rate = limits[reason not in {"rate limit", "robots.txt"}]
        return _shown_rate(rate) if rate else ""


def accounting_of(minute: Sum, hour: Sum, job: Sum, sentence: str = "") -> Accounting:
    """The view of these sums."""
    return Accounting(
        minute=_cause(minute), hour=_cause(hour), job=_cause(job), sentence=sentence
    )


def stored_accounting(saved: Any) -> Accounting:
    """The view of a job that does not run, of what its last commit has; None is nothing."""
    job = _sum_of(saved)
    return accounting_of(Sum(), Sum(), job, advice(job, of="the whole job"))


def _sum_of(saved: Any) -> Sum:
    """Raises :exc:`msgspec.ValidationError` for a value of another shape."""
    if saved is None:
        return Sum()
    stored = msgspec.convert(saved, _Stored)
    return Sum.load(stored.seconds, stored.weights)


def _cause(found: Sum) -> Cause:
    shares = [
        Share(cause=part.cause, share=part.share, detail=part.detail, domains=part.domains)
        for part in found.parts()
    ]
    return Cause(seconds=found.seconds, shares=shares)


def _shown_rate(per_second: float) -> str:
    """``5/s`` or ``12/m``."""
    if per_second >= 1:
        return f"{per_second:.3g}/s"
    return f"{60 * per_second:.3g}/m"
