"""How a domain that throttles is asked: seconds against the ideal, and answers that refuse.

A simulation of one host and up to two crawls, in virtual time and with fixed seeds: it gives
the same figures on each machine. Each kind of host meets each rule: no pace at all, the
halving of TCP (AIMD, which this package had before), two speeds (halve once, judge, restore),
and :class:`scrapy_resilience.core.pace.Pace`.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from math import ceil, inf
from statistics import median
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from benchmarks.report import Outcome
from scrapy_resilience.core.pace import Pace
from scrapy_resilience.core.ratelimit import Rate, TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.crawls import Options

__all__ = ["KINDS", "RULES", "Kind", "Result", "crawl", "run"]

AT_A_TIME: Final = 8
LATENCY: Final = 0.03
TRIES: Final = 25
MEASURED: Final = 10.0
"""Seconds over which the rules of before measure how fast they send."""
TURN: Final = 20.0
"""When a limit changes."""
JUMP: Final = 10.0
"""When a clock goes back."""
TOO_LONG: Final = 1800.0
"""Seconds after which a simulated crawl is given up."""
BARS: Final = {
    "allows 5/s, burst 10": (1.5, 0.1),
    "the same, Retry-After 1": (1.5, 0.1),
    "allows 20/s, burst 20": (2, 0.1),
    "allows 20/s, no burst": (2, 0.1),
    "overloads above 20/s: 503": (2, 0.1),
}
"""At most so many times the ideal, and such a share of refusals."""


# --- hosts ---


class Answer(NamedTuple):
    """What a host says; *retry_after* is 0 when it does not say when to come again."""

    pushback: bool
    retry_after: float = 0.0


OK: Final = Answer(pushback=False)


class Host(Protocol):
    """Answers *page* at its *attempt*, which begins at 0."""

    def __call__(self, page: int, attempt: int, now: float) -> Answer: ...


class Limited:
    """Allows ``rates(now)`` a second, and *burst* of them after a rest."""

    def __init__(
        self, rates: Callable[[float], float], burst: float = 1, retry_after: float = 0
    ) -> None:
        self._rates, self._burst, self._refusal = (
            rates,
            burst,
            Answer(pushback=True, retry_after=retry_after),
        )
        self._tokens, self._last = burst, 0.0

    def __call__(self, page: int, attempt: int, now: float) -> Answer:
        refill = (now - self._last) * self._rates(now)
        self._tokens, self._last = min(self._burst, self._tokens + refill), now
        if self._tokens < 1:
            return self._refusal
        self._tokens -= 1
        return OK


class Window:
    """Allows *limit* in each window of *seconds*, all of them at its beginning."""

    def __init__(self, limit: int, seconds: float, *, tells: bool) -> None:
        self._limit, self._seconds, self._tells = limit, seconds, tells
        self._window, self._used = 0.0, 0

    def __call__(self, page: int, attempt: int, now: float) -> Answer:
        window, inside = divmod(now, self._seconds)
        if window != self._window:
            self._window, self._used = window, 0
        self._used += 1
        if self._used <= self._limit:
            return OK
        return Answer(
            pushback=True,
            retry_after=float(ceil(self._seconds - inside)) if self._tells else 0.0,
        )


class Banning:
    """Refuses everything for *ban* seconds when it is asked above its rate."""

    def __init__(self, rate: float, burst: float, ban: float) -> None:
        self._inner, self._ban, self._until = Limited(lambda _: rate, burst), ban, -inf

    def __call__(self, page: int, attempt: int, now: float) -> Answer:
        if now >= self._until and not self._inner(page, attempt, now).pushback:
            return OK
        if now >= self._until:
            self._until = now + self._ban
        return Answer(pushback=True, retry_after=float(ceil(self._until - now)))


class Careless:
    """Refuses a *share* of the first tries, or of all, whatever the pace."""

    def __init__(
        self, share: float, seed: int, retry_after: float = 0, *, always: bool = False
    ) -> None:
        self._share, self._always, self._refusal = (
            share,
            always,
            Answer(pushback=True, retry_after=retry_after),
        )
        self._random = random.Random(seed)  # noqa: S311 - a simulation

    def __call__(self, page: int, attempt: int, now: float) -> Answer:
        asked = self._always or not attempt
        return self._refusal if asked and self._random.random() < self._share else OK


# --- rules ---


class Rule(Protocol):
    """What decides when the next request may go."""

    def ready_at(self, now: float) -> float: ...
    def take(self, now: float) -> None: ...
    def answered(self, sent_at: float, now: float, *, pushback: bool) -> bool: ...
    @property
    def mostly_pushback(self) -> bool: ...
    @property
    def started(self) -> bool: ...


class Unpaced:
    """As fast as it goes; ``Retry-After`` holds the page only."""

    mostly_pushback = False
    started = True

    def ready_at(self, now: float) -> float:
        return 0.0

    def take(self, now: float) -> None: ...

    def answered(self, sent_at: float, now: float, *, pushback: bool) -> bool:
        return False


class Paced:
    """What the two rules of before have in common."""

    mostly_pushback = True
    started = True

    def __init__(self) -> None:
        self._bucket: TokenBucket | None = None
        self._sent: deque[float] = deque()
        self.rate: float | None = None

    def ready_at(self, now: float) -> float:
        return self._bucket.ready_at(now) if self._bucket else 0.0

    def take(self, now: float) -> None:
        self._sent.append(now)
        while self._sent[0] < now - MEASURED:
            self._sent.popleft()
        if self._bucket:
            self._bucket.take(now)

    def _sending(self, now: float) -> float:
        return len(self._sent) / max(now - self._sent[0], 1.0) if self._sent else 1.0

    def _set(self, rate: float | None, now: float) -> None:
        self.rate = rate
        self._bucket = None if rate is None else TokenBucket(Rate(rate), now)
        if self._bucket:
            self._bucket.take(now)


class Halving(Paced):
    """AIMD: halve at each throttling, add a tenth of the peak for each quiet period."""

    def __init__(self) -> None:
        super().__init__()
        self._peak = self._back_at = 0.0
        self._slowed_at = -1.0

    def answered(self, sent_at: float, now: float, *, pushback: bool) -> bool:
        if pushback and sent_at > self._slowed_at:
            if self.rate is None:
                self._peak = self.rate = max(self._sending(now), 1 / 60)
            self._slowed_at = now
            self._change(max(self.rate / 2, 1 / 60), now)
        elif not pushback and self.rate is not None and now >= self._back_at:
            rate = self.rate + 0.1 * self._peak
            self._change(None if rate > self._peak else rate, now)
        return True

    def _change(self, rate: float | None, now: float) -> None:
        self._set(rate, now)
        self._back_at = now + max(10.0, 1 / rate if rate else 0.0)


class TwoSpeeds(Paced):
    """Halve once, judge 20 answers that were sent afterwards, keep or restore."""

    TROUBLE, FLOOD, KEEP, AGAIN, BETTER = 0.15, 0.6, 0.1, 0.5, 0.8
    JUDGED, QUIET = 20, 2.0

    def __init__(self) -> None:
        super().__init__()
        self._recent: deque[bool] = deque(maxlen=self.JUDGED)
        self._judged: list[bool] = []
        self._changed_at = self._ignore_until = -1.0
        self._ignore_for, self._worst, self._before = 60.0, 0.0, inf
        self._on_trial = False
        self._quiet_since = 0.0

    @property
    def mostly_pushback(self) -> bool:  # type: ignore[override]
        return sum(self._recent) > len(self._recent) / 2

    def answered(self, sent_at: float, now: float, *, pushback: bool) -> bool:
        self._recent.append(pushback)
        if pushback:
            self._quiet_since = now
        share = sum(self._recent) / self.JUDGED
        if sent_at <= self._changed_at or now < self._ignore_until:
            return False
        if self._on_trial and share <= self.FLOOD:
            self._judged.append(pushback)
            if len(self._judged) >= self.JUDGED:
                self._judge(sum(self._judged) / self.JUDGED, now)
        elif share > self.TROUBLE:
            self._worst = share
            self._halve(now)
        elif self.rate is not None and now - self._quiet_since > self.QUIET:
            self._quiet_since = now
            self._set(self.rate * 1.1, now)
        return True

    def _halve(self, now: float) -> None:
        rate = self._sending(now) if self.rate is None else self.rate
        if not self._on_trial:
            self._before = rate
        self._set(max(rate / 2, 1 / 60), now)
        self._on_trial, self._changed_at, self._judged = True, now, []

    def _judge(self, share: float, now: float) -> None:
        if share <= self.KEEP:
            self._on_trial = False
        elif share > self.AGAIN or share < self.BETTER * self._worst:
            self._worst = max(self._worst, share)
            self._halve(now)
        else:
            self._on_trial = False
            self._set(None, now)
            self._ignore_until = now + self._ignore_for
            self._ignore_for *= 2


class OnDemand:
    """A :class:`.Pace`, made at the first answer that refuses, as the gates do it."""

    def __init__(self) -> None:
        self.pace: Pace | None = None

    @property
    def started(self) -> bool:
        return self.pace is not None

    @property
    def mostly_pushback(self) -> bool:
        return self.pace is not None and self.pace.mostly_pushback

    def ready_at(self, now: float) -> float:
        return self.pace.ready_at(now) if self.pace else 0.0

    def take(self, now: float) -> None:
        if self.pace:
            self.pace.take(now)

    def answered(self, sent_at: float, now: float, *, pushback: bool) -> bool:
        if self.pace is None and pushback:
            self.pace = Pace(sent_at)
        elif self.pace is not None and self.pace.idle(now):
            self.pace = None
        return self.pace is not None and self.pace.answered(sent_at, now, pushback=pushback)


RULES: Final[dict[str, Callable[[], Rule]]] = {
    "none": Unpaced,
    "halving": Halving,
    "two speeds": TwoSpeeds,
    "pace": OnDemand,
}


# --- crawls ---


class Client:
    """A crawl of *pages* pages: ready retries go first, one page at a time has a try."""

    def __init__(
        self, pages: int, rule: Rule, clock: Callable[[float], float], *, unsure: bool
    ) -> None:
        self.unsure = unsure
        self.fresh, self.left, self.rule, self.clock = deque(range(pages)), pages, rule, clock
        self.retries: list[tuple[float, int, int]] = []
        self.under_way = self.answers = self.pushbacks = self.lost = 0
        self.held_until = self.ended = 0.0

    def next(self, now: float) -> tuple[int, int] | float:
        """A page and its attempt, or when to ask again."""
        if self.under_way >= AT_A_TIME:
            return inf
        if self.held_until > now:
            return self.held_until
        due = self.retries[0][0] if self.retries else inf
        if due > now and not self.fresh:
            return due
        here = self.clock(now)
        wait = self.rule.ready_at(here) - here
        if wait > 0:
            return now + max(wait, 1e-6)
        self.rule.take(here)
        self.under_way += 1
        if due <= now:
            return heappop(self.retries)[1:]
        return self.fresh.popleft(), 0

    def answered(
        self, page: int, attempt: int, sent_at: float, now: float, answer: Answer
    ) -> None:
        self.under_way -= 1
        self.answers += 1
        self.pushbacks += answer.pushback
        here = self.clock(now)
        if attempt or self.rule.started or not (self.unsure and answer.pushback):
            self.rule.answered(sent_at, here, pushback=answer.pushback)
        if answer.pushback and attempt + 1 < TRIES:
            delay = answer.retry_after or min(0.1 * 2**attempt, 1.6)
            heappush(self.retries, (now + delay, page, attempt + 1))
            if answer.retry_after and self.rule.mostly_pushback:
                self.held_until = max(self.held_until, now + answer.retry_after)
            return
        self.left -= 1
        self.lost += answer.pushback
        self.ended = now


class Result(NamedTuple):
    """Of the crawl that ended last; *share* is that of the answers which refuse."""

    seconds: float
    share: float
    lost: int


@dataclass(frozen=True)
class Kind:
    """A kind of host, and what asking it perfectly would take; None: what no pace takes."""

    name: str
    host: Callable[[int], Host]
    pages: int = 200
    ideal: float | None = None
    latency: float = LATENCY
    crawls: int = 1
    clock: Callable[[float], float] = lambda now: now
    pause: tuple[float, float] | None = None
    unsure: bool = False
    """It answers 503, which begins a pace at a retry only: a first one may be the page's."""


