"""All budgets of a crawl, in use.

A budget has one window, or one for each domain or proxy. What a request will cost is claimed in
each of them before it is sent (:mod:`.spending_window` says why that is exact). What is known
afterwards only, such as tokens, is added when it is told: it may go beyond the limit, and then
nothing new is let through until the windows have moved.

Nothing here knows Scrapy or a clock: *now* is an argument, in seconds.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from scrapy_resilience.core.budget import Budget
from scrapy_resilience.core.spending import OTHER, units
from scrapy_resilience.core.spending_window import SpendingWindow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scrapy_resilience.core.spending import Spend

__all__ = ["Budgets", "Claim", "News", "Refusal"]

WINDOWS: Final = 100_000
"""Of one budget; what comes later shares some."""
SHARED: Final = 10_000
_FINE: Final = 1_000
"""Windows of one budget that have as many entries as one may have."""
_FEW: Final = 32
"""Entries of each other one: those of a domain that was asked often leave a little later."""
_MOST_NEWS: Final = 1_000
_NEARLY: Final = 80
_FULL: Final = 100
"""Percent of a limit that are told."""
_SELDOM: Final = 1_000
"""Names that are turned away between two looks for room."""


class Refusal(NamedTuple):
    """Which budget has no room, and when to ask again; inf: never."""

    budget: Budget
    name: str
    """Of the domain or proxy, where the budget is one of each."""
    until: float
    worth_at: float
    """When it is worth to go on: not before :attr:`until`."""

    @property
    def text(self) -> str:
        return f"the budget of {self.budget.text(self.name)} is used up"

    def seconds(self, now: float) -> float | None:
        """How long it lasts; None: for good."""
        return None if self.until == inf else max(self.until - now, 0.0)


class News(NamedTuple):
    """A share of a limit that was reached, in percent; 0: its names have begun to share."""

    budget: Budget
    name: str
    percent: int

    @property
    def text(self) -> str:
        whose = self.budget.text(self.name)
        if self.percent:
            return f"{self.percent} % of the budget of {whose} is spent"
        names = {"domain": "domains", "proxy": "proxies"}[self.budget.scope]
        return (
            f"More than {WINDOWS:,} {names} have spent of the budget of {whose}: those that "
            f"come later share {SHARED:,} such limits"
        )


Claim = list[tuple[SpendingWindow, int]]
"""What was claimed, and where."""
_Held = tuple[Budget, str, SpendingWindow]


class _Windows:
    """Those of one budget."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.windows: dict[str, SpendingWindow] = {}
        self.shared: dict[int, SpendingWindow] = {}
        self.is_told = False
        """Whether it was told that names share."""
        self._misses = 0

    def at(self, name: str, now: float) -> tuple[str, SpendingWindow]:
        """The window of a name; when there are too many, those that come later share some.

        As long as a shared one counts anything, none of its names gets one of its own: it may
        have spent there.
        """
        found = self.windows.get(name)
        if found is not None:
            return name, found
        place = hash(name) % SHARED
        found = self.shared.get(place)
        if found is not None:
            if not found.idle(now):
                return OTHER, found
            del self.shared[place]
        if len(self.windows) >= WINDOWS:
            self._make_room(now)
        if len(self.windows) >= WINDOWS:
            found = self.shared[place] = self._new(_FEW)
            return OTHER, found
        found = self.windows[name] = self._new(0 if len(self.windows) < _FINE else _FEW)
        return name, found

    def all(self) -> Iterator[tuple[str, SpendingWindow]]:
        """Of those that are shared the one that is closest to the limit."""
        yield from self.windows.items()
        if self.shared:
            yield OTHER, max(self.shared.values(), key=lambda each: each.open + each.ended)

    def _new(self, most: int) -> SpendingWindow:
        return SpendingWindow(units(self.budget.limit), self.budget.seconds, most)

    def _make_room(self, now: float) -> None:
        """Looks at all windows, so not each time."""
        if self._misses % _SELDOM == 0:
            kept = {name: each for name, each in self.windows.items() if not each.idle(now)}
            self.windows = kept
        self._misses += 1


