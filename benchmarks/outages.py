"""Flaky, dying and dead hosts against the real core, on a simulated clock.

The frontier, the gates, their breakers, the tries and the backoff are those of a crawl, all
settings at their defaults; simulated are the hosts, the downloader (8 requests a host, 16 in
all, 30 ms, a timeout of 5 s) and what the middlewares do with an answer.

==================  ==================================================================
first try           so many pages answer 503 on their first request, then 200
random              so many requests answer 503
bad pages           200 pages in a row of 1,000 that always answer 500; and 40 of 200
dead                a host that never answers (silent), or refuses connections
dies                it fails now and then, and for good after 0.3 s, at once
outage              it answers 503 from 0.3 s on, for so long
chain               each page links to the next; 15 % first try
ten hosts           of 100 pages each; one is silent, one answers 503
proxies             a list of ten of which 7 refuse connections, chosen at random, each with a
                    breaker of its own
==================  ==================================================================

*false* are the openings of breakers of hosts that were not down, *lost* the pages that could
be had and were given up, *wasted* the requests that a host got while it was down, and those
of pages that can't be had; *after* is the time from the end of the outage to the last item.
Means over the seeds; where a host has no end, seconds are when it was given up.

Then the operating curve of the breaker: see :mod:`benchmarks.curve`.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from math import inf
from statistics import mean
from typing import TYPE_CHECKING

from benchmarks import curve
from benchmarks.report import Outcome
from scrapy_resilience.core.backoff import RetryBudgets, RetryPolicy, fast_backoff
from scrapy_resilience.core.breaker import Event, State
from scrapy_resilience.core.breaker import Outcome as Ended
from scrapy_resilience.core.gate import KnownPage
from scrapy_resilience.core.gates import GateConfig, Gates
from scrapy_resilience.frontier.lane import Order
from scrapy_resilience.frontier.lanes import Frontier
from scrapy_resilience.frontier.store import MemoryStore
from scrapy_resilience.gates.lane_names import RETRIES, is_of_retries
from scrapy_resilience.gates.trials import Trials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.crawls import Options
    from benchmarks.report import Row
    from scrapy_resilience.core.gate import Gate, Ticket

_LATENCY = 0.03
_FAST = 0.002
_TIMEOUT = 5.0
_A_HOST = 8
_ALL = 16
_LIMIT = 7200.0
_BREAK = 0.3
"""Seconds after which hosts break."""
_SEEDS = 20
_GOLDEN = (5**0.5 - 1) / 2
"""Its multiples are spread evenly between whole numbers."""
_DELAYS = RetryPolicy()


@dataclass(eq=False)
class Page:
    """One URL, and what the crawl has noted about it."""

    host: str
    number: int
    requests: int = 0
    times: int = 0
    """Tries that counted."""
    answers_before: int | None = None


@dataclass(frozen=True)
class Host:
    """How a host answers."""

    pages: int = 200
    first_try: float = 0.0
    """Share of pages that fail once."""
    at_random: float = 0.0
    """Share of requests that fail."""
    down: tuple[float, float] = (inf, inf)
    bad: range = range(0)
    """Pages that always answer 500."""
    silent: bool = False
    """While it is down it does not answer at all."""
    chain: bool = False

    def is_down(self, now: float) -> bool:
        return self.down[0] <= now < self.down[1]

    def fails(self, page: Page, now: float, rng: random.Random) -> bool:
        if self.is_down(now) or page.number in self.bad:
            return True
        first = page.requests == 1 and _is_chosen(page.number, self.first_try)
        return first or rng.random() < self.at_random

    def seconds(self, now: float) -> float:
        if not self.is_down(now):
            return _LATENCY
        return _TIMEOUT if self.silent else _FAST

    def can_be_had(self, page: Page) -> bool:
        dies = self.down[0] < inf and self.down[1] == inf
        return page.number not in self.bad and not dies


_ALWAYS = (0.0, inf)


def _is_chosen(number: int, share: float) -> bool:
    """Whether a page is one of *share* of all, the same ones each time."""
    return number * _GOLDEN % 1 < share


@dataclass(frozen=True)
class Kind:
    """One row of the table: hosts by name, and how many proxies of how many refuse."""

    hosts: Mapping[str, Host]
    proxies: tuple[int, int] = (0, 0)
    end: float = 0.0
    """Of the outage."""


def _one(host: Host, end: float = 0.0) -> Kind:
    return Kind({"host": host}, end=end)


KINDS: dict[str, Kind] = {
    "first try 30 %": _one(Host(first_try=0.3)),
    "first try 100 %": _one(Host(first_try=1.0)),
    "random 20 %": _one(Host(at_random=0.2)),
    "random 60 %": _one(Host(at_random=0.6)),
    "bad pages": _one(Host(pages=1000, bad=range(300, 500))),
    "40 bad pages": _one(Host(bad=range(100, 140))),
    "40 bad at the end": _one(Host(bad=range(160, 200))),
    "dead, silent": _one(Host(down=_ALWAYS, silent=True)),
    "dead, refused": _one(Host(down=_ALWAYS)),
    "dies, 5 %": _one(Host(pages=1000, at_random=0.05, down=(_BREAK, inf))),
    "dies, 30 %": _one(Host(pages=1000, at_random=0.3, down=(_BREAK, inf))),
    "outage of 5 s": _one(Host(down=(_BREAK, _BREAK + 5)), _BREAK + 5),
    "outage of 20 s": _one(Host(down=(_BREAK, _BREAK + 20)), _BREAK + 20),
    "outage of 120 s": _one(Host(down=(_BREAK, _BREAK + 120)), _BREAK + 120),
    "chain": _one(Host(pages=100, first_try=0.15, chain=True)),
    "ten hosts": Kind(
        {
            **{f"h{number}": Host(pages=100) for number in range(8)},
            "silent": Host(pages=100, down=_ALWAYS, silent=True),
            "error": Host(pages=100, down=_ALWAYS),
        }
    ),
    "proxies": Kind({"host": Host(pages=200)}, proxies=(7, 10)),
}


@dataclass
class Result:
    """What became of one simulated crawl."""

    seconds: float = 0.0
    false: int = 0
    lost: int = 0
    wasted: int = 0
    items: int = 0
    letters: int = 0
    last_item: float = 0.0
    problems: list[str] = field(default_factory=list)


class Simulation:
    """One crawl. The event loop, and what the glue does with the gates."""

    def __init__(self, kind: Kind, seed: int) -> None:
        self.kind = kind
        self.rng = random.Random(seed)  # noqa: S311 - a simulation
        self.now = 0.0
        self.result = Result()
        self.gates = Gates(
            GateConfig(probation_slots=_ALL // 4),
            self.rng.random,
            on_change=self._changed,
            on_free=self._free,
            on_give_up=self._give_up,
        )
        self.budgets = RetryBudgets()
        self.frontier = Frontier(
            MemoryStore(),
            limit=lambda _: _A_HOST,
            order=Order(lifo=False),
            gate=self._ready_at,
        )
        self._trials = _Trials(self.frontier, self._check)
        self._known: dict[str, Page] = {}
        self._given_up: set[str] = set()
        self._ends: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._pages = 0
        for name, host in kind.hosts.items():
            for number in range(1 if host.chain else host.pages):
                self._start(name, number)

    def run(self) -> Result:
        while self.now < _LIMIT:
            self._write_off()
            while len(self._ends) < _ALL and self._send():
                pass
            if not self._next():
                break
        if len(self.frontier):
            self.result.problems.append(f"{len(self.frontier)} requests wait for ever")
        elif self.result.items + self.result.letters != self._pages:
            self.result.problems.append("a page is neither an item nor a dead letter")
        self.result.seconds = self.now
        return self.result

    def _next(self) -> bool:
        """Let the next thing happen, if there is one."""
        due = self.frontier.next_due() if len(self._ends) < _ALL else None
        if self._ends and (due is None or self._ends[0][0] <= due):
            self.now, _, end = heapq.heappop(self._ends)
            end()
        elif due is not None:
            self.now = max(self.now, due)
        else:
            return bool(self._given_up)
        return True

    # --- requests ---

    def _send(self) -> bool:
        found = self.frontier.pop(self.now)
        if found is None:
            if self._ends or not self.gates.excuse(self.now):
                return False
            found = self.frontier.pop(self.now)
            if found is None:
                return False
        row, lane, slot = found
        page: Page = row.data
        page.requests += 1
        host = self.kind.hosts[page.host]
        ticket = self.gates.acquire(page.host, self.now, is_retry=is_of_retries(lane))
        proxy = self._proxy()
        failed, seconds = host.fails(page, self.now, self.rng), host.seconds(self.now)
        if ticket.probe:
            seconds = min(seconds, self.gates.config.slow_start)
        self.result.wasted += host.is_down(self.now) or page.number in host.bad

        def end() -> None:
            self.frontier.vacate(slot)
            self.frontier.done(row)
            self._end(page, ticket, proxy, failed=failed)

        self._at(self.now + (_FAST if proxy and not proxy[1] else seconds), end)
        return True

    def _at(self, when: float, what: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._ends, (when, self._number, what))

    def _end(
        self, page: Page, ticket: Ticket, proxy: tuple[Ticket, bool] | None, *, failed: bool
    ) -> None:
        if proxy is not None:
            self.gates.settle(proxy[0], Ended.SUCCESS if proxy[1] else Ended.FAILURE, self.now)
            if not proxy[1]:  # not the host's failure: on with another one
                self.result.wasted += 1
                self.gates.settle(ticket, Ended.IGNORED, self.now)
                self._push(page, 0.0)
                return
        if failed:
            self._failed(page, ticket)
            return
        self.gates.settle(ticket, Ended.SUCCESS, self.now)
        ticket.gate.known_page = KnownPage(page.host)
        self._known[page.host] = page
        self.budgets.answered(page.host, self.now)
        self.result.items += 1
        self.result.last_item = self.now
        host = self.kind.hosts[page.host]
        if host.chain and page.number + 1 < host.pages:
            self._start(page.host, page.number + 1)

    def _failed(self, page: Page, ticket: Ticket) -> None:
        host, gates = page.host, self.gates
        about_the_page = page.number in self.kind.hosts[host].bad  # it says 500, not 503
        counts = about_the_page or gates.known(host).costs_a_try(page.answers_before)
        attempt, tries = page.times + 1, gates.known(host).tries
        if gates.known(host).answers_lately(self.now):
            delay = fast_backoff(attempt, self.rng.random)
        else:
            delay = _DELAYS.delay(attempt, self.rng.random)
        gates.settle(ticket, Ended.FAILURE, self.now)
        if counts and attempt >= tries:
            self._lose(page)
            return
        page.answers_before = gates.known(host).answers
        page.times += counts
        if counts:
            delay = max(delay, min(self.budgets.retry(host, self.now), _DELAYS.max_delay))
        self._push(page, 0.0 if gates.known(host).given_up else delay)

    def _start(self, host: str, number: int) -> None:
        self._pages += 1
        self.frontier.push(host, Page(host, number))

    def _push(self, page: Page, delay: float) -> None:
        lane = page.host + RETRIES
        self.frontier.push(lane, page, fifo=True, delay=delay, now=self.now)
        self.frontier.reroute(lane, page.host)

    def _lose(self, page: Page) -> None:
        self.result.letters += 1
        self.result.lost += self.kind.hosts[page.host].can_be_had(page)

    def _proxy(self) -> tuple[Ticket, bool] | None:
        """One of those that may be asked, at random, and whether it works."""
        dead, count = self.kind.proxies
        if not count:
            return None
        names = [f"proxy {number}" for number in range(count)]
        ready = [name for name in names if self.gates.ready_at(name, self.now) <= self.now]
        name = self.rng.choice(ready or names)
        return self.gates.acquire(name, self.now), int(name.split()[1]) >= dead

    # --- the gates ---

    def _ready_at(self, lane: str, now: float) -> float:
        host = lane.removesuffix(RETRIES)
        is_retry = is_of_retries(lane)
        until = self.gates.ready_at(host, now, is_retry=is_retry)
        gate = self.gates.gate(host, now)
        if until <= now and self.gates.known(host).breaker.state is State.HALF_OPEN:
            until = now if self._trials.has_turn(lane, gate) else inf
        if until > now:
            gate.wait(lane)
            if gate.given_up:
                self._given_up.add(host)
        return until

    def _check(self, host: str) -> None:
        """Ask for a page that is known to work."""
        page, ticket = self._known[host], self.gates.acquire(host, self.now)
        page.requests += 1
        kind = self.kind.hosts[host]
        failed = kind.fails(page, self.now, self.rng)
        self.result.wasted += kind.is_down(self.now)

        def end() -> None:
            self.gates.settle(ticket, Ended.FAILURE if failed else Ended.SUCCESS, self.now)

        self._at(self.now + kind.seconds(self.now), end)

    def _free(self, gate: Gate) -> None:
        lanes, gate.lanes = gate.lanes, None
        for lane in lanes or ():
            self.frontier.release(lane)

    def _give_up(self, gate: Gate) -> None:
        self._given_up.add(gate.domain)

    def _write_off(self) -> None:
        while self._given_up:
            host = self._given_up.pop()
            for lane in (host, host + RETRIES):
                self.frontier.recall(lane)
                while (row := self.frontier.take(lane)) is not None:
                    self.frontier.done(row)
                    self._lose(row.data)

    def _changed(self, gate: Gate, old: State, new: State, _event: Event) -> None:
        host = self.kind.hosts.get(gate.domain)
        if old is State.CLOSED and new is State.OPEN and host is not None:
            self.result.false += not host.is_down(self.now)


class _Trials(Trials):
    """Those of a crawl, but for the network."""

    def __init__(self, frontier: Frontier, check: Callable[[str], None]) -> None:
        self._frontier = frontier
        self._ask = check

    def _check(self, page: KnownPage) -> None:
        self._ask(page.url)


def run(options: Options) -> Outcome:
    """Simulate each kind of host, then the operating curve."""
    outcome = Outcome("flaky, dying and dead hosts, simulated; means over the seeds")
    seeds = options.of(_SEEDS, 3)
    for name, kind in KINDS.items():
        if options.only in name:
            outcome.rows.append(
                _row(name, kind, range(options.seed, options.seed + seeds), outcome)
            )
    if not options.only:
        _add_curve(outcome, options, seeds)
    return outcome


def _row(name: str, kind: Kind, seeds: range, outcome: Outcome) -> Row:
    results = [Simulation(kind, seed).run() for seed in seeds]
    for result in results:
        outcome.check(name, result.problems)
    outcome.data[name] = [vars(result) for result in results]
    row: Row = {"host": name}
    for key in ("seconds", "false", "lost", "wasted", "items"):
        row[key] = f"{mean(getattr(result, key) for result in results):.1f}"
    if kind.end:
        row["after"] = f"{mean(result.last_item - kind.end for result in results):.1f}"
    return row


def _add_curve(outcome: Outcome, options: Options, seeds: int) -> None:
    points = curve.measure(options.seed, seeds, options.of(4, 1))
    for point in points:
        outcome.notes.append(
            f"usual share {point.share:4.0%}: {point.false_openings:6.2f} false openings in "
            f"100,000 requests (five in a row: {point.classical_openings:8.2f}), "
            f"{point.until_held:5.1f} requests until held"
        )
    for known in (1, 10, 30, 100):
        held = mean(curve.requests_until_held(0.0, seed, known) for seed in range(seeds))
        outcome.notes.append(f"after {known:3} answers alone: {held:5.1f} requests until held")
    by_share = {round(point.share, 2): point for point in points}
    for share in (0.3, 0.5):
        found = by_share[share].false_openings
        text = f"false openings in 100,000 requests at {share:.0%}: at most 1"
        outcome.bar(text, f"{found:.2f}", met=found <= 1)
    for share, most in ((0.05, 20), (0.3, 30)):
        found = by_share[share].until_held
        text = f"requests until held, usual share {share:.0%}: at most {most}"
        outcome.bar(text, f"{found:.1f}", met=found <= most)
    outcome.data["curve"] = [point._asdict() for point in points]
