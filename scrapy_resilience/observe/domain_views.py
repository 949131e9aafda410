"""The domains of a view: which ones, and what is known of each."""

from __future__ import annotations

from functools import lru_cache
from heapq import nlargest
from itertools import chain, islice
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from scrapy_resilience.core.breaker import State
from scrapy_resilience.core.masking import clipped
from scrapy_resilience.observe.traffic import DomainCounts, shown_domain
from scrapy_resilience.observe.view import DomainView

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scrapy_resilience.core.gate import Gate
    from scrapy_resilience.frontier.lanes import Frontier
    from scrapy_resilience.gates.gatekeeper import Gatekeeper
    from scrapy_resilience.observe.traffic import TrafficCounts

__all__ = ["DomainViews"]

_SHOWN: Final = 1000
"""Domains of a view."""
_IN_TROUBLE: Final = 750
"""That come first; the other places are for those with most traffic."""
_LOOKED_AT: Final = 2000
"""Domains in trouble that are looked at for one view."""
_LONGEST: Final = 200
"""Characters of a reason."""
_CLOSED: Final = State.CLOSED
_NO_COUNTS: Final = DomainCounts()
_requests: Final = attrgetter("requests")


class DomainViews:
    """Those of one crawl."""

    def __init__(
        self, keeper: Gatekeeper, counts: TrafficCounts, critical: Iterable[str]
    ) -> None:
        self.keeper = keeper
        self.counts = counts.domains
        self.critical = dict.fromkeys(critical)

    def of(
        self,
        frontier: Frontier | None,
        under_way: Mapping[str, int],
        now: float,
        wall: float,
    ) -> list[DomainView]:
        """Critical ones and those in trouble, then those with most traffic, then the others.

        *under_way* is how many requests of each domain are.
        """
        maker = _Maker(self, frontier, under_way, now, wall)
        found: dict[str, DomainView] = {}
        for domain in dict.fromkeys(self._names(maker, frontier)):
            name = shown_domain(domain)
            if name not in found:
                found[name] = maker.view(domain, name)
            if len(found) == _SHOWN:
                break
        return list(found.values())

    def _names(self, maker: _Maker, frontier: Frontier | None) -> chain[str]:
        held = [] if frontier is None else frontier.held_groups(_LOOKED_AT)
        critical = [*filter(maker.is_known, self.critical)]
        told = [*critical, *islice(self.keeper.gates.notable, _LOOKED_AT), *held]
        trouble = sorted(dict.fromkeys(told), key=maker.trouble, reverse=True)
        places = max(_IN_TROUBLE, len(critical))
        busiest = nlargest(_SHOWN, self.counts.values(), key=_requests)
        maker.held = frozenset(held)
        rest = [] if frontier is None else frontier.groups(_SHOWN)
        return chain(
            trouble[:places],
            [counts.name for counts in busiest],
            trouble[places:],
            maker.under_way,
            rest,
        )


class _Maker:
    """Makes the views of one moment: a thousand, so nothing is looked up twice."""

    def __init__(
        self,
        views: DomainViews,
        frontier: Frontier | None,
        under_way: Mapping[str, int],
        now: float,
        wall: float,
    ) -> None:
        self._gates = views.keeper.gates
        self._why = views.keeper.why
        self._slow_start = self._gates.config.slow_start
        self._counts = views.counts
        self._critical = views.critical
        self._left = _none_left if frontier is None else frontier.left_of
        self.under_way = under_way
        self.held: frozenset[str] = frozenset()
        self._now = now
        self._wall = wall

    def is_known(self, domain: str) -> bool:
        """Whether there is anything to say of a domain."""
        return (
            domain in self._counts
            or domain in self._gates
            or domain in self.under_way
            or self._left(domain) > 0
        )

    def trouble(self, domain: str) -> tuple[bool, bool, int, int]:
        """By what a list of domains begins with the ones that need a look."""
        return (
            domain in self._critical,
            self._gates.known(domain).breaker.state is not _CLOSED,
            self._left(domain),
            self._counts.get(domain, _NO_COUNTS).failures,
        )

    def view(self, domain: str, name: str) -> DomainView:
        """What is known of *domain*, which is shown as *name*."""
        counts, gate = self._counts.get(name, _NO_COUNTS), self._gates.known(domain)
        left, under_way = self._left(domain), self.under_way.get(domain, 0)
        state = gate.breaker.state
        view = DomainView(
            name=name,
            requests=counts.requests,
            answers=counts.answers,
            failures=counts.failures,
            retries=counts.retries,
            bytes=counts.bytes,
            latency=counts.seconds / counts.timed if counts.timed else None,
            pending=left + under_way,
            under_way=under_way,
            breaker="closed" if state is _CLOSED else state.value,
            opened=counts.opened,
            given_up=gate.given_up,
            critical=domain in self._critical,
        )
        if gate.bucket is not None or gate.pace is not None:
            view.rate = _rate(gate)
        if left:
            self._tell_wait(domain, view, gate)
        return view

    def _tell_wait(self, domain: str, view: DomainView, gate: Gate) -> None:
        now = self._now
        until = gate.ready_at(now, self._slow_start)
        if until > now:
            view.waits_for = _reason(self._gates.why(gate.domain, now))
            view.next_try = None if until == inf else round(self._wall + until - now, 3)
        elif gate.lanes and domain in self.held:  # for requests of others
            view.waits_for = _reason(self._why(next(iter(gate.lanes)), now)[1])


def _none_left(_: str) -> int:
    """Of another scheduler nothing is known."""
    return 0


@lru_cache(256)
def _reason(text: str) -> str:
    """A handler of the user's may have given it."""
    return clipped(text, _LONGEST)


def _rate(gate: Gate) -> float | None:
    rates = [gate.bucket.per_second] if gate.bucket is not None else []
    if gate.pace is not None and gate.pace.rate is not None:
        rates.append(gate.pace.rate)
    return round(min(rates), 4) if rates else None