class Budgets:
    """All budgets of a crawl."""

    def __init__(self, budgets: Iterable[Budget] = ()) -> None:
        self._all = [_Windows(budget) for budget in budgets]
        self.news: deque[News] = deque(maxlen=_MOST_NEWS)
        """The oldest are forgotten where nobody takes them."""
        """What is to be told; whoever tells it takes it out."""

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Budget]:
        return (each.budget for each in self._all)

    def windows(self) -> Iterator[_Held]:
        """Each window that there is."""
        for each in self._all:
            for name, window in each.all():
                yield each.budget, name, window

    def unused(self) -> Iterator[Budget]:
        """Budgets of which nothing was spent yet."""
        return (each.budget for each in self._all if not each.windows)

    def refusal(
        self,
        spends: Iterable[Spend],
        domain: str,
        proxy: str,
        now: float,
        *,
        all_of_them: bool = True,
        reserved: bool = False,
    ) -> Refusal | None:
        """Why *spends* must not be spent now: what closes the crawl, or what lasts longest.

        :param all_of_them: heed budgets, too, of which nothing would be spent: they must have
            room for something
        :param reserved: count what is reserved as spent
        """
        found: Refusal | None = None
        for budget, name, window in self._of(domain, proxy, now):
            if budget.action == "warn":
                continue
            weight = budget.weight(spends)
            if not (weight or all_of_them):
                continue
            until = window.ready_at(weight, now, reserved=reserved)
            if until > now and (found is None or _is_worse(budget, until, found)):
                whose = name if budget.scope != "job" else ""
                found = Refusal(budget, whose, until, window.worth_at(until))
        return found

    def claim(self, spends: Iterable[Spend], domain: str, proxy: str, now: float) -> Claim:
        """Count *spends* until their claim ends, and until their windows have moved past it."""
        claim: Claim = []
        for budget, name, window in self._of(domain, proxy, now):
            if weight := budget.weight(spends):
                window.claim(weight)
                claim.append((window, weight))
                self._tell(budget, name, window, now)
        return claim

    @staticmethod
    def end(claim: Claim, now: float) -> None:
        for window, weight in claim:
            window.end(weight, now)

    @staticmethod
    def void(claim: Claim) -> None:
        for window, weight in claim:
            window.void(weight)

    def reserve(self, spends: Iterable[Spend], domain: str, now: float) -> Claim:
        """Keep room for one that is expected to claim *spends*."""
        claim: Claim = []
        for budget, _, window in self._of(domain, "", now):
            if weight := budget.weight(spends):
                window.reserved += weight
                claim.append((window, weight))
        return claim

    @staticmethod
    def release(claim: Claim) -> None:
        """It has claimed, or will not."""
        for window, weight in claim:
            window.reserved -= weight

    def add(self, spends: Iterable[Spend], domain: str, proxy: str, now: float) -> bool:
        """Count what was spent just now, or ended then.

        Returns whether there is room for more, in all budgets where that matters.
        """
        is_room = True
        for budget, name, window in self._of(domain, proxy, now):
            if weight := budget.weight(spends):
                window.add(weight, now)
                is_room &= budget.action == "warn" or not window.ready_at(0, now)
                self._tell(budget, name, window, now)
        return is_room

    def _of(self, domain: str, proxy: str, now: float) -> Iterator[_Held]:
        """The windows that count what is spent there."""
        for each in self._all:
            name = each.budget.window_of(domain, proxy)
            if name is not None:
                known, window = each.at(name, now)
                if each.shared and not each.is_told:
                    each.is_told = True
                    self.news.append(News(each.budget, "", 0))
                yield each.budget, known, window

    def _tell(self, budget: Budget, name: str, window: SpendingWindow, now: float) -> None:
        used = (window.open + window.ended) * 100
        if used < _NEARLY * window.limit:
            return
        percent = _FULL if used >= _FULL * window.limit else _NEARLY
        last = window.told.get(percent, -inf)
        if now - last > budget.seconds or last == -inf:
            window.told[percent] = now
            self.news.append(News(budget, name if budget.scope != "job" else "", percent))


def _is_worse(budget: Budget, until: float, found: Refusal) -> bool:
    closes, closed = budget.action == "close", found.budget.action == "close"
    return closes if closes != closed else until > found.until
