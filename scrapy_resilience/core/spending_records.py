"""What a file of costs holds, record by record, and what the records come to together.

========  ==========================================  =========================================
kind      then                                        what it says
========  ==========================================  =========================================
CLAIM     number, time, what, domain, proxy           a request is about to be sent
END       number, time, bytes                         its answer has come, or it has failed
VOID      number                                      it was not sent after all
SPENT     time, domain, proxy, resource, amount       somebody has told so
CLOCK     time, wall                                  how the two clocks stand to each other
PRICES    {resource: dollars}                         they hold from here on
BUDGETS   [budget, ...]                               likewise; for whoever looks on
TOTAL     group, name, {resource: [units, cost]}      sums of what was before
ENTRY     time, domain, proxy, [spend, ...]           in these sums, and perhaps in windows
========  ==========================================  =========================================

*time* is that of the ledger: it only grows, by the monotonic clock while a process runs and by
the time of day between two. *what* says which of :data:`RESOURCES` is claimed, bit by bit. Sums
are texts: they may have more digits than a number of MessagePack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy_resilience.core.spending import (
    BYTES,
    PROXY_REQUESTS,
    REQUESTS,
    Prices,
    Spend,
    Totals,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "BUDGETS", "CLAIM", "CLOCK", "END", "PRICES", "SPENT", "VOID", "Entry", "Folded", "spends",
]  # fmt: skip

CLAIM, END, VOID, SPENT, CLOCK, PRICES, BUDGETS, TOTAL, ENTRY = range(9)
RESOURCES: Final = (REQUESTS, PROXY_REQUESTS)
_KEPT: Final = 20_000
"""Entries of a file that is made smaller, and one for each domain and proxy more."""


def spends(what: int, prices: Prices) -> tuple[Spend, ...]:
    """What a claim spends."""
    return tuple(
        prices.spend(name, 1) for bit, name in enumerate(RESOURCES) if what & (1 << bit)
    )


class Entry(NamedTuple):
    """What was spent, and when that ended."""

    time: float
    domain: str
    proxy: str
    spends: tuple[Spend, ...]


class _Open(NamedTuple):
    """A claim that has not ended; *prices* are those of its time."""

    record: tuple[Any, ...]
    domain: str
    proxy: str
    spends: tuple[Spend, ...]


class Folded:
    """The sum of the records of a file, in their order."""

    def __init__(self) -> None:
        self.totals = Totals()
        self.entries: list[Entry] = []
        """In the order of their times."""
        self.open: dict[int, _Open] = {}
        self.number = 0
        """The highest one of a claim."""
        self.time = 0.0
        """The latest one."""
        self.wall: float | None = None
        """The time of day at :attr:`time`."""
        self.prices = Prices({})
        self.budgets: list[Any] = []
        self._offset = 0.0
        self._spends: dict[int, tuple[Spend, ...]] = {}
        self._take: tuple[Callable[..., None], ...] = (
            self._claim, self._end, self._void, self._spent, self._clock, self._set_prices,
            self._set_budgets, self._total, self._entry,
        )  # fmt: skip

    def take(self, record: Any) -> bool:
        """Add a record; False for one of another version."""
        try:
            self._take[record[0]](*record[1:])
        except (AttributeError, TypeError, ValueError, LookupError):
            return False
        return True

    def later(self, wall: float) -> float:
        """What time it is now, at *wall*: a clock that was set back stands still."""
        if self.wall is None:
            return wall
        return self.time + max(wall - self.wall, 0.0)

    def end_open(self, now: float) -> None:
        """Whoever wrote the file is gone: what was under way ends now, at the latest."""
        for claim in self.open.values():
            self._add(now, claim.domain, claim.proxy, claim.spends)
        self.open.clear()

    def records(self, since: float) -> Iterator[tuple[Any, ...]]:
        """The same in fewer records: entries that ended before *since* are only sums."""
        if self.wall is not None:
            yield CLOCK, self.time, self.wall
        yield PRICES, dict(self.prices)
        yield BUDGETS, self.budgets
        yield from self._sums()
        recent = [each for each in self.entries if each.time >= since]
        for entry in (*self._past(since), *_merged(recent)):
            yield ENTRY, *entry[:3], [(name, *map(str, pair)) for name, *pair in entry.spends]
        for claim in self.open.values():
            yield claim.record

    def _past(self, since: float) -> list[Entry]:
        """What is older comes to: budgets of the whole job never forget it.

        One sum for each domain and proxy where such a budget asks for them. Its time is that of
        its first entry, so that a longer window, which is set later, does not count all of it.
        """
        by_domain = any(_is_for_good(each, "domain") for each in self.budgets)
        by_proxy = any(_is_for_good(each, "proxy") for each in self.budgets)
        groups: dict[tuple[str, str], list[Entry]] = {}
        for entry in self.entries:
            if entry.time < since:
                whose = (entry.domain if by_domain else "", entry.proxy if by_proxy else "")
                groups.setdefault(whose, []).append(entry)
        return sorted(
            Entry(group[0].time, *whose, _sum(group).spends) for whose, group in groups.items()
        )

    def _sums(self) -> list[tuple[Any, ...]]:
        """Without the open claims, which follow."""
        totals = self.totals
        for claim in self.open.values():
            totals.add(claim.spends, claim.domain, claim.proxy, -1)
        named = [("resources", "", totals.resources)]
        named += [("domains", *each) for each in totals.domains.items()]
        named += [("proxies", *each) for each in totals.proxies.items()]
        found = [
            (
                TOTAL,
                group,
                name,
                {resource: [*map(str, pair)] for resource, pair in sums.items()},
            )
            for group, name, sums in named
        ]
        for claim in self.open.values():
            totals.add(claim.spends, claim.domain, claim.proxy)
        return found

    # --- each kind ---

    def _claim(self, number: int, time: float, what: int, domain: str, proxy: str) -> None:
        record = (CLAIM, number, time, what, domain, proxy)
        claimed = self._spends.get(what)
        if claimed is None:
            claimed = self._spends[what] = spends(what, self.prices)
        self._at(time)
        self.open[number] = _Open(record, domain, proxy, claimed)
        self.number = max(self.number, number)
        self.totals.add(claimed, domain, proxy)

    def _end(self, number: int, time: float, size: int) -> None:
        self._at(time)
        claim = self.open.pop(number)
        self._add(time, claim.domain, claim.proxy, claim.spends)
        if size:
            self._spend(time, claim.domain, claim.proxy, self.prices.spend(BYTES, size))

    def _void(self, number: int) -> None:
        claim = self.open.pop(number)
        self.totals.add(claim.spends, claim.domain, claim.proxy, -1)

    def _spent(
        self, time: float, domain: str, proxy: str, resource: str, amount: float
    ) -> None:
        self._at(time)
        self._spend(time, domain, proxy, self.prices.spend(resource, amount))

    def _spend(self, time: float, domain: str, proxy: str, spend: Spend) -> None:
        self.totals.add((spend,), domain, proxy)
        self._add(time, domain, proxy, (spend,))

    def _clock(self, time: float, wall: float) -> None:
        self._offset = wall - time
        self.time = max(time, self.time)
        self.wall = self.time + self._offset

    def _set_prices(self, prices: Mapping[str, float]) -> None:
        self.prices = Prices.exactly(prices)
        self._spends.clear()

    def _set_budgets(self, budgets: list[Any]) -> None:
        self.budgets = budgets

    def _total(self, group: str, name: str, sums: Mapping[str, list[str]]) -> None:
        named = {"domains": self.totals.domains, "proxies": self.totals.proxies}
        found = named[group].setdefault(name, {}) if name else self.totals.resources
        found.update((resource, [*map(int, pair)]) for resource, pair in sums.items())

    def _entry(self, time: float, domain: str, proxy: str, found: list[list[Any]]) -> None:
        self._at(time)
        spent = tuple(Spend(name, int(counted), int(cost)) for name, counted, cost in found)
        self._add(time, domain, proxy, spent)

    # --- inside ---

    def _at(self, time: float) -> None:
        self.time = max(time, self.time)
        if self.wall is not None:
            self.wall = self.time + self._offset

    def _add(self, time: float, domain: str, proxy: str, found: tuple[Spend, ...]) -> None:
        self.entries.append(Entry(time, domain, proxy, found))


def _is_for_good(budget: Any, key: str) -> bool:
    """Whether it is one of the whole job, by what *key* says; as :data:`BUDGETS` has it."""
    if not isinstance(budget, dict):
        return False
    return budget.get("seconds", 0) is None and bool(budget.get(key))


def _merged(entries: list[Entry]) -> list[Entry]:
    """When there are many, neighbours of a domain and proxy become one, with the later end."""
    if len(entries) <= _KEPT:
        return entries
    several = -(-len(entries) // _KEPT) * 2
    waiting: dict[tuple[str, str], list[Entry]] = {}
    found: list[Entry] = []
    for entry in entries:
        group = waiting.setdefault((entry.domain, entry.proxy), [])
        group.append(entry)
        if len(group) >= several:
            found.append(_sum(group))
            group.clear()
    found += [_sum(group) for group in waiting.values() if group]
    return sorted(found)


def _sum(entries: list[Entry]) -> Entry:
    sums = Totals()
    for entry in entries:
        sums.add(entry.spends, "", "")
    together = tuple(Spend(name, *pair) for name, pair in sums.resources.items())
    return entries[-1]._replace(spends=together)
