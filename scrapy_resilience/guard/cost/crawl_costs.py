"""The costs of a crawl: what requests claim, and what budgets that are used up do to it."""

from __future__ import annotations

import asyncio
from math import inf
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import close_spider, engine_of, is_closing
from scrapy_resilience._scrapy.of_crawlers import WeakOfCrawlers
from scrapy_resilience.core.budget import Budget, parse_budgets
from scrapy_resilience.core.spending import BYTES, PROXY_REQUESTS, REQUESTS, Prices
from scrapy_resilience.files.layout import COSTS
from scrapy_resilience.gates.announcing import tell
from scrapy_resilience.gates.crawl_pauses import pauses_of
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.guard.cost.keeping import KeptLedger
from scrapy_resilience.guard.cost.tracker import CostTracker, OpenClaim
from scrapy_resilience.settings import PREFIX, Config

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request
    from scrapy.crawler import Crawler

    from scrapy_resilience.core.budget_claims import Claim, Refusal
    from scrapy_resilience.jobs.job import Job

__all__ = ["CrawlCosts", "costs_of", "load_costs"]

logger = get_logger(__name__)

_REASON: Final = "budget"
"""Of the pause."""
_KIND: Final = "budget"
"""Of the events."""
_TELL_AGAIN: Final = 600.0
"""Seconds for which pauses that follow each other, as a window moves, are not told again."""
_RETRY: Final = 1.0
"""Seconds after which a disk is asked again whether it takes a claim."""


def load_costs(config: Config, spider: str = "") -> tuple[Prices, list[Budget]]:
    """Prices and budgets of the settings. Raises :exc:`ConfigurationError`."""
    prices = Prices(config.prices, f"{PREFIX}PRICES")
    return prices, parse_budgets(config.budgets, prices, spider, f"{PREFIX}BUDGETS")


