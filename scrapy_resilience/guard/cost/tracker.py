"""What is spent, by whom, and what budgets say to it: the ledger of one crawl, or of none.

Threads may tell what they spend, so each step holds a lock.
"""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING, Any, Final, Protocol

from scrapy_resilience import _clock
from scrapy_resilience.core.budget import parse_budgets
from scrapy_resilience.core.budget_claims import Budgets, Claim, News, Refusal
from scrapy_resilience.core.spending import BYTES, KNOWN, Prices, Spend, Totals, is_amount
from scrapy_resilience.core.spending_records import CLAIM, END, SPENT, VOID, spends
from scrapy_resilience.exceptions import BudgetExceededError, ConfigurationError
from scrapy_resilience.guard.cost.tracking import Tracking
from scrapy_resilience.guard.cost.views import budget_views, cost_view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from scrapy_resilience.observe.view import BudgetView, CostView

__all__ = ["CostTracker", "OpenClaim"]

_LONGEST: Final = 253
"""Characters of the name of a domain or proxy."""


class Kept(Protocol):
    """Where a ledger is written down."""

    trouble: str

    def write(self, *record: Any) -> bool: ...

    def write_later(self, *record: Any) -> None: ...

    def take_back(self) -> None: ...

    def commit(self) -> None: ...

    def close(self) -> None: ...


class OpenClaim:
    """What a request has claimed until its answer is there."""

    __slots__ = ("domain", "held", "number", "proxy", "sent", "spends")

    def __init__(
        self, number: int, spends: tuple[Spend, ...], domain: str, proxy: str, held: Claim
    ) -> None:
        self.number = number
        """In the file; 0 where nothing was written of it."""
        self.spends = spends
        self.domain = domain
        self.proxy = proxy
        self.held = held
        self.sent = False
        """Whether it has left for the network; its user sets it."""