def crawl(kind: Kind, rule: Callable[[], Rule], seed: int = 0) -> Result:
    """Crawl such a host in virtual time."""
    host, numbers, order = kind.host(seed), random.Random(seed), count()  # noqa: S311
    clients = [
        Client(kind.pages, rule(), kind.clock, unsure=kind.unsure) for _ in range(kind.crawls)
    ]
    events: list[tuple[float, int, Client, tuple[Any, ...]]] = []
    for client in clients:
        heappush(events, (0.0, next(order), client, ()))
    woken = dict.fromkeys(clients, 0.0)
    while events and events[0][0] < TOO_LONG:
        now, _, client, done = heappop(events)
        if done:
            client.answered(*done[:3], now, done[3])
        if kind.pause and kind.pause[0] <= now < kind.pause[1]:
            heappush(events, (kind.pause[1], next(order), client, ()))
            continue
        while isinstance(todo := client.next(now), tuple):
            way = kind.latency * numbers.uniform(0.4, 0.6)
            answer = host(*todo, now + way)
            back = now + way + kind.latency * numbers.uniform(0.4, 0.6)
            heappush(events, (back, next(order), client, (*todo, client.clock(now), answer)))
        if todo < inf and not now < woken[client] <= todo:
            woken[client] = todo
            heappush(events, (todo, next(order), client, ()))
    seconds = max(client.ended if not client.left else TOO_LONG for client in clients)
    answers = sum(client.answers for client in clients)
    pushbacks = sum(client.pushbacks for client in clients)
    return Result(seconds, pushbacks / answers, sum(client.lost for client in clients))


