"""The breaker's operating curve: false openings against the requests that a dead host gets.

For each usual share of failures a domain fails at random, and is then dead: how often was it
held although it was well, and how many requests did it get until it was held? Eight at a time.
Beside it the classical rule, five failures in a row, by its formula.

    python -m benchmarks.curve

draws what the documentation shows, with the seeds that ``python -m benchmarks outages`` has
by default.
"""

from __future__ import annotations

import random
from collections import deque
from math import log10
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, NamedTuple

from scrapy_resilience.core.breaker import Breaker, Event, Outcome, State
from scrapy_resilience.core.breakerconfig import BreakerConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SHARES", "Point", "false_openings", "measure", "requests_until_held"]

SHARES = tuple(percent / 100 for percent in range(0, 75, 5))
FILE = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "operating-curve.svg"

_PER = 100_000
_AT_A_TIME = 8
_KNOWN = 500
"""Requests of which the usual share is known."""
_LATENCY = 0.03
_FIVE = 5
_SEEDS = 20
_ALL_SEEDS = 4
_BARS = (0.3, 0.5)


class Point(NamedTuple):
    """What one usual share comes to; means over the seeds."""

    share: float
    false_openings: float
    """In 100,000 requests."""
    until_held: float

    @property
    def classical_openings(self) -> float:
        """Of five in a row: each success may be followed by five failures."""
        return float(_PER * (1 - self.share) * self.share**_FIVE)


def false_openings(share: float, seed: int, requests: int = _PER) -> int:
    """How often a domain that fails at random is held."""
    rng = random.Random(seed)  # noqa: S311 - a simulation
    openings = 0

    def listen(_old: State, _new: State, event: Event) -> None:
        nonlocal openings
        openings += event is Event.FAILURES_IN_A_ROW

    breaker = Breaker(BreakerConfig(), rng.random, listen)
    now = 0.0
    for _ in range(requests):
        now += _LATENCY / _AT_A_TIME
        permit = breaker.acquire(now)
        if permit is None:
            now = breaker.opened_until
            permit = breaker.acquire(now)
            assert permit is not None, "nobody else makes trials"
        failed = rng.random() < share
        breaker.record(permit, Outcome.FAILURE if failed else Outcome.SUCCESS, now)
    return openings


def requests_until_held(share: float, seed: int, known: int = _KNOWN) -> int:
    """How many requests a domain gets that was asked *known* times and then died."""
    rng = random.Random(seed)  # noqa: S311 - a simulation
    breaker = Breaker(BreakerConfig(), rng.random)
    now = 0.0
    for _ in range(known):
        now = max(now, breaker.ready_at(now)) + _LATENCY / _AT_A_TIME
        permit = breaker.acquire(now)
        if permit is not None:
            failed = rng.random() < share
            breaker.record(permit, Outcome.FAILURE if failed else Outcome.SUCCESS, now)
    sent, under_way = 0, deque[int]()
    while True:
        while len(under_way) < _AT_A_TIME and (permit := breaker.acquire(now)) is not None:
            under_way.append(permit)
            sent += 1
        if breaker.state is not State.CLOSED:
            return sent
        breaker.record(under_way.popleft(), Outcome.FAILURE, now)


def measure(seed: int, seeds: int = _SEEDS, others: int = _ALL_SEEDS) -> list[Point]:
    """The curve; false openings of the shares that have bars take all seeds, the others few."""
    return [
        Point(
            share,
            mean(
                false_openings(share, seed + number)
                for number in range(seeds if share in _BARS else others)
            ),
            mean(requests_until_held(share, seed + number) for number in range(seeds)),
        )
        for share in SHARES
    ]


# --- the picture ---------------------------------------------------------------------

_LEFT, _WIDTH, _HEIGHT = 84, 560, 200
_TOPS = (64, 344)
_OURS, _OTHER, _GRID = "#1f6feb", "#b3541e", "#d9dee5"
_LOWEST, _HIGHEST = -2, 4
"""Powers of ten of false openings; what is below the lowest is drawn on it."""
_MOST_REQUESTS = 60


