"""The pace of a domain that pushes back: slowed down when, and only when, that helps.

A host that answers 429 or 503 is of one of two kinds. One has a *capacity*: what it accepts
per second stays the same however fast it is asked, as at a bottleneck (Kleinrock 1979; BBR,
Cardwell et al. 2016). The other is *careless*: it refuses the same share of the requests at
any pace, and asking it more slowly only loses time. So the pace is an experiment. After a
change from rate r0 to r1 the accepted share s0 becomes min(1, s0·r0/r1) under the first
hypothesis and stays s0 under the second; the verdict is for the nearer one by the geometric
mean of the two (two Poisson hypotheses are equally likely at their logarithmic mean, which is
close to it).

=========  ==============================================================================
state      what a pushback does
=========  ==============================================================================
searching  from the first pushback on, the rate is what was accepted since, by the second:
           most of a request when it was none, so that probes are exponentially apart (as TCP's
           time-outs, RFC 6298); each success of an unbroken row after it speeds up by half
limited    20 answers with at least 4 pushbacks are judged: the rate becomes the goodput, what
           was really accepted per second. A single pushback takes a tenth off. Each 20
           successes in a row speed up, by 2 %, then 4 %, 8 % … to 100 % (as CUBIC, RFC 9438).
           Steps that have led to 0.6 of the rate, and no end of the pushbacks: free
free       the pace does not matter: the rate goes half-way back (geometrically) to what it
           was, or three times up, and each step is judged as well: a capacity shows again.
           After a while, that doubles each time, slowing down is tried again
=========  ==============================================================================

A 503 without ``Retry-After`` begins a pace only when a *retry* gets it: a page's first one may
be the page's. Once there is a pace, all count. Only answers to requests that were sent after
a change are judged. Constants are chosen by
``python -m benchmarks pacing``. *now* is an argument, and a clock that goes back costs one
interval.
"""

from __future__ import annotations

from math import isfinite, log, sqrt
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FLOOR", "Pace"]

FLOOR: Final = 0.1
"""Requests a second: a host that accepts none is still asked, and seen to recover in 10 s."""
_JUDGED: Final = 20
"""Answers to a verdict: fewer mistake luck for a capacity, more cost a host that has one."""
_TROUBLE: Final = 4
"""Pushbacks among them: a share below 15 % is left to the small steps, which cost less."""
_KNOWN: Final = 6
"""Successes before the first verdict: a lucky one or two among twenty look like a share."""
_AT_LEAST: Final = 0.25
"""Seconds to a verdict: the first retries, which wait 0.1 to 0.2 s, must be in it, or pages
that fail at their first try only come in waves that look like a limit."""
_AT_MOST: Final = 7.0
"""Seconds to a verdict of fewer answers: at a low rate 20 would take minutes. With 10, twice as
many crawls of small careless hosts are starved; with 6, some of a host of 1/s are misjudged."""
_FEW: Final = 10
"""Answers to such a verdict, after a search."""
_PROBES: Final = 0.75
"""Of a request, that a search takes as accepted when none was: with 1, hosts that have a limit
refuse half as much again, with 0.5 careless ones are starved twice as often."""
_APART: Final = 0.2
"""Of the logarithm: rates nearer to each other than by a fifth tell nothing."""
_STEP: Final = 0.02
_BACK: Final = 0.9
"""With these a host that is asked at its limit pushes back in 1 to 3 % of its answers."""
_IN_VAIN: Final = 0.6
"""Of the rate that was found: a limit ends the refusals before five steps down lead so far."""
_SEARCH: Final = 1.5
"""By 2, a host of 5/s is overrun by 8 requests once more; by 1.3, one that comes back after a
minute takes 10 s longer to fill."""
_SLOW: Final = 0.5
"""Below this a search that was unlucky would take minutes to 20 successes: each speeds up."""
_FASTER: Final = 3.0
"""With 2, one crawl in 30 of a host that refuses 60 % takes twice as long; 4 is no better."""
_FREE_FOR: Final = 10.0
"""Seconds until slowing down is tried again, doubling: a trial costs a careless host's crawl
some 20 answers at its goodput."""
_UNPACED: Final = 1000.0
"""A rate that no crawl reaches for one domain is none."""
_FORGET: Final = 600.0
"""Seconds without an answer after which what was learned is old."""
_RECENT: Final = (1 << _JUDGED) - 1
_ALL_BUSY: Final = (1 << 8) - 1
"""The last 8 answers: a full set of concurrent requests. A host that refuses 60 % whatever
the pace refuses 8 in a row once in 60 times, one that is over its limit always."""


