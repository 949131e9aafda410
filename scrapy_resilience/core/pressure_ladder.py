"""When the ladder of :mod:`.pressure_rungs` is climbed, and when it is left.

A reading lies below the *low* mark (the pressure is gone), between *low* and *high* (it has
eased), above *high*, or above the *critical* one. The distance of the first two is the
hysteresis.

Up: a rung has its time (:class:`Times`) to help, and while the readings fall, by a hundredth of
the limit at least, that time begins anew. So nothing is closed that falls; and since it can
fall a hundred times at most, nothing falls for ever. A pause has a short time once nothing is
under way, for then nothing more can be freed by waiting, and a long one before. If the pressure
is high then, and not critical, the crawl goes on with fewer requests at a time: it may have
been one step that is no leak. A relapse that has freed nothing shows that it is one.

Growth is fast when it would reach the limit within the seconds that the rungs ahead need
(:data:`_REACH`), or when the requests under way would, at what each page has cost before. It
counts from half of the limit on: what loads at the start of a crawl grows fast too.

Down: at once below the low mark. A crawl that soon comes back to the pause has *relapsed*:
after that it goes down one rung at a time, each time twice as late, up to a minute, and with
half as many requests at a time (:attr:`Ladder.depth`). So flapping is bounded, and each ladder
still comes down within a known time when the pressure is gone. What can't be read holds nobody
up: without readings it goes down as slowly.

*now* is an argument, in seconds of a clock that never goes back.
"""

from __future__ import annotations

from math import inf, isfinite
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from scrapy_resilience.core.growth import Growth
from scrapy_resilience.core.pressure_rungs import STEPS, Event, Rung

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CPU", "DISK", "MEMORY", "SLOWEST", "Event", "Ladder", "Level", "Marks", "Move", "Rung",
    "Times",
]  # fmt: skip

_PROGRESS: Final = 0.01
"""Of the limit: a fall by less is noise."""
_REACH: Final[Mapping[Rung, float]] = {
    Rung.HEALTHY: 4.0, Rung.CLEAN: 3.0, Rung.FEWER: 3.0, Rung.PAUSE: 2.0, Rung.FREE: 1.5,
}  # fmt: skip
"""Seconds to the limit below which growth does not wait for the rung's time."""
_SETTLE: Final[Mapping[Rung, float]] = {Rung.PAUSE: 1.0, Rung.FREE: 0.5}
"""Seconds in which what was under way may still grow."""
_AHEAD: Final = 10.0
"""Seconds that are looked ahead for whether readings are wanted more often."""
_FLOOR: Final = 0.5
"""Of the limit, below which no growth is fast."""
_SOON: Final = 300.0
"""Seconds after a pause within which another one is a relapse."""
SLOWEST: Final = 60.0
"""Seconds that one step down takes at most, and for which pressure that can't be read any more
is believed."""
_SHARED: Final = 10.0
_DEEPEST: Final = 10
"""Of halvings: a thousandth."""


class Marks(NamedTuple):
    """Of one resource, in its own unit: ``0 < low <= high <= critical <= limit``."""

    low: float
    high: float
    critical: float
    limit: float


class Level(NamedTuple):
    """What was read; None where it can't be known."""

    used: float | None
    pages: int = 0
    """That the crawl has had up to now."""
    under_way: int = 0
    """Requests whose download, callbacks or items are not through."""
    is_shared: bool = False
    """Whether others use it, too, and may give it back: a pause is ten times as patient."""


class Move(NamedTuple):
    """A step that was taken; both rungs are alike where only the depth has changed."""

    before: Rung
    after: Rung
    event: Event


class Times(msgspec.Struct, frozen=True):
    """The rungs that a ladder has besides healthy, and their times in seconds."""

    up: Mapping[Rung, float]
    """After which pressure that stays leads on: its keys are the rungs."""
    down: float = 5.0
    """After which pressure between the marks leads one rung down."""
    idle: float = 10.0
    """The pause's time once nothing is under way."""
    at_once: bool = True
    """Whether it is left at once when the pressure is gone."""
    predicts: bool = True
    """Whether growth counts."""
    deepest: int = 2
    """How often pressure that stays halves the requests: fewer seldom help more."""
    closes_after: float = inf
    """When nothing but fewer requests is there to help: after which the spider is closed."""


MEMORY: Final = Times(
    {Rung.CLEAN: 2.0, Rung.FEWER: 10.0, Rung.PAUSE: 60.0, Rung.FREE: 5.0, Rung.CLOSE: inf}
)
DISK: Final = Times({Rung.PAUSE: 600.0, Rung.CLOSE: inf}, idle=600.0, predicts=False)
"""Somebody may make room; until then it costs nothing to wait."""
CPU: Final = Times({Rung.FEWER: 10.0}, down=10.0, at_once=False, predicts=False)


class _Stay(msgspec.Struct):
    """On one rung."""

    since: float
    first: float
    """The reading that has led to it."""
    best: float
    """The lowest reading."""
    fell: float
    """When it was reached."""
    known: float
    """When there was a reading."""
    idle_since: float | None = None
    eased_since: float | None = None

    def note(self, used: float, noise: float, now: float) -> None:
        """A reading, which has fallen if by more than *noise*."""
        self.known = now
        if used < self.best - noise:
            self.best, self.fell = used, now

    def since_progress(self, now: float) -> float:
        return now - max(self.since, self.fell)