def _allows(rate: float, burst: float = 1, retry_after: float = 0) -> Callable[[int], Host]:
    return lambda _: Limited(lambda _: rate, burst, retry_after)


def _changes(before: float, after: float) -> Callable[[int], Host]:
    return lambda _: Limited(lambda now: before if now < TURN else after, 10)


def _refuses(
    share: float, retry_after: float = 0, *, always: bool = False
) -> Callable[[int], Host]:
    return lambda seed: Careless(share, seed, retry_after, always=always)


KINDS: Final = (
    Kind("allows 5/s, burst 10", _allows(5, 10), ideal=38),
    Kind("the same, Retry-After 1", _allows(5, 10, 1), ideal=38),
    Kind("allows 1/s, no burst", _allows(1), 100, ideal=100),
    Kind("allows 1/s, Retry-After 1", _allows(1, 1, 1), 100, ideal=100),
    Kind("allows 20/s, burst 20", _allows(20, 20), 1000, ideal=49),
    Kind("allows 20/s, no burst", _allows(20), 1000, ideal=50),
    Kind("overloads above 20/s: 503", _allows(20, 20), 1000, ideal=49, unsure=True),
    Kind("allows 5/s, then 20/s", _changes(5, 20), 500, ideal=39.5),
    Kind("allows 20/s, then 5/s", _changes(20, 5), 500, ideal=38),
    Kind("100 a minute", lambda _: Window(100, 60, tells=False), 300, ideal=120.4),
    Kind("100 a minute, tells when", lambda _: Window(100, 60, tells=True), 300, ideal=120.4),
    Kind("5/s, bans for 10 s", lambda _: Banning(5, 10, 10), ideal=38),
    Kind("allows 5/s, two crawls", _allows(5, 10), 100, ideal=38, crawls=2),
    Kind("allows 5/s, latency 2 s", _allows(5, 10), ideal=50, latency=2),
    Kind("allows 2/s, latency 2 s", _allows(2, 10), ideal=95, latency=2),
    Kind("allows 5/s, paused 10 to 40 s", _allows(5, 10), ideal=66, pause=(10, 40)),
    Kind("allows 5/s, clock goes back", _allows(5, 10), ideal=38,
         clock=lambda now: now + (2000 if now < JUMP else 1000)),
    Kind("429 first, 30 %", _refuses(0.3)),
    Kind("429 first, 30 %, Retry-After 1", _refuses(0.3, 1)),
    Kind("429 first, 60 %, Retry-After 1", _refuses(0.6, 1), 500),
    Kind("60 % whatever", _refuses(0.6, always=True), 500),
    Kind("60 % whatever, Retry-After 1", _refuses(0.6, 1, always=True), 500),
    Kind("5 % whatever", _refuses(0.05, always=True), 1000),
    Kind("429 first, 10 %", _refuses(0.1), 1000),
    Kind("fails first, 15 %", _refuses(0.15), unsure=True),
    Kind("fails first, 50 %", _refuses(0.5), unsure=True),
    Kind("fails first, 100 %", _refuses(1.0), unsure=True),
    Kind("fails at random, 20 %", _refuses(0.2, always=True), unsure=True),
    Kind("fails at random, 60 %", _refuses(0.6, always=True), unsure=True),
    Kind("fails at random, 70 %, 40 pages", _refuses(0.7, always=True), 40, unsure=True),
    Kind("30 % first, latency 2 s", _refuses(0.3), latency=2),
)  # fmt: skip