class CrawlCosts:
    """Of one crawl, from :func:`costs_of`. Raises :exc:`ConfigurationError`."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = ref(crawler)
        config = Config.from_settings(crawler.settings)
        spider = crawler.spider or crawler.spidercls
        prices, budgets = load_costs(config, getattr(spider, "name", None) or "")
        self.tracker = CostTracker.of(prices, budgets)
        self.tracker.on_change = lambda: self._in_loop(self.changed)
        counted = {*prices, *self.tracker.limited}
        self.what = int(REQUESTS in counted)
        """What a request claims without a proxy, as in :mod:`..core.spending_records`."""
        self.counts_proxies = PROXY_REQUESTS in counted
        self.counts_bytes = BYTES in counted
        self.heeds = any(budget.action != "warn" for budget in budgets)
        """Whether a request may have to wait."""
        self._by_proxy = any(budget.proxy for budget in budgets)
        self._pauses = pauses_of(crawler)
        self._paused = False
        self._resume_at = -inf
        """On the monotonic clock."""
        self._told_at = -inf
        self._quietly = False
        self._closing = False
        self._reserved: dict[Request, Claim] = {}
        self._waiting: dict[str, Refusal] = {}
        """Domains without room."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = get_ident()
        self._stats: Any = crawler.stats
        if self.heeds:
            self._keeper = gatekeeper_of(crawler)
            self._keeper.budgets = self

    # --- life ---

    def keep_in(self, job: Job) -> None:
        """Write down what is spent, and go on from what was. Raises OSError."""
        path = job.path / COSTS
        self.tracker.opener = lambda: self._open(job)
        if path.exists() or self.tracker.budgets:
            self.tracker.opener = lambda: KeptLedger(path, self.tracker)
            self.tracker.open()

    def _open(self, job: Job) -> KeptLedger | None:
        try:
            return KeptLedger(job.path / COSTS, self.tracker)
        except OSError as error:
            logger.warning("What is spent can't be written down: %s", error)
            return None

    def started(self) -> None:
        """The event loop runs."""
        self._loop, self._thread = asyncio.get_running_loop(), get_ident()
        self.changed()

    def stopped(self) -> None:
        self._loop = None

    def _in_loop(self, function: Callable[[], None]) -> None:
        if self._loop is None:
            return
        if get_ident() == self._thread:
            function()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)

    # --- requests ---

    def claims(self, proxy: str) -> int:
        """What a request claims, as in :mod:`..core.spending_records`."""
        return self.what | (2 if proxy and self.counts_proxies else 0)

    @property
    def asks_for_proxy(self) -> bool:
        """Whether it matters through which proxy a request goes."""
        return self.counts_proxies or self._by_proxy

    def claim(self, request: Request, domain: str, proxy: str) -> OpenClaim | Refusal | None:
        """As :meth:`.CostTracker.claim`; what is not claimed leads to a pause or the end."""
        if (reserved := self._reserved.pop(request, None)) is not None:
            self.tracker.release(reserved)  # in one step with the claim
        found = self.tracker.claim(self.claims(proxy), domain, proxy)
        if isinstance(found, OpenClaim):
            if self.tracker.budgets:
                self.changed()
        elif found is None:
            if not self._is_closing():
                self._paused = True
                until = _clock.monotonic() + _RETRY
                self._pauses.pause(_REASON, self.tracker.trouble, until)
        else:
            self._refused(found)
        return found

    def end(self, claim: OpenClaim, size: int) -> None:
        """Its answer of *size* bytes has come, or it has failed."""
        self.tracker.end(claim, size if self.counts_bytes else 0)
        if (size and self.counts_bytes) or self._paused:
            self.changed()

    def void(self, claim: OpenClaim) -> None:
        """It was not sent."""
        self.tracker.void(claim)
        self._room_came()

    def wait(self, refusal: Refusal | None) -> float:
        """Seconds until it may claim again; inf: never."""
        if refusal is None:
            return _RETRY
        seconds = refusal.seconds(self.tracker.now())
        return inf if seconds is None else seconds

    # --- what the gates ask ---

    def ready_at(self, domain: str, now: float) -> float:
        refusal = self.tracker.refusal(self.what, domain)
        if refusal is None:
            self._waiting.pop(domain, None)
            return 0.0
        if refusal.budget.scope != "job":
            self._waiting[domain] = refusal
        self._refused(refusal)
        return max(refusal.until - self.tracker.base, now + 1e-3)

    def why(self, domain: str) -> str:
        refusal = self._waiting.get(domain)
        return "" if refusal is None else refusal.text

    def holds_until(self, now: float) -> float:
        base = self.tracker.base
        over = [key for key, each in self._waiting.items() if each.until - base <= now]
        for domain in over:
            del self._waiting[domain]
        return min((each.until - base for each in self._waiting.values()), default=0.0)

    def reserve(self, request: Request, domain: str) -> None:
        if reserved := self.tracker.reserve(self.what, domain):
            self._reserved[request] = reserved
            self.changed()

    def release(self, request: Request) -> None:
        reserved = self._reserved.pop(request, None)
        if reserved is not None:
            self.tracker.release(reserved)
            self._room_came()

    # --- what comes of it ---

    def _room_came(self) -> None:
        """What was to be spent was not: what waits need not wait for the window."""
        if self._paused:
            self._resume_at = -inf
            self.changed()

    def changed(self) -> None:
        """Something was spent, or room has come: tell of it, pause, or go on."""
        if self.tracker.budgets.news:
            self._tell_news()
        if not self.heeds:
            return
        refusal = self.tracker.refusal(self.what)
        if refusal is not None and refusal.budget.action == "pause":
            self._pause(refusal)
        elif self._paused and refusal is None and not self.tracker.trouble:
            self._go_on()

    def _go_on(self) -> None:
        if _clock.monotonic() >= self._resume_at:
            self._paused = False
            self._pauses.resume(_REASON)

    def _pause(self, refusal: Refusal) -> None:
        if self._is_closing():
            return
        now = _clock.monotonic()
        if not any(pause.reason == _REASON for pause in self._pauses.all()):
            told = now - self._told_at < min(refusal.budget.seconds, _TELL_AGAIN)
            self._told_at, self._quietly = (self._told_at if told else now), told
        self._paused = True
        self._resume_at = refusal.worth_at - self.tracker.base
        self._pauses.pause(_REASON, refusal.text, self._resume_at, quietly=self._quietly)

    def _refused(self, refusal: Refusal) -> None:
        if refusal.budget.action == "close":
            self._close(refusal)
        elif refusal.budget.scope == "job":
            self._pause(refusal)

    def _is_closing(self) -> bool:
        """Or not open yet."""
        crawler = self._crawler()
        engine = None if crawler is None else engine_of(crawler)
        return engine is None or is_closing(engine)

    def _close(self, refusal: Refusal) -> None:
        crawler = self._crawler()
        if self._closing or crawler is None or self._is_closing():
            return
        self._closing = True
        text = f"The crawl is closed: {refusal.text}"
        logger.warning("%s", text)
        tell(crawler, _KIND, text, self._domain_of(refusal), "error")
        close_spider(crawler, names.REASON_BUDGET)

    def _tell_news(self) -> None:
        crawler = self._crawler()
        for news in self.tracker.take_news():
            full = news.percent >= 100  # noqa: PLR2004 - percent
            if full:
                self._stats.inc_value(names.STAT_BUDGET_REACHED)
            warns = full or not news.percent
            (logger.warning if warns else logger.info)("%s", news.text)
            if crawler is not None:
                domain = news.name if news.budget.scope == "domain" else ""
                tell(crawler, _KIND, news.text, domain, "warning" if warns else "info")

    @staticmethod
    def _domain_of(refusal: Refusal) -> str:
        return refusal.name if refusal.budget.scope == "domain" else ""


_all: Final = WeakOfCrawlers(CrawlCosts)


def costs_of(crawler: Crawler) -> CrawlCosts:
    """The costs of a crawler, made by whoever asks first, and kept by those who ask."""
    return _all.of(crawler)