class Ladder(msgspec.Struct):
    """Of one resource: :meth:`look` at each reading, and do what the new rung asks for."""

    marks: Marks
    times: Times = MEMORY
    rung: Rung = Rung.HEALTHY
    depth: int = 0
    """How often the requests at a time are to be halved."""
    relapses: int = 0
    growth: Growth = msgspec.field(default_factory=Growth)
    _stay: _Stay = msgspec.field(default_factory=lambda: _Stay(-inf, inf, inf, -inf, -inf))
    _left_pause: float = -inf
    _used: float = 0.0

    @property
    def since(self) -> float:
        """When this rung was entered; -inf at the beginning."""
        return self._stay.since

    @property
    def is_near(self) -> bool:
        """Whether the next readings may matter, and are wanted more often."""
        ahead = _AHEAD * self.growth.per_second if self.times.predicts else 0.0
        return self.rung is not Rung.HEALTHY or self._used + ahead >= self.marks.low

    def look(self, level: Level, now: float) -> Move | None:
        """Judge a reading; the step that it leads to, if any. One at a time."""
        used = level.used
        if self.rung is Rung.CLOSE:
            return None
        if used is None or not isfinite(used):
            return self._unknown(now)
        self._used = used
        self.growth.add(now, used, level.pages)
        self._note(used, level.under_way, now)
        event = self._event(level, used, now)
        return None if event is None else self._step(event, now)

    def _note(self, used: float, under_way: int, now: float) -> None:
        stay = self._stay
        stay.note(used, _PROGRESS * self.marks.limit, now)
        stay.idle_since = None if under_way else (stay.idle_since or now)
        stay.eased_since = None if used >= self.marks.high else (stay.eased_since or now)

    # --- why it moves ---

    def _event(self, level: Level, used: float, now: float) -> Event | None:
        marks, rung = self.marks, self.rung
        if used >= marks.critical and self._after(Event.CRITICAL) is not rung:
            return Event.CRITICAL
        if self._is_fast(used, level.under_way, now) and not (
            level.is_shared and rung >= Rung.PAUSE
        ):
            return Event.FAST
        if used >= marks.high:
            return self._held(used, now, _SHARED if level.is_shared else 1.0)
        if rung is Rung.HEALTHY:
            return None
        if used < marks.low and self.times.at_once and not self.relapses:
            return Event.GONE
        return Event.EASED if self._has_eased(now) else None

    def _is_fast(self, used: float, under_way: int, now: float) -> bool:
        limit, rung = self.marks.limit, self.rung
        if not self.times.predicts or not _FLOOR * limit <= used < limit:
            return False
        if now - self._stay.since < _SETTLE.get(rung, 0.0):
            return False
        if (limit - used) <= self.growth.per_second * _REACH[rung]:
            return self.growth.per_second > 0
        coming = self.growth.per_page * under_way
        return rung < Rung.PAUSE and coming > 0 and used + coming >= limit

    def _held(self, used: float, now: float, patience: float) -> Event | None:
        """What pressure that is high comes to when the rung had its time."""
        stay, rung = self._stay, self.rung
        factor = patience if rung >= Rung.PAUSE else 1.0
        waited, wait = stay.since_progress(now), factor * self.times.up.get(rung, 0.0)
        if rung is Rung.PAUSE and stay.idle_since is not None:
            idle = min(waited, now - stay.idle_since) >= factor * self.times.idle
            wait = 0.0 if idle else wait
        if waited < wait:
            return None
        goes_on = rung >= Rung.PAUSE and used < self.marks.critical
        helped = used < self._fallen() or not self.relapses
        return Event.EASED if goes_on and helped else Event.HELD

    def _fallen(self) -> float:
        """Below which this rung has helped."""
        return self._stay.first - _PROGRESS * self.marks.limit

    def _has_eased(self, now: float) -> bool:
        eased, wait = self._stay.eased_since, self.times.down
        if self.rung >= Rung.PAUSE:
            wait = min(wait * 2.0 ** (self.relapses - 1), SLOWEST)
        return eased is not None and now - max(eased, self._stay.since) >= wait

    def _unknown(self, now: float) -> Move | None:
        stay = self._stay
        if self.rung is Rung.HEALTHY or now - max(stay.since, stay.known) < SLOWEST:
            return None
        return self._step(Event.EASED, now)

    # --- how ---

    def _step(self, event: Event, now: float) -> Move | None:
        rung = self.rung
        if rung is Rung.FEWER:
            if event is Event.HELD:
                return self._deepen(self.depth + 1, event, now) or self._last(now)
            if event is Event.EASED and self.depth > 1 + self.relapses:
                return self._deepen(self.depth - 1, event, now)
        after = self._after(event)
        return None if after is rung else self._enter(after, event, now)

    def _deepen(self, depth: int, event: Event, now: float) -> Move | None:
        if depth > max(self.times.deepest, self.depth):
            return None
        self.depth = depth
        return self._enter(self.rung, event, now)

    def _last(self, now: float) -> Move | None:
        if self._stay.since_progress(now) < self.times.closes_after:
            return None
        return self._enter(Rung.CLOSE, Event.HELD, now)

    def _after(self, event: Event) -> Rung:
        """Where an event leads: the nearest rung that there is, in that direction."""
        rung, there = self.rung, {Rung.HEALTHY, *self.times.up}
        wanted = STEPS.get((rung, event), rung)
        if wanted > rung:
            return min((each for each in there if each >= wanted), default=rung)
        return max(each for each in there if each <= wanted)

    def _enter(self, after: Rung, event: Event, now: float) -> Move:
        before, self.rung = self.rung, after
        if after >= Rung.PAUSE > before:
            relapsed = now - self._left_pause < _SOON
            self.relapses = min(self.relapses + 1, _DEEPEST) if relapsed else 0
        elif before >= Rung.PAUSE > after:
            self._left_pause = now
        if after is not before:
            self.depth = 1 + self.relapses if after >= Rung.FEWER else 0
        self._stay = _Stay(now, self._used, self._used, now, now)
        return Move(before, after, event)