class CostTracker:
    """Counts what is spent, and keeps budgets, for whatever shares it.

    A crawl has one by itself; make one for use outside of a crawl.

    :param prices: dollars for one of each resource, beside those of ``RESILIENCE_PRICES``
    :param budgets: as in ``RESILIENCE_BUDGETS``. Outside of a crawl nothing can be paused:
        :meth:`track` says whether a budget is used up.
    :raises ConfigurationError: for a price or budget that can't be meant
    """

    def __init__(
        self, prices: Mapping[str, Any] | None = None, budgets: Iterable[Any] = ()
    ) -> None:
        self.prices = Prices(prices or {})
        self._begin(parse_budgets(budgets, self.prices))

    @classmethod
    def of(cls, prices: Prices, budgets: Iterable[Any]) -> CostTracker:
        """One with prices and budgets that were checked."""
        self = cls.__new__(cls)
        self.prices = prices
        self._begin(budgets)
        return self

    def _begin(self, budgets: Iterable[Any]) -> None:
        self.totals = Totals()
        self.budgets = Budgets(budgets)
        self.limited = {budget.resource for budget in self.budgets}
        """Resources that have a budget."""
        self.opener: Callable[[], Kept | None] | None = None
        """Gives where it is written down, when there is something to write."""
        self._kept: Kept | None = None
        self.on_change: Callable[[], None] | None = None
        """Called when something was spent, by whoever has done so."""
        self.base = _clock.wall() - _clock.monotonic()
        """What the ledger's time is ahead of the monotonic clock."""
        self._known = {*KNOWN, *self.prices, *self.limited}
        self.lock = RLock()
        self._spends = [spends(what, self.prices) for what in range(4)]
        self._number = 0
        self._timed: set[Tracking] = set()

    @property
    def kept(self) -> Kept | None:
        """Where it is written down; None where it is not."""
        if self._kept is None and self.opener is not None:
            opener, self.opener = self.opener, None
            self._kept = opener()
        return self._kept

    def open(self) -> None:
        """Have what was spent before count from now on. Raises what the opener does."""
        _ = self.kept

    @property
    def trouble(self) -> str:
        """Why nothing can be written down now; empty when all is well."""
        return "" if self._kept is None else self._kept.trouble

    def now(self) -> float:
        """The ledger's time, in seconds."""
        return self.base + _clock.monotonic()

    # --- for everybody ---

    def track(
        self,
        resource: str,
        amount: float = 1,
        *,
        domain: str | None = None,
        proxy: str | None = None,
        enforce: bool = False,
    ) -> bool:
        """Count what was spent: see :func:`scrapy_resilience.cost.track`."""
        self.check(resource, amount)
        # as plain ones: the file takes no subclasses, such as numpy's numbers
        amount = int(amount) if isinstance(amount, int) else float(amount)
        resource = str.__str__(resource)
        spend = self.prices.spend(resource, amount)
        domain, proxy = _name(domain), _name(proxy)
        with self.lock:
            now = self.now()
            if enforce:
                self._enforce(self._refusal((spend,), domain, proxy, now), now)
            if (kept := self.kept) is not None:
                written = kept.write(SPENT, now, domain, proxy, resource, amount)
                if enforce and not written and self._is_limited((spend,)):
                    kept.take_back()
                    raise BudgetExceededError(kept.trouble, resource, 0.0)
            self.totals.add((spend,), domain, proxy)
            is_room = self.budgets.add((spend,), domain, proxy, now)
        self._changed()
        return is_room

    def tracking(
        self, resource: str, *, domain: str | None = None, proxy: str | None = None
    ) -> Tracking:
        """Count what a block spends: see :func:`scrapy_resilience.cost.tracking`."""
        self.check(resource)
        return Tracking(lambda: self, resource, domain, proxy)

    def usage(self) -> CostView:
        """What was spent up to now, and what budgets have left."""
        self.charge_time()
        with self.lock:
            now, wall = self.now(), _clock.wall()
            view = cost_view(self.totals, self.prices, self.budgets, now, wall)
            view.trouble = self.trouble
            return view

    def check_limits(self, *, enforce: bool = False) -> list[BudgetView]:
        """Budgets that have no room now: see :func:`scrapy_resilience.cost.check_limits`."""
        self.charge_time()
        with self.lock:
            wall = _clock.wall()
            full = budget_views(self.budgets, self.now(), wall, only_full=True)
        for each in full:
            if enforce and each.action != "warn":
                after = None if each.moves is None else max(each.moves - wall, 0.0)
                message = f"the budget of {each.text} is used up"
                raise BudgetExceededError(message, each.resource, after)
        return full

    def check(self, resource: str, amount: float = 0) -> None:
        """Raises what :meth:`track` does for a resource or an amount that is none."""
        if resource not in self._known:
            raise ConfigurationError(
                f"{resource!r} is no resource that is known: give it a price in "
                "RESILIENCE_PRICES, or a budget."
            )
        if not is_amount(amount):
            raise ValueError(f"{resource}: amount={amount!r}: use a number from 0.")

    # --- for requests ---

    def claim(self, what: int, domain: str, proxy: str) -> OpenClaim | Refusal | None:
        """Claim what a request is about to spend; None when it can't be written down.

        *what* is as in :mod:`scrapy_resilience.core.spending_records`. What is refused has
        spent nothing.
        """
        with self.lock:
            now, number, claimed = self.now(), 0, self._spends[what]
            if self.budgets:
                refusal = self.budgets.refusal(claimed, domain, proxy, now)
                if refusal is not None:
                    return refusal
            if what and (kept := self.kept) is not None:
                number = self._number = self._number + 1
                written = kept.write(CLAIM, number, now, what, domain, proxy)
                if not written and self._is_limited(claimed):
                    kept.take_back()
                    return None
            self.totals.add(claimed, domain, proxy)
            held = self.budgets.claim(claimed, domain, proxy, now) if self.budgets else []
            return OpenClaim(number, claimed, domain, proxy, held)

    def end(self, claim: OpenClaim, size: int = 0) -> None:
        """The answer has come, with *size* bytes to be counted, or the request has failed."""
        with self.lock:
            now = self.now()
            kept = self.kept if claim.number or size else None  # which may bring older totals
            self.budgets.end(claim.held, now)
            if size:
                spend = (self.prices.spend(BYTES, size),)
                self.totals.add(spend, claim.domain, claim.proxy)
                self.budgets.add(spend, claim.domain, claim.proxy, now)
            if kept is None:
                return
            if claim.number and not size:
                kept.write_later(END, claim.number, now, 0)
            elif claim.number:
                kept.write(END, claim.number, now, size)
            else:
                kept.write(SPENT, now, claim.domain, claim.proxy, BYTES, size)

    def void(self, claim: OpenClaim) -> None:
        """The request was not sent."""
        with self.lock:
            self.budgets.void(claim.held)
            self.totals.add(claim.spends, claim.domain, claim.proxy, -1)
            if claim.number and (kept := self.kept) is not None:
                kept.write(VOID, claim.number)

    def refusal(self, what: int, domain: str = "") -> Refusal | None:
        """Why a request must not be handed out now: what is reserved counts as spent."""
        with self.lock:
            return self.budgets.refusal(
                self._spends[what], domain, "", self.now(), reserved=True
            )

    def reserve(self, what: int, domain: str) -> Claim:
        """Keep room for a request that is handed out."""
        with self.lock:
            return self.budgets.reserve(self._spends[what], domain, self.now())

    def release(self, reserved: Claim) -> None:
        """It has claimed, or will not."""
        with self.lock:
            self.budgets.release(reserved)

    def begin_at(self, number: int) -> None:
        """Count claims on from *number*."""
        self._number = number

    def take_news(self) -> list[News]:
        """Shares of limits that were reached since the last call."""
        with self.lock:
            news = [*self.budgets.news]
            self.budgets.news.clear()
        return news

    def commit(self) -> None:
        """Have what was written down forced to the disk."""
        if self._kept is not None:
            self._kept.commit()

    def close(self) -> None:
        """Nothing is written down from now on."""
        if self._kept is not None:
            self._kept.close()
        self._kept = self.opener = None

    # --- time ---

    def timed(self, tracking: Tracking, *, begins: bool) -> None:
        """A block that is charged for its time begins or ends."""
        with self.lock:
            (self._timed.add if begins else self._timed.discard)(tracking)

    def charge_time(self) -> None:
        """Charge blocks that are still under way for the time up to now."""
        with self.lock:
            timed = [*self._timed]
        for each in timed:
            each.charge()

    # --- inside ---

    def _refusal(
        self, spent: tuple[Spend, ...], domain: str, proxy: str, now: float
    ) -> Refusal | None:
        return self.budgets.refusal(spent, domain, proxy, now, all_of_them=False)

    def _is_limited(self, spent: tuple[Spend, ...]) -> bool:
        return any(budget.weight(spent) for budget in self.budgets)

    def _enforce(self, refusal: Refusal | None, now: float) -> None:
        if refusal is not None:
            raise BudgetExceededError(
                refusal.text, refusal.budget.resource, refusal.seconds(now)
            )

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()


def _name(given: str | None) -> str:
    """A host as it is counted, where somebody has given a URL: no password is written down."""
    if not given:
        return ""
    host = given.rpartition("@")[2].rpartition("://")[2].strip("/")[:_LONGEST].lower()
    return host.encode("utf-8", "replace").decode()