def _medians(kind: Kind, rule: Callable[[], Rule], seeds: Sequence[int]) -> Result:
    results = [crawl(kind, rule, seed) for seed in seeds]
    return Result(*(median(column) for column in zip(*results, strict=True)))


def run(options: Options) -> Outcome:
    """Each kind of host with each rule, medians of several seeds."""
    outcome = Outcome("pace: seconds / share of answers that refuse")
    seeds = range(options.repeat(15))
    for kind in KINDS:
        found = {name: _medians(kind, rule, seeds) for name, rule in RULES.items()}
        ideal = found["none"].seconds if kind.ideal is None else kind.ideal
        outcome.rows.append(
            {"host": kind.name, "ideal": round(ideal, 1)}
            | {name: f"{r.seconds:,.1f} / {r.share:.0%}" for name, r in found.items()}
            | {"pace / ideal": f"{found['pace'].seconds / ideal:.2f}"}
        )
        _bar(outcome, kind, ideal, found["pace"])
        outcome.data[kind.name] = {name: list(r) for name, r in found.items()}
    outcome.notes.append(
        "where there is no pace to find, the ideal is the time of none; "
        f"a page is given up after {TRIES} tries, which makes none look fast"
    )
    return outcome


def _bar(outcome: Outcome, kind: Kind, ideal: float, result: Result) -> None:
    value = f"{result.seconds:.1f} s of {ideal:.1f}, {result.share:.0%}"
    if kind.ideal is None:
        met = result.seconds <= 1.5 * ideal + 3
        outcome.bar(f"{kind.name}: within 1.5 x + 3 s", value, met=met)
    elif bar := BARS.get(kind.name):
        times, share = bar
        met = result.seconds <= times * ideal and result.share <= share
        outcome.bar(f"{kind.name}: within {times} x, {share:.0%} refused", value, met=met)