class Pace:
    """One domain's pace. *now* is when the first request was sent that was pushed back."""

    __slots__ = (
        "_accepted", "_began", "_free", "_free_for", "_free_until", "_pushed", "_recent",
        "_reference", "_row", "_searching", "_seen", "_sent", "_settled", "_since",
        "_step", "rate",
    )  # fmt: skip

    def __init__(self, now: float) -> None:
        self.rate: float | None = None
        """Requests a second; None: as many as will."""
        self._since = self._began = self._seen = self._sent = now
        self._accepted = self._pushed = self._row = self._recent = 0
        self._searching = True
        self._settled = 0.0
        """The rate that was found last, or the highest since."""
        self._reference: tuple[float, float] | None = None
        """The rate and the accepted share before the last change that told something."""
        self._step = 1.0
        self._free, self._free_for, self._free_until = False, _FREE_FOR, now

    def ready_at(self, now: float) -> float:
        """0 when a request may go, else when the next one may."""
        if self.rate is None:
            return 0.0
        self._sent = min(self._sent, now)
        due = self._sent + 1 / self.rate
        return due if due > now else 0.0

    def take(self, now: float) -> None:
        """A request goes."""
        self._sent = now

    @property
    def mostly_pushback(self) -> bool:
        """Whether a ``Retry-After`` is the domain's, not the page's: nothing gets through."""
        return not self._free and self._recent & _ALL_BUSY == _ALL_BUSY

    def idle(self, now: float) -> bool:
        """Whether forgetting it changes nothing."""
        return (self.rate is None and not self._recent) or now - self._seen > _FORGET

    def answered(self, sent_at: float, now: float, *, pushback: bool) -> bool:
        """An answer to a request of *sent_at*. True when the rate has changed."""
        self._follow(now)
        before, asleep = self.rate, self._searching and not self._pushed and self.rate is None
        self._recent = (self._recent << 1 | pushback) & _RECENT
        if asleep:
            self._since, self._began = min(sent_at, now), now
        if not self._since <= sent_at <= now or (asleep and not pushback):
            return False
        if self._searching and self._reference is None and sent_at > self._began:
            self._refer_to_full_speed()
        self._accepted += not pushback
        self._pushed += pushback
        self._row = 0 if pushback else self._row + 1
        seconds = max(sent_at - self._since, now - sent_at, 1e-3)
        if (pushback or self._free) and self._tells(seconds):
            self._judge(seconds, now)
        elif pushback:
            self._pushed_back(seconds, now)
        else:
            self._succeeded(seconds, now)
        if self._count() >= _JUDGED and self._pushed < _TROUBLE:
            self._start(now)
        return self.rate != before

    def _refer_to_full_speed(self) -> None:
        """All that is counted was sent as fast as it came, unless the count began later."""
        if self._count() and self._since <= self._began:
            self._reference = self._count() / (self._began - self._since + 1e-3), self._share()

    def _tells(self, seconds: float) -> bool:
        """Whether there is enough for a verdict."""
        if self._pushed < _TROUBLE or seconds < _AT_LEAST:
            return False
        if self._searching and self._accepted < _KNOWN:
            return self._accepted > 0 and seconds > _AT_MOST
        return self._count() >= (_FEW if seconds > _AT_MOST else _JUDGED)

    def _pushed_back(self, seconds: float, now: float) -> None:
        if self._free:
            return
        if self._searching:
            self._set(self._goodput(seconds))
            if self._accepted:
                self._step = _STEP
        elif self.rate is not None and self._pushed == 1:
            self._set(self.rate * _BACK)
            self._step = _STEP
            if self.rate < self._settled * _IN_VAIN:
                self._let_go(now)

    def _succeeded(self, seconds: float, now: float) -> None:
        if self.rate is None:
            return
        if self._searching:
            unbroken = self._row == self._accepted or self.rate < _SLOW
            faster = self.rate * _SEARCH if unbroken else 0.0
            self._set(max(faster, self._goodput(seconds)))
        if self._row >= _JUDGED and self.rate is not None:
            binds = self._row / seconds >= self.rate / 4
            self._searching, self._row = False, 0
            self._set(self.rate * (1 + self._step) if binds else None)
            self._step = min(2 * self._step, 1.0)
            self._settled = max(self._settled, self.rate or 0.0)
            self._start(now)

    def _judge(self, seconds: float, now: float) -> None:
        sending, share = self._count() / seconds, self._share()
        old, was = self._reference or (sending, share)
        if now >= self._free_until:
            self._free = False
        if abs(log(old / sending)) > _APART:
            border = was * sqrt(min(old / sending, 1 / was))
            capacity = (share > border) == (sending < old)
            if not capacity and not self._free:
                self._free_until = now + self._free_for
                self._free_for *= 2
            self._free, self._reference = not capacity, (sending, share)
        elif self._reference is None:
            self._reference = sending, share
        if not self._free:
            self._set(self._goodput(seconds))
            self._step = _STEP if self._accepted else 1.0
        elif self.rate is not None:
            fastest = max(self.rate, sending, old)
            self._set(max(sqrt(fastest * sending), _FASTER * sending))
        self._searching = not (self._accepted or self._free)
        self._settled = self.rate or 0.0
        self._start(now)

    def _let_go(self, now: float) -> None:
        """Small steps down have not helped: the host refuses its share at any pace."""
        self._free, self._free_until = True, now + self._free_for
        self._free_for *= 2
        self._set(self._settled * _FASTER)
        self._reference = None
        self._start(now)

    def _count(self) -> int:
        return self._accepted + self._pushed

    def _share(self) -> float:
        """By Laplace's rule of succession: none of five is not yet a share of 0."""
        return (self._accepted + 1) / (self._count() + 2)

    def _goodput(self, seconds: float) -> float:
        return max(self._accepted + 0.5, _PROBES) / seconds

    def _set(self, rate: float | None) -> None:
        self.rate = None if rate is None or rate > _UNPACED else max(rate, FLOOR)

    def _start(self, now: float) -> None:
        self._since, self._accepted, self._pushed = now, 0, 0

    def _follow(self, now: float) -> None:
        if now < self._seen:
            self._began = self._free_until = now
            self._start(now)
        self._seen = now

    def dump(self) -> dict[str, Any]:
        """Plain values for :meth:`load`; none when nothing is worth to be kept."""
        if self.rate is None:
            return {}
        return {"rate": self.rate} | ({"searching": True} if self._searching else {})

    @classmethod
    def load(cls, data: Mapping[str, Any], now: float) -> Pace:
        """Go on at the rate of an earlier run."""
        pace = cls(now)
        rate = data.get("rate")
        if isinstance(rate, (int, float)) and isfinite(rate) and rate > 0:
            pace._set(float(rate))
            pace._settled = pace.rate or 0.0
            pace._searching, pace._step = data.get("searching") is True, _STEP
        return pace