def draw(points: Sequence[Point]) -> str:
    """The two curves over the usual share, as SVG."""
    shapes = [*_grid(), *_curves(points)]
    lines = "\n  ".join(shapes)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 610" font-family="system-ui, \
sans-serif" font-size="14" fill="#1f2933">
  <!-- Drawn by python -m benchmarks.curve. -->
  <rect width="720" height="610" fill="#ffffff"/>
  {lines}
</svg>
"""


def _x(share: float) -> float:
    return _LEFT + _WIDTH * share / SHARES[-1]


def _y_openings(count: float) -> float:
    power = max(log10(max(count, 1e-9)), _LOWEST)
    return _TOPS[0] + _HEIGHT * (_HIGHEST - power) / (_HIGHEST - _LOWEST)


def _y_requests(count: float) -> float:
    return _TOPS[1] + _HEIGHT * (1 - count / _MOST_REQUESTS)


def _grid() -> list[str]:
    shapes = []
    for power in range(_LOWEST, _HIGHEST + 1):
        label = f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"
        label = f"≤ {label}" if power == _LOWEST else label
        shapes += _line_across(_y_openings(10.0**power), label)
    for count in range(0, _MOST_REQUESTS + 1, 10):
        shapes += _line_across(_y_requests(count), str(count))
    for top in _TOPS:
        shapes += [
            _text(_x(share), top + _HEIGHT + 20, f"{share:.0%}", "middle")
            for share in SHARES[::2]
        ]
    titles = ("false openings in 100,000 requests", "requests until a dead host is held")
    shapes += [
        _text(_LEFT, top - 14, title, "start", ' font-weight="bold"')
        for top, title in zip(_TOPS, titles, strict=True)
    ]
    return [*shapes, _text(_LEFT + _WIDTH / 2, 594, "usual share of failures", "middle")]


def _curves(points: Sequence[Point]) -> list[str]:
    ours = [(_x(point.share), _y_openings(point.false_openings)) for point in points]
    five = [
        (_x(point.share), _y_openings(point.classical_openings))
        for point in points
        if point.share
    ]
    held = [(_x(point.share), _y_requests(point.until_held)) for point in points]
    least = _y_requests(_FIVE + _AT_A_TIME - 1)
    return [
        _curve(five, _OTHER, ' stroke-dasharray="6 4"'),
        _curve(ours, _OURS),
        _curve(
            [(_x(SHARES[0]), least), (_x(SHARES[-1]), least)], _OTHER, ' stroke-dasharray="6 4"'
        ),
        _curve(held, _OURS),
        *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{_OURS}"/>' for x, y in ours + held),
        _text(_x(0.32), _y_openings(900), "five failures in a row", "end", f' fill="{_OTHER}"'),
        _text(_x(0.06), _y_openings(0.02), "by the usual share", "start", f' fill="{_OURS}"'),
        _text(_x(0.7), least + 18, "five failures in a row", "end", f' fill="{_OTHER}"'),
        _text(_x(0.44), _y_requests(40), "by the usual share", "end", f' fill="{_OURS}"'),
    ]


def _line_across(y: float, label: str) -> list[str]:
    return [
        f'<path d="M {_LEFT} {y:.1f} H {_LEFT + _WIDTH}" stroke="{_GRID}"/>',
        _text(_LEFT - 8, y + 5, label, "end"),
    ]


def _curve(places: Sequence[tuple[float, float]], colour: str, more: str = "") -> str:
    way = " L ".join(f"{x:.1f} {y:.1f}" for x, y in places)
    return f'<path d="M {way}" fill="none" stroke="{colour}" stroke-width="2"{more}/>'


def _text(x: float, y: float, words: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{words}</text>'


if __name__ == "__main__":
    FILE.write_text(draw(measure(seed=0)), "utf-8")
